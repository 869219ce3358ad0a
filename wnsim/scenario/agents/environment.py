"""Base of the environments: episodes that are runs of a scenario, and their rewards."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import gymnasium
import numpy as np
from numpy.typing import NDArray

from wnsim.scenario.errors import ScenarioError
from wnsim.scenario.spec.plan import plan
from wnsim.scenario.spec.validation import allow

if TYPE_CHECKING:
    from wnsim.scenario.simulation.processes import Processes

MOST_LOG = 15.0
"""Largest logarithm in an observation."""
_MOST_SEED = 2**31 - 1
RUNNING: ContextVar[Any] = ContextVar("running episode")
"""Episode whose run is being simulated, which its models ask for the agent's decisions."""


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


class Episode(Protocol):
    """A run that waits for its agent."""

    @property
    def is_over(self) -> bool:
        """Whether the run is over."""

    @property
    def accuracy(self) -> float:
        """Mean over devices and tasks at the last evaluation."""

    @property
    def now_s(self) -> float:
        """Simulated time [s]."""

    @property
    def energy_j(self) -> float:
        """Energy that all devices have spent so far, 0 without a section `energy` [J]."""

    def advance(self) -> None:
        """Simulate until the agent is asked, or the run is over."""

    def answer(self, action: NDArray[np.float64]) -> None:
        """Give the agent's decision."""

    def observation(self) -> NDArray[np.float32]:
        """Return what the agent sees."""

    def information(self) -> dict[str, Any]:
        """Return information on the run."""

    def discard(self) -> None:
        """End the run and remove its records."""


class RunEnvironment(gymnasium.Env[NDArray[np.float32], NDArray[np.float32]]):
    """Environment whose episodes are runs of a scenario.

    Parameters
    ----------
    scenario : scenario file, name of a bundled scenario, or its keys; of its variants the first
    settings : overrides by dotted key
    plugins : modules whose models the scenario may use
    price : prices of time and energy

    Raises
    ------
    ScenarioError
        if the scenario is invalid, or does not suit the environment
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012  (the interface has it so)

    def __init__(
        self,
        scenario: str | Path | Mapping[str, Any],
        settings: Mapping[str, Any] | None,
        plugins: Sequence[str],
        price: Price | None,
    ) -> None:
        self._source = scenario if isinstance(scenario, Mapping) else str(scenario)
        self._plugins = allow([*plugins, "wnsim.scenario.agents"])
        self._price = price or Price()
        self._episode: Episode | None = None
        given = dict(settings or {})
        self._settings = texts(given)
        own = self._own_settings(self._scenario(1))
        self._settings = texts({**given, **own, "fl.evaluate_every": 1, "repeat": 1})
        self.devices: int = self._scenario(1).devices.count

    def _own_settings(self, scenario: Any) -> dict[str, Any]:
        """Return the settings that let an agent decide in a scenario; refuse one without them."""
        raise NotImplementedError

    def _begin(self, scenario: Any, seed: int) -> Episode:
        """Return a run of the scenario at its start."""
        raise NotImplementedError

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begin a run; return the observation before the first decision, and information.

        Parameters
        ----------
        seed : seed of the generator from which the seeds of runs are drawn; None to go on with it
        options : none
        """
        super().reset(seed=seed)
        self.close()
        run_seed = int(self.np_random.integers(1, _MOST_SEED))
        self._episode = self._begin(self._scenario(run_seed), run_seed)
        self._episode.advance()
        return self._episode.observation(), self._episode.information()

    def step(
        self, action: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Decide, and simulate until the next decision.

        Parameters
        ----------
        action : the decision

        Returns
        -------
        observation before the next decision, reward, whether the run is over, False, information

        Raises
        ------
        RuntimeError
            if there is no run, or it is over
        ValueError
            if the action does not have finite values of the shape of the action space
        """
        episode = self._episode
        if episode is None or episode.is_over:
            raise RuntimeError("there is no run that goes on; call reset")
        values = np.asarray(action, dtype=np.float64)
        shape = self.action_space.shape
        if values.shape != shape or not np.isfinite(values).all():
            raise ValueError(f"an action must be finite values of shape {shape}, got {action}")
        before = episode.accuracy, episode.now_s, episode.energy_j
        episode.answer(values)
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
        found = plan(self._source, [*self._settings, f"seed={seed}"], self._plugins)[0].scenario
        if found.fl is None:
            raise ScenarioError("an agent needs a scenario with a section fl")
        return found


def texts(settings: Mapping[str, Any]) -> list[str]:
    """Return overrides as the command line takes them."""
    return [f"{key}={json.dumps(value)}" for key, value in settings.items()]


def spent_j(done: Processes) -> float:
    """Return the energy that all devices have spent so far, 0 without an energy model [J]."""
    ledger = done.ledger
    return 0.0 if ledger is None else float(sum(map(np.sum, ledger.spent_j().values())))


def logarithm(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return common logarithms, 0 for values below 1 and NaN."""
    known = np.nan_to_num(values, nan=1.0, posinf=math.inf)
    return np.asarray(np.minimum(np.log10(np.maximum(known, 1.0)), MOST_LOG))
