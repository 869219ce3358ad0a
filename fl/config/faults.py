"""What may be wrong with updates: devices that lie, and bits that change on the way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from wnsim.core.params import parameters

from .base import Count

Device = Annotated[int, Field(ge=0, le=100_000)]


@parameters
class Byzantine:
    """Devices that tell others something else than what they have learned.

    They train and merge like all others. Sources: the sign flip is that of Li et al., "RSA:
    Byzantine-robust stochastic aggregation methods", AAAI 2019, for updates that are adapters.

    Parameters
    ----------
    devices : which
    attack : `sign-flip`: B times minus `scale`, and so the change of the weights, whatever A is;
        `noise`: to every value that is told, Gaussian noise, layer by layer `scale` times the root
        mean square of these values; `label-flip`: training examples with wrong answers, the next
        one of the choices, or that of the device's next example with another answer
    scale : of the first two
    from_round : round from which on they do so; wrong labels are there from the beginning
    """

    devices: Annotated[tuple[Device, ...], Field(min_length=1)]
    attack: Literal["sign-flip", "noise", "label-flip"] = "sign-flip"
    scale: Annotated[float, Field(gt=0, le=1e4)] = 1.0
    from_round: Count = 1

    def __post_init__(self) -> None:
        if self.attack == "label-flip" and (self.scale != 1.0 or self.from_round != 1):
            raise ValueError("label-flip has neither scale nor from_round, got one of them")


@parameters
class Corruption:
    """Bit errors that the checksum of an update does not find.

    Values are hit, not the structure. Whoever decodes values that are not finite leaves the whole
    update out.

    Parameters
    ----------
    probability : that an update which arrives is hit
    bits : of its values that change then, at most: one that is drawn twice is right again
    """

    probability: Annotated[float, Field(ge=0, le=1)] = 0.0
    bits: Annotated[int, Field(ge=1, le=100_000)] = 1


@dataclass(frozen=True, slots=True)
class Wrongs:
    """All that may be wrong with the updates of a run.

    Parameters
    ----------
    byzantine : devices that lie
    corruption : bits that change on the way
    """

    byzantine: tuple[Byzantine, ...] = ()
    corruption: Corruption | None = None

    def attack(self, device: int, round_: int) -> Byzantine | None:
        """Return how a device falsifies what it tells in a round; None if it does not."""
        for each in self.byzantine:
            if device in each.devices and each.attack != "label-flip" and round_ >= each.from_round:
                return each
        return None

    def mislabels(self, device: int) -> bool:
        """Return whether a device learns from wrong labels."""
        return any(
            device in each.devices and each.attack == "label-flip" for each in self.byzantine
        )
