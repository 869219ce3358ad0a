"""Small-scale fading models as parameters of a scenario, and what the channel asks of them."""

from __future__ import annotations

from typing import Literal, Protocol

from wnsim.channel.plane_waves import Complexes, PlaneWaves
from wnsim.params import parameters
from wnsim.units import Floats, Ints


class Process(Protocol):
    """The fading of all links: a pure function of seed, link, positions and time."""

    def response(
        self, source: Ints, target: Ints, x_source_m: Floats, x_target_m: Floats, t_s: Floats
    ) -> Complexes:
        """Return the channel's complex amplitude, of unit mean power.

        Parameters
        ----------
        source, target : (L,) ends of the links; both directions are the same channel
        x_source_m, x_target_m : (L, T, 2) positions of the ends [m]
        t_s : (T,) instants [s]

        Returns
        -------
        (L, T) amplitudes
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
        """Return the amplitudes at evenly spaced instants of consecutive chunks of time.

        Within a chunk the ends move along the chord between their positions at its edges, so a
        turn inside a chunk is rounded off by at most speed times `chunk_s`. The result is that
        of `response` on the chords.

        Parameters
        ----------
        source, target : (L,) ends of the links
        x_source_m, x_target_m : (L, C + 1, 2) positions at the edges of the C chunks [m]
        first_chunk : number of the first chunk; chunk n begins at n times `chunk_s`
        chunk_s : duration of a chunk [s]
        samples_per_chunk : S, number of instants in a chunk, the first at its beginning

        Returns
        -------
        (L, C S) amplitudes
        """
        ...


class Fading(Protocol):
    """Parameters of a fading model."""

    def process(self, frequency_hz: float, seed: int) -> Process | None:
        """Return the fading of all links at a carrier [Hz]; none where there is no fading."""
        ...


@parameters
class NoFading:
    """A channel without small-scale fading."""

    model: Literal["none"] = "none"

    def process(self, frequency_hz: float, seed: int) -> Process | None:
        """Return none."""
        return None


@parameters
class Rayleigh:
    """Rayleigh fading: waves of equal power from all directions around both ends.

    Parameters
    ----------
    waves : number of plane waves of each link, at least 8; the kurtosis of the amplitude is
        2 - 1/waves times the squared mean power instead of 2
    residual_speed_mps : speed of the surroundings [m/s], which alone moves the channel between
        two devices at rest; 0 freezes it
    """

    model: Literal["rayleigh"] = "rayleigh"
    waves: int = 32
    residual_speed_mps: float = 0.05

    def __post_init__(self) -> None:
        if self.waves < 8:
            raise ValueError(f"waves must be at least 8, got {self.waves}")
        if not self.residual_speed_mps >= 0.0:
            raise ValueError(
                f"residual_speed_mps must be at least 0 m/s, got {self.residual_speed_mps}"
            )

    def process(self, frequency_hz: float, seed: int) -> Process | None:
        """Return the fading of all links at a carrier frequency [Hz]."""
        return PlaneWaves(self.waves, self.residual_speed_mps, frequency_hz, seed)


FADING: dict[str, type[Fading]] = {"none": NoFading, "rayleigh": Rayleigh}
