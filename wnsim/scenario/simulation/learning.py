"""Learning layer of a run: the only module of the scenario package that imports torch."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wnsim.scenario.errors import ScenarioError
from wnsim.scenario.simulation.build import load_tasks
from wnsim.scenario.spec.plan import Run
from wnsim.scenario.spec.schema import Scenario

if TYPE_CHECKING:
    from fl.config import Learning
    from fl.engine.launcher import ProcessRank
    from fl.engine.ranks import Ranks
    from fl.engine.store import Store
    from fl.session import Session
    from fl.trainer import Trainer
    from wnsim.network import Network


@dataclass(frozen=True)
class StoreConfig:
    """Configuration of the training cache of a scenario.

    Parameters
    ----------
    folder : folder of the cache
    size_bytes : maximum size [byte]
    """

    folder: Path
    size_bytes: int

    def store(self, name: str) -> Store:
        """Return the cache for a run by name.

        Raises
        ------
        ScenarioError
            if the folder is not empty and not a cache
        """
        from fl.engine.store import Store

        try:
            return Store(self.folder, name, self.size_bytes)
        except ValueError as error:
            raise ScenarioError(str(error)) from error


def launcher_rank() -> ProcessRank | None:
    """Return this process's rank among those of a launcher; None if it runs by itself.

    Raises
    ------
    ScenarioError
        if the launcher's environment variables are inconsistent
    """
    from fl.engine import launcher

    try:
        return launcher.rank_from_environment(os.environ)
    except ValueError as error:
        raise ScenarioError(str(error)) from error


@contextlib.contextmanager
def join_ranks(runs: Sequence[Run]) -> Iterator[Ranks | None]:
    """Join the other processes of these runs if a launcher has started several.

    Raises
    ------
    ScenarioError
        if they cannot be reached
    """
    mine = launcher_rank()
    if mine is None:
        yield None
        return
    from fl.engine.ranks import join_process_group

    try:
        with join_process_group(mine) as ranks:
            yield ranks
    except ValueError as error:
        raise ScenarioError(str(error)) from error


@dataclass(frozen=True)
class Learner:
    """How the learning of a run is computed.

    Parameters
    ----------
    store, ranks : training cache, and processes that share the training; None for none
    trains : whether anything is trained; else messages and durations are those of the run, and
        their content is not
    """

    store: Store | None = None
    ranks: Ranks | None = None
    trains: bool = True

    def learn(
        self,
        scenario: Scenario,
        network: Network,
        compute_time_s: Callable[[int, float], float],
        devices: int,
        progress: Callable[[int, float, float | None], None],
    ) -> tuple[Trainer, Session]:
        """Build the trainer of a scenario's devices and the session that uses it.

        Parameters
        ----------
        scenario : scenario with a section `fl`
        network : network that carries the updates
        compute_time_s : returns the duration of a number of operations on a device [s]
        devices : number of devices
        progress : see `fl.session.Session`

        Raises
        ------
        ScenarioError
            if the model cannot be loaded, or does not fit the scenario
        """
        from fl.session import session_factory
        from fl.trainer import Trainer
        from fl.trainer.untrained import UntrainedTrainer

        learning = scenario.fl
        if learning is None:
            raise ScenarioError("there is nothing to learn: give a section fl")
        try:
            tasks, model, tokenizer = _loaded(learning, scenario)
            trainer = Trainer(
                learning, tasks, model, tokenizer, devices, scenario.seed_of("model"),
                data_seed=scenario.seed_of("data"), store=self.store,
                ranks=self.ranks,
                update_faults=None if scenario.faults is None else scenario.faults.update_faults(),
            )  # fmt: skip
            used = trainer if self.trains else UntrainedTrainer(trainer, learning.batch_size)
            session = session_factory(learning.protocol)(
                network,
                used,
                learning,
                compute_time_s,
                devices,
                scenario.seed_of("protocol"),
                progress,
            )
        except ValueError as error:
            raise ScenarioError(f"fl: {error}") from error
        return trainer, session


def _loaded(learning: Learning, scenario: Scenario) -> tuple[Sequence[Any], Any, Any]:
    """Return the tasks, the model, and its tokenizer; None for the tokenizer of a network.

    Raises
    ------
    ScenarioError, ValueError
        if they cannot be loaded
    """
    from fl.config import is_network
    from fl.engine.device import convert_if_faster, select_device
    from fl.models.chat import in_chat_template
    from fl.models.language_model import load
    from fl.models.nets import load_network

    device, dtype = select_device(learning.trainer)
    tasks: Sequence[Any] = load_tasks(scenario)
    if is_network(learning.model):
        task, seed = tasks[0], scenario.seed_of("model")
        network = load_network(learning.model, task.input_shape, task.classes, seed, device)
        return tasks, network, None
    quantization = (
        None if learning.trainer.quantization == "none" else learning.trainer.quantization
    )
    encoder = learning.scoring == "similarity"
    model, tokenizer = load(learning.model, dtype, device, quantization, encoder=encoder)
    if learning.prompt_format == "chat-template":
        tasks = in_chat_template(tasks, tokenizer, learning.max_length)
    if convert_if_faster(learning.trainer, model):
        warnings.warn(
            "products with frozen weights are in bfloat16, which is much faster on this "
            "processor; fl.trainer.dtype: float32 keeps them in single precision",
            stacklevel=2,
        )
    return tasks, model, tokenizer


def saved_scores(
    scenario: Scenario, adapters: Sequence[Path]
) -> list[list[tuple[str, int, float, float]]]:
    """Return how saved adapters answer the tests of a scenario.

    Parameters
    ----------
    scenario : scenario with a section `fl`
    adapters : folders of adapters in PEFT's format

    Returns
    -------
    for each adapter and task, its name, number of examples, accuracy, and accuracy of the best
    constant answer

    Raises
    ------
    ScenarioError
        if model or tasks cannot be loaded, or an adapter does not fit the model
    """
    from fl.adapters import AdaptedModel
    from fl.adapters.peft_format import read
    from fl.config import is_network
    from fl.evaluation import Evaluator
    from fl.models.sentence_encoder import Choices

    learning = scenario.fl
    if learning is None or is_network(learning.model):
        raise ScenarioError(
            "evaluate is for adapters of language models"
            + ("" if learning is None else f", got model {learning.model}")
        )
    try:
        tasks, model, tokenizer = _loaded(learning, scenario)
        choices = None
        if learning.scoring == "similarity":
            choices = Choices(tasks, model, tokenizer, learning.max_length)
        adapted = AdaptedModel(model, learning.target_modules, choices=choices)
        found = [read(folder, adapted.layers, model) for folder in adapters]
        evaluator = Evaluator(
            adapted, tasks, choices or tokenizer, learning.max_length, learning.scoring
        )
    except ValueError as error:
        raise ScenarioError(f"fl: {error}") from error
    facts = [(task.name, len(task.test), task.majority_accuracy) for task in tasks]
    return [
        [
            (name, examples, score.accuracy, majority)
            for (name, examples, majority), score in zip(facts, scores, strict=True)
        ]
        for scores in evaluator.scores(found)
    ]
