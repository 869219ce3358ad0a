"""Options of the air interface, and the engine that simulates it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wnsim.air import ENGINES, Air, Attempt, Contention, Replayed, Setup
from wnsim.core import streams
from wnsim.core.units import to_ns
from wnsim.network.transport import Transport

if TYPE_CHECKING:
    from wnsim.air.quality import Prediction
    from wnsim.channel import ReplayTable
    from wnsim.core.clock import Clock
    from wnsim.mac import Mac
    from wnsim.world import World

Engine = Air | Contention | Replayed


@dataclass(frozen=True, slots=True)
class AirOptions:
    """How the air interface is simulated.

    Parameters
    ----------
    block_ns : time for which the channel is taken as constant [ns]
    csi_delay_s : age of the channel state information used for rate selection, rounded up to whole
        slots [s]
    engine : `windowed` or `packet`
    prediction : how the present channel is predicted from outdated channel state information
    replay : measured rates or latencies of links, in place of an engine
    """

    block_ns: int
    csi_delay_s: float = 0.0
    engine: str = "windowed"
    prediction: Prediction = "none"
    replay: ReplayTable | None = None

    @property
    def replays_messages(self) -> bool:
        """Whether the duration of messages is measured instead of simulated."""
        return self.replay is not None and self.replay.times_messages

    def setup(self, env: Clock, world: World, mac: Mac, transport: Transport, seed: int) -> Setup:
        """Return what the engine is built from; the seed is that of reception errors."""
        modem = world.phy.modem(world.bandwidth_hz, world.channel.subbands, self.block_ns)
        return Setup(
            env=env,
            world=world,
            mac=mac,
            modem=modem,
            sample_slots=_power_of_two(self.block_ns // modem.slot_ns),
            csi_delay_slots=-(-to_ns(self.csi_delay_s) // modem.slot_ns),
            prediction=self.prediction,
            error_key=streams.key(seed, "errors"),
            trace=transport.trace,
            packet_bits=8 * (transport.packet_bytes + transport.packet_header_bytes),
        )

    def start(self, setup: Setup, ended: Callable[[Attempt], None]) -> Engine:
        """Return the engine; it calls `ended` with each attempt that has ended."""
        if self.replay is not None and self.replays_messages:
            return Replayed(setup, self.replay, ended)
        return ENGINES[setup.mac.scheme][self.engine](setup, ended)


def _power_of_two(number: int) -> int:
    """Return the largest power of two up to a number, at least 1."""
    return 1 << (max(number, 1).bit_length() - 1)
