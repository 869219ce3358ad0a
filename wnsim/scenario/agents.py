"""Gymnasium environment: an agent selects the clients of each round of a federation.

An episode is a run of a scenario with a server, with its radio, mobility and learning. A step is a
round: the agent sees what devices have reported on the air, gives each a score, and the devices
with the highest scores take part. It needs the package gymnasium (`pip install
"wnsim[gymnasium]"`).

Sources: Towers et al., "Gymnasium: a standard interface for reinforcement learning environments",
2024, for the interface. The observation, the action and the reward are ours.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from wnsim.core.params import parameters
from wnsim.scenario.errors import ScenarioError
from wnsim.scenario.simulation.build import build_world
from wnsim.scenario.simulation.learning import Learner
from wnsim.scenario.simulation.processes import Processes, start
from wnsim.scenario.simulation.simulate import network_of
from wnsim.scenario.spec.plan import plan
from wnsim.scenario.spec.validation import allow

if TYPE_CHECKING:
    import simpy

    from fl.session.selection import Choice, SelectionContext
    from wnsim.network import Network

try:
    import gymnasium
except ImportError as missing:
    raise ScenarioError(
        'wnsim.scenario.agents needs the package gymnasium: pip install "wnsim[gymnasium]"'
    ) from missing

FEATURES = ("selectable", "uplink", "downlink", "compute", "battery", "age", "weight")
"""Features of a device in an observation; see `ClientSelection`."""
_MOST_LOG, _MOST_SEED = 15.0, 2**31 - 1
_RUNNING: ContextVar[_Episode] = ContextVar("running episode")


@parameters
class AgentClients:
    """The devices that an agent selects; they report on the air."""

    model: Literal["wnsim.scenario.agents:AgentClients"] = "wnsim.scenario.agents:AgentClients"
    reports: Literal[True] = True

    def selector(self, context: SelectionContext) -> Any:
        """Return a function that lets the running episode ask its agent."""
        episode = _RUNNING.get()
        episode.weight = context.weight / context.weight.max()
        return episode.ask


@dataclass(frozen=True)
class Price:
    """What time and energy cost an agent, in points of accuracy.

    Parameters
    ----------
    per_s : price of a second of simulated time [points/s]
    per_j : price of the energy that all devices spend together [points/J]
    """

    per_s: float = 0.0
    per_j: float = 0.0


class ClientSelection(gymnasium.Env[NDArray[np.float32], NDArray[np.float32]]):
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

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012  (the interface has it so)

    def __init__(
        self,
        scenario: str | Path | Mapping[str, Any],
        settings: Mapping[str, Any] | None = None,
        plugins: Sequence[str] = (),
        price: Price | None = None,
    ) -> None:
        own = {
            "fl.protocol.selection": {"model": AgentClients().model},
            "fl.evaluate_every": 1,
            "repeat": 1,
        }
        self._source = scenario if isinstance(scenario, Mapping) else str(scenario)
        self._plugins = allow([*plugins, __name__])
        self._price = price or Price()
        self._episode: _Episode | None = None
        self._settings = _texts(settings or {})
        first = self._scenario(1)
        if first.fl is None or first.fl.protocol.model != "server":
            raise ScenarioError("an agent selects the clients of fl.protocol.model server")
        self._settings = _texts({**(settings or {}), **own})
        self._scenario(1)
        count = first.devices.count
        high = [1.0, _MOST_LOG, _MOST_LOG, _MOST_LOG, 1.0, 1.0, 1.0]
        self.observation_space = gymnasium.spaces.Box(
            0.0, np.tile(np.array(high, dtype=np.float32), (count, 1)), dtype=np.float32
        )
        self.action_space = gymnasium.spaces.Box(0.0, 1.0, (count,), dtype=np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begin a run; return the observation before its first round, and information.

        Parameters
        ----------
        seed : seed of the generator from which the seeds of runs are drawn; None to go on with it
        options : none
        """
        super().reset(seed=seed)
        self.close()
        run_seed = int(self.np_random.integers(1, _MOST_SEED))
        self._episode = _Episode(self._scenario(run_seed), run_seed)
        self._episode.advance()
        return self._episode.observation(), self._episode.information()

    def step(
        self, action: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Let devices take part in a round; return what follows.

        Parameters
        ----------
        action : (devices,) scores

        Returns
        -------
        observation before the next round, reward, whether the run is over, False, and information

        Raises
        ------
        RuntimeError
            if there is no run, or it is over
        ValueError
            if the action is not a finite score for each device
        """
        episode = self._episode
        if episode is None or episode.is_over:
            raise RuntimeError("there is no run that goes on; call reset")
        scores = np.asarray(action, dtype=np.float64)
        if scores.shape != self.action_space.shape or not np.isfinite(scores).all():
            raise ValueError(
                f"an action must be finite scores of shape {self.action_space.shape}, got {action}"
            )
        before = episode.accuracy, episode.now_s, episode.energy_j
        episode.select(scores)
        episode.advance()
        gain = 100.0 * (episode.accuracy - before[0])
        took_s, took_j = episode.now_s - before[1], episode.energy_j - before[2]
        reward = gain - self._price.per_s * took_s - self._price.per_j * took_j
        return (
            episode.observation(), float(reward), episode.is_over, False, episode.information()
        )  # fmt: skip

    def close(self) -> None:
        """End the present run."""
        if self._episode is not None:
            self._episode.discard()
            self._episode = None

    def _scenario(self, seed: int) -> Any:
        return plan(self._source, [*self._settings, f"seed={seed}"], self._plugins)[0].scenario


def _texts(settings: Mapping[str, Any]) -> list[str]:
    """Return overrides as the command line takes them."""
    return [f"{key}={json.dumps(value)}" for key, value in settings.items()]


class _Episode:
    """A run that waits for its agent before each round.

    Parameters
    ----------
    scenario : the scenario, whose selection is `AgentClients`
    seed : its seed

    Attributes
    ----------
    is_over : whether the run is over
    accuracy : mean over devices and tasks at the last evaluation
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
        token = _RUNNING.set(self)
        try:
            self._done: Processes = start(scenario, world, self._network, self._tell, Learner())
        finally:
            _RUNNING.reset(token)

    @property
    def now_s(self) -> float:
        """Simulated time [s]."""
        return self._network.now_s

    @property
    def energy_j(self) -> float:
        """Energy that all devices have spent so far, 0 without a section `energy` [J]."""
        ledger = self._done.ledger
        return 0.0 if ledger is None else float(sum(map(np.sum, ledger.spent_j().values())))

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

    def select(self, scores: NDArray[np.float64]) -> None:
        """Answer with the devices that have the highest scores."""
        choice, answer = self._choice, self._answer
        if choice is None or answer is None:
            raise RuntimeError("the agent has not been asked")
        order = np.argsort(-scores[choice.devices], kind="stable")
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
            found[:, 1] = _logarithm(known.uplink_bps)
            found[:, 2] = _logarithm(known.downlink_bps)
            found[:, 3] = _logarithm(1.0 + known.compute_s)
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


def _logarithm(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return common logarithms, 0 for values below 1 and NaN."""
    known = np.nan_to_num(values, nan=1.0, posinf=math.inf)
    return np.asarray(np.minimum(np.log10(np.maximum(known, 1.0)), _MOST_LOG))
