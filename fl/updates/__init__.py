"""Updates: binary format, quantization, attacks, and the channel that they pass."""
