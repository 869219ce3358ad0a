"""Local training: gradient steps on many devices' adapters at once, optimizer and loss."""
