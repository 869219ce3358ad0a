"""AdamW and SGD of many devices in one batch, each with its own moments, steps and learning rate.

A device keeps its moments from round to round, as in standalone training; only weights are
exchanged. With moments reset every round, most of the training would be Adam's first, nearly
sign-like steps.

Sources: Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015, Algorithm 1, in
PyTorch's fused form; decoupled weight decay after Loshchilov and Hutter, ICLR 2019 (for SGD too);
momentum as in PyTorch, v <- m v + g.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from ..adapters.flat_parameters import FlatParameters
from ..config import AdamW, Sgd

Tensors = tuple[torch.Tensor, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """State of one device's optimizer.

    Parameters
    ----------
    steps : number of steps so far
    first : running mean of the gradient, or the velocity of SGD: one vector over all trained
        entries, B^T of every layer, then A if it is trained; empty for SGD without momentum; of a
        user-defined optimizer all vectors of its state
    second : running mean of the squared gradient, likewise; empty for SGD
    """

    steps: int
    first: Tensors
    second: Tensors


class Stepper(Protocol):
    """An optimizer of flat parameters."""

    def step(self, gradients: torch.Tensor, count: int) -> None:
        """Update the first devices by their gradients, a matrix of the shape of the parameters."""

    def moments(self) -> list[Moments]:
        """Return the state of each device's optimizer, in main memory."""


class RoundMasks:
    """Stepper that leaves the entries outside the masks of a round as they are, moments included.

    Parameters
    ----------
    stepper : steps all entries, by gradients that are zero outside the masks
    rows : parameters of the devices, with masks
    starts : moments of each device before the round; None before its first step
    """

    def __init__(
        self, stepper: Stepper, rows: FlatParameters, starts: Sequence[Moments | None]
    ) -> None:
        self._stepper, self._rows, self._starts = stepper, rows, starts
        mask = rows.mask
        self._is_active = torch.ones_like(rows.trained) > 0 if mask is None else mask > 0
        self._begin = rows.trained.clone()

    @torch.no_grad()
    def step(self, gradients: torch.Tensor, count: int) -> None:
        """Update the active entries of the first devices."""
        self._stepper.step(gradients, count)
        rows, active = self._rows.trained[:count], self._is_active[:count]
        rows.copy_(torch.where(active, rows, self._begin[:count]))

    def moments(self) -> list[Moments]:
        """Return the state of each device's optimizer; that of inactive entries waits."""
        active = self._is_active.cpu()
        found = []
        for index, (now, start) in enumerate(
            zip(self._stepper.moments(), self._starts, strict=True)
        ):
            own = active[index, self._rows.entries(index)]
            before = Moments(0, (), ()) if start is None else start
            first = _waiting(own, now.first, before.first)
            second = _waiting(own, now.second, before.second)
            found.append(Moments(now.steps, first, second))
        return found


def make_stepper(
    config: Any,
    rows: FlatParameters,
    starts: Sequence[Moments | None],
    learning_rates: Sequence[float],
) -> Stepper:
    """Return the optimizer of a configuration.

    Parameters
    ----------
    config : which optimizer, built-in or user-defined
    rows : parameters of the devices, updated in place
    starts : moments of each device; None before its first step
    learning_rates : learning rate of each device
    """
    stepper: Stepper
    if isinstance(config, Sgd):
        stepper = StackedSgd(config, rows, starts, learning_rates)
    elif isinstance(config, AdamW):
        stepper = StackedAdamW(config, rows, starts, learning_rates)
    else:
        stepper = OwnStepper(config, rows, starts, learning_rates)
    return RoundMasks(stepper, rows, starts) if rows.has_round_masks else stepper


class _Moment:
    """One moment of all devices: one number per trained entry."""

    def __init__(self, rows: FlatParameters, starts: Sequence[Tensors]) -> None:
        self._rows = rows
        if all(starts) and not rows.any_padded:
            self.values = torch.stack([start[0] for start in starts]).to(rows.trained.device)
            return
        self.values = torch.zeros_like(rows.trained)
        for index, start in enumerate(starts):
            if start:
                self.values[index, rows.entries(index)] = start[0].to(self.values.device)

    def each(self) -> list[Tensors]:
        """Return the vector of each device, without padding, in main memory."""
        values = self.values.cpu()
        return [(row[self._rows.entries(index)].clone(),) for index, row in enumerate(values)]


class StackedAdamW:
    """AdamW of flat parameters."""

    def __init__(
        self,
        config: AdamW,
        rows: FlatParameters,
        starts: Sequence[Moments | None],
        learning_rates: Sequence[float],
    ) -> None:
        self._rows = rows
        self._decay = _decay(config.weight_decay, rows, learning_rates)
        self._first = _Moment(rows, [start.first if start else () for start in starts])
        self._second = _Moment(rows, [start.second if start else () for start in starts])
        self._steps = [0 if start is None else start.steps for start in starts]
        self._own = list(rows.trained)
        groups: dict[float, list[torch.Tensor]] = {}
        for row, rate in zip(self._own, learning_rates, strict=True):
            groups.setdefault(rate, []).append(row)
        self._adam = torch.optim.AdamW(
            [{"params": params, "lr": rate} for rate, params in groups.items()],
            weight_decay=0.0,
            fused=True,
        )
        for index, row in enumerate(self._own):
            self._adam.state[row] = {
                "step": torch.tensor(float(self._steps[index]), device=row.device),
                "exp_avg": self._first.values[index],
                "exp_avg_sq": self._second.values[index],
            }

    @torch.no_grad()
    def step(self, gradients: torch.Tensor, count: int) -> None:
        """Update the first devices; entries whose gradients were always zero do not change."""
        for index, row in enumerate(self._own):
            row.grad = gradients[index] if index < count else None
        for index in range(count):
            self._steps[index] += 1
        if self._decay is not None:
            self._rows.trained[:count] *= self._decay[:count]
        self._adam.step()

    def moments(self) -> list[Moments]:
        """Return the state of each device's optimizer."""
        each = zip(self._steps, self._first.each(), self._second.each(), strict=True)
        return [Moments(*one) for one in each]


