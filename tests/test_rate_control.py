"""Rate control of Wi-Fi: its averages, what it converges to, and what it does about fading."""

import dataclasses

import numpy as np
import pytest
from test_csma import Offer, at, drive, make_world, packets

from wnsim.air.csma.rate_choice import _Link
from wnsim.channel import Rayleigh
from wnsim.mac import Csma
from wnsim.mac.csma import Aggregation, require_match
from wnsim.mac.rate_control import LastSnr, MeanSnr, Minstrel
from wnsim.phy import Wifi
from wnsim.phy.wifi_formats import schemes

SECOND = 10**9


def goodput(distance_m: float, mac: Csma, phy: Wifi, seed: int = 1, fading: object = None) -> float:
    """Return the packets per second of a saturated link."""
    world = make_world(at((0, 0), (distance_m, 0)), phy, fading=fading, seed=seed)
    offers = [Offer(0, 0, (1,), 10**10)]
    attempts, _ = drive(world, mac, offers, seed=seed, until_ns=4 * SECOND)
    return packets(attempts) / 4


def test_ratios_are_averaged_with_earlier_ones() -> None:
    link = _Link([6.0, 12.0, 24.0, 54.0], first=1, until_ns=0)
    assert (link.chain, link.better) == ([1, 1, 1, 0], [2, 3])
    link.sent, link.arrived = [0, 10, 10, 10], [0, 10, 8, 1]
    link.update(0.75)
    # Expected: 12, 19.2 and 5.4; the second is the only safe one.
    assert (link.chain, link.better) == ([2, 1, 1, 0], [2, 3])
    assert link.sent == link.arrived == [0, 0, 0, 0]
    link.sent, link.arrived = [0, 0, 10, 20], [0, 0, 0, 20]
    link.update(0.75)
    # 0.75 * 0.8 = 0.6, and 0.75 * 0.1 + 0.25 = 0.325.
    assert link._ratio == pytest.approx([None, 1.0, 0.6, 0.325])
    assert link.chain == [3, 2, 1, 0]
    link.sent, link.arrived = [0, 100, 100, 100], [0, 0, 0, 0]
    for _ in range(12):
        link.update(0.75)
        link.sent = [0, 100, 100, 100]
    # Nothing is expected of any of them, and the slowest one is left.
    assert link.chain[0] == 0


@pytest.mark.parametrize("distance_m", [10.0, 45.0, 62.0, 75.0])
def test_trials_find_the_best_rate_of_a_steady_link(distance_m: float) -> None:
    """Law: the goodput tends to that of the best fixed rate, less the share of trials."""
    sensitive = Csma(detection_dbm=-95.0, energy_dbm=-95.0)
    fixed = max(
        goodput(distance_m, sensitive, Wifi(rate_mbps=round(each.rate_bps / 1e6, 1)))
        for each in schemes("a")
    )
    control = Minstrel(interval_s=0.02, sample_share=0.05)
    mac = dataclasses.replace(sensitive, rate_control=control)
    assert 0.85 * fixed < goodput(distance_m, mac, Wifi()) < 1.02 * fixed


def test_the_last_snr_of_a_steady_link_is_the_mean() -> None:
    for phy, aggregation in ((Wifi(), None), (Wifi(standard="ax"), Aggregation())):
        found = []
        for control in (MeanSnr(), LastSnr()):
            mac = Csma(rate_control=control, aggregation=aggregation, rts_threshold_bytes=0)
            world = make_world(at((0, 0), (40, 0)), phy)
            attempts, _ = drive(world, mac, [Offer(0, 0, (1,), 10**6)])
            found.append(repr(attempts))
        assert found[0] == found[1]


@pytest.mark.parametrize("aggregation", [None, Aggregation()])
def test_rates_follow_slow_fading(aggregation: Aggregation | None) -> None:
    """Over fading of 0.2 Hz, whoever sees it carries more than who knows the mean alone."""
    fading = Rayleigh(residual_speed_mps=0.012)
    phy = Wifi(standard="ac")
    mean, last, trial = (
        np.mean([
            goodput(30.0, Csma(rate_control=control, aggregation=aggregation), phy, seed, fading)
            for seed in range(3)
        ])
        for control in (MeanSnr(), LastSnr(), Minstrel())
    )  # fmt: skip
    assert mean < trial < last
    assert last > 1.2 * mean


def test_a_fixed_rate_is_not_controlled() -> None:
    for phy in (Wifi(rate_mbps=24.0), Wifi(standard="ax", mcs=3)):
        with pytest.raises(ValueError, match="rate_control minstrel must be used without mcs"):
            require_match(Csma(rate_control=Minstrel()), phy)
        require_match(Csma(), phy)
