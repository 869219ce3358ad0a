"""Construction of a network with random initial weights, which all devices share."""

from __future__ import annotations

import inspect
import warnings
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from wnsim.core.plugins import resolve

from ...engine.streams import key
from .bundled import BUNDLED

_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def load_network(
    name: str, input_shape: tuple[int, ...], classes: int, seed: int, device: str = "cpu"
) -> nn.Module:
    """Return a network in evaluation mode; its initial weights follow from the seed.

    Parameters
    ----------
    name : a key of `BUNDLED`, or `module:Net`, a `torch.nn.Module` or a function that returns one,
        in an imported module; it is called with those of the arguments `input_shape` and `classes`
        that it has
    input_shape, classes : shape of an input, and number of classes
    seed : seed of the initial weights
    device : torch device of the weights

    Raises
    ------
    ValueError
        if it is no such module, has batch normalisation, does not map inputs to logits, or has a
        loss that is no number
    """
    make: Any = BUNDLED.get(name) or resolve(name)
    if not callable(make):
        raise ValueError(f"{name} must be a torch.nn.Module, got a {type(make).__name__}")
    arguments: dict[str, Any] = {"input_shape": input_shape, "classes": classes}
    taken = inspect.signature(make).parameters
    for each in taken.values():
        if each.name not in arguments and each.default is each.empty and each.kind in _NAMED:
            raise ValueError(
                f"{name} must need no arguments but input_shape and classes, needs {each.name}"
            )
    # The fused attention of evaluation mode has no derivative.
    torch.backends.mha.set_fastpath_enabled(False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(key(seed, "initial weights"))
        module = make(**{each: value for each, value in arguments.items() if each in taken})
        if not isinstance(module, nn.Module):
            raise ValueError(f"{name} must be a torch.nn.Module, got a {type(module).__name__}")
        _check_modules(name, module)
        module.eval()
        # Lazy modules are initialised by their first input.
        _check_outputs(name, module, input_shape, classes)
    return module.to(torch.device(device))


def _check_modules(name: str, module: nn.Module) -> None:
    """Check that all state is in parameters, and note what evaluation mode turns off."""
    for place, each in module.named_modules():
        tracks = getattr(each, "track_running_stats", False)
        if isinstance(each, _BatchNorm) or tracks:
            raise ValueError(
                f"model {name}: {place} normalises batches, and its running statistics are no "
                "parameters that devices could average; use torch.nn.GroupNorm"
            )
    dropout = [each for each in module.modules() if isinstance(each, _DropoutNd) and each.p > 0]
    if dropout:
        warnings.warn(
            f"model {name}: its dropout is off, since results of a device must not depend on which "
            "devices are trained together",
            stacklevel=2,
        )


@torch.no_grad()
def _check_outputs(
    name: str, module: nn.Module, input_shape: tuple[int, ...], classes: int
) -> None:
    """Check that a network maps a batch of inputs to finite logits, the same each time."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(2, *input_shape, generator=generator)
    try:
        found = [module(inputs) for _ in range(2)]
    # As torch reports shapes that do not fit.
    except RuntimeError as error:
        raise ValueError(
            f"model {name} must take inputs of shape (batch, {', '.join(map(str, input_shape))}): "
            f"{str(error).splitlines()[0]}"
        ) from error
    first = found[0]
    shape = tuple(first.shape) if isinstance(first, torch.Tensor) else type(first).__name__
    if not isinstance(first, torch.Tensor) or first.ndim != 2 or first.shape[0] != len(inputs):
        raise ValueError(f"model {name} must return logits of shape (batch, classes), got {shape}")
    if first.shape[1] < classes:
        raise ValueError(
            f"model {name} must return a logit for each of {classes} classes, got {shape[1]}"
        )
    if not bool(torch.isfinite(first).all()):
        raise ValueError(f"model {name} must return finite logits, and does not")
    if not torch.equal(*found):
        raise ValueError(f"model {name} must return the same logits each time in evaluation mode")
    if not any(each.is_floating_point() for each in module.parameters()):
        raise ValueError(f"model {name} must have parameters")
    own: Any = getattr(module, "loss", None)
    if own is not None:
        with torch.enable_grad():
            logits = first.detach().requires_grad_()
            try:
                loss = own(logits, torch.zeros(len(inputs), dtype=torch.int64))
            except TypeError as error:
                raise ValueError(
                    f"loss of model {name} must take logits and labels: {error}"
                ) from error
        if not isinstance(loss, torch.Tensor) or loss.ndim:
            kind = tuple(loss.shape) if isinstance(loss, torch.Tensor) else type(loss).__name__
            raise ValueError(f"loss of model {name} must return a tensor of shape (), got {kind}")
        if not loss.requires_grad:
            raise ValueError(f"loss of model {name} must have a gradient by the logits")
