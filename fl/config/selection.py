"""Client selections: which clients a server lets take part in a round."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from wnsim.core.params import parameters


@parameters
class AllClients:
    """All present devices."""

    model: Literal["all"] = "all"
    reports: ClassVar[bool] = False


@parameters
class RandomClients:
    """Devices drawn uniformly, independently for each round."""

    model: Literal["random"] = "random"
    reports: ClassVar[bool] = False


@parameters
class RoundRobin:
    """Devices in turns, by number."""

    model: Literal["round-robin"] = "round-robin"
    reports: ClassVar[bool] = False


@parameters
class AgeOfUpdate:
    """Devices whose last counted update is oldest; those without one first.

    Sources: Yang, Arafa, Quek and Poor, "Age-based scheduling policy for federated learning in
    mobile edge networks", ICASSP 2020, for the age, which is the number of rounds since then. Ours:
    the largest ages alone decide, and equal ones are drawn by lot; the paper weighs them against
    the subchannels that a device needs.
    """

    model: Literal["age-of-update"] = "age-of-update"
    reports: ClassVar[bool] = False


@parameters
class BestChannel:
    """Devices with the highest expected uplink rates. Devices report on the air."""

    model: Literal["best-channel"] = "best-channel"
    reports: ClassVar[bool] = True


@parameters
class ProportionalFair:
    """Devices with the highest ratio of expected uplink rate to average rate served.

    Sources: Jalali, Padovani and Pankaj, IEEE VTC 2000, for the ratio, with a round in place of a
    slot; Yang, Liu, Quek and Poor, "Scheduling policies for federated learning in wireless
    networks", IEEE Trans. Commun. 68(1), 2020, select by the ratio of SNRs. Devices report on the
    air.

    Parameters
    ----------
    memory_rounds : time constant of the average [rounds]
    """

    model: Literal["proportional-fair"] = "proportional-fair"
    reports: ClassVar[bool] = True
    memory_rounds: Annotated[float, Field(ge=1, le=1e6)] = 10.0


@parameters
class DeadlineGreedy:
    """As many devices as are expected to answer by a deadline, the quickest to add first.

    Sources: FedCS: Nishio and Yonetani, "Client selection for federated learning with heterogeneous
    resources in mobile edge", IEEE ICC 2019, Algorithm 3: uploads follow each other while other
    devices compute. Ours: the server sends its average to each device by itself, so that these
    times add up too. Devices report on the air.

    Parameters
    ----------
    round_s : expected duration of a round, at most [s]
    """

    model: Literal["deadline-greedy"] = "deadline-greedy"
    reports: ClassVar[bool] = True
    round_s: Annotated[float, Field(gt=0, le=1e9)] = 60.0


@parameters
class ImportanceChannel:
    """Devices drawn by the importance of their updates and by their uplink times.

    Sources: Ren, He, Wen, Yu, Huang and Guo, "Scheduling for cellular federated edge learning with
    importance and channel awareness", IEEE Trans. Wireless Commun. 19(11), 2020: the probabilities
    minimize a sum of the variance of the average and of the expected uplink time. Ours: the
    importance of a device is its weight times the distance of its last counted update from the
    average that it started from, in place of the gradient's norm; devices without one have the
    largest; both parts of the sum are relative to their means; several devices are drawn without
    replacement, and their updates are averaged by weight alone. Devices report on the air.

    Parameters
    ----------
    channel_weight : weight of the uplink time in the sum, the other part of 1 being that of the
        variance
    """

    model: Literal["importance-channel"] = "importance-channel"
    reports: ClassVar[bool] = True
    channel_weight: Annotated[float, Field(ge=0, lt=1)] = 0.5


@parameters
class ExpectedLoss:
    """Devices whose examples are most likely to count: many examples, and few failed uploads.

    Sources: Chen, Yang, Saad, Yin, Poor and Cui, "A joint learning and communications framework for
    federated learning over wireless networks", IEEE Trans. Wireless Commun. 20(1), 2021: the gap to
    the least loss grows with the sum of K q, the number of examples of a device times its packet
    error rate q, and the examples of all who are not selected; their assignment of devices to
    resource blocks is solved by the Hungarian algorithm. The blocks, with the interference and the
    power on each, are those of `mac.allocation: {model: resource-blocks}`, which assigns them on
    the air by the same rule; with another medium access, blocks are equal, as many as clients, and
    power is full. q is the error rate of a block under Rayleigh fading. In the simulation a lost
    block is sent again, and what fails are uploads that are late. Devices report on the air.

    Parameters
    ----------
    round_s : expected duration of the local steps and the upload over a block, at most [s]
    waterfall_db : m in the error rate 1 - exp(-m / SNR) at an SNR without fading [dB]
    """

    model: Literal["expected-loss"] = "expected-loss"
    reports: ClassVar[bool] = True
    round_s: Annotated[float, Field(gt=0, le=1e9)] = 60.0
    waterfall_db: Annotated[float, Field(ge=-50, le=50)] = 0.023


@parameters
class BatteryAware:
    """Devices with the fullest batteries, none below a reserve. Devices report on the air.

    Parameters
    ----------
    reserve : share of its battery that a device must have left
    """

    model: Literal["battery-aware"] = "battery-aware"
    reports: ClassVar[bool] = True
    reserve: Annotated[float, Field(ge=0, lt=1)] = 0.2
