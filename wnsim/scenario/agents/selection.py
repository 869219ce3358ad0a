"""Environment in which an agent selects the clients of each round of a federation.

A step is a round: the agent sees what devices have reported on the air, gives each a score, and the
devices with the highest scores take part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import gymnasium
import numpy as np
from numpy.typing import NDArray

from wnsim.core.params import parameters
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
    import simpy

    from fl.session.selection import Choice, SelectionContext
    from wnsim.network import Network

FEATURES = ("selectable", "uplink", "downlink", "compute", "battery", "age", "weight")
"""Features of a device in an observation; see `ClientSelection`."""


@parameters
class AgentClients:
    """The devices that an agent selects; they report on the air."""

    model: Literal["wnsim.scenario.agents:AgentClients"] = "wnsim.scenario.agents:AgentClients"
    reports: Literal[True] = True

    def selector(self, context: SelectionContext) -> Any:
        """Return a function that lets the running episode ask its agent."""
        episode = RUNNING.get()
        episode.weight = context.weight / context.weight.max()
        return episode.ask


class ClientSelection(RunEnvironment):
    """Selection of the clients of each round by an agent.

    **Observation**, (devices, 7), single precision: whether a device may be selected (it is
    present, idle, and its report has arrived: 1, else 0); the common logarithms of its uplink and
    downlink rates with the whole band [bit/s], 0 below 1 bit/s and without a report; that of one
    plus its computing time [s]; the share of its battery that is left; the number of rounds since
    its last counted update over the number of rounds; and its aggregation weight over the largest.

    **Action**, (devices,) scores from 0 to 1: of the devices that may be selected those with the
    highest scores take part, as many as `fl.protocol.share` asks for, the first of equals.

    **Reward**: the gain in accuracy on all tasks by the round, in points, less the price of the
    simulated time and of the energy that it took.

    An episode ends with the last round, or at `fl.stop_at`. `info` has the round, the time [s], the
    accuracy, the energy spent so far [J], the clients of the round and the seed of the run.

    Parameters
    ----------
    scenario : scenario file, name of a bundled scenario, or its keys; of its variants the first
    settings : overrides by dotted key
    plugins : modules whose models the scenario may use
    price : prices of time and energy

    Raises
    ------
    ScenarioError
        if the scenario is invalid, or its protocol is not `server`

    Examples
    --------
    >>> small = {"devices.count": 4, "fl.rounds": 2, "fl.local_steps": 1, "fl.train_examples": 32}
    >>> env = ClientSelection("scheduling.yaml", small | {"fl.test_examples": 2})
    >>> observation, info = env.reset(seed=1)
    >>> observation.shape
    (4, 7)
    >>> _, reward, terminated, truncated, info = env.step(np.array([0.0, 1.0, 0.0, 0.0]))
    >>> info["clients"], terminated
    ([1], False)
    """

    def __init__(
        self,
        scenario: str | Path | Mapping[str, Any],
        settings: Mapping[str, Any] | None = None,
        plugins: Sequence[str] = (),
        price: Price | None = None,
    ) -> None:
        super().__init__(scenario, settings, plugins, price)
        high = [1.0, MOST_LOG, MOST_LOG, MOST_LOG, 1.0, 1.0, 1.0]
        self.observation_space = gymnasium.spaces.Box(
            0.0, np.tile(np.array(high, dtype=np.float32), (self.devices, 1)), dtype=np.float32
        )
        self.action_space = gymnasium.spaces.Box(0.0, 1.0, (self.devices,), dtype=np.float32)

    def _own_settings(self, scenario: Any) -> dict[str, Any]:
        """Return the selection that asks the agent."""
        if scenario.fl.protocol.model != "server":
            raise ScenarioError("an agent selects the clients of fl.protocol.model server")
        return {"fl.protocol.selection": {"model": AgentClients().model}}

    def _begin(self, scenario: Any, seed: int) -> Episode:
        """Return a run of the scenario at its start."""
        return _Rounds(scenario, seed)


class _Rounds:
    """A run that waits for its agent before each round; see `Episode`.

    Parameters
    ----------
    scenario : the scenario, whose selection is `AgentClients`
    seed : its seed

    Attributes
    ----------
    weight : (devices,) aggregation weights over the largest
    """

    def __init__(self, scenario: Any, seed: int) -> None:
        self._seed = seed
        self._rounds, self._count = scenario.fl.rounds, scenario.devices.count
        self._round = 0
        self._choice: Choice | None = None
        self._answer: simpy.Event | None = None
        self._clients: list[int] = []
        self.accuracy, self.is_over = 0.0, False
        self.weight: NDArray[np.float64] = np.ones(self._count)
        world = build_world(scenario)
        self._network: Network = network_of(scenario, world, None)
        token = RUNNING.set(self)
        try:
            self._done: Processes = start(scenario, world, self._network, self._tell, Learner())
        finally:
            RUNNING.reset(token)

    @property
    def now_s(self) -> float:
        """Simulated time [s]."""
        return self._network.now_s

    @property
    def energy_j(self) -> float:
        """Energy that all devices have spent so far [J]."""
        return spent_j(self._done)

    def ask(self, choice: Choice) -> simpy.Event:
        """Return an event that succeeds with the clients that the agent selects."""
        self._choice, self._answer = choice, self._network.env.event()
        return self._answer

    def advance(self) -> None:
        """Simulate until the agent is asked, or the run is over."""
        env = self._network.env
        while self._answer is None and not self._done.over.processed:
            env.step()
        if self._answer is None:
            self.is_over = True
            self._network.close()

    def answer(self, action: NDArray[np.float64]) -> None:
        """Answer with the devices that have the highest scores."""
        choice, answer = self._choice, self._answer
        if choice is None or answer is None:
            raise RuntimeError("the agent has not been asked")
        order = np.argsort(-action[choice.devices], kind="stable")
        self._clients = sorted(choice.devices[order[: choice.count]].tolist())
        self._answer = None
        answer.succeed(self._clients)

    def observation(self) -> NDArray[np.float32]:
        """Return the observation; see `ClientSelection`."""
        found = np.zeros((self._count, len(FEATURES)))
        choice = self._choice
        if choice is not None and not self.is_over:
            known = choice.reports
            found[choice.devices, 0] = 1.0
            found[:, 1] = logarithm(known.uplink_bps)
            found[:, 2] = logarithm(known.downlink_bps)
            found[:, 3] = logarithm(1.0 + known.compute_s)
            found[:, 4] = np.nan_to_num(known.battery)
            found[:, 5] = choice.last.age / self._rounds
            found[:, 6] = self.weight
        return found.astype(np.float32)

    def information(self) -> dict[str, Any]:
        """Return information on the run; see `ClientSelection`."""
        return {
            "round": self._round, "time_s": self.now_s, "accuracy": self.accuracy,
            "energy_j": self.energy_j, "clients": self._clients, "seed": self._seed,
        }  # fmt: skip

    def discard(self) -> None:
        """Remove the records of the run."""
        self._network.records.discard()

    def _tell(self, number: int, rounds: int, accuracy: float | None) -> None:
        self._round = number
        self.accuracy = self.accuracy if accuracy is None else accuracy
