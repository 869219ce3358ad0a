"""Training examples: partition over devices, label flipping, and the batches of each device."""
