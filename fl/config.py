"""The parameters of the learning layer as they stand in a scenario; free of torch."""

from __future__ import annotations

from typing import Annotated, Any, Literal, dataclass_transform

from pydantic import ConfigDict, Discriminator, Field, Tag
from pydantic.dataclasses import dataclass

Count = Annotated[int, Field(ge=1, le=1_000_000)]
Share = Annotated[float, Field(gt=0, le=1)]
Rank = Annotated[int, Field(ge=1, le=65_536)]
Alpha = Annotated[float, Field(gt=0, le=1e6)]
LearningRate = Annotated[float, Field(gt=0, le=1e3)]
Text = Annotated[str, Field(min_length=1)]


@dataclass_transform(frozen_default=True, kw_only_default=True)
def parameters(cls: type[Any]) -> type[Any]:
    """Make a class a frozen, keyword-only dataclass that refuses unknown keys and wrong types."""
    config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
    return dataclass(cls, frozen=True, kw_only=True, config=config)


@parameters
class Local:
    """Every device trains its own LoRA adapter and tells nobody.

    Parameters
    ----------
    rank : rank of the adapters
    alpha : the adapter is scaled by alpha / rank; twice the rank if not given
    learning_rate : of AdamW
    """

    model: Literal["local"] = "local"
    rank: Rank = 8
    alpha: Alpha | None = None
    learning_rate: LearningRate = 2e-3


@parameters
class Lora:
    """LoRA gossip: both factors are sent and averaged with the neighbors'.

    Parameters
    ----------
    rank, alpha, learning_rate : as for `local`
    """

    model: Literal["lora"] = "lora"
    rank: Rank = 8
    alpha: Alpha | None = None
    learning_rate: LearningRate = 2e-3


@parameters
class SoLora:
    """Sparse-and-orthogonal LoRA: frozen A per device, a static mask on B (arXiv 2602.20492).

    Parameters
    ----------
    rank, alpha : as for `local`
    learning_rate : of AdamW; B alone is trained, at a higher rate than both factors
    density : share of the entries of B that are active, over all layers
    a_init : law of the frozen A: `gaussian` N(0, 1/k) or `kaiming` uniform, variance 1/(3k)
    allocation : how the active entries are shared among layers: `size` in proportion to a layer's
        size times exp(entropy), `paper` by the softmax of the entropies (Eq. 22), or `uniform`
    mask : `grad`, the largest gradients at B = 0 (Eq. 18, by magnitude), or `random`
    aggregation : `active`, over the devices whose mask covers an entry, or `mean`, over all
    calibration_prompts : prompts from which the layers' entropies are computed (Eq. 20)
    calibration_batches : batches over which the mask's gradients are summed
    send_a : how A travels at first contact: `dense` (paper) or as its `seed`
    """

    model: Literal["so-lora"] = "so-lora"
    rank: Rank = 8
    alpha: Alpha | None = None
    learning_rate: LearningRate = 5e-3
    density: Share = 0.54
    a_init: Literal["gaussian", "kaiming"] = "gaussian"
    allocation: Literal["size", "paper", "uniform"] = "size"
    mask: Literal["grad", "random"] = "grad"
    aggregation: Literal["active", "mean"] = "active"
    calibration_prompts: Count = 64
    calibration_batches: Count = 4
    send_a: Literal["dense", "seed"] = "dense"


@parameters
class Ring:
    """Each device speaks with the device before and after it."""

    model: Literal["ring"] = "ring"


@parameters
class Random:
    """A random graph in which each device has the same number of neighbors, drawn once.

    Parameters
    ----------
    degree : number of neighbors
    """

    model: Literal["random"] = "random"
    degree: Count = 4


@parameters
class Nearest:
    """Each device speaks with the devices nearest to it now, and with those it is nearest to.

    Parameters
    ----------
    degree : number of nearest devices
    """

    model: Literal["nearest"] = "nearest"
    degree: Count = 4


@parameters
class Full:
    """Everybody speaks with everybody."""

    model: Literal["full"] = "full"


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


@parameters
class Folder:
    """Tasks from a folder: one subfolder per task, with train.jsonl and test.jsonl.

    Parameters
    ----------
    folder : the folder; relative to the scenario's
    """

    folder: Text


