"""FedSA-LoRA: A is shared, B stays on its device.

Sources: Guo et al., "Selective aggregation for low-rank adaptation in federated learning", ICLR
2025: A learns what is common to all devices, B what is particular to each. Ours: neighbors average
among themselves where there is no server.
"""

from __future__ import annotations

from ..adapters import Adapter
from ..updates.codec import Update
from .lora import ServedLoraMethod


class FedSaLoraMethod(ServedLoraMethod):
    """LoRA with a private B; see `Method`."""

    def update(self, adapter: Adapter, device: int, round_: int, first_contact: bool) -> Update:
        """Return A."""
        return Update(device, round_, b=(), a=adapter.a)
