"""Target modules: selection of the linear modules to adapt.

Names and expressions select linear modules as in PEFT. Weights outside of linear modules, such as
the experts and routers of a mixture-of-experts model, which transformers 5 stores as parameters of
all experts together, take no adapter here, while PEFT adapts them as `target_parameters`.

Sources: `check_target_module_exists` and `get_pattern_key` of PEFT 0.21.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from .linear import is_linear

ALL_LINEAR = "all-linear"
_HEADS = ("score", "classifier")


def output_layer(model: nn.Module) -> nn.Module | None:
    """Return the output layer: logits of tokens, or of classes after a pooled encoder."""
    lm: Any = model
    found: nn.Module | None = lm.get_output_embeddings()
    heads = [found, *(getattr(model, name, None) for name in _HEADS)]
    return next((head for head in heads if head is not None), None)


def find(model: nn.Module, targets: Sequence[str] | str) -> dict[str, nn.Module]:
    """Return the linear modules to adapt, by name, in the model's order.

    Parameters
    ----------
    model : Hugging Face model
    targets : names, or suffixes of names after a dot; or one regular expression for whole names;
        `all-linear` or empty for every linear module except the output layer

    Raises
    ------
    ValueError
        if no linear module matches, one of the names matches none, or a name or the expression
        matches a weight outside of linear modules
    """
    _check_weights(model, targets)
    linear = {name: module for name, module in model.named_modules() if is_linear(module)}
    if not targets or (isinstance(targets, str) and targets.lower() == ALL_LINEAR):
        head = output_layer(model)
        found = {name: module for name, module in linear.items() if module is not head}
        if not found:
            raise ValueError("the model has no linear module")
        return found
    if not isinstance(targets, str):
        for target in targets:
            if not any(matches(name, [target]) for name in linear):
                raise ValueError(f"the model has no linear module named {target}")
    found = {name: module for name, module in linear.items() if matches(name, targets)}
    if not found:
        raise ValueError(f"the model has no linear module whose name matches {targets!r}")
    return found


def matches(name: str, targets: Sequence[str] | str) -> bool:
    """Return whether a module's name has one of the suffixes, or matches a regular expression."""
    if isinstance(targets, str):
        return targets.lower() == ALL_LINEAR or fits(targets, name)
    return any(name == target or name.endswith(f".{target}") for target in targets)


def of_pattern(name: str, patterns: Mapping[str, Any], default: Any) -> Any:
    """Return the value of the first pattern that matches the end of a module's name."""
    fitting = (value for key, value in patterns.items() if fits(rf"(.*\.)?({key})", name))
    return next(fitting, default)


def weights_outside(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the weights that multiply activations outside of linear modules, by name."""
    found = {}
    for prefix, module in model.named_modules():
        if is_linear(module) or isinstance(module, nn.Embedding | nn.modules.conv._ConvNd):
            continue
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.ndim > 1 and not name.endswith("bias"):
                found[f"{prefix}.{name}"] = parameter
    return found


def _check_weights(model: nn.Module, targets: Sequence[str] | str) -> None:
    """Raise ValueError if a name or an expression matches a weight that takes no adapter."""
    if not targets or (isinstance(targets, str) and targets.lower() == ALL_LINEAR):
        return
    for name in weights_outside(model):
        for candidate in (name, name.removesuffix(".weight")):
            if matches(candidate, targets):
                raise ValueError(
                    f"target_modules must match linear modules only, but match {name}, a weight "
                    "outside of them, which cannot be adapted"
                )


def fits(pattern: str, name: str) -> bool:
    """Return whether a regular expression matches a whole name.

    Raises
    ------
    ValueError
        if it is not a regular expression
    """
    try:
        return re.fullmatch(pattern, name) is not None
    except re.error as error:
        raise ValueError(f"not a regular expression: {pattern!r}: {error}") from error
