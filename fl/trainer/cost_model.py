"""How large a message is and how much work a step is: of the model at hand, or of an emulated one.

Sources: 4 operations per parameter and token for a step that differentiates through frozen
weights (2 forward, 2 backward), after Kaplan et al., "Scaling laws for neural language models",
2020 (6 with gradients of the weights themselves); attention's quadratic part and the adapters'
own operations are left out.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ..adapters.adapter import Layer
from ..config import Emulate
from ..updates.codec import (
    BITS_PER_VALUE,
    HEADER_BYTES,
    SEED_BYTES,
    Tensors,
    Update,
    encoded_bytes,
    values_bytes,
)

if TYPE_CHECKING:
    from ..adapters import AdaptedModel
    from ..methods import Method

_VALUE_BYTES = BITS_PER_VALUE // 8
FORWARD_FLOPS = 2
TRAINING_FLOPS = 4


def architecture(
    name: str, target_modules: Sequence[str] | str = ()
) -> tuple[tuple[Layer, ...], int]:
    """Return the adapted layers and the number of parameters of a public architecture.

    The model is built without weights on torch's meta device, so the shapes are those of the
    library's own code; tied embeddings count once.

    Raises
    ------
    ValueError
        if the architecture is not known
    """
    known = json.loads((Path(__file__).parent / "architectures.json").read_text("utf-8"))
    if name not in known or name.startswith("_"):
        raise ValueError(f"unknown architecture {name!r}; known: {', '.join(list(known)[1:])}")
    from transformers import AutoConfig, AutoModelForCausalLM

    from ..adapters.stacked import AdaptedModel

    settings = dict(known[name])
    config = AutoConfig.for_model(settings.pop("model_type"), **settings)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    adapted = AdaptedModel(model, target_modules)
    return adapted.layers, adapted.parameter_count


class Payload:
    """Sizes of messages and operations of steps.

    Parameters
    ----------
    emulate : the architecture to emulate, or None for the model at hand
    method : whose updates are sent
    model : the model at hand
    target_modules : which modules of an emulated architecture take adapters
    bits_per_parameter : of a value that is trained
    """

    def __init__(
        self,
        emulate: Emulate | None,
        method: Method,
        model: AdaptedModel,
        target_modules: Sequence[str] | str = (),
        bits_per_parameter: int = BITS_PER_VALUE,
    ) -> None:
        self._emulate = emulate
        self._value_bits = bits_per_parameter
        if emulate is None:
            layers, self._parameters = model.layers, model.parameter_count
        else:
            layers, self._parameters = architecture(emulate.emulate, target_modules)
        self._layers = layers
        self._b_entries = sum(
            layer.outputs * rank for layer, rank in zip(layers, method.ranks(layers), strict=True)
        )
        # An A as wide as its layer is the identity, which nobody keeps.
        self._a_entries = sum(
            layer.inputs * rank
            for layer, rank in zip(layers, method.ranks(layers), strict=True)
            if rank < layer.inputs
        )
        updates = {
            first: replace(method.shapes_update(layers, first), bits=bits_per_parameter)
            for first in (True, False)
        }
        self._sizes = {first: encoded_bytes(update) for first, update in updates.items()}
        self._average, self._first = method.average, updates[True]
        # A that is trained goes with every message, a frozen one of one's own with the first.
        self._trains_a = updates[False].a is not None
        self._own_a_bytes = 0 if self._trains_a else _a_bytes(updates[True])

    def size_bytes(self, first_contact: bool) -> int:
        """Return the size that the air is charged for an update [byte]."""
        return self._sizes[first_contact]

    @cached_property
    def average_bytes(self) -> int:
        """Size of what a server tells [byte]."""
        # Once for all layers alike: averages of a whole model need not fit into memory.
        found: dict[object, Update] = {}
        layers = []
        for place in range(len(self._layers)):
            part = _of_layer(self._first, place)
            active = None if part.mask is None else int(part.mask[0].sum())
            alike = (self._layers[place].inputs, part.b[0].shape, active)
            if alike not in found:
                found[alike] = self._average([part], [1.0])
            layers.append(found[alike])
        return encoded_bytes(replace(_joined(layers), bits=self._value_bits))

    @property
    def centroid_bytes(self) -> int:
        """Size of the mean of a device's prompts in every layer [byte]."""
        return _VALUE_BYTES * sum(layer.inputs for layer in self._layers)

    def shared_bytes(self, active: float, tells_mask: bool, newcomers: int) -> int:
        """Return the size of what the head of a group tells those outside of it [byte].

        Parameters
        ----------
        active : share of the entries of B that some member has active
        tells_mask : whether the receiver does not know yet which those are
        newcomers : members of whom it holds neither A nor the mean of their prompts
        """
        size = HEADER_BYTES + self._trained_bytes(round(active * self._b_entries))
        if self._trains_a:
            size += self._trained_bytes(self._a_entries)
        if tells_mask and active < 1.0:
            size += -(-self._b_entries // 8)
        return size + newcomers * (self._own_a_bytes + self.centroid_bytes)

    def _trained_bytes(self, entries: int) -> int:
        """Return the size of values that are trained, in all layers together [byte]."""
        return values_bytes([entries, *[0] * (len(self._layers) - 1)], self._value_bits)

    def stored_bytes(self, states: int, devices: int, means: int) -> int:
        """Return what adapters take of a device's memory, masks apart [byte].

        Parameters
        ----------
        states : different states, each with its B, and its A if that is trained
        devices : whose states these are; each has its A if that is frozen and its own
        means : devices the mean of whose prompts is kept, by which a mixture chooses
        """
        of_a = states if self._trains_a else devices if self._own_a_bytes else min(devices, 1)
        values = states * self._b_entries + of_a * self._a_entries
        return _VALUE_BYTES * values + means * self.centroid_bytes

    def control_bytes(self, sketch: int = 0) -> int:
        """Return the size of what a device tells all others to be put in a group [byte].

        Parameters
        ----------
        sketch : numbers of its sketch; 0: it tells the density of each layer, and where it is
        """
        if sketch:
            return HEADER_BYTES + _VALUE_BYTES * sketch
        # A position of two single-precision numbers.
        return HEADER_BYTES + _VALUE_BYTES * len(self._layers) + 8

    def listing_bytes(self, groups: int) -> int:
        """Return the size of what a device tells all others of the groups it has heard [byte]."""
        # Of each the round, in four bytes.
        return HEADER_BYTES + 4 * groups

    def tokens(self, batch_size: int, length: int) -> tuple[int, int]:
        """Return sequences per step and tokens per sequence, given those of the model at hand."""
        if self._emulate is None:
            return batch_size, length
        return self._emulate.batch, self._emulate.length

    def forward_flops(self, tokens: int) -> float:
        """Return the operations of running forward over tokens [FLOP]."""
        return float(FORWARD_FLOPS * self._parameters * tokens)

    def training_flops(self, tokens: int) -> float:
        """Return the operations of running forward and backward over tokens [FLOP]."""
        return float(TRAINING_FLOPS * self._parameters * tokens)


def _a_bytes(update: Update) -> int:
    """Return how many bytes of an update are of A [byte]."""
    if update.a is None:
        return 0 if update.a_seed is None else SEED_BYTES
    return _VALUE_BYTES * sum(a.numel() for a in update.a)


def _of_layer(update: Update, place: int) -> Update:
    """Return the part of an update that is of one layer."""

    def one(factors: Tensors | None) -> Tensors | None:
        return None if factors is None else (factors[place],)

    return replace(update, b=(update.b[place],), a=one(update.a), mask=one(update.mask))


def _joined(layers: Sequence[Update]) -> Update:
    """Return one update of the parts of several layers."""

    def joined(parts: Sequence[Tensors | None]) -> Tensors | None:
        return None if None in parts else tuple(each for part in parts for each in part or ())

    return replace(
        layers[0],
        b=joined([layer.b for layer in layers]) or (),
        a=joined([layer.a for layer in layers]),
        mask=joined([layer.mask for layer in layers]),
    )
