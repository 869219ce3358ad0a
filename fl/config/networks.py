"""Networks on arrays in place of language models: their names, and what excludes them."""

from __future__ import annotations

from typing import Any

from wnsim.core.plugins import PLUGIN_NAME

from .methods import FedSb, FullFt, LoriS, SoLora
from .tasks import Arrays

NETWORKS = ("cnn", "resnet8", "mlp")
"""Names of the bundled networks."""

_BY_PROMPTS = (LoriS, SoLora, FedSb)
"""Methods that are calibrated on a language model."""


def is_own_network(model: str) -> bool:
    """Return whether a model is a user's network, `module:Net`."""
    return PLUGIN_NAME.fullmatch(model) is not None and not model.startswith("package:")


def is_network(model: str) -> bool:
    """Return whether a model is a network on arrays, bundled or a user's own."""
    return model in NETWORKS or is_own_network(model)


def is_full(method: Any) -> bool:
    """Return whether a method trains every entry of the adapted weights."""
    return isinstance(method, FullFt) or getattr(method, "rank", None) == "full"


def check_network(learning: Any) -> None:
    """Check that model and tasks go together, and what networks do not have.

    Parameters
    ----------
    learning : configuration of the learning

    Raises
    ------
    ValueError
        if they do not
    """
    on_arrays = isinstance(learning.tasks, Arrays)
    if not is_network(learning.model):
        if on_arrays:
            raise ValueError(
                f"tasks from arrays need a network as model ({', '.join(NETWORKS)} or module:Net), "
                f"got model {learning.model}"
            )
        return
    subject = f"model {learning.model} is a network on arrays"
    if not on_arrays:
        raise ValueError(f"{subject}, which needs tasks such as {{arrays: digits}}")
    if isinstance(learning.method, _BY_PROMPTS):
        raise ValueError(
            f"{subject}, and method {learning.method.model} is calibrated on a language model"
        )
    if learning.payload != "actual":
        raise ValueError(
            f"{subject}, and payload emulates a language model: {learning.payload.emulate}"
        )
    for key, default in _FOR_TEXTS.items():
        value = getattr(learning, key)
        if value != default:
            shown = f", got {value}" if isinstance(value, int | str) else ""
            raise ValueError(f"{subject}, and {key} is for language models{shown}")
    for key, default in _FOR_WEIGHTS.items():
        value = getattr(learning.trainer, key)
        if value not in default:
            raise ValueError(f"{subject}, and trainer.{key} is for language models, got {value}")
    if learning.topology.model == "similarity":
        raise ValueError(f"{subject}, and topology similarity compares prompts")


_FOR_TEXTS: dict[str, Any] = {
    "scoring": "mean", "prompt_format": "plain", "initial_adapter": None, "inference": None,
    "queries": None, "cluster_exchange": None, "max_length": 128,
}  # fmt: skip
_FOR_WEIGHTS: dict[str, tuple[Any, ...]] = {
    "dtype": ("auto", "float32"), "quantization": ("none",), "checkpointing": (False,),
}  # fmt: skip
