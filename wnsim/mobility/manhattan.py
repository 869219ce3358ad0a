"""Manhattan mobility: along the streets of a square grid, with a random turn at each crossing.

At a four-way crossing a device goes straight on or turns; where a street ends at the border of the
grid it takes either remaining way with equal probability, at a corner the only one. It never turns
back. Every street is therefore equally busy in both directions, and the motion starts in that
stationary distribution: uniform along the streets, with a speed density ~ 1/v.

Limits: streets have no width or lanes, there are no traffic lights, devices do not interact.

Sources: ETSI TR 101 112 (UMTS 30.03), annex B (the streets and turns of the Manhattan-like
environment); Bai, Sadagopan, Helmy, "IMPORTANT: a framework to systematically analyze the impact
of mobility on performance of routing protocols for ad hoc networks", INFOCOM 2003.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from wnsim.core import streams
from wnsim.core.params import parameters
from wnsim.core.units import Floats
from wnsim.mobility.motion import Motion, check_area, check_count
from wnsim.mobility.paths import Path, PathMotion
from wnsim.mobility.speeds import at_random_instant_mps, check_speeds

_BLOCKS_AT_ONCE = 32
# Right, up, left, down: a left turn is the next one.
_WAYS = ((1, 0), (0, 1), (-1, 0), (0, -1))


@parameters
class Manhattan:
    """Motion along the streets of a grid that starts at the corner of the area.

    Parameters
    ----------
    block_m : distance between neighboring parallel streets [m]; the area must hold one block
    turn_left, turn_right : probabilities of a turn at a four-way crossing
    speed_mps : lowest and highest speed, drawn uniformly at every crossing [m/s]
    """

    model: Literal["manhattan"] = "manhattan"
    block_m: Annotated[float, Field(ge=1, le=1e6)] = 100.0
    turn_left: Annotated[float, Field(ge=0, le=1)] = 0.25
    turn_right: Annotated[float, Field(ge=0, le=1)] = 0.25
    speed_mps: tuple[float, float] = (5.0, 15.0)

    def __post_init__(self) -> None:
        check_speeds(self.speed_mps)
        if self.turn_left + self.turn_right > 1.0:
            raise ValueError(
                "turn_left and turn_right must add up to at most 1, "
                f"got {self.turn_left} and {self.turn_right}"
            )

    def motion(self, count: int, area_m: tuple[float, float], seed: int) -> Motion:
        """Return the motion of devices; each is independent of the number of devices.

        Raises
        ------
        ValueError
            if the area does not hold a block
        """
        check_count(count)
        check_area(area_m)
        blocks = (int(area_m[0] // self.block_m), int(area_m[1] // self.block_m))
        if min(blocks) < 1:
            raise ValueError(
                f"block_m must be at most the sides of the area of {area_m[0]:g} m x "
                f"{area_m[1]:g} m, got {self.block_m:g}"
            )
        paths = [
            Path(self._knots(blocks, streams.generator(seed, "mobility", n))) for n in range(count)
        ]
        return PathMotion(paths, self.speed_mps[1])

    def _knots(self, blocks: tuple[int, int], draws: np.random.Generator) -> Iterator[Floats]:
        """Yield knots (k, 3): the crossings that a device passes."""
        low_mps, high_mps = self.speed_mps
        x, y, way = _start(blocks, draws.random())
        left, back, speed = draws.random(3).tolist()
        if back < 0.5:
            x, y, way = x + _WAYS[way][0], y + _WAYS[way][1], (way + 2) % 4
        # (x, y) is the crossing ahead; a fraction of the block before it remains.
        way = (way + 2) % 4
        dx, dy = _WAYS[way]
        now_s = left * self.block_m / at_random_instant_mps(self.speed_mps, speed)
        knots = [
            (0.0, (x - left * dx) * self.block_m, (y - left * dy) * self.block_m),
            (now_s, x * self.block_m, y * self.block_m),
        ]
        while True:
            yield np.array(knots)
            knots = []
            for choice, speed in draws.random((_BLOCKS_AT_ONCE, 2)).tolist():
                way = self._turn(x, y, way, blocks, choice)
                x, y = x + _WAYS[way][0], y + _WAYS[way][1]
                now_s += self.block_m / (low_mps + speed * (high_mps - low_mps))
                knots.append((now_s, x * self.block_m, y * self.block_m))

    def _turn(self, x: int, y: int, way: int, blocks: tuple[int, int], choice: float) -> int:
        """Return the direction taken at crossing (x, y), for a draw uniform on [0, 1)."""
        left, right = (way + 1) % 4, (way + 3) % 4
        ways = [
            new
            for new in (left, right, way)
            if 0 <= x + _WAYS[new][0] <= blocks[0] and 0 <= y + _WAYS[new][1] <= blocks[1]
        ]
        if len(ways) < 3:
            return ways[int(choice * len(ways))]
        if choice < self.turn_left:
            return left
        return right if choice < self.turn_left + self.turn_right else way


def _start(blocks: tuple[int, int], uniform: float) -> tuple[int, int, int]:
    """Return one end (x, y) of a random street block, and the direction onwards."""
    columns, rows = blocks
    across = columns * (rows + 1)
    piece = int(uniform * (across + rows * (columns + 1)))
    if piece < across:
        return piece % columns, piece // columns, 0
    piece -= across
    return piece // rows, piece % rows, 1
