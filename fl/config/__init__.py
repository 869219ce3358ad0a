"""The parameters of the learning layer as they stand in a scenario; free of torch."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag, ValidationInfo

from wnsim.core.params import parameters

from ..plugins import Family, own
from .base import Count, Share, Text
from .computing import AdamW, Computing, Sgd
from .faults import Byzantine, Corruption, Wrongs
from .inference import Mixture
from .methods import FfaLora, FullFt, Local, Lora, LoriD, LoriS, SoLora
from .partitions import Dirichlet, Iid, OneTask
from .protocols import Asynchronous, Server, Synchronous
from .robust import Median, NormClip, TrimmedMean
from .tasks import Folder, Hub
from .topologies import Agglomerative, Alone, ByTask, Full, Nearest, Random, Ring, Sharing, Similar

__all__ = [
    "AdamW",
    "Agglomerative",
    "Alone",
    "Asynchronous",
    "ByTask",
    "Byzantine",
    "Computing",
    "Corruption",
    "Dirichlet",
    "Emulate",
    "FfaLora",
    "Folder",
    "Full",
    "FullFt",
    "Hub",
    "Iid",
    "Learning",
    "Local",
    "Lora",
    "LoriD",
    "LoriS",
    "Median",
    "Mixture",
    "Nearest",
    "NormClip",
    "OneTask",
    "Random",
    "Ring",
    "Robust",
    "Server",
    "Sgd",
    "Sharing",
    "Similar",
    "SoLora",
    "Synchronous",
    "TrimmedMean",
    "Wrongs",
    "names_a_folder",
]


@parameters
class Emulate:
    """Messages and operations as if a large model were trained.

    The serialiser runs on the shapes of that model at the method's rank, and its operations are
    charged to the simulated clock; the numbers learned are those of the model on board.

    Parameters
    ----------
    emulate : architecture, by its public configuration
    batch : sequences per local step of the emulated training
    length : tokens per sequence of the emulated training
    """

    emulate: Literal["qwen2.5-0.5b", "qwen2.5-1.5b", "qwen2.5-7b", "llama-3.2-1b", "llama-3.2-3b"]
    batch: Count = 8
    length: Count = 128


def names_a_folder(model: str) -> bool:
    """Whether a model's name can only be that of a folder: no hub name looks like it."""
    return model.startswith((".", "/", "~")) or model.count("/") > 1


def _all_tasks() -> tuple[str, ...]:
    from ..tasks import GENERATED

    return tuple(GENERATED)


def _kind_of_tasks(value: Any) -> str:
    """Return which of the ways to name tasks is meant."""
    if isinstance(value, Folder) or (isinstance(value, dict) and "hub" not in value):
        return "folder"
    return "hub" if isinstance(value, dict | Hub) else "names"


def _kind_of_payload(value: Any) -> str:
    return "emulate" if isinstance(value, dict | Emulate) else "actual"


def _allowed(name: str, info: ValidationInfo) -> str:
    """Return the name of a task, on board or, if that is allowed, of a user's own."""
    if ":" in name:
        own(name, "task", info)
    return name


Tasks = Annotated[
    Annotated[
        tuple[Annotated[str, AfterValidator(_allowed)], ...], Field(min_length=1), Tag("names")
    ]
    | Annotated[Folder, Tag("folder")]
    | Annotated[Hub, Tag("hub")],
    Discriminator(_kind_of_tasks),
]
Payload = Annotated[
    Annotated[Literal["actual"], Tag("actual")] | Annotated[Emulate, Tag("emulate")],
    Discriminator(_kind_of_payload),
]
Method = Annotated[
    Local | Lora | FfaLora | LoriD | LoriS | FullFt | SoLora,
    Family("method", ("learning_rate", "method")),
]
Topology = Annotated[
    Ring | Random | Nearest | Full | ByTask | Similar | Alone | Agglomerative,
    Family("topology", ("policy",)),
]
Protocol = Annotated[Synchronous | Asynchronous | Server, Field(discriminator="model")]
Partition = Annotated[OneTask | Dirichlet | Iid, Field(discriminator="model")]
Robust = Annotated[Median | TrimmedMean | NormClip, Field(discriminator="model")]
Optimizer = Annotated[AdamW | Sgd, Field(discriminator="model")]
Steps = Annotated[
    Annotated[Count, Tag("number")] | Annotated[tuple[Count, Count], Tag("range")],
    Discriminator(lambda value: "number" if isinstance(value, int) else "range"),
]


