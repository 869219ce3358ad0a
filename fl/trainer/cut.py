"""Where a model is cut between a device and a server, and what crosses the cut in a step.

A language model is cut after its embeddings and a number of its decoder blocks, a network that is
an `nn.Sequential` after a number of its members.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ..adapters import AdaptedModel
from ..adapters.linear import parameter_count
from ..models.nets import Network

_LABEL_BYTES = 4


@dataclass(frozen=True, slots=True)
class Cut:
    """A cut of a model.

    Parameters
    ----------
    layers : number of the trained layers on the device, the first ones
    width : numbers that cross the cut for a token, or an input of a network
    share : share of the operations on the device
    """

    layers: int
    width: int
    share: float

    def activation_bytes(self, items: int, bits: int) -> tuple[int, int]:
        """Return the sizes of activations with labels, and of gradients, without header [byte].

        Parameters
        ----------
        items : number of tokens or inputs, each with a label
        bits : width of a value
        """
        values = -(-items * self.width * bits // 8)
        return values + _LABEL_BYTES * items, values


@dataclass(frozen=True, slots=True)
class SplitSteps:
    """Local steps of a device whose model is cut.

    Parameters
    ----------
    count : number of steps in a round
    forward_flops, backward_flops : operations of a step on the device, before and after the
        server's part [FLOP]
    server_flops : operations of a step on the server [FLOP]
    up_bytes, down_bytes : sizes of the messages of a step [byte]
    """

    count: int
    forward_flops: float
    backward_flops: float
    server_flops: float
    up_bytes: int
    down_bytes: int


def cut_of(model: AdaptedModel | Network, blocks: int) -> Cut:
    """Return the cut of a model after a number of blocks.

    Raises
    ------
    ValueError
        if it has not more blocks, or none that are known, or no trained layer on the device
    """
    return _of_network(model, blocks) if isinstance(model, Network) else _of_text(model, blocks)


def _of_text(model: AdaptedModel, blocks: int) -> Cut:
    """Return the cut of a language model."""
    lm: Any = model.model
    depth = lm.config.get_text_config().num_hidden_layers
    found = [
        (name, module)
        for name, module in lm.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) == depth
    ]
    if not found:
        raise ValueError("protocol split needs a model with a list of its blocks, got none")
    name, stack = found[0]
    _check(blocks, depth)
    first = tuple(f"{name}.{index}." for index in range(blocks))
    parameters = sum(parameter_count(block) for block in stack[:blocks])
    return Cut(
        _leading([layer.name.startswith(first) for layer in model.layers]),
        lm.config.get_text_config().hidden_size,
        parameters / model.parameter_count,
    )


def _of_network(network: Network, blocks: int) -> Cut:
    """Return the cut of a network."""
    module = network.module
    if not isinstance(module, nn.Sequential):
        raise ValueError(
            "protocol split needs a network that is an nn.Sequential, whose members it divides, "
            f"got {type(module).__name__}"
        )
    _check(blocks, len(module))
    names = [name for name, _ in list(module.named_children())[:blocks]]
    first = tuple(f"{name}." for name in names)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        # A slice of a subclass would be made by its own constructor.
        first_members = nn.Sequential(*list(module)[:blocks])
        out = first_members(torch.zeros(1, *network.input_shape, device=network.device))
    return Cut(
        _leading([layer.name.startswith(first) for layer in network.layers]),
        out.numel(),
        counter.get_total_flops() / network.flops_per_item[0],
    )


def _check(blocks: int, count: int) -> None:
    if blocks >= count:
        raise ValueError(
            f"protocol split: cut must be less than the model's {count} blocks, got {blocks}"
        )


def _leading(on_device: list[bool]) -> int:
    """Return how many layers are on the device, which are the first ones."""
    count = sum(on_device)
    if not count:
        raise ValueError("protocol split: no trained layer lies before the cut")
    return count
