"""Updates as they are transmitted: codec, quantization, attacks and corruption."""
