"""Networks on arrays: bundled ones and those of users, trained as a whole or with LoRA."""

from __future__ import annotations

from .labelled import Labelled
from .loading import load_network
from .network import Network

__all__ = ["Labelled", "Network", "load_network"]
