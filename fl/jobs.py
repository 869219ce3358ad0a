"""A device's training in one round: promised when submitted, computed when asked for."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .optimizer import Moments

if TYPE_CHECKING:
    from .adapters import Adapter
    from .trainer import Trainer


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """What a device carries from round to round.

    Parameters
    ----------
    adapter : what it has learned
    moments : what its optimizer remembers, None before the first step
    loss : mean loss of the last round's steps [nat]
    """

    adapter: Adapter
    moments: Moments | None = None
    loss: float = math.nan


@dataclass(eq=False)
class Job:
    """Training of one device in one round.

    Parameters
    ----------
    trainer : who will run it
    device, round : whose training, and when
    start : where it starts; None for a device's first round, which prepares it
    """

    trainer: Trainer
    device: int
    round: int
    start: State | None
    _result: State | Exception | None = field(default=None, repr=False)

    @property
    def flops(self) -> float:
        """The operations to charge to the simulated clock [FLOP]."""
        return self.trainer.flops(self.device, first=self.start is None)

    def result(self) -> State:
        """Return the device's state after training.

        Raises
        ------
        ValueError
            if the training went wrong, such as by diverging
        """
        if self._result is None:
            self.trainer.run_pending()
        if not isinstance(self._result, State):
            raise ValueError(f"training failed: {self._result}")
        return self._result

    def settle(self, result: State | Exception) -> None:
        """Set the result, or what went wrong."""
        self._result = result
