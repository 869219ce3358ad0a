"""Small-scale fading models: parameters and interface.

Sources: as `plane_waves`, `processes` and `delays`.
"""

from __future__ import annotations

from typing import Annotated, Literal, Protocol

from pydantic import Field

from wnsim.channel.delays import Delays, profile
from wnsim.channel.plane_waves import Complexes, PlaneWaves
from wnsim.channel.processes import Direct, GammaPower
from wnsim.core.params import parameters
from wnsim.core.units import Floats, Ints, db_to_linear

_MOST_WAVES = 4096


class Process(Protocol):
    """Fading of all links: a pure function of seed, link, positions and time."""

    @property
    def subbands(self) -> int:
        """B, number of subbands with separate responses; 1 for a flat channel."""
        ...

    def response(
        self, source: Ints, target: Ints, x_source_m: Floats, x_target_m: Floats, t_s: Floats
    ) -> Complexes:
        """Return the complex channel amplitude, of unit mean power.

        Parameters
        ----------
        source, target : (L,) ends of the links; both directions are the same channel
        x_source_m, x_target_m : (L, T, 2) positions of the ends [m]
        t_s : (T,) instants [s]

        Returns
        -------
        (L, T, B) amplitudes
        """
        ...

    def response_grid(
        self,
        source: Ints,
        target: Ints,
        x_source_m: Floats,
        x_target_m: Floats,
        first_chunk: int,
        chunk_s: float,
        samples_per_chunk: int,
    ) -> Complexes:
        """Return the amplitudes at evenly spaced instants of consecutive batches.

        Within a batch the ends move along the chord between their positions at its edges, so a turn
        inside a batch is rounded off by at most speed times `chunk_s`. The result is that of
        `response` on the chords.

        Parameters
        ----------
        source, target : (L,) ends of the links
        x_source_m, x_target_m : (L, C + 1, 2) positions at the edges of the C batches [m]
        first_chunk : number of the first batch; batch n starts at n times `chunk_s`
        chunk_s : duration of a batch [s]
        samples_per_chunk : S, number of instants in a batch, the first at its start

        Returns
        -------
        (L, C S, B) amplitudes
        """
        ...


class Fading(Protocol):
    """Interface of the parameters of a fading model."""

    def process(
        self, frequency_hz: float, bandwidth_hz: float, subbands: int, seed: int
    ) -> Process | None:
        """Return the fading of all links in a band around a carrier; None without fading.

        Parameters
        ----------
        frequency_hz, bandwidth_hz : carrier frequency and bandwidth [Hz]
        subbands : number of equal subbands, with the response at their centers
        seed : seed of the scenario
        """
        ...


@parameters
class NoFading:
    """No small-scale fading."""

    model: Literal["none"] = "none"

    def process(
        self, frequency_hz: float, bandwidth_hz: float, subbands: int, seed: int
    ) -> Process | None:
        """Return None."""
        return None


@parameters
class Rayleigh:
    """Rayleigh fading: plane waves of equal power from all directions at both ends.

    Parameters
    ----------
    waves : number of plane waves per link, at least 8; the kurtosis of the amplitude is
        2 - 1/waves times the squared mean power instead of 2
    residual_speed_mps : speed of the surroundings [m/s], which alone varies the channel between
        two static devices; 0 freezes it
    """

    model: Literal["rayleigh"] = "rayleigh"
    waves: int = 32
    residual_speed_mps: float = 0.05

    def __post_init__(self) -> None:
        _check(self.waves, 8, self.residual_speed_mps)

    def process(
        self, frequency_hz: float, bandwidth_hz: float, subbands: int, seed: int
    ) -> Process | None:
        """Return the fading of all links, equal in the whole band."""
        return PlaneWaves(self.waves, self.residual_speed_mps, frequency_hz, seed)


