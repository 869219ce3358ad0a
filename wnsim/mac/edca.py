"""Access categories of Wi-Fi: enhanced distributed channel access (EDCA).

Sources: IEEE 802.11-2020, 10.23.2 (EDCA), Table 9-155 (parameters, for the OFDM physical layers).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from wnsim.core.params import parameters
from wnsim.phy.wifi import SIFS_NS, SLOT_NS

Category = Literal["voice", "video", "best-effort", "background"]
CATEGORIES: tuple[Category, ...] = ("voice", "video", "best-effort", "background")
"""Access categories, the one that wins an internal collision first."""


@dataclass(frozen=True, slots=True)
class AccessFunction:
    """One of the queues of a station that contend for the medium, with its own backoff.

    Parameters
    ----------
    space_ns : time for which the medium must be idle before slots are counted [ns]
    cw_min, cw_max : initial and largest contention window [slots]
    txop_ns : limit of a transmission opportunity; 0: a single exchange [ns]
    boundary : whether the slot at whose beginning another frame starts is counted: by EDCA it is,
        as backoffs are counted at the beginning of slots, by DCF at their end
    """

    space_ns: int
    cw_min: int
    cw_max: int
    txop_ns: int = 0
    boundary: bool = False

    def contention_window(self, failures: int) -> int:
        """Return the contention window after a number of failures [slots]."""
        return min(((self.cw_min + 1) << min(failures, 16)) - 1, self.cw_max)


@parameters
class Voice:
    """Parameters of an access category, with the values of voice; see `Edca`.

    Parameters
    ----------
    aifsn : slots, after SIFS, for which the medium must be idle before the backoff is counted
    cw_min, cw_max : initial and largest contention window [slots]
    txop_us : limit of a transmission opportunity; 0: one exchange, of any duration [us]
    """

    aifsn: int = Field(default=2, ge=2, le=15)
    cw_min: int = Field(default=3, ge=0, le=32767)
    cw_max: int = Field(default=7, ge=0, le=32767)
    txop_us: float = Field(default=2080.0, ge=0, le=1e5)

    def __post_init__(self) -> None:
        if self.cw_max < self.cw_min:
            raise ValueError(f"cw_max must be at least cw_min, {self.cw_min}, got {self.cw_max}")

    def function(self) -> AccessFunction:
        """Return the access function of the category."""
        space_ns = SIFS_NS + self.aifsn * SLOT_NS
        return AccessFunction(space_ns, self.cw_min, self.cw_max, round(1e3 * self.txop_us), True)


@parameters
class Video(Voice):
    """Parameters of an access category, with the values of video; see `Edca`.

    Parameters
    ----------
    aifsn : slots, after SIFS, for which the medium must be idle before the backoff is counted
    cw_min, cw_max : initial and largest contention window [slots]
    txop_us : limit of a transmission opportunity; 0: one exchange, of any duration [us]
    """

    cw_min: int = Field(default=7, ge=0, le=32767)
    cw_max: int = Field(default=15, ge=0, le=32767)
    txop_us: float = Field(default=4096.0, ge=0, le=1e5)


@parameters
class BestEffort(Voice):
    """Parameters of an access category, with the values of best effort; see `Edca`.

    Parameters
    ----------
    aifsn : slots, after SIFS, for which the medium must be idle before the backoff is counted
    cw_min, cw_max : initial and largest contention window [slots]
    txop_us : limit of a transmission opportunity; 0: one exchange, of any duration [us]
    """

    aifsn: int = Field(default=3, ge=2, le=15)
    cw_min: int = Field(default=15, ge=0, le=32767)
    cw_max: int = Field(default=1023, ge=0, le=32767)
    txop_us: float = Field(default=2528.0, ge=0, le=1e5)


@parameters
class BackgroundTraffic(BestEffort):
    """Parameters of an access category, with the values of background; see `Edca`.

    Parameters
    ----------
    aifsn : slots, after SIFS, for which the medium must be idle before the backoff is counted
    cw_min, cw_max : initial and largest contention window [slots]
    txop_us : limit of a transmission opportunity; 0: one exchange, of any duration [us]
    """

    aifsn: int = Field(default=7, ge=2, le=15)


@parameters
class Edca:
    """Access categories: queues of a station that contend on their own, with unequal chances.

    Each category of a station has a queue, a contention window and a backoff. A category with a
    smaller `aifsn` or smaller windows sends first; where the backoffs of two categories of a
    station end at once, the higher one sends, and the other draws a backoff from a window twice as
    large, as after a collision. A category may send frames SIFS apart for up to `txop_us`, as long
    as each is answered and the next one fits with its answer; frames are made no longer than that,
    except for single packets that last longer alone.

    Scope: the NAV of each frame covers its own exchange, not the whole opportunity, and only the
    first exchange is preceded by a request to send; after a frame without an answer the station
    draws a new backoff; internal collisions lose no packet, not even at the retry limit. All
    stations, access points included, have the same parameters; no admission control, no lifetime of
    packets.

    Parameters
    ----------
    category : category of all messages except those of `background` that have their own
    voice, video, best_effort, background : parameters of the categories, the highest first
    """

    category: Category = "best-effort"
    voice: Voice = Field(default_factory=Voice)
    video: Video = Field(default_factory=Video)
    best_effort: BestEffort = Field(default_factory=BestEffort)
    background: BackgroundTraffic = Field(default_factory=BackgroundTraffic)

    def functions(self) -> tuple[AccessFunction, ...]:
        """Return the access functions of a station, in the order of `CATEGORIES`."""
        parts = self.voice, self.video, self.best_effort, self.background
        return tuple([part.function() for part in parts])
