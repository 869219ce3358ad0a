"""Parameters of the learning layer in a scenario; free of torch."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag, ValidationInfo

from wnsim.core.params import parameters
from wnsim.core.plugins import Family, allowed_plugin

from .base import Count, Share, Text
from .compressors import Nearest as NearestValues
from .computing import AdamW, Computing, Sgd
from .faults import Byzantine, Corruption, UpdateFaults
from .inference import Mixture, Queries
from .method_checks import check_compressor, check_method, check_sent_whole, check_split
from .methods import (
    AdfLora,
    Centralised,
    Decaf,
    FedExLora,
    FedRotLora,
    FedSaLora,
    FedSb,
    FfaLora,
    FlexLora,
    FullFt,
    HetLora,
    Local,
    Lora,
    LoriD,
    LoriS,
    RoLora,
    Scaffold,
    SoLora,
    TadLora,
)
from .networks import check_network, is_network, is_own_network
from .objectives import Prox
from .partitions import Dirichlet, Drift, Iid, OneTask, Shards
from .privacy import Privacy
from .product_methods import FedSvd, Flora
from .protocols import Asynchronous, Hierarchical, Server, Split, Synchronous
from .robust import Clair, Median, NormClip, TrimmedMean
from .selection import (
    AgeOfUpdate,
    AllClients,
    BatteryAware,
    BestChannel,
    DeadlineGreedy,
    ExpectedLoss,
    ImportanceChannel,
    ProportionalFair,
    RandomClients,
    RoundRobin,
)
from .sparse_methods import ChocoLora, EcoLora, FedLoDrop, Flasc, FsLora, Jcpba, Soft
from .tasks import Arrays, Folder, Hub
from .topologies import (
    Agglomerative,
    ByTask,
    ClusterExchange,
    Full,
    Isolated,
    Nearest,
    Random,
    Ring,
    Similarity,
)

__all__ = [
    "SCORING_RULES",
    "AdamW",
    "AdfLora",
    "AgeOfUpdate",
    "Agglomerative",
    "AllClients",
    "Arrays",
    "Asynchronous",
    "BatteryAware",
    "BestChannel",
    "ByTask",
    "Byzantine",
    "Centralised",
    "ChocoLora",
    "Clair",
    "ClusterExchange",
    "Computing",
    "Corruption",
    "DeadlineGreedy",
    "Decaf",
    "Dirichlet",
    "EcoLora",
    "Emulate",
    "ExpectedLoss",
    "FedExLora",
    "FedLoDrop",
    "FedRotLora",
    "FedSaLora",
    "FedSb",
    "FedSvd",
    "FfaLora",
    "Flasc",
    "FlexLora",
    "Flora",
    "Folder",
    "FsLora",
    "Full",
    "FullFt",
    "HetLora",
    "Hierarchical",
    "Hub",
    "Iid",
    "ImportanceChannel",
    "Isolated",
    "Jcpba",
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
    "Privacy",
    "ProportionalFair",
    "Prox",
    "Queries",
    "Random",
    "RandomClients",
    "Ring",
    "RoLora",
    "Robust",
    "RoundRobin",
    "Scaffold",
    "Server",
    "Sgd",
    "Shards",
    "Similarity",
    "SoLora",
    "Soft",
    "Split",
    "Synchronous",
    "TadLora",
    "TrimmedMean",
    "UpdateFaults",
    "is_network",
    "names_a_folder",
]


SCORING_RULES = ("mean", "sum", "per-byte", "harness", "harness-norm")
"""Rules by which the likelihoods of choices are compared."""


@parameters
class Emulate:
    """Message sizes and operations of a larger, emulated model.

    Messages have the sizes of that model's adapters at the method's rank, and its operations take
    simulated time; training and accuracies are those of the actual model.

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
    """Return whether the name of a model can only be a folder, never a name on the hub."""
    return model.startswith((".", "/", "~")) or model.count("/") > 1