@parameters
class Rician:
    """Rician fading: a direct wave plus scattered ones on every link.

    The phase of the direct wave follows from the ground distance of the ends.

    Parameters
    ----------
    k_db : Rician K factor: power of the direct wave over that of the scattered ones [dB]
    waves : number of scattered plane waves per link, at least 8
    residual_speed_mps : speed of the surroundings [m/s], which varies the scattered waves
    """

    model: Literal["rician"] = "rician"
    k_db: Annotated[float, Field(ge=-100.0, le=100.0)] = 6.0
    waves: int = 32
    residual_speed_mps: float = 0.05

    def __post_init__(self) -> None:
        _check(self.waves, 8, self.residual_speed_mps)

    def process(
        self, frequency_hz: float, bandwidth_hz: float, subbands: int, seed: int
    ) -> Process | None:
        """Return the fading of all links, equal in the whole band."""
        factor = float(db_to_linear(self.k_db))
        waves = PlaneWaves(self.waves, self.residual_speed_mps, frequency_hz, seed)
        return Direct(waves, factor / (1.0 + factor), frequency_hz)


@parameters
class Nakagami:
    """Nakagami fading: Gamma-distributed power with the temporal correlation of Rayleigh fading.

    Parameters
    ----------
    m : shape of the distribution, 0.5 to 100; 1 is Rayleigh fading, larger values are milder
    waves : number of plane waves per link, at least 8
    residual_speed_mps : speed of the surroundings [m/s]
    """

    model: Literal["nakagami"] = "nakagami"
    m: Annotated[float, Field(le=100.0)] = 1.0
    waves: int = 32
    residual_speed_mps: float = 0.05

    def __post_init__(self) -> None:
        if not self.m >= 0.5:
            raise ValueError(f"m must be at least 0.5, got {self.m}")
        _check(self.waves, 8, self.residual_speed_mps)

    def process(
        self, frequency_hz: float, bandwidth_hz: float, subbands: int, seed: int
    ) -> Process | None:
        """Return the fading of all links, equal in the whole band."""
        waves = PlaneWaves(self.waves, self.residual_speed_mps, frequency_hz, seed)
        return GammaPower(waves, self.m)


@parameters
class TappedDelayLine:
    """Frequency-selective fading with the tapped delay lines of TR 38.901.

    Each subband has the response at its center; a single subband has that at the carrier. The
    profiles D and E have a direct wave on every link.

    Parameters
    ----------
    profile : A, B or C (NLOS), D or E (LOS)
    delay_spread_s : root mean square delay spread that scales the profile [s]
    waves : number of plane waves per link and tap, at least 24; taps share their directions
    residual_speed_mps : speed of the surroundings [m/s]
    """

    model: Literal["tdl"] = "tdl"
    profile: Literal["A", "B", "C", "D", "E"] = "A"
    delay_spread_s: Annotated[float, Field(ge=0.0, le=1e-3)] = 100e-9
    waves: int = 32
    residual_speed_mps: float = 0.05

    def __post_init__(self) -> None:
        _check(self.waves, 24, self.residual_speed_mps)

    def process(
        self, frequency_hz: float, bandwidth_hz: float, subbands: int, seed: int
    ) -> Process | None:
        """Return the fading of all links in each subband."""
        taps = profile(self.profile)
        delays = Delays(taps, self.delay_spread_s, bandwidth_hz, subbands, seed)
        waves = PlaneWaves(self.waves, self.residual_speed_mps, frequency_hz, seed, delays)
        return Direct(waves, taps.sight, frequency_hz) if taps.sight > 0.0 else waves


FADING: dict[str, type[Fading]] = {
    "none": NoFading,
    "rayleigh": Rayleigh,
    "rician": Rician,
    "nakagami": Nakagami,
    "tdl": TappedDelayLine,
}


def _check(waves: int, fewest: int, residual_speed_mps: float) -> None:
    """Raise ValueError for too few or too many waves, or a negative speed."""
    if waves < fewest:
        raise ValueError(f"waves must be at least {fewest}, got {waves}")
    if waves > _MOST_WAVES:
        raise ValueError(f"waves must be at most {_MOST_WAVES}, got {waves}")
    if not residual_speed_mps >= 0.0:
        raise ValueError(f"residual_speed_mps must be at least 0 m/s, got {residual_speed_mps}")
