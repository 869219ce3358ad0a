"""A network whose parameters are trained on many devices, each with its own change of them.

Every parameter is a matrix: that of a linear module as it is, the kernel of a convolution flattened
to (outputs, inputs * height * width), and a vector as one column. A device's adapter holds its
change B A of each: with A the identity, full training; else LoRA on linear and convolution modules.

The devices of a batch run together (`torch.func.vmap`) where that is at least as fast as one after
another: while the largest activation of a device's step fits into a fast cache
(tests/benchmarks/networks.py).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.func import functional_call, vmap
from torch.nn.functional import cross_entropy
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.utils.flop_counter import FlopCounterMode

from ...adapters.adapter import Adapter, Layer
from ...adapters.flat_parameters import FlatParameters
from ...adapters.targets import matches
from .labelled import Labelled

if TYPE_CHECKING:
    from ...adapters.linear import Scale

Losses = Callable[[Sequence[Labelled]], torch.Tensor]
MOST_TOGETHER = 65_536
"""Largest activation of a device's step, in numbers, up to which devices run together."""


class Network:
    """A module with the changes of its parameters on several devices.

    Parameters
    ----------
    module : network in evaluation mode; a method `loss(logits, labels)` replaces the cross-entropy,
        and parameters with `requires_grad=False` stay as they are
    input_shape : shape of an input
    full : whether all parameters are trained, else the weights of linear and convolution modules
    target_modules : which modules are trained: suffixes of names, or a regular expression for whole
        names; empty for all
    most_together : largest activation of a device's step, in numbers, up to which devices run
        together

    Attributes
    ----------
    module, input_shape : the module, and the shape of an input
    layers : the trained parameters as matrices
    parameter_count : number of all parameters

    Raises
    ------
    ValueError
        if no module matches
    """

    def __init__(
        self,
        module: nn.Module,
        input_shape: tuple[int, ...],
        *,
        full: bool,
        target_modules: Sequence[str] | str = (),
        most_together: int = MOST_TOGETHER,
    ) -> None:
        self.module, self.input_shape = module, input_shape
        self._most_together = most_together
        self._start = {name: each.detach() for name, each in module.named_parameters()}
        self._buffers = dict(module.named_buffers())
        self._names = [
            name
            for name, each in module.named_parameters()
            if each.requires_grad and _is_trained(module, name, full, target_modules)
        ]
        if not self._names:
            kind = "module with parameters" if full else "linear or convolution module"
            raise ValueError(
                f"the model has no {kind} to be trained whose name matches {target_modules!r}"
            )
        self.layers = tuple(_layer(name, self._start[name]) for name in self._names)
        self._full = full
        self.parameter_count = sum(each.numel() for each in self._start.values())

    @property
    def device(self) -> torch.device:
        """Device of the parameters."""
        return next(iter(self._start.values())).device

    @cached_property
    def flops_per_item(self) -> tuple[int, int]:
        """Operations of a forward pass, and of a training step, for one input [FLOP].

        Those of products and convolutions; with LoRA, without those of the factors.
        """
        one = torch.zeros(1, *self.input_shape, device=self.device)
        with FlopCounterMode(display=False) as forward:
            self.module(one)
        total = int(forward.get_total_flops())
        if not self._full:
            return total, 2 * total
        weights = dict(self._start)
        weights |= {name: weights[name].detach().requires_grad_() for name in self._names}
        with FlopCounterMode(display=False) as training:
            functional_call(self.module, (weights, self._buffers), (one,)).sum().backward()
        return total, int(training.get_total_flops())

    @cached_property
    def activations(self) -> tuple[int, int]:
        """Numbers in the largest output of a module, and in those of all, for one input."""
        sizes: list[int] = [math.prod(self.input_shape)]

        def note(_: nn.Module, __: Any, output: Any) -> None:
            if isinstance(output, torch.Tensor):
                sizes.append(output.numel())

        leaves = [each for each in self.module.modules() if not list(each.children())]
        hooks = [each.register_forward_hook(note) for each in leaves]
        try:
            with torch.no_grad():
                self.module(torch.zeros(1, *self.input_shape, device=self.device))
        finally:
            for hook in hooks:
                hook.remove()
        return max(sizes), sum(sizes)

    def weights(
        self,
        a: Sequence[torch.Tensor] | None,
        b: Sequence[torch.Tensor],
        scales: torch.Tensor,
    ) -> dict[str, torch.Tensor]:
        """Return the parameters of one device by name.

        Parameters
        ----------
        a : per layer (1, rank, inputs); None for identities
        b : per layer (1, rank, outputs), the transpose of B
        scales : (layers,) factors of the products
        """
        found = dict(self._start)
        for index, name in enumerate(self._names):
            change = b[index][0].T if a is None else b[index][0].T @ a[index][0]
            found[name] = found[name] + (scales[index] * change).reshape(found[name].shape)
        return found

    def logits(self, weights: Mapping[str, torch.Tensor], inputs: torch.Tensor) -> torch.Tensor:
        """Return the logits of inputs (n, ...) with a device's parameters, (n, classes)."""
        found: torch.Tensor = functional_call(
            self.module, (dict(weights), self._buffers), (inputs,)
        )
        return found

    def weights_of(self, adapter: Adapter) -> dict[str, torch.Tensor]:
        """Return the parameters of the device with an adapter, by name."""
        rows = FlatParameters([adapter], self.device)
        factors = rows.split(rows.trained, rows.frozen)
        found = self.weights(*factors, _scales(rows.scales(1), 1, self.device)[0])
        return {name: each.detach() for name, each in found.items()}

    @contextmanager
    def gradients(
        self, rows: FlatParameters, count: int, gradients: torch.Tensor
    ) -> Iterator[Losses]:
        """Prepare steps of the first devices; see `fl.training.local_steps`.

        Parameters
        ----------
        rows : parameters of the devices
        count : number of devices that train
        gradients : (count, entries) receives the gradients of each step

        Yields
        ------
        a function that maps a batch of each device to the losses (count,) of a step
        """
        frozen = rows.frozen[:count]
        scales = _scales(rows.scales(count), count, self.device)

        def loss(
            row: torch.Tensor,
            of_frozen: torch.Tensor,
            of_scales: torch.Tensor,
            inputs: torch.Tensor,
            labels: torch.Tensor,
        ) -> torch.Tensor:
            weights = self.weights(*rows.split(row[None], of_frozen[None]), of_scales)
            return self._loss(self.logits(weights, inputs), labels)

        def step(batches: Sequence[Labelled]) -> torch.Tensor:
            inputs = torch.stack([each.inputs for each in batches]).to(self.device)
            labels = torch.stack([each.labels for each in batches]).to(self.device)
            leaf = rows.trained[:count].detach().requires_grad_()
            if self.runs_together(inputs.shape[1]):
                losses = vmap(loss)(leaf, frozen, scales, inputs, labels)
            else:
                each_device = zip(leaf, frozen, scales, inputs, labels, strict=True)
                losses = torch.stack([loss(*one) for one in each_device])
            gradients.copy_(torch.autograd.grad(losses.sum(), leaf)[0])
            return losses.detach()

        yield step

    def runs_together(self, batch_size: int) -> bool:
        """Return whether the devices of a batch run together, for inputs per device and step."""
        largest = batch_size * self.activations[0]
        return largest <= self._most_together and self._can_run_together

    @cached_property
    def _can_run_together(self) -> bool:
        """Whether all operations have a rule for batches, and none depends on values."""
        weights = {name: each[None] for name, each in self._start.items()}
        inputs = torch.zeros(1, 2, *self.input_shape, device=self.device)
        labels = torch.zeros(1, 2, dtype=torch.int64, device=self.device)
        try:
            with warnings.catch_warnings(), torch.no_grad():
                # Operations without a rule run one after another, slower than without vmap.
                warnings.filterwarnings("error", "There is a performance drop")
                vmap(lambda w, x, y: self._loss(self.logits(w, x), y))(weights, inputs, labels)
        # As torch reports operations that depend on values.
        except (RuntimeError, UserWarning):
            return False
        return True

    def _loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the loss of a batch: the module's own, or the mean cross-entropy [nat]."""
        own: Any = getattr(self.module, "loss", None)
        found: torch.Tensor = (cross_entropy if own is None else own)(logits, labels)
        return found


def _is_trained(module: nn.Module, name: str, full: bool, targets: Sequence[str] | str) -> bool:
    """Return whether a parameter is trained."""
    place, _, leaf = name.rpartition(".")
    owner = module.get_submodule(place)
    if targets and not matches(place, targets):
        return False
    adapts = isinstance(owner, nn.Linear | _ConvNd) and not isinstance(owner, _ConvTransposeNd)
    return full or (adapts and leaf == "weight")


def _layer(name: str, parameter: torch.Tensor) -> Layer:
    """Return a parameter as a matrix."""
    outputs = parameter.shape[0] if parameter.ndim else 1
    return Layer(name, parameter.numel() // outputs, outputs)


def _scales(scales: Sequence[Scale], count: int, device: torch.device) -> torch.Tensor:
    """Return the factors of the products, (devices, layers)."""
    of_layers = [
        each.flatten() if isinstance(each, torch.Tensor) else torch.full((count,), each)
        for each in scales
    ]
    return torch.stack([each.to(device) for each in of_layers], dim=1)
