"""Update faults: Byzantine devices, and corruption of payloads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from wnsim.core.params import parameters

from .base import Count

Device = Annotated[int, Field(ge=0, le=100_000)]


@parameters
class Byzantine:
    """Byzantine devices, which send manipulated updates.

    They train and aggregate like honest devices. Sources: the sign flip is that of Li et al., "RSA:
    Byzantine-robust stochastic aggregation methods", AAAI 2019, for updates that are adapters.

    Parameters
    ----------
    devices : numbers of the devices
    attack : `sign-flip`: B times minus `scale`, which negates the change of the weights for any A;
        `noise`: Gaussian noise on every transmitted parameter, per layer `scale` times their root
        mean square; `label-flip`: training examples with wrong answers, the next one of the
        choices, or else the answer of the device's next example that has a different one
    scale : strength of the first two attacks
    from_round : first round of the attack; flipped labels are there from the start
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
    """Bit errors that the checksum of an update does not detect.

    They affect the parameters of an update, not its structure. A receiver that decodes parameters
    that are not finite discards the whole update.

    Parameters
    ----------
    probability : probability that a received update is corrupted
    bits : number of flipped bits in its parameters, at most: a bit drawn twice is restored
    """

    probability: Annotated[float, Field(ge=0, le=1)] = 0.0
    bits: Annotated[int, Field(ge=1, le=100_000)] = 1


@dataclass(frozen=True, slots=True)
class UpdateFaults:
    """Faults of the updates and labels of a run.

    Parameters
    ----------
    byzantine : attacks of devices
    corruption : bit errors of received updates; None for none
    """

    byzantine: tuple[Byzantine, ...] = ()
    corruption: Corruption | None = None

    def attack(self, device: int, round_: int) -> Byzantine | None:
        """Return the attack of a device on its update of a round; None if it is honest."""
        for each in self.byzantine:
            if device in each.devices and each.attack != "label-flip" and round_ >= each.from_round:
                return each
        return None

    def flips_labels(self, device: int) -> bool:
        """Return whether a device trains on flipped labels."""
        return any(
            device in each.devices and each.attack == "label-flip" for each in self.byzantine
        )
