"""Small networks in free space, with a given mean SNR if wanted."""

from __future__ import annotations

from typing import Any

import numpy as np

from wnsim.air.quality import Prediction
from wnsim.channel import Carrier, Channel, FreeSpace, Geometry, NoFading, Propagation, Shadowing
from wnsim.core.clock import Clock
from wnsim.core.transfer import Message, Transfer
from wnsim.core.units import SPEED_OF_LIGHT_MPS, dbm_to_w, thermal_noise_w
from wnsim.mac import Ofdma
from wnsim.mobility import Motion, Static
from wnsim.network import AirOptions, Network
from wnsim.phy import Shannon
from wnsim.world import World, positions_m

FREQUENCY_HZ, BANDWIDTH_HZ, NOISE_FIGURE_DB = 3.5e9, 20e6, 9.0
POWER_W = float(dbm_to_w(23.0))
NOISE_W = float(thermal_noise_w(BANDWIDTH_HZ, NOISE_FIGURE_DB))
BLOCK_NS = 1_000_000


def gain(distance_m: float) -> float:
    """Return the gain in free space."""
    return float((SPEED_OF_LIGHT_MPS / FREQUENCY_HZ / (4 * np.pi * distance_m)) ** 2)


def at(*places_m: tuple[float, float]) -> Motion:
    """Return devices that stay where they are."""
    static = Static(layout="given", positions_m=places_m)
    return static.motion(len(places_m), (1e6, 1e6), 1)


def pairs(count: int, distance_m: float) -> Motion:
    """Return devices 0 and 1, 2 and 3, ... so far apart, the pairs 200 m from each other."""
    return at(*((200.0 * pair, y) for pair in range(count) for y in (0.0, distance_m)))


def network(
    motion: Motion,
    *,
    phy: Any = None,
    mac: Any = None,
    fading: Any = None,
    path_loss: Any = None,
    snr_db: float | None = None,
    power_w: float = POWER_W,
    block_ns: int = BLOCK_NS,
    bandwidth_hz: float = BANDWIDTH_HZ,
    csi_delay_s: float = 0.0,
    engine: str = "windowed",
    prediction: Prediction = "none",
    seed: int = 1,
    stations_m: tuple[tuple[float, float], ...] = (),
    subbands: int = 1,
    **options: Any,
) -> Network:
    """Return a network without shadow fading.

    Parameters
    ----------
    motion : of the devices
    phy, mac, fading, path_loss : Shannon's bound, a band for each transmitter, none, and free
        space by default
    snr_db : mean SNR between the first two devices, in place of a power [dB]
    power_w : of each transmitter [W]
    block_ns, csi_delay_s, engine, prediction : see `AirOptions`
    bandwidth_hz, seed, options : see `World` and `Network`
    stations_m : places of base stations [m]
    subbands : of the channel
    """
    if snr_db is not None:
        first, second = motion.position_m(np.arange(2), np.zeros(1))[:, 0]
        between = gain(float(np.hypot(*(first - second))))
        power_w = 10 ** (snr_db / 10) * NOISE_W / between
    count = len(motion.names)
    places_m = np.array(stations_m, dtype=np.float64).reshape(-1, 2)
    nodes = count + len(places_m)
    channel = Channel(
        Propagation(path_loss or FreeSpace(), Shadowing(sigma_db=0.0), fading or NoFading()),
        Carrier(FREQUENCY_HZ, bandwidth_hz=bandwidth_hz, subbands=subbands),
        Geometry(
            np.full(nodes, 1.5),
            lambda devices, t_s: positions_m(motion, places_m, devices, t_s),
            motion.max_speed_mps,
        ),
        seed,
    )
    world = World(
        motion=motion,
        channel=channel,
        phy=phy or Shannon(),
        tx_power_w=np.full(nodes, power_w),
        noise_figure_db=np.full(nodes, NOISE_FIGURE_DB),
        flops_per_s=np.full(count, 1e12),
        bandwidth_hz=bandwidth_hz,
        stations_m=places_m,
    )
    air = AirOptions(block_ns, csi_delay_s, engine, prediction)
    return Network(Clock(), world, mac or Ofdma(), air, seed, **options)


def run(network: Network, messages: list[Message]) -> list[Transfer]:
    """Send messages now and return their transfers."""
    events = [network.send(message) for message in messages]
    network.env.run(until=network.env.all_of(events))
    return [event.value for event in events]


def rate_bps(sinr: float, band: float = 1.0) -> float:
    """Return Shannon's rate on a share of the band."""
    return float(BANDWIDTH_HZ * band * np.log2(1 + sinr))