def _all_tasks() -> tuple[str, ...]:
    from ..tasks import GENERATED

    return tuple(GENERATED)


def _kind_of_tasks(value: Any) -> str:
    """Return the discriminator of the source of tasks."""
    for kind, keyed in (("arrays", Arrays), ("hub", Hub), ("folder", Folder)):
        if isinstance(value, keyed) or (isinstance(value, dict) and kind in value):
            return kind
    return "folder" if isinstance(value, dict) else "names"


def _kind_of_payload(value: Any) -> str:
    return "emulate" if isinstance(value, dict | Emulate) else "actual"


def _allowed(name: str, info: ValidationInfo) -> str:
    """Return the name of a task, built-in or of an allowed plugin."""
    if ":" in name:
        allowed_plugin(name, "task", info)
    return name


def _allowed_model(name: str, info: ValidationInfo) -> str:
    """Return the name of a model; the module of a user's network must be allowed."""
    if is_own_network(name):
        allowed_plugin(name, "network", info)
    return name


Tasks = Annotated[
    Annotated[
        tuple[Annotated[str, AfterValidator(_allowed)], ...], Field(min_length=1), Tag("names")
    ]
    | Annotated[Folder, Tag("folder")]
    | Annotated[Hub, Tag("hub")]
    | Annotated[Arrays, Tag("arrays")],
    Discriminator(_kind_of_tasks),
]
Payload = Annotated[
    Annotated[Literal["actual"], Tag("actual")] | Annotated[Emulate, Tag("emulate")],
    Discriminator(_kind_of_payload),
]
Method = Annotated[
    Local
    | Lora
    | FfaLora
    | LoriD
    | LoriS
    | FullFt
    | SoLora
    | RoLora
    | FedSaLora
    | Decaf
    | FedExLora
    | FedRotLora
    | FedSb
    | Scaffold
    | FlexLora
    | HetLora
    | AdfLora
    | TadLora
    | Centralised
    | Flora
    | FedSvd
    | ChocoLora
    | FedLoDrop
    | Jcpba
    | FsLora
    | Soft
    | Flasc
    | EcoLora,
    Family("method", ("learning_rate", "method")),
]
Topology = Annotated[
    Ring | Random | Nearest | Full | ByTask | Similarity | Isolated | Agglomerative,
    Family("topology", ("policy",)),
]
Protocol = Annotated[
    Synchronous | Asynchronous | Server | Hierarchical | Split, Family("protocol", ("session",))
]
Partition = Annotated[OneTask | Dirichlet | Shards | Iid, Family("partition", ("split",))]
Robust = Annotated[Median | TrimmedMean | NormClip | Clair, Family("robust rule", ("aggregate",))]
Compressor = Annotated[NearestValues, Family("compressor", ("compress",))]
Objective = Annotated[Prox, Family("objective", ("objective",))]
Optimizer = Annotated[AdamW | Sgd, Family("optimizer", ("step",))]
Steps = Annotated[
    Annotated[Count, Tag("number")] | Annotated[tuple[Count, Count], Tag("range")],
    Discriminator(lambda value: "number" if isinstance(value, int) else "range"),
]


