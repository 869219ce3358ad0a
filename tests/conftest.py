"""What several tests share: small worlds and small language models."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import simpy

from wnsim.channel import Channel, FreeSpace, NoFading, Shadowing
from wnsim.mac import Mac, Ofdma
from wnsim.mobility import Motion, Static
from wnsim.network import Network
from wnsim.phy import Phy, Shannon
from wnsim.units import dbm_to_w
from wnsim.world import World

BLOCK_NS = 1_000_000


@pytest.fixture(scope="session")
def make_network() -> Callable[..., Network]:
    """Return a maker of networks: static devices in free space unless told otherwise."""

    def make(
        positions_m: tuple[tuple[float, float], ...] = ((0.0, 0.0), (100.0, 0.0)),
        *,
        motion: Motion | None = None,
        fading: object = None,
        path_loss: object = None,
        shadowing: Shadowing | None = None,
        mac: Mac | None = None,
        phy: Phy | None = None,
        bandwidth_hz: float = 20e6,
        tx_power_dbm: float = 23.0,
        block_ns: int = BLOCK_NS,
        csi_delay_s: float = 0.0,
        seed: int = 1,
    ) -> Network:
        if motion is None:
            static = Static(layout="given", positions_m=positions_m)
            motion = static.motion(len(positions_m), (1e5, 1e5), seed)
        count = len(motion.names)
        channel = Channel(
            path_loss or FreeSpace(),
            shadowing or Shadowing(sigma_db=0.0),
            fading or NoFading(),
            3.5e9,
            np.full(count, 1.5),
            motion.position_m,
            motion.max_speed_mps,
            seed,
        )
        world = World(
            motion=motion,
            channel=channel,
            phy=phy or Shannon(),
            tx_power_w=np.full(count, float(dbm_to_w(tx_power_dbm))),
            noise_figure_db=np.full(count, 9.0),
            flops_per_s=np.full(count, 1e12),
            bandwidth_hz=bandwidth_hz,
        )
        env = simpy.Environment(initial_time=0)
        return Network(env, world, mac or Ofdma(), block_ns, csi_delay_s, seed)

    return make
