"""User-defined rules, each in less than thirty lines; see ../own-models.md."""

# begin: imports
from typing import Literal

import numpy as np
import pandas as pd
import torch

from fl.session import Session
from wnsim.core import streams
from wnsim.core.params import parameters
from wnsim.figures import legend_above

# end: imports


# begin: protocol
@parameters
class Turns:
    """Devices train one after the other, and send their updates to all others."""

    model: Literal["parts:Turns"] = "parts:Turns"

    def session(self, *arguments):
        return TurnsSession(*arguments)


class TurnsSession(Session):
    def run(self):
        yield from self.run_rounds(self.one_round)
        for inbox in self.network.inbox:
            inbox.items.clear()

    def one_round(self, number, present):
        for me in present:
            start_s = self.network.now_s
            trained, duration_s = self.train(me, number, self.states[me])
            yield self.network.timeout(duration_s)
            others = [each for each in present if each != me]
            size, sent = self.send_update(me, others, number, trained)
            yield self.network.env.all_of(list(sent.values()))
            messages, self.network.inbox[me].items = self.network.inbox[me].items, []
            received = [self.receive(me, each.payload) for each in messages]
            self.states[me] = self.aggregate(me, trained, received, [1.0] * len(received))
            times_s, stale = (start_s, start_s + duration_s), [0] * len(received)
            self.record_round(number, me, trained, times_s, (len(others), size), received, stale)


# end: protocol


# begin: partition
@parameters
class Zipf:
    """All examples are shuffled; the part of device k is in proportion to (k + 1)^-exponent."""

    model: Literal["parts:Zipf"] = "parts:Zipf"
    exponent: float = 1.0

    def split(self, groups, devices, seed):
        pairs = [(k, n) for k, group in enumerate(groups) for n in range(len(group.train))]
        streams.generator(seed, "zipf").shuffle(pairs)
        parts = np.arange(1.0, devices + 1.0) ** -self.exponent
        ends = np.rint(np.cumsum(parts) / parts.sum() * len(pairs)).astype(int).tolist()
        return [pairs[begin:end] for begin, end in zip([0, *ends], ends, strict=False)]


# end: partition


# begin: optimizer
@parameters
class Lion:
    """Steps of equal size in each entry, by the sign of a mean gradient.

    Source: Chen et al., "Symbolic discovery of optimization algorithms", NeurIPS 2023.
    """

    model: Literal["parts:Lion"] = "parts:Lion"
    beta1: float = 0.9
    beta2: float = 0.99

    def step(self, values, gradient, state, number, learning_rate):
        mean = state[0] if state else torch.zeros_like(gradient)
        direction = torch.sign(torch.lerp(gradient, mean, self.beta1))
        return values - learning_rate * direction, (torch.lerp(gradient, mean, self.beta2),)


# end: optimizer


# begin: robust rule
@parameters
class GeometricMedian:
    """The point with the least sum of distances to the updates, by Weiszfeld's iteration.

    Source: Pillutla, Kakade, Harchaoui, "Robust aggregation for federated learning", IEEE Trans.
    Signal Process. 70, 2022.
    """

    model: Literal["parts:GeometricMedian"] = "parts:GeometricMedian"
    iterations: int = 8

    def aggregate(self, updates, weights, reference):
        there, values = ~updates.isnan(), updates.nan_to_num()
        center = values.sum(0) / there.sum(0).clamp(min=1)
        for _ in range(self.iterations):
            distance = torch.linalg.vector_norm((values - center) * there, dim=1)
            share = there * (weights / distance.clamp(min=1e-6))[:, None]
            center = (share * values).sum(0) / share.sum(0).clamp(min=1e-12)
        return center


# end: robust rule


# begin: compressor
@parameters
class Signs:
    """The sign of each value, times the mean magnitude of its matrix, with error feedback.

    Source: Karimireddy, Rebjock, Stich, Jaggi, "Error feedback fixes SignSGD and other gradient
    compression schemes", ICML 2019.
    """

    model: Literal["parts:Signs"] = "parts:Signs"
    feedback: bool = True

    def compress(self, values, bits, seed):
        return torch.sign(values) * values.abs().mean()


# end: compressor


# begin: allocation
@parameters
class Backlog:
    """Parts of the band in proportion to the bits that are left, at full power."""

    model: Literal["parts:Backlog"] = "parts:Backlog"
    every_s: float = 0.5

    def valid_s(self, demand):
        return self.every_s

    def shares(self, modem, demand):
        return demand.bits / demand.bits.sum(), demand.limit


# end: allocation


# begin: metric
def fairness(tables):
    """Jain's fairness index of the updates that devices have received."""
    received = tables["rounds"].groupby("device")["updates_received"].sum()
    return received.sum() ** 2 / (len(received) * (received**2).sum())


# end: metric


# begin: figure
def waiting(figure, lines):
    """Distribution of the time that messages wait in queues."""
    axes = figure.add_subplot()
    handles, numbers = [], []
    for line in lines:
        tables = line.transfers(["queue_s"])
        if tables:
            waited_s = np.sort(pd.concat(tables)["queue_s"].dropna())
            share = np.arange(1, waited_s.size + 1) / waited_s.size
            handles += axes.plot(waited_s, share, label=line.name, **line.style | {"marker": ""})
            numbers.append(pd.DataFrame({"line": line.name, "queue_s": waited_s, "share": share}))
    if not numbers:
        return None
    axes.set(xlabel="Time in queues [s]", ylabel="Share of messages")
    legend_above(figure, handles)
    return pd.concat(numbers)


# end: figure
