"""One user-defined model of each kind, each in less than thirty lines; see ../own-models.md."""

# begin: imports
import itertools
from dataclasses import replace
from typing import ClassVar, Literal

import networkx as nx
import numpy as np
import torch

from fl.methods.lora import LoraMethod
from fl.tasks import Example, Source
from wnsim.channel import FreeSpace
from wnsim.core import streams
from wnsim.core.params import parameters
from wnsim.mac import Shares, Tdma
from wnsim.mobility.paths import Path, PathMotion

# end: imports


# begin: path loss
@parameters
class Wood(FreeSpace):
    """Free space, and a wood on the last meters of the way.

    Source: Weissberger, "An initial critical summary of models for predicting the attenuation of
    radio waves by trees", ESD-TR-81-101, 1982; for 230 MHz to 95 GHz and at most 400 m of trees.
    """

    model: Literal["mine:Wood"] = "mine:Wood"
    depth_m: float = 50.0
    title = "a wood"

    def loss_db(self, d2d_m, h_bs_m, h_ut_m, frequency_hz, los):
        trees_m = np.minimum(d2d_m, min(self.depth_m, 400.0))
        near = 0.45 * trees_m
        far = 1.33 * np.maximum(trees_m, 14.0) ** 0.588
        trees_db = (frequency_hz / 1e9) ** 0.284 * np.where(trees_m < 14.0, near, far)
        return super().loss_db(d2d_m, h_bs_m, h_ut_m, frequency_hz, los) + trees_db


# end: path loss


# begin: mobility
@parameters
class Shuttle:
    """Each device moves to and fro between two positions at constant speed."""

    model: Literal["mine:Shuttle"] = "mine:Shuttle"
    speed_mps: float = 5.0

    def motion(self, count, area_m, seed):
        paths = []
        for device in range(count):
            ends_m = streams.generator(seed, "mobility", device).random((2, 2)) * area_m
            paths.append(Path(self._knots(ends_m)))
        return PathMotion(paths, self.speed_mps)

    def _knots(self, ends_m):
        leg_s = np.hypot(*(ends_m[1] - ends_m[0])) / self.speed_mps
        for n in itertools.count():
            # Rows of an instant and a position, between which a device moves straight.
            yield np.array([[n * leg_s, *ends_m[n % 2]]])


# end: mobility


# begin: medium access
@parameters
class Guarded(Tdma):
    """Turns as in `tdma`, of which the last slots are silent."""

    model: Literal["mine:Guarded"] = "mine:Guarded"
    turn_slots: int = 10
    guard_slots: int = 1

    def duty(self, attempts):
        return super().duty(attempts) * (1.0 - self.guard_slots / self.turn_slots)

    def shares(self, attempts, first_slot, slots, quality, average):
        turns = super().shares(attempts, first_slot, slots, quality, average)
        place = np.arange(first_slot, first_slot + slots) % self.turn_slots
        unguarded = place < self.turn_slots - self.guard_slots
        return Shares(turns.band, turns.power, turns.active & unguarded)


# end: medium access


# begin: method
@parameters
class Wary:
    """LoRA gossip in which a device moves only part of the way to the mean of the updates."""

    model: Literal["mine:Wary"] = "mine:Wary"
    rank: int = 8
    alpha: float | None = None
    learning_rate: float = 2e-3
    trust: float = 0.5

    def method(self):
        return WaryMethod(self)


class WaryMethod(LoraMethod):
    def __init__(self, config):
        super().__init__(config)
        self._trust = config.trust

    def adopt(self, own, average):
        mean = super().adopt(own, average)
        a = [torch.lerp(*pair, self._trust) for pair in zip(own.a, mean.a, strict=True)]
        b = [torch.lerp(*pair, self._trust) for pair in zip(own.b, mean.b, strict=True)]
        return replace(own, a=tuple(a), b=tuple(b))


# end: method


# begin: topology
@parameters
class Within:
    """Each device is a neighbor of all devices within a radius."""

    model: Literal["mine:Within"] = "mine:Within"
    radius_m: float = 100.0

    def policy(self, context):
        def graph(view, number):
            there = np.flatnonzero(view.present).tolist()
            near = view.distance_m <= self.radius_m
            joined = nx.Graph()
            joined.add_nodes_from(there)
            joined.add_edges_from((i, j) for i in there for j in there if i < j and near[i, j])
            return joined

        return graph


# end: topology


# begin: client selection
@parameters
class Patient:
    """The devices with the best uplinks among those that have waited longest."""

    model: Literal["mine:Patient"] = "mine:Patient"
    reports: ClassVar[bool] = True
    waiting: int = 6

    def selector(self, context):
        def select(choice):
            oldest = sorted(choice.devices, key=lambda each: -choice.last.age[each])
            rate_bps = choice.reports.uplink_bps
            best = sorted(oldest[: self.waiting], key=lambda each: -rate_bps[each])
            return best[: choice.count]

        return select


# end: client selection


# begin: task
def draw(rng, stratum):
    """Return one example, such as `vowels banuko ->` with the answer `auo`."""
    consonants = rng.choice(list("bdfgklmnprst"), 3)
    vowels = rng.choice(list("aeiou"), 3)
    word = "".join(c + v for c, v in zip(consonants, vowels, strict=True))
    return Example(f"vowels {word} ->", "".join(vowels))


vowels = Source(draw, prompts=12**3 * 5**3, chance=5**-3)
# end: task
