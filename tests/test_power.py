"""Power by deadline: the inverse of each radio, and messages that arrive just in time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from wnsim.core.transfer import Message, Transfer
from wnsim.core.units import SPEED_OF_LIGHT_MPS, dbm_to_w, thermal_noise_w
from wnsim.mac import Ofdma
from wnsim.network import Network
from wnsim.network.transport import Transport
from wnsim.phy import NrMcs, Phy, Shannon, Wifi
from wnsim.phy.inverse import required_share

Make = Callable[..., Network]
BAND_HZ, SLOT_S = 20e6, 1e-3
REQUIRED = Ofdma(power="required")
POSITIONS = ((0.0, 0.0), (100.0, 0.0), (0.0, 300.0), (200.0, 200.0))


def snr_at(distance_m: float) -> float:
    """Return the SNR in free space at full power on the full band."""
    gain = (SPEED_OF_LIGHT_MPS / 3.5e9 / (4 * np.pi * distance_m)) ** 2
    return float(dbm_to_w(23.0) * gain / thermal_noise_w(BAND_HZ, 9.0))


def run(network: Network, messages: list[Message]) -> list[Transfer]:
    events = [network.send(message) for message in messages]
    network.env.run(until=network.env.all_of(events))
    return [event.value for event in events]


def assert_just_in_time(transfer: Transfer, deadline_s: float) -> None:
    """A slot carries whole bits: at most one bit a slot, and one slot, before the deadline."""
    assert transfer.delivered
    bits = 8 * transfer.air_bytes
    early_s = SLOT_S + deadline_s * (deadline_s / SLOT_S) / bits
    assert deadline_s - early_s <= transfer.latency_s <= deadline_s


@pytest.mark.parametrize(
    "phy",
    [Shannon(), Shannon(gap_db=3, bler=0.1, max_bps_hz=7.4), NrMcs(), NrMcs(table=2), Wifi()],
    ids=["shannon", "gap", "nr", "nr-256", "wifi"],
)
@pytest.mark.parametrize("share", [1.0, 0.25])
def test_the_inverse_of_a_rate_gives_the_rate(phy: Phy, share: float) -> None:
    """Law: at the factor the rate is reached, and just below it is not."""
    modem = phy.modem(BAND_HZ, 1, 1_000_000)
    known = np.full((7, 1), 40.0)
    rate_bps = np.array([0.3, 0.5, 1.0, 1.3, 1.7, 2.1, 2.6]) * BAND_HZ * share
    if isinstance(phy, Wifi):
        rate_bps = rate_bps / 2
    factor = modem.factor(known, rate_bps, np.full(7, share))
    reached = modem.rate_bps(known[:, 0] * factor * (1 + 1e-12), np.full(7, share))
    missed = modem.rate_bps(known[:, 0] * factor * (1 - 1e-9), np.full(7, share))
    assert (reached >= rate_bps * (1 - 1e-12)).all()
    assert (missed < rate_bps).all()
    assert np.isinf(modem.factor(np.zeros((1, 1)), rate_bps[:1], np.array([share]))).all()


@pytest.mark.parametrize("phy", [Shannon(max_bps_hz=6), NrMcs(), Wifi()], ids=["cap", "nr", "wifi"])
def test_no_power_gives_more_than_the_highest_rate(phy: Phy) -> None:
    modem = phy.modem(BAND_HZ, 1, 1_000_000)
    highest = modem.rate_bps(np.array([1e9]), np.ones(1))
    known = np.ones((1, 1))
    assert np.isinf(modem.factor(known, highest * 1.001, np.ones(1)))
    assert np.isfinite(modem.factor(known, highest * 0.999, np.ones(1)))


def test_a_selective_channel_needs_what_its_mean_efficiency_says() -> None:
    """Law: mean of log2(1 + f s_b / gap) is the efficiency; on an even channel f is closed."""
    modem = Shannon(gap_db=3.0).modem(BAND_HZ, 4, 1_000_000)
    known = np.array([[1.0, 5.0, 0.0, 80.0], [7.0, 7.0, 7.0, 7.0], [1e-9, 2e-9, 1e9, 1.0]])
    bps_hz = np.array([2.0, 3.0, 9.0])
    factor = modem.factor(known, bps_hz * BAND_HZ * 0.5, np.full(3, 0.5))
    gap = 10**0.3
    found = np.log2(1 + factor[:, None] * known / gap).mean(axis=1)
    assert found == pytest.approx(bps_hz, rel=1e-12)
    assert factor[1] == pytest.approx((2**3 - 1) * gap / 7.0, rel=1e-12)


@pytest.mark.parametrize("receivers", [1, 3])
def test_the_power_in_the_delay_gives_the_deadline(receivers: int) -> None:
    """Law: p* of Eq. (25) in Eq. (8), both of them with a gap."""
    gap, snr, bits, deadline_s = 10**0.3, 1e3, 6e6, 0.4
    modem = Shannon(gap_db=3.0).modem(BAND_HZ, 1, 1_000_000)
    power = required_share(modem, np.array([snr]), bits, deadline_s, 1 / receivers)
    part_hz = BAND_HZ / receivers
    delay_s = bits / (part_hz * np.log2(1 + power * snr * receivers / gap))
    assert float(delay_s) == pytest.approx(deadline_s, rel=1e-12)
    closed = gap / (snr * receivers) * (2 ** (bits * receivers / (BAND_HZ * deadline_s)) - 1)
    assert float(power) == pytest.approx(closed, rel=1e-12)


@pytest.mark.parametrize("phy", [Shannon(), Shannon(gap_db=3.0)], ids=["shannon", "gap"])
@pytest.mark.parametrize("deadline_s", [0.1, 0.3333])
@pytest.mark.parametrize("targets", [(1,), (1, 2, 3)], ids=len)
def test_messages_arrive_just_in_time(
    make_network: Make, phy: Shannon, deadline_s: float, targets: tuple[int, ...]
) -> None:
    """Law: on a constant channel each takes its deadline, headers included, with power
    gap / (snr n) (2^(b n / (W T)) - 1), which is less energy than with all of it."""
    transport = Transport(packet_bytes=1460, packet_header_bytes=40)
    spent_s, messages = [], [Message(0, to, 200_000, deadline_s) for to in targets]
    for mac in (REQUIRED, Ofdma()):
        network = make_network(POSITIONS, mac=mac, phy=phy, transport=transport)
        transfers = run(network, messages)
        spent_s.append(float(network.tx_s[0]))
        if mac is REQUIRED:
            for transfer in transfers:
                assert_just_in_time(transfer, deadline_s)
    bits = transport.air_bits(200_000) + deadline_s / SLOT_S
    exponent = bits * len(targets) / (BAND_HZ * deadline_s)
    apart_m = [float(np.hypot(*POSITIONS[to])) for to in targets]
    gap = 10 ** (phy.gap_db / 10)
    needed = [gap / snr_at(d) / len(targets) * (2**exponent - 1) for d in apart_m]
    assert spent_s[0] == pytest.approx(sum(needed) * deadline_s, rel=0.02)
    assert spent_s[0] < 0.5 * spent_s[1]


def test_a_message_that_waited_has_less_time(make_network: Make) -> None:
    """Law: what is sent while a batch is on the air ends at its own deadline, not after it."""
    network = make_network(POSITIONS, mac=REQUIRED)
    first = network.send(Message(0, 1, 200_000, 0.5))
    network.env.run(until=network.timeout(0.1))
    second = network.send(Message(0, 1, 200_000, 0.7))
    network.env.run(until=network.env.all_of([first, second]))
    assert_just_in_time(first.value, 0.5)
    assert second.value.queue_s == pytest.approx(0.4, abs=2 * SLOT_S)
    assert 0.7 - 2 * SLOT_S < second.value.latency_s <= 0.7


def test_too_much_is_scaled_down_to_the_power_there_is(make_network: Make) -> None:
    """Law: all of the power is used, in proportion to needs of 0.106 and 0.95."""
    exponent = (1.6e6 + 100) * 2 / (BAND_HZ * 0.1)
    wanted = 2**exponent - 1
    tx_power_dbm = 23.0 - 10 * np.log10(snr_at(300.0) / (wanted / 2 / 0.95))
    network = make_network(POSITIONS, mac=REQUIRED, tx_power_dbm=tx_power_dbm)
    late = run(network, [Message(0, to, 200_000, 0.1) for to in (1, 2)])
    assert {transfer.reason for transfer in late} == {"deadline"}
    assert network.tx_s[0] == pytest.approx(0.1, rel=1e-9)
    # Both get the same share of the SNR they need.
    total = 0.95 * (1 + (100 / 300) ** 2)
    for transfer in late:
        assert 10 ** (transfer.mean_snr_db / 10) == pytest.approx(wanted / total, rel=1e-9)


def test_what_no_power_reaches_gets_no_more_than_all(make_network: Make) -> None:
    """Law: a message that needs more than full power and one that needs p share it 1 to p."""
    phy = Shannon(max_bps_hz=1.0)
    network = make_network(POSITIONS, mac=REQUIRED, phy=phy)
    hopeless, other = Message(0, 1, 10**9, 0.1), Message(0, 2, 25_000, 0.1)
    first, second = run(network, [hopeless, other])
    assert (first.delivered, first.reason) == (False, "deadline")
    bits = 8 * 25_000 + 100
    needed = (2 ** (bits * 2 / (BAND_HZ * 0.1)) - 1) / (2 * snr_at(300.0))
    assert 10 ** (first.mean_snr_db / 10) == pytest.approx(2 * snr_at(100.0) / (1 + needed))
    on_air = 2 * snr_at(300.0) * needed / (1 + needed)
    assert 10 ** (second.mean_snr_db / 10) == pytest.approx(on_air)


def test_a_broadcast_is_just_in_time_for_the_worst(make_network: Make) -> None:
    network = make_network(POSITIONS, mac=REQUIRED)
    events = network.broadcast(Message(0, 1, 200_000, 0.1), [1, 2, 3])
    network.env.run(until=network.env.all_of(events))
    for event in events:
        assert_just_in_time(event.value, 0.1)
    needed = (2 ** ((1.6e6 + 100) / (BAND_HZ * 0.1)) - 1) / snr_at(300.0)
    assert network.tx_s[0] == pytest.approx(needed * 0.1, rel=0.02)


def test_a_margin_is_more_power_and_less_time(make_network: Make) -> None:
    """Law: 3 dB more on an even channel: log2(1 + 2 x) over log2(1 + x) times as fast."""
    network = make_network(POSITIONS, mac=Ofdma(power="required", margin_db=10 * np.log10(2)))
    (transfer,) = run(network, [Message(0, 1, 200_000, 0.1)])
    x = 2 ** ((1.6e6 + 100) / (BAND_HZ * 0.1)) - 1
    expected_s = 1.6e6 / (BAND_HZ * np.log2(1 + 2 * x))
    assert transfer.latency_s == pytest.approx(expected_s, rel=1e-3)


def test_with_a_margin_nr_meets_its_deadline(make_network: Make) -> None:
    for margin_db, delivered in ((0.0, False), (1.5, True)):
        mac = Ofdma(power="required", margin_db=margin_db)
        network = make_network(POSITIONS, mac=mac, phy=NrMcs())
        transfers = run(network, [Message(0, to, 500_000, 0.5) for to in (1, 2, 3)])
        assert {transfer.delivered for transfer in transfers} == {delivered}
        for transfer in transfers:
            assert transfer.acked_bytes > 0.9 * transfer.air_bytes
            assert transfer.latency_s > 0.35


def test_margins_are_for_required_power() -> None:
    with pytest.raises(ValueError, match="margin_db is for power required, got power equal"):
        Ofdma(margin_db=3.0)
    with pytest.raises(ValueError, match="margin_db must be from 0 to 100 dB, got -1"):
        Ofdma(power="required", margin_db=-1.0)


def test_power_by_deadline_needs_a_band_of_ones_own() -> None:
    with pytest.raises(
        ValueError, match="power required needs a band per transmitter, got shared: t"
    ):
        Ofdma(shared=True, power="required")
