"""Environment in which an agent divides band and power of an uplink among devices.

A step is an allocation: whenever a transmission to a base station starts or ends, and after an
interval, the agent sees what the devices have to send, and gives each a part of the band and of its
power. The run is simulated in a thread of its own, which waits while the agent decides: one of both
works at any time, so that a run is the same each time.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from contextvars import Context
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Annotated, Any, Literal

import gymnasium
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from wnsim.core.params import parameters
from wnsim.mac.allocation import Allotment
from wnsim.scenario.agents.environment import (
    MOST_LOG,
    RUNNING,
    Episode,
    Price,
    RunEnvironment,
    logarithm,
    spent_j,
)
from wnsim.scenario.errors import ScenarioError
from wnsim.scenario.simulation.build import build_world
from wnsim.scenario.simulation.learning import Learner
from wnsim.scenario.simulation.processes import Processes, start
from wnsim.scenario.simulation.simulate import network_of

if TYPE_CHECKING:
    from wnsim.mac.allocation import Demand
    from wnsim.phy import Modem

SHARE_FEATURES = ("sends", "bits", "left", "snr", "limit", "band", "last", "age")
"""Features of a device in an observation; see `BandAllocation`."""
_LEAST = 1e-9
"""Least share of band and power, and relative error of a sum of shares."""


@parameters
class AgentShares:
    """The shares that an agent gives to the devices of an uplink.

    Parameters
    ----------
    every_s : longest time between two decisions [s]; none: when a transmission starts or ends only
    """

    model: Literal["wnsim.scenario.agents:AgentShares"] = "wnsim.scenario.agents:AgentShares"
    every_s: Annotated[float, Field(ge=1e-3, le=1e6)] | None = None

    def valid_s(self, demand: Demand) -> float:
        """Return the interval; see `wnsim.mac.allocation.Allocation`."""
        return math.inf if self.every_s is None else self.every_s

    def shares(self, modem: Modem, demand: Demand) -> Allotment:
        """Return what the agent of the running episode decides."""
        found: Allotment = RUNNING.get().ask(modem, demand)
        return found


class BandAllocation(RunEnvironment):
    """Division of band and power of an uplink by an agent.

    **Observation**, (devices, 8), single precision: whether a device sends to the base station that
    is asked for (1, else 0; the next four are 0 for those that do not); the common logarithms of
    the bits that are left, of one plus the time until the deadline [s], and of one plus the mean
    SNR at full power on the whole band; the largest share of its power that it may use; the share
    of the band that it was given last; the common logarithm of one plus the time from the end of
    its local steps to the end of its last round [s]; and the number of rounds since that one over
    the number of rounds, 1 before the first.

    **Action**, (devices, 2) from 0 to 1: parts of the band, which are divided by their sum if it is
    above 1, and shares of the power that a device may use. Those of devices that do not send are
    ignored; both are 1e-9 at least.

    **Reward**: the gain in accuracy on all tasks since the last decision, in points, less the price
    of the simulated time and of the energy since then. Rewards of an episode add up to its gain
    less the prices of its time and energy from the first decision on.

    An episode ends with the last round, or at `fl.stop_at`. `info` has the round, the time [s], the
    accuracy, the energy spent so far [J] and the seed of the run; and as `demand` what an
    allocation gets, none at the end: `allocation.shares(env.modem, info["demand"])` of
    `wnsim.mac.allocation` is a policy.

    Parameters
    ----------
    scenario : scenario file, name of a bundled scenario, or its keys; of its variants the first
    settings : overrides by dotted key
    plugins : modules whose models the scenario may use
    price : prices of time and energy
    every_s : longest time between two decisions [s]; None: when a transmission starts or ends only

    Raises
    ------
    ScenarioError
        if the scenario is invalid, or its medium access is not `cell`

    Examples
    --------
    >>> small = {"devices.count": 4, "fl.rounds": 1, "fl.local_steps": 1, "fl.train_examples": 32}
    >>> env = BandAllocation("scheduling.yaml", small | {"fl.test_examples": 2})
    >>> observation, info = env.reset(seed=1)
    >>> observation.shape, env.action_space.shape
    ((4, 8), (4, 2))
    >>> _, reward, terminated, truncated, info = env.step(np.full((4, 2), 1.0))
    >>> env.close()
    """

    def __init__(
        self,
        scenario: str | Path | Mapping[str, Any],
        settings: Mapping[str, Any] | None = None,
        plugins: Sequence[str] = (),
        price: Price | None = None,
        every_s: float | None = None,
    ) -> None:
        self._every_s = every_s
        super().__init__(scenario, settings, plugins, price)
        high = [1.0, MOST_LOG, MOST_LOG, MOST_LOG, 1.0, 1.0, MOST_LOG, 1.0]
        self.observation_space = gymnasium.spaces.Box(
            0.0, np.tile(np.array(high, dtype=np.float32), (self.devices, 1)), dtype=np.float32
        )
        self.action_space = gymnasium.spaces.Box(0.0, 1.0, (self.devices, 2), dtype=np.float32)

    def _own_settings(self, scenario: Any) -> dict[str, Any]:
        """Return the allocation that asks the agent."""
        if scenario.mac.model != "cell":
            raise ScenarioError(
                f"an agent divides the uplink of mac.model cell, got {scenario.mac.model}"
            )
        own = {"model": AgentShares().model, "every_s": self._every_s}
        return {"mac.allocation": {key: each for key, each in own.items() if each is not None}}

    @property
    def modem(self) -> Modem:
        """Modem of the band in the running episode, which allocations get.

        Raises
        ------
        ScenarioError
            if there is no episode
        """
        episode = self._episode
        if not isinstance(episode, _Shares) or episode.modem is None:
            raise ScenarioError("the modem is that of an episode: call reset first")
        return episode.modem

    def _begin(self, scenario: Any, seed: int) -> Episode:
        """Return a run of the scenario at its start."""
        return _Shares(scenario, seed)


class _Ended(BaseException):
    """The agent wants no more of a run."""


class _Shares:
    """A run in a thread, which waits for its agent at each allocation; see `Episode`.

    Parameters
    ----------
    scenario : the scenario, whose allocation is `AgentShares`
    seed : its seed
    """

    def __init__(self, scenario: Any, seed: int) -> None:
        self._scenario, self._seed = scenario, seed
        self._rounds, count = scenario.fl.rounds, scenario.devices.count
        self._round = 0
        self._demand: Demand | None = None
        self.modem: Modem | None = None
        self._band, self._last_s = np.zeros(count), np.zeros(count)
        self._last_round = np.full(count, -self._rounds)
        self.accuracy, self.is_over = 0.0, False
        self._world = build_world(scenario)
        self._network = network_of(scenario, self._world, None)
        self._done: Processes | None = None
        # Each holds at most one item: questions, or the error or None at the end of the run.
        self._questions: SimpleQueue[tuple[Modem, Demand] | BaseException | None] = SimpleQueue()
        self._answers: SimpleQueue[NDArray[np.float64] | None] = SimpleQueue()
        self._thread = threading.Thread(target=Context().run, args=(self._run,), daemon=True)

    @property
    def now_s(self) -> float:
        """Simulated time [s]."""
        return self._network.now_s

    @property
    def energy_j(self) -> float:
        """Energy that all devices have spent so far [J]."""
        return 0.0 if self._done is None else spent_j(self._done)

    def ask(self, modem: Modem, demand: Demand) -> Allotment:
        """Return the agent's shares of band and power, in the thread of the run."""
        self._questions.put((modem, demand))
        action = self._answers.get()
        if action is None:
            raise _Ended
        # A device with several messages divides its part among them.
        _, place, count = np.unique(demand.device, return_inverse=True, return_counts=True)
        band = np.clip(action[demand.device, 0], _LEAST, 1.0) / count[place]
        if band.sum() > 1.0 + _LEAST:
            band = np.maximum(band / band.sum(), _LEAST)
        self._band[:] = 0.0
        np.add.at(self._band, demand.device, band)
        power = np.clip(action[demand.device, 1], _LEAST, 1.0) * demand.limit
        return Allotment(band, power)

    def advance(self) -> None:
        """Simulate until the agent is asked, or the run is over."""
        if self._thread.ident is None:
            self._thread.start()
        found = self._questions.get()
        if isinstance(found, BaseException):
            self.is_over = True
            raise found
        self.is_over = found is None
        self._demand = None
        if found is not None:
            self.modem, self._demand = found

    def answer(self, action: NDArray[np.float64]) -> None:
        """Let the run go on with shares."""
        self._answers.put(action)

    def observation(self) -> NDArray[np.float32]:
        """Return the observation; see `BandAllocation`."""
        found = np.zeros((self._band.size, len(SHARE_FEATURES)))
        demand = self._demand
        if demand is not None:
            sent = np.zeros(self._band.size)
            np.add.at(sent, demand.device, demand.bits)
            found[demand.device, 0] = 1.0
            found[:, 1] = logarithm(sent)
            found[demand.device, 2] = logarithm(1.0 + demand.left_s)
            found[demand.device, 3] = logarithm(1.0 + demand.snr)
            found[demand.device, 4] = demand.limit
            found[:, 5] = self._band
            found[:, 6] = logarithm(1.0 + self._last_s)
            age = (self._round + 1 - self._last_round) / self._rounds
            found[:, 7] = np.clip(age, 0.0, 1.0)
        return found.astype(np.float32)

    def information(self) -> dict[str, Any]:
        """Return information on the run; see `BandAllocation`."""
        return {
            "round": self._round, "time_s": self.now_s, "accuracy": self.accuracy,
            "energy_j": self.energy_j, "seed": self._seed, "demand": self._demand,
        }  # fmt: skip

    def discard(self) -> None:
        """End the run, which waits for its agent or is over, and remove its records."""
        if not self.is_over:
            self._answers.put(None)
        self._thread.join()
        self._network.records.discard()

    def _run(self) -> None:
        """Simulate the run to its end: the thread."""
        RUNNING.set(self)
        ending: BaseException | None = None
        try:
            network = self._network
            done = start(self._scenario, self._world, network, self._tell, Learner())
            self._done = done
            done.run_until(done.over)
            network.close()
        except _Ended:
            return
        except BaseException as error:
            ending = error
        self._questions.put(ending)

    def _tell(self, number: int, rounds: int, accuracy: float | None) -> None:
        """Receive the end of a round, and the rounds of its devices."""
        self._round = number
        self.accuracy = self.accuracy if accuracy is None else accuracy
        session = None if self._done is None else self._done.session
        for row in session.rounds if session is not None else ():
            if row.round == number:
                self._last_round[row.device] = number
                self._last_s[row.device] = row.end_s - row.trained_s
