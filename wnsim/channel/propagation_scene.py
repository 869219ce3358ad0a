"""Propagation scene: one path-loss model with the random fields that obstruct its links.

A link is LOS, NLOSv (behind a vehicle) or NLOS (behind a building). The three states follow from
one Gaussian field over the positions of both ends, compared with their probabilities, so that they
change over meters and are reproducible in space. LOS and NLOSv share path loss and shadow fading; a
vehicle adds its blockage loss. Between two states their amplitudes add up with the weights s and
sqrt(1 - s^2) of the soft state s (eq. 7.6-19); their phases are independent, so that their mean
powers add up with the weights s^2 and 1 - s^2. Links with an end in a building have one shadow
fading in both states, that of the O2I column of Table 7.5-6, where the model has one.

Sources: 3GPP TR 38.901 V19.4.0, clauses 7.4.1, 7.4.2, 7.5 and 7.6.3.3; 3GPP TR 37.885, clause 6.2.1
(vehicle blockage).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wnsim import kernels
from wnsim.channel.blockage import CAR_HEIGHT_M, TRUCK_HEIGHT_M, VehicleBlockage
from wnsim.channel.link_states import Threshold
from wnsim.channel.mean_loss import PathLoss
from wnsim.channel.shadowing import Field, Shadowing, shadow_field
from wnsim.core import streams
from wnsim.core.units import SPEED_OF_LIGHT_MPS, Floats, Ints, db_to_linear, linear_to_db
from wnsim.kernels.layout import plain

# Divisor in place of a soft state of zero, whose share does not count.
_LEAST = 1e-12
# Methods of path-loss models that `terms` takes the place of, and their parts.
_TERMS = frozenset({"loss_db", "los_db", "nlos_db", "los_probability"})


class OutOfRangeWarning(UserWarning):
    """Use of a path-loss model at a distance outside its validity range."""


@dataclass(slots=True)
class Geometry:
    """Positions of the ends of links over time.

    Parameters
    ----------
    low, high : (L,) numbers of the two ends
    positions_m : (n, T, 2) positions of the n nodes that are an end of a link, or (n, T, 3) with
        the heights of devices above the lowest one, if they differ [m]
    first, second : (L,) indices of a link's low and high end among the n nodes
    h_low_m, h_high_m : (L, 1 or T) antenna heights of the two ends [m]
    h_bs_m, h_ut_m : (L, 1 or T) the same heights, of base station and terminal [m]
    d2d_m : (L, T) ground distance between the ends [m]
    t_s : (T,) instants [s]
    indoor : (L,) whether an end is indoors
    extremes_m : smallest and largest ground distance, or bounds of them [m]
    """

    low: Ints
    high: Ints
    positions_m: Floats
    first: Ints
    second: Ints
    h_low_m: Floats
    h_high_m: Floats
    h_bs_m: Floats
    h_ut_m: Floats
    d2d_m: Floats
    t_s: Floats
    indoor: NDArray[np.bool_]
    extremes_m: tuple[float, float]

    def of(self, links: NDArray[np.bool_]) -> Geometry:
        """Return the geometry of a subset of the links."""
        if links.all():
            return self
        return Geometry(
            self.low[links], self.high[links], self.positions_m, self.first[links],
            self.second[links], self.h_low_m[links], self.h_high_m[links], self.h_bs_m[links],
            self.h_ut_m[links], self.d2d_m[links], self.t_s, self.indoor[links], self.extremes_m,
        )  # fmt: skip


class Scene:
    """Path loss, line of sight and shadow fading of links that share one model.

    Parameters
    ----------
    path_loss, shadowing : models
    frequency_hz : carrier frequency [Hz]
    seed : seed of the scenario
    kind : number of the scene; scenes with different numbers have independent fields
    indoor : whether any node is indoors
    soft : whether links are in between of two states while they change

    Attributes
    ----------
    correlation_m : shortest decorrelation distance of shadow fading [m]
    """

    def __init__(
        self,
        path_loss: PathLoss,
        shadowing: Shadowing,
        frequency_hz: float,
        seed: int,
        kind: int,
        indoor: bool = False,
        *,
        soft: bool = True,
    ) -> None:
        self._soft = soft
        self._path_loss = path_loss
        self._all_terms = terms_of(path_loss)
        self._frequency_hz = frequency_hz
        self._sigma_db = shadowing.sigma_db
        wavelength_m = SPEED_OF_LIGHT_MPS / frequency_hz
        draws = streams.generator(seed, "los", kind)
        self._sight = Threshold(path_loss.los_correlation_m, shadowing.waves, draws, wavelength_m)
        self._field = {}
        for los in (True, False):
            correlation_m = shadowing.correlation_m or path_loss.shadow_correlation_m(los)
            self._field[los] = shadow_field(correlation_m, shadowing.waves, seed, los, kind)
        self._indoor_field = None
        fades = list(self._field.values())
        if indoor and path_loss.indoor_shadow is not None:
            correlation_m = shadowing.correlation_m or path_loss.indoor_shadow.correlation_m
            draws = streams.generator(seed, "shadowing indoors", kind)
            self._indoor_field = Field(correlation_m, shadowing.waves, draws)
            fades.append(self._indoor_field)
        self.correlation_m = min(field.correlation_m for field in fades)
        self._blockage = path_loss.blockage
        if self._blockage is not None:
            vehicle_m = self._blockage.correlation_m
            draws = streams.generator(seed, "vehicles", kind)
            self._vehicles = Field(vehicle_m, shadowing.waves, draws)
            draws = streams.generator(seed, "trucks", kind)
            self._trucks = Threshold(vehicle_m, shadowing.waves, draws, wavelength_m)
        self._warned: set[str] = set()

    def states(self, at: Geometry) -> tuple[Floats, Floats]:
        """Return the soft states of links.

        Returns
        -------
        sight : (L, T) LOS, 0 to 1
        clear : (L, T) LOS or NLOSv, at least the former
        """
        return self._states(at, self._terms(at)[0])

    def _states(self, at: Geometry, probabilities: list[Floats]) -> tuple[Floats, Floats]:
        """Return the soft states of links from their probabilities; see `states`."""
        states = self._sight.states(probabilities, at.positions_m, at.first, at.second)
        if not self._soft:
            states = [np.where(state > 0.5, 1.0, 0.0) for state in states]
        return states[0], states[-1]

    def _terms(self, at: Geometry) -> tuple[list[Floats], dict[bool, Floats]]:
        """Return the probabilities of states, and path losses [dB] by LOS as far as they are known.

        All of them are (L, T).
        """
        ends = (at.d2d_m, at.h_bs_m, at.h_ut_m)
        if self._blockage is not None:
            return [
                self._path_loss.los_probability(*ends),
                self._path_loss.los_or_nlosv_probability(*ends),
            ], {}
        if self._all_terms is None:
            return [self._path_loss.los_probability(*ends)], {}
        probability, los_db, nlos_db = self._all_terms(*ends, self._frequency_hz)
        return [probability], {True: los_db, False: nlos_db}

    def gain_db(self, at: Geometry) -> Floats:
        """Return the gain (L, T) of path loss and shadow fading [dB].

        Raises
        ------
        ValueError
            if it is not finite, which is an error of the path-loss model
        """
        self._warn(at)
        probabilities, losses_db = self._terms(at)
        sight, clear = self._states(at, probabilities)
        gain_db = self._clear_db(at, losses_db, sight, clear)
        if (clear < 1.0).any():
            gain_db = kernels.link_states.mixed_db(
                plain(clear), gain_db, self._state_db(at, losses_db, False)
            )
        if not np.isfinite(gain_db).all():
            link, instant = np.argwhere(~np.isfinite(gain_db))[0]
            raise ValueError(
                f"{self._path_loss.title} must be finite, got a gain of {gain_db[link, instant]} "
                f"dB for nodes {at.low[link]} and {at.high[link]}, "
                f"{at.d2d_m[link, instant]:.4g} m apart at {at.t_s[instant]:.4g} s"
            )
        return gain_db

    def _clear_db(
        self, at: Geometry, losses_db: dict[bool, Floats], sight: Floats, clear: Floats
    ) -> Floats:
        """Return the gain (L, T) [dB] without buildings in between, given both soft states."""
        gain_db = self._state_db(at, losses_db, True)
        if self._blockage is None:
            return gain_db
        behind = np.any(sight < clear, axis=1)
        if not behind.any():
            return gain_db
        # Share of NLOSv in the power.
        share = 1.0 - (sight[behind] / np.maximum(clear[behind], _LEAST)) ** 2
        loss_db = self._blockage_db(self._blockage, at.of(behind))
        gain_db[behind] += linear_to_db(1.0 - share * (1.0 - db_to_linear(-loss_db)))
        return gain_db

    def _state_db(self, at: Geometry, losses_db: dict[bool, Floats], los: bool) -> Floats:
        """Return the gain (L, T) [dB] in one state, from the path loss if it is known."""
        ends = (at.d2d_m, at.h_bs_m, at.h_ut_m, self._frequency_hz, los)
        loss_db = losses_db.get(los)
        gain_db = -(self._path_loss.loss_db(*ends) if loss_db is None else loss_db)
        sigma_db = np.asarray(
            self._path_loss.shadow_db(*ends) if self._sigma_db is None else self._sigma_db
        )
        indoor_shadow = self._path_loss.indoor_shadow
        if self._indoor_field is None or indoor_shadow is None or not at.indoor.any():
            return gain_db + self._shadow_db(at, self._field[los], sigma_db)
        indoor_db = sigma_db if self._sigma_db is not None else np.asarray(indoor_shadow.sigma_db)
        for field, some_db, links in (
            (self._field[los], sigma_db, ~at.indoor),
            (self._indoor_field, indoor_db, at.indoor),
        ):
            some_db = np.broadcast_to(some_db, gain_db.shape)[links]
            gain_db[links] += self._shadow_db(at.of(links), field, some_db)
        return gain_db

    @staticmethod
    def _shadow_db(at: Geometry, field: Field, sigma_db: Floats) -> Floats:
        """Return shadow fading (L, T), or zero, of a standard deviation [dB]."""
        if not (sigma_db > 0.0).any():
            return np.zeros(())
        return sigma_db * field.between(at.positions_m, at.first, at.second)

    def _blockage_db(self, blockage: VehicleBlockage, at: Geometry) -> Floats:
        """Return the loss (L, T) [dB] of blocking vehicles."""
        normal = self._vehicles.between(at.positions_m, at.first, at.second)
        truck = np.full(normal.shape, blockage.truck_share)
        (truck,) = self._trucks.states([truck], at.positions_m, at.first, at.second)
        ends = (at.d2d_m, at.h_bs_m, at.h_ut_m)
        return truck * blockage.loss_db(normal, *ends, TRUCK_HEIGHT_M) + (
            1.0 - truck
        ) * blockage.loss_db(normal, *ends, CAR_HEIGHT_M)

    def _warn(self, at: Geometry) -> None:
        """Warn once for each end of the validity range that links exceed it."""
        near_m, far_m = self._path_loss.range_m
        if near_m <= at.extremes_m[0] and at.extremes_m[1] <= far_m:
            return
        for rule, beyond in (("near", at.d2d_m < near_m), ("far", at.d2d_m > far_m)):
            if rule not in self._warned and beyond.any():
                self._warned.add(rule)
                link, instant = (int(index[0]) for index in np.nonzero(beyond))
                warnings.warn(
                    f"devices {at.low[link]} and {at.high[link]}, "
                    f"{at.d2d_m[link, instant]:.4g} m apart at {at.t_s[instant]:.4g} s: "
                    f"{self._path_loss.title} is for {near_m:g} to {far_m:g} m",
                    OutOfRangeWarning,
                    stacklevel=2,
                )


def terms_of(path_loss: PathLoss) -> Callable[..., tuple[Floats, Floats, Floats]] | None:
    """Return a model's method `terms`, None if it has none or a subclass changes a part of it."""
    found: Any = None
    for kind in type(path_loss).__mro__:
        if "terms" in vars(kind):
            found = getattr(path_loss, "terms", None)
            break
        if not vars(kind).keys().isdisjoint(_TERMS):
            break
    return found  # type: ignore[no-any-return]
