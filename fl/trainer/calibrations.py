"""Calibrations of all devices: the first ones, and those after their data have changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..engine.jobs import LazyValue
    from .state import Calibration


class Calibrations:
    """Calibrations of each device; an update belongs to that of the round in which it was made.

    Parameters
    ----------
    devices : number of devices
    make : returns the calibration of a device on what it has in a round, 0 for the start

    Attributes
    ----------
    renewals : number of calibrations that were not the first ones
    """

    def __init__(self, devices: int, make: Callable[[int, int], LazyValue[Calibration]]) -> None:
        self._make = make
        self._rounds: list[list[int]] = [[0] for _ in range(devices)]
        self.renewals = 0

    def renew(self, device: int, round_: int) -> None:
        """Calibrate a device on what it has in a round, before it trains."""
        self._rounds[device].append(round_)
        self.renewals += 1

    def of(self, device: int) -> LazyValue[Calibration]:
        """Return the current calibration of a device."""
        return self._make(device, self._rounds[device][-1])

    def rounds(self, device: int) -> Sequence[int]:
        """Return the rounds in which a device was calibrated, ascending, with 0 for the start."""
        return tuple(self._rounds[device])

    def at(self, device: int, round_: int) -> LazyValue[Calibration]:
        """Return the calibration with which a device trained in a round."""
        return self._make(device, max(each for each in self._rounds[device] if each <= round_))