class StackedSgd:
    """Gradient descent with momentum of flat parameters."""

    def __init__(
        self,
        config: Sgd,
        rows: FlatParameters,
        starts: Sequence[Moments | None],
        learning_rates: Sequence[float],
    ) -> None:
        self._rows = rows
        self._momentum = config.momentum
        self._decay = _decay(config.weight_decay, rows, learning_rates)
        self._rates = torch.tensor(learning_rates, device=rows.trained.device)[:, None]
        self._velocity = None
        if config.momentum:
            self._velocity = _Moment(rows, [start.first if start else () for start in starts])
        self._steps = [0 if start is None else start.steps for start in starts]

    @torch.no_grad()
    def step(self, gradients: torch.Tensor, count: int) -> None:
        """Update the first devices; entries whose gradients were always zero do not change."""
        for index in range(count):
            self._steps[index] += 1
        if self._decay is not None:
            self._rows.trained[:count] *= self._decay[:count]
        move = gradients[:count]
        if self._velocity is not None:
            move = self._velocity.values[:count].mul_(self._momentum).add_(move)
        self._rows.trained[:count].addcmul_(move, self._rates[:count], value=-1.0)

    def moments(self) -> list[Moments]:
        """Return the state of each device's optimizer."""
        velocities: list[Tensors] = [()] * len(self._steps)
        if self._velocity is not None:
            velocities = self._velocity.each()
        return [
            Moments(steps, velocity, ())
            for steps, velocity in zip(self._steps, velocities, strict=True)
        ]


class OptimizerRule(Protocol):
    """Interface of user-defined optimizers: the rule of one step of one device."""

    def step(
        self,
        values: torch.Tensor,
        gradient: torch.Tensor,
        state: Tensors,
        number: int,
        learning_rate: float,
    ) -> tuple[torch.Tensor, Sequence[torch.Tensor]]:
        """Return the values after a step, and the state that the next one is given.

        Parameters
        ----------
        values, gradient : (entries,) trained parameters, and clipped gradient of the objective
        state : vectors (entries,) that the step before returned; empty in the first one
        number : steps before this one
        learning_rate : learning rate of the round
        """
        ...


class OwnStepper:
    """User-defined optimizer, device by device; entries outside a mask do not change."""

    def __init__(
        self,
        config: Any,
        rows: FlatParameters,
        starts: Sequence[Moments | None],
        learning_rates: Sequence[float],
    ) -> None:
        self._rule: OptimizerRule = config
        self._name = config.model
        self._rows, self._learning_rates = rows, learning_rates
        self._steps = [0 if start is None else start.steps for start in starts]
        device = rows.trained.device
        self._state: list[Tensors] = [
            () if start is None else tuple(each.to(device) for each in start.first)
            for start in starts
        ]

    @torch.no_grad()
    def step(self, gradients: torch.Tensor, count: int) -> None:
        """Update the first devices.

        Raises
        ------
        ValueError
            if the rule does not return vectors of the shape of the parameters
        """
        for index in range(count):
            own = self._rows.entries(index)
            before = self._rows.trained[index, own]
            result = self._rule.step(
                before.clone(), gradients[index, own].clone(), self._state[index],
                self._steps[index], self._learning_rates[index],
            )  # fmt: skip
            after, self._state[index] = self._checked(result, before)
            if self._rows.mask is not None:
                after = torch.where(self._rows.mask[index, own] > 0, after, before)
            self._rows.trained[index, own] = after
            self._steps[index] += 1

    def moments(self) -> list[Moments]:
        """Return the state of each device's optimizer."""
        return [
            Moments(steps, tuple(each.cpu().clone() for each in state), ())
            for steps, state in zip(self._steps, self._state, strict=True)
        ]

    def _checked(self, result: Any, before: torch.Tensor) -> tuple[torch.Tensor, Tensors]:
        """Return values and state, which must be vectors like the values before."""
        shape = tuple(before.shape)
        if not (isinstance(result, tuple) and len(result) == 2):
            raise ValueError(f"{self._name}: step must return values and a tuple of state")
        values, state = result
        for part, each in (("values", values), *(("state", each) for each in state)):
            if not isinstance(each, torch.Tensor) or tuple(each.shape) != shape:
                found = getattr(each, "shape", type(each).__name__)
                found = tuple(found) if isinstance(found, torch.Size) else found
                raise ValueError(
                    f"{self._name}: {part} of step must be vectors of shape {shape}, got {found}"
                )
        if not bool(values.isfinite().all()):
            raise ValueError(f"{self._name}: values of step must be finite")
        return values, tuple(each.to(before.dtype) for each in state)


def _waiting(active: torch.Tensor, now: Tensors, before: Tensors) -> Tensors:
    """Return vectors (entries,) whose inactive entries are those before, or zero."""
    return tuple(
        torch.where(active, one, before[index] if index < len(before) else 0.0)
        for index, one in enumerate(now)
    )


def _decay(
    weight_decay: float, rows: FlatParameters, learning_rates: Sequence[float]
) -> torch.Tensor | None:
    """Return the factor of every entry in a step: 1 for masked entries; None without decay."""
    if not weight_decay:
        return None
    lost = weight_decay * torch.tensor(learning_rates, device=rows.trained.device)[:, None]
    return 1.0 - lost if rows.mask is None else 1.0 - lost * rows.mask