@parameters
class Learning:
    """Federated fine-tuning: model, tasks, method, protocol and exchange of updates.

    Parameters
    ----------
    model : `tiny`, the built-in model; or a Hugging Face causal LM by folder or hub name; or a GGUF
        file, a folder with one, or `package:NAME` for the one in an installed Python package; or,
        for tasks from arrays, `cnn`, `resnet8` or `mlp`, networks with random initial weights, or
        your own `module:Net`, a `torch.nn.Module`
    payload : `actual` sizes of the model's updates, or `{emulate: architecture}`
    scoring : which choice is the answer of a causal language model: the one of highest `mean`
        log-likelihood per token, `sum`, or sum `per-byte`, all with the end of text; or, without
        it, of highest sum (`harness`) or sum per character (`harness-norm`), as `acc` and
        `acc_norm` of EleutherAI's harness. evaluations.csv has the accuracy by each rule. Or, for a
        sentence encoder given by its folder or hub name, the choice whose embedding has the highest
        `similarity` to the prompt's. Answers without choices must be decoded exactly
    tasks : names of built-in tasks (default: all), `{folder: path}` or `{hub: [names]}`; or, for
        networks, `{arrays: digits}` or `{arrays: path}`
    prompt_format : `plain` prompts, followed by a space and the answer; or `chat-template`, prompts
        as a user's message in the template that the model's tokenizer defines, followed by the
        answer as the assistant's
    target_modules : linear modules that take adapters: suffixes of their names, or a regular
        expression for whole names; default: every linear module except the output layer. Experts
        and routers that are no linear modules stay unadapted, which a note says. Of networks,
        linear and convolution modules, by default all of them, and with full rank all modules
    method : fine-tuning method
    initial_adapter : folder of an initial adapter in PEFT's format, common to all devices, relative
        to the scenario's; for methods that train both factors
    topology : communication graph of the devices, for protocols without a server
    cluster_exchange : exchange of updates between clusters; none by default
    inference : mixture of the cached adapters with which a device is tested; default: the device's
        own adapter
    queries : devices that cannot train and ask others for answers; none by default
    protocol : synchronization of the devices
    partition : partition of the training examples over the devices
    drift : change of the devices' data during the run; none by default
    bits_per_parameter : bits per transmitted trained parameter: 16, half precision; 8 or 4, a
        multiple of a scale per layer, with unbiased stochastic rounding
    compressor : what rounds or replaces the values of an update before they are serialised; none by
        default
    weights : aggregation weight of an update: `equal` for all, or its device's number of `examples`
    robust : robust aggregation rule in place of the method's mean
    objective : term of the local objective beside the loss; none by default
    privacy : differential privacy of what devices release; none by default
    optimizer : optimizer of the local steps; the learning rate is a parameter of the method
    trainer : computation on this machine
    rounds : rounds of training, exchange and aggregation
    local_steps : optimizer steps of a device in a round; or minimum and maximum of a number drawn
        once per device
    batch_size : examples per step
    clip_norm : upper bound of the norm of a device's gradient
    deadline_s : lifetime of an update after it was sent [s]
    broadcast : whether a device sends an update once to all of its neighbors
    broadcast_quantile : share of the neighbors with worse links than the one for which the rate of
        a broadcast is chosen; 0: the rate of the worst link
    train_examples, test_examples : per task; devices with the same task share its training set
    evaluate_every : rounds between evaluations on every task
    evaluate_devices : devices that are evaluated: `all`, absent ones with the state that they would
        answer with, or those `present`, of which an evaluation may have none
    evaluate_on : the `test` examples; or as many others for `validation`, to tune hyperparameters
        without the test set: of a generated task those drawn after the test examples, else the
        training examples after those that are trained on
    evaluate_before_aggregation : whether devices are also tested after their local steps, before
        aggregation; the difference is the interference of the aggregated updates
    stop_at : mean accuracy on all tasks with which a run ends, at the first evaluation that reaches
        it; none: after all rounds
    target_accuracies : mean accuracies on all tasks for which time and bytes until they are reached
        are reported
    target_crossing : when a target is reached: in the `first` evaluation of at least this accuracy,
        or in the first one up to which the last three are so on average (`smoothed`; fewer at the
        start)
    max_length : maximum length of a sequence, at most the model's number of positions; prompts are
        cut from the left [token]
    """

    model: Annotated[Text, AfterValidator(_allowed_model)] = "tiny"
    scoring: Literal["mean", "sum", "per-byte", "harness", "harness-norm", "similarity"] = "mean"
    payload: Payload = "actual"
    tasks: Tasks = Field(default_factory=_all_tasks)
    prompt_format: Literal["plain", "chat-template"] = "plain"
    target_modules: Text | tuple[Text, ...] = ()
    method: Method = Field(default_factory=Lora)
    initial_adapter: Text | None = None
    topology: Topology = Field(default_factory=Random)
    cluster_exchange: ClusterExchange | None = None
    inference: Mixture | None = None
    queries: Queries | None = None
    protocol: Protocol = Field(default_factory=Synchronous)
    partition: Partition = Field(default_factory=OneTask)
    drift: Drift | None = None
    bits_per_parameter: Literal[16, 8, 4] = 16
    compressor: Compressor | None = None
    weights: Literal["equal", "examples"] = "examples"
    robust: Robust | None = None
    objective: Objective | None = None
    privacy: Privacy | None = None
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
    evaluate_devices: Literal["all", "present"] = "all"
    evaluate_on: Literal["test", "validation"] = "test"
    evaluate_before_aggregation: bool = False
    stop_at: Annotated[float, Field(gt=0, le=1)] | None = None
    target_accuracies: tuple[Share, ...] = ()
    target_crossing: Literal["smoothed", "first"] = "smoothed"
    max_length: Annotated[int, Field(ge=8, le=4096)] = 128

    def __post_init__(self) -> None:
        if isinstance(self.tasks, tuple) and len(set(self.tasks)) < len(self.tasks):
            raise ValueError(f"tasks must be distinct, got {', '.join(self.tasks)}")
        if len(set(self.target_accuracies)) < len(self.target_accuracies):
            shown = ", ".join(f"{each:g}" for each in self.target_accuracies)
            raise ValueError(f"target_accuracies must be distinct, got {shown}")
        if self.initial_adapter is not None and not isinstance(self.method, Local | Lora):
            raise ValueError(
                "initial_adapter is for methods that train both factors, "
                f"got method {self.method.model}"
            )
        check_method(self.method, self.optimizer, self.protocol, self.robust)
        check_network(self)
        check_split(self)
        if self.privacy is not None and isinstance(self.method, Centralised):
            raise ValueError("privacy is for what devices release, and method centralised has none")
        if self.drift is not None and self.drift.rounds[-1] > self.rounds:
            raise ValueError(
                f"drift.rounds must be at most rounds, {self.rounds}, got {self.drift.rounds[-1]}"
            )
        if self.drift is not None and isinstance(self.method, Centralised):
            raise ValueError(
                "drift moves data between devices, and method centralised trains on all of them"
            )
        if self.compressor is not None:
            check_compressor(self.method, self.compressor)
        if self.cluster_exchange is not None or self.inference is not None:
            check_sent_whole(self.method)
        more = self.cluster_exchange is not None or self.inference is not None
        if more and not isinstance(self.protocol, Synchronous):
            raise ValueError(
                "cluster_exchange and inference are for protocol synchronous, "
                f"got protocol {self.protocol.model}"
            )
        if self.queries is not None and not isinstance(self.protocol, Synchronous):
            raise ValueError(
                f"queries are for protocol synchronous, got protocol {self.protocol.model}"
            )
        if self.queries is not None and self.queries.prompts > self.test_examples:
            raise ValueError(
                f"queries.prompts must be at most test_examples, {self.test_examples}, "
                f"got {self.queries.prompts}"
            )
        if self.scoring == "similarity" and self.model == "tiny":
            raise ValueError("scoring similarity needs a sentence encoder, and model tiny is none")
        if self.prompt_format == "chat-template":
            if self.model == "tiny":
                raise ValueError("prompt_format chat-template: model tiny has no template")
            if self.scoring == "similarity":
                raise ValueError("prompt_format chat-template needs a causal language model")
        low, high = self.step_range
        if low > high:
            raise ValueError(f"local_steps must be minimum and maximum, got {low} and {high}")

    @property
    def step_range(self) -> tuple[int, int]:
        """Minimum and maximum of the local steps of a device."""
        steps = self.local_steps
        return (steps, steps) if isinstance(steps, int) else steps
