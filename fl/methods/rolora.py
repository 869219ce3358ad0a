"""RoLoRA: one factor at a time is trained and averaged, which makes averages exact.

Sources: Chen et al., "Robust federated finetuning of LLMs via alternating optimization of LoRA",
NeurIPS 2025: odd rounds train and average B, even ones A; the other factor is frozen and equal
everywhere. Ours: each factor keeps its own moments of the optimizer; among peers only neighbors
average, so that the frozen factors of a graph that is not complete are alike but not equal; and a
server sends both factors, so that a client that missed a round has the current ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..adapters import Adapter, Layer
from ..adapters.adapter import shape_only
from ..adapters.flat_parameters import Trained
from ..updates.codec import Update
from .lora import ServedLoraMethod


class RoLoraMethod(ServedLoraMethod):
    """LoRA that alternates between the factors; see `Method` and `extensions`."""

    def trains(self, round_: int) -> Trained:
        """Return B for odd rounds and A for even ones; both for the state before the first."""
        return "ab" if round_ == 0 else "b" if round_ % 2 else "a"

    def update(self, adapter: Adapter, device: int, round_: int, first_contact: bool) -> Update:
        """Return the factor that the round trains."""
        trains = self.trains(round_)
        return Update(
            device,
            round_,
            b=adapter.b if "b" in trains else (),
            a=adapter.a if "a" in trains else None,
        )

    def shapes_update_in(
        self, layers: Sequence[Layer], first_contact: bool, device: int, round_: int
    ) -> Update:
        """Return the factor that a round trains, all zero."""
        return self.update(shape_only(layers, self.ranks(layers)), device, round_, first_contact)

    def serve(self, average: Update, previous: Update) -> Update:
        """Return the average of one factor with the previous average of the other one."""
        return replace(average, b=average.b or previous.b, a=average.a or previous.a)