@parameters
class Hub:
    """Tasks from the Hugging Face hub, through the `datasets` library.

    Parameters
    ----------
    hub : names of the data sets
    prompt, answer, choices : names of their columns
    config : which configuration of a data set, if it has several
    train_split, test_split : names of their splits
    """

    hub: Annotated[tuple[Text, ...], Field(min_length=1)]
    prompt: str = "prompt"
    answer: str = "answer"
    choices: str | None = None
    config: str | None = None
    train_split: str = "train"
    test_split: str = "test"


def names_a_folder(model: str) -> bool:
    """Whether a model's name can only be that of a folder: no hub name looks like it."""
    return model.startswith((".", "/", "~")) or model.count("/") > 1


def _all_tasks() -> tuple[str, ...]:
    from .tasks import GENERATED

    return tuple(GENERATED)


def _kind_of_tasks(value: Any) -> str:
    """Return which of the ways to name tasks is meant."""
    if isinstance(value, Folder) or (isinstance(value, dict) and "hub" not in value):
        return "folder"
    return "hub" if isinstance(value, dict | Hub) else "names"


def _kind_of_payload(value: Any) -> str:
    return "emulate" if isinstance(value, dict | Emulate) else "actual"


Tasks = Annotated[
    Annotated[tuple[str, ...], Field(min_length=1), Tag("names")]
    | Annotated[Folder, Tag("folder")]
    | Annotated[Hub, Tag("hub")],
    Discriminator(_kind_of_tasks),
]
Payload = Annotated[
    Annotated[Literal["actual"], Tag("actual")] | Annotated[Emulate, Tag("emulate")],
    Discriminator(_kind_of_payload),
]
Method = Annotated[Local | Lora | SoLora, Field(discriminator="model")]
Topology = Annotated[Ring | Random | Nearest | Full, Field(discriminator="model")]


@parameters
class Learning:
    """What is learned, by whom, and how updates travel.

    Parameters
    ----------
    model : `tiny`, on board; or a Hugging Face causal LM by folder or by hub name
    payload : `actual` sizes of the model at hand, or `{emulate: architecture}`
    tasks : names of tasks on board (all of them if not given), `{folder: path}` or
        `{hub: [names]}`
    method : what is trained, sent and merged
    topology : who speaks with whom
    rounds : rounds of training, exchange and aggregation
    local_steps : optimizer steps of a device in a round
    batch_size : examples per step
    clip_norm : bound on the norm of a device's gradient
    deadline_s : an update is of use this long after it was sent [s]
    broadcast : whether a device sends an update once to all of its neighbors
    broadcast_quantile : share of them that may be worse than the one for which the rate of a
        broadcast is chosen; 0: the rate is that of the worst
    train_examples, test_examples : per task; devices with the same task share its training set
    evaluate_every : rounds between evaluations of every device on every task
    max_length : longest sequence; prompts are cut from the left [token]
    chunk_tokens : how many tokens are trained at once; memory and speed, not results
    threads : of the CPU
    """

    model: Text = "tiny"
    payload: Payload = "actual"
    tasks: Tasks = Field(default_factory=_all_tasks)
    method: Method = Field(default_factory=Lora)
    topology: Topology = Field(default_factory=Random)
    rounds: Count = 30
    local_steps: Count = 10
    batch_size: Count = 8
    clip_norm: Annotated[float, Field(gt=0, le=1e9)] = 1.0
    deadline_s: Annotated[float, Field(gt=0, le=1e9)] = 20.0
    broadcast: bool = False
    broadcast_quantile: Annotated[float, Field(ge=0, lt=1)] = 0.0
    train_examples: Count = 512
    test_examples: Count = 48
    evaluate_every: Count = 5
    max_length: Annotated[int, Field(ge=8, le=4096)] = 128
    chunk_tokens: Count = 1024
    threads: Annotated[int, Field(ge=1, le=1024)] = 1

    def __post_init__(self) -> None:
        if isinstance(self.tasks, tuple) and len(set(self.tasks)) < len(self.tasks):
            raise ValueError(f"tasks must be different ones, got {', '.join(self.tasks)}")