@parameters
class Learning:
    """What is learned, by whom, and how updates travel.

    Parameters
    ----------
    model : `tiny`, on board; or a Hugging Face causal LM by folder or by hub name
    payload : `actual` sizes of the model at hand, or `{emulate: architecture}`
    scoring : how a model answers: by the `likelihood` of an answer's tokens, as a causal language
        model does; or, a sentence encoder given by its folder or hub name, by the `similarity` of
        the prompt's embedding to those of the choices
    tasks : names of tasks on board (all of them if not given), `{folder: path}` or
        `{hub: [names]}`
    target_modules : which modules take adapters, as in PEFT: ends of their names, or a regular
        expression for whole names; every linear one but the output layer if none is given
    method : what is trained, sent and merged
    start : folder of an adapter in PEFT's format from which all devices start, relative to the
        scenario's; for methods that train both factors
    topology : who speaks with whom, where there is no server
    sharing : what groups of the topology tell each other; nothing, if not given
    inference : the mixture of all that a device holds, with which it is tested; if not given, the
        adapter that it trains
    protocol : who waits for whom
    partition : which device learns from which examples
    value_bits : of a value that is trained and told: 16, a number in half precision; 8 or 4, a
        multiple of a scale for each layer, rounded at random without bias
    weights : how much an update counts in a merge: all `equal`, or by its device's `examples`
    robust : in place of the method's mean, what a few wrong updates do little harm to
    optimizer : of the local steps; learning rates are those of the method
    trainer : how all that is computed on this machine
    rounds : rounds of training, exchange and aggregation
    local_steps : optimizer steps of a device in a round; the least and most of a number drawn once
        for each device, if these are two
    batch_size : examples per step
    clip_norm : bound on the norm of a device's gradient
    deadline_s : an update is of use this long after it was sent [s]
    broadcast : whether a device sends an update once to all of its neighbors
    broadcast_quantile : share of them that may be worse than the one for which the rate of a
        broadcast is chosen; 0: the rate is that of the worst
    train_examples, test_examples : per task; devices with the same task share its training set
    evaluate_every : rounds between evaluations of every device on every task
    evaluate_on : the `test` examples; or as many others, for `validation`, by which to choose
        a learning rate, say, without having seen the test: of a generated task those drawn after
        the test examples, else training examples that follow on those that are trained on
    evaluate_before_merging : whether devices are also tested after their local steps, before they
        merge what they heard; the difference is the interference of what is merged
    target_accuracies : mean accuracies on all tasks of which it is told when they were reached, and
        after how many bytes
    max_length : longest sequence, no more than the model has positions; prompts are cut from the
        left [token]
    """

    model: Text = "tiny"
    scoring: Literal["likelihood", "similarity"] = "likelihood"
    payload: Payload = "actual"
    tasks: Tasks = Field(default_factory=_all_tasks)
    target_modules: Text | tuple[Text, ...] = ()
    method: Method = Field(default_factory=Lora)
    start: Text | None = None
    topology: Topology = Field(default_factory=Random)
    sharing: Sharing | None = None
    inference: Mixture | None = None
    protocol: Protocol = Field(default_factory=Synchronous)
    partition: Partition = Field(default_factory=OneTask)
    value_bits: Literal[16, 8, 4] = 16
    weights: Literal["equal", "examples"] = "examples"
    robust: Robust | None = None
    optimizer: Optimizer = Field(default_factory=AdamW)
    trainer: Computing = Field(default_factory=Computing)
    rounds: Count = 30
    local_steps: Steps = 10
    batch_size: Count = 8
    clip_norm: Annotated[float, Field(gt=0, le=1e9)] = 1.0
    deadline_s: Annotated[float, Field(gt=0, le=1e9)] = 20.0
    broadcast: bool = False
    broadcast_quantile: Annotated[float, Field(ge=0, lt=1)] = 0.0
    train_examples: Count = 512
    test_examples: Count = 48
    evaluate_every: Count = 5
    evaluate_on: Literal["test", "validation"] = "test"
    evaluate_before_merging: bool = False
    target_accuracies: tuple[Share, ...] = ()
    max_length: Annotated[int, Field(ge=8, le=4096)] = 128

    def __post_init__(self) -> None:
        if isinstance(self.tasks, tuple) and len(set(self.tasks)) < len(self.tasks):
            raise ValueError(f"tasks must be different ones, got {', '.join(self.tasks)}")
        if len(set(self.target_accuracies)) < len(self.target_accuracies):
            shown = ", ".join(f"{each:g}" for each in self.target_accuracies)
            raise ValueError(f"target_accuracies must be different ones, got {shown}")
        if self.start is not None and not isinstance(self.method, Local | Lora):
            raise ValueError(
                f"start is for methods that train both factors, got method {self.method.model}"
            )
        more = self.sharing is not None or self.inference is not None
        if more and not isinstance(self.protocol, Synchronous):
            raise ValueError(
                "sharing and inference are for protocol synchronous, "
                f"got protocol {self.protocol.model}"
            )
        low, high = self.steps_between
        if low > high:
            raise ValueError(f"local_steps must be from least to most, got {low} and {high}")

    @property
    def steps_between(self) -> tuple[int, int]:
        """The least and most local steps of a device."""
        steps = self.local_steps
        return (steps, steps) if isinstance(steps, int) else steps
