"""Training and test examples: partition over devices, and the examples of each device."""
