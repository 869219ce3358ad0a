"""Rates of frames to one receiver, by what earlier frames on the link have shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from wnsim.air.csma.aggregate import Mpdu
from wnsim.air.csma.service import ACK_BITS
from wnsim.core.streams import uniform_blocks
from wnsim.core.units import NS_PER_S, to_ns
from wnsim.mac.rate_control import LastSnr, Minstrel
from wnsim.phy.wifi import SIFS_NS

if TYPE_CHECKING:
    from wnsim.air.csma.aggregate import Aggregator
    from wnsim.mac.rate_control import MeanSnr
    from wnsim.phy.wifi import WifiRates
    from wnsim.phy.wifi_formats import Scheme

# A rate with a lower success ratio is not expected to deliver anything; one with a higher is safe.
_USELESS, _SAFE = 0.1, 0.95
# Failures in a row after which the next rate of the chain is used.
_TRIES = 2
# Draws computed at a time.
_BLOCK = 256


class RateChoice(Protocol):
    """Choice of the rate of each frame to one receiver."""

    def choose(
        self, source: int, target: int, failures: int, of_mean: Scheme, now_ns: int
    ) -> Scheme:
        """Return the scheme of a frame that begins.

        Parameters
        ----------
        source, target : ends of the link
        failures : exchanges in a row that have failed
        of_mean : scheme for the mean SNR
        now_ns : the present instant [ns]
        """
        ...

    def learn(
        self,
        source: int,
        target: int,
        scheme: Scheme,
        sent: int,
        arrived: int,
        snr: Callable[[], float],
    ) -> None:
        """Take note of the outcome of a frame of packets.

        Parameters
        ----------
        source, target : ends of the link
        scheme : of the frame
        sent, arrived : packets of the frame, and those that were acknowledged
        snr : returns the SNR at which it was received, linear
        """
        ...


def rate_choice(
    control: MeanSnr | LastSnr | Minstrel,
    rates: WifiRates,
    packet_bits: int,
    air_bits: int,
    aggregator: Aggregator | None,
    key: int,
) -> RateChoice | None:
    """Return the choice of rates; None: the mean SNR decides.

    Parameters
    ----------
    control : rule
    rates : schemes
    packet_bits, air_bits : size of a full packet, without and with headers [bit]
    aggregator : limits of aggregates, if there are any
    key : key of random draws
    """
    if isinstance(control, LastSnr):
        return _ByLastSnr(rates, air_bits)
    if isinstance(control, Minstrel):
        ideal = [
            _throughput_bps(scheme, rates, packet_bits, air_bits, aggregator)
            for scheme in rates.schemes
        ]
        return _ByTrial(control, rates.schemes, ideal, key)
    return None


class LinkDraws:
    """Uniform draws of links, by number, in batches.

    Parameters
    ----------
    key : key of the draws
    """

    def __init__(self, key: int) -> None:
        self._key = key
        self._block: dict[tuple[int, int], tuple[int, list[float]]] = {}

    def draw(self, source: int, target: int, number: int) -> float:
        """Return a draw of a link."""
        first, values = self._block.get((source, target), (0, []))
        if not first <= number < first + len(values):
            first = number // _BLOCK * _BLOCK
            values = uniform_blocks(self._key, [source], [target], first, _BLOCK)[0].tolist()
            self._block[source, target] = first, values
        return values[number - first]


class _ByLastSnr:
    """The SNR of the last answered frame decides; see `LastSnr`."""

    def __init__(self, rates: WifiRates, air_bits: int) -> None:
        self._rates, self._air_bits = rates, air_bits
        self._of_last: dict[tuple[int, int], Scheme] = {}

    def choose(
        self, source: int, target: int, failures: int, of_mean: Scheme, now_ns: int
    ) -> Scheme:
        """Return the scheme of a frame that begins."""
        last = self._of_last.get((source, target), of_mean)
        return min(last, of_mean, key=lambda each: each.rate_bps) if failures else last

    def learn(
        self,
        source: int,
        target: int,
        scheme: Scheme,
        sent: int,
        arrived: int,
        snr: Callable[[], float],
    ) -> None:
        """Take note of the outcome of a frame of packets."""
        if arrived:
            self._of_last[source, target] = self._rates.scheme(snr(), self._air_bits)


class _ByTrial:
    """Success ratios of earlier frames decide; see `Minstrel`."""

    def __init__(
        self, control: Minstrel, schemes: tuple[Scheme, ...], ideal_bps: list[float], key: int
    ) -> None:
        self._control, self._schemes, self._ideal_bps = control, schemes, ideal_bps
        self._interval_ns = to_ns(control.interval_s)
        self._place = {scheme: place for place, scheme in enumerate(schemes)}
        self._draws = LinkDraws(key)
        self._links: dict[tuple[int, int], _Link] = {}

    def choose(
        self, source: int, target: int, failures: int, of_mean: Scheme, now_ns: int
    ) -> Scheme:
        """Return the scheme of a frame that begins."""
        link = self._links.get((source, target))
        if link is None:
            link = _Link(self._ideal_bps, self._place[of_mean], now_ns + self._interval_ns)
            self._links[source, target] = link
        elif now_ns >= link.until_ns:
            link.update(self._control.smoothing)
            link.until_ns = now_ns + self._interval_ns
        drawn = self._draws.draw(source, target, link.frames)
        link.frames += 1
        share = self._control.sample_share
        if not failures and drawn < share and link.better:
            return self._schemes[link.better[int(drawn / share * len(link.better))]]
        return self._schemes[link.chain[min(failures // _TRIES, len(link.chain) - 1)]]

    def learn(
        self,
        source: int,
        target: int,
        scheme: Scheme,
        sent: int,
        arrived: int,
        snr: Callable[[], float],
    ) -> None:
        """Take note of the outcome of a frame of packets."""
        link, place = self._links[source, target], self._place[scheme]
        link.sent[place] += sent
        link.arrived[place] += arrived


class _Link:
    """What a station knows of its rates on a link.

    Parameters
    ----------
    ideal_bps : throughput of each rate without losses [bit/s]
    first : place of the rate to begin with
    until_ns : when the ratios are updated next [ns]

    Attributes
    ----------
    frames : number of frames so far
    sent, arrived : packets since the last update, by rate
    chain : rates of the first frame and of its retransmissions
    better : rates that could be better than the first of them
    """

    def __init__(self, ideal_bps: list[float], first: int, until_ns: int) -> None:
        self._ideal_bps = ideal_bps
        self._ratio: list[float | None] = [None] * len(ideal_bps)
        self.until_ns = until_ns
        self.frames = 0
        self.sent = [0] * len(ideal_bps)
        self.arrived = [0] * len(ideal_bps)
        self.chain = [first, first, first, 0]
        self.better = self._faster_than(ideal_bps[first])

    def update(self, smoothing: float) -> None:
        """Average the ratios of rates that were used with earlier ones, and choose anew."""
        for place, sent in enumerate(self.sent):
            if sent:
                now, before = self.arrived[place] / sent, self._ratio[place]
                self._ratio[place] = (
                    now if before is None else smoothing * before + (1.0 - smoothing) * now
                )
                self.sent[place] = self.arrived[place] = 0
        ratio = [0.0 if each is None else each for each in self._ratio]
        expected_bps = [
            known * ideal if known >= _USELESS else 0.0
            for known, ideal in zip(ratio, self._ideal_bps, strict=True)
        ]
        # Slow rates come first among equal ones.
        order = sorted(range(len(ratio)), key=lambda place: (-expected_bps[place], place))
        safe = [place for place in order if ratio[place] >= _SAFE]
        safest = safe[0] if safe else max(order, key=lambda place: ratio[place])
        self.chain = [order[0], order[1] if len(order) > 1 else order[0], safest, 0]
        self.better = self._faster_than(expected_bps[order[0]])

    def _faster_than(self, rate_bps: float) -> list[int]:
        return [place for place, ideal in enumerate(self._ideal_bps) if ideal > rate_bps]


def _throughput_bps(
    scheme: Scheme,
    rates: WifiRates,
    packet_bits: int,
    air_bits: int,
    aggregator: Aggregator | None,
) -> float:
    """Return the payload of the longest frame over the duration of its exchange [bit/s]."""
    payload, bits, answer_bits = packet_bits, air_bits, ACK_BITS
    if aggregator is not None:
        whole = (Mpdu(place, packet_bits) for place in range(aggregator.window))
        longest = aggregator.build(whole, scheme)
        payload, bits, answer_bits = longest.payload_bits, longest.bits, longest.answer_bits
    answer_ns = rates.control(scheme).duration_ns(answer_bits)
    return payload * NS_PER_S / (scheme.duration_ns(bits) + SIFS_NS + answer_ns)
