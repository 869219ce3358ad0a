"""wnsim: a wireless network simulator with federated learning on the same clock."""

__version__ = "0.1.0"
