"""Training of all devices of a simulation on one frozen model."""

from .trainer import Trainer

__all__ = ["Trainer"]
