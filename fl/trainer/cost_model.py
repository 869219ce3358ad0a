"""Cost model: sizes of messages and operations of steps, of the actual or an emulated model.

Operations of networks are counted (`Network.flops_per_item`); those of language models follow a
rule.

Sources: 4 operations per parameter and token for a step that differentiates through frozen
weights (2 forward, 2 backward), after Kaplan et al., "Scaling laws for neural language models",
2020 (6 with gradients of the weights themselves); the quadratic part of attention and the
operations of the adapters are neglected.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ..config import Emulate
from ..methods.extensions import (
    bytes_in,
    has_own_sizes,
    has_varying_sizes,
    planned,
    served_shapes,
    shapes_update_in,
    stored_entries,
    tailored_shapes,
)
from ..methods.user_updates import is_user_defined, probe, rule_for_shapes
from ..updates.codec import (
    BITS_PER_PARAMETER,
    HEADER_BYTES,
    SEED_BYTES,
    Tensors,
    Update,
    encoded_bytes,
    parameters_bytes,
)
from .cut import SplitSteps, cut_of

if TYPE_CHECKING:
    from ..adapters import AdaptedModel
    from ..methods import Method
    from ..models.nets import Network

_PARAMETER_BYTES = BITS_PER_PARAMETER // 8
_MOST_SIZES = 4


def architecture(name: str, target_modules: Sequence[str] | str = ()) -> AdaptedModel:
    """Return a public architecture without weights.

    The model is built on torch's meta device by the library's own code; tied embeddings count
    once.

    Raises
    ------
    ValueError
        if the architecture is unknown
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
    return AdaptedModel(model, target_modules)


class CostModel:
    """Sizes of messages and operations of steps.

    Parameters
    ----------
    emulate : architecture to emulate; None for the actual model
    method : method that makes the updates
    model : the actual model
    target_modules : modules of an emulated architecture that take adapters
    bits_per_parameter : width of a transmitted trained parameter
    blocks : number of the model's blocks on a device; None for all of them

    Attributes
    ----------
    cut : cut of the model after these blocks; None if devices hold all of it. Sizes of updates are
        those of the layers before it
    is_by_rule : whether all updates have one size by the method's rule for shapes; else each one is
        charged as it is serialised
    trains_a : whether every message carries the values of A
    values : number of trained values in an update

    Raises
    ------
    ValueError
        if a method without a rule for shapes, or of variable size, is to be emulated
    """

    def __init__(
        self,
        emulate: Emulate | None,
        method: Method,
        model: AdaptedModel | Network,
        target_modules: Sequence[str] | str = (),
        bits_per_parameter: int = BITS_PER_PARAMETER,
        blocks: int | None = None,
    ) -> None:
        self._emulate = emulate
        self._bits = bits_per_parameter
        if emulate is not None:
            model = architecture(emulate.emulate, target_modules)
        self._flops_per_item = model.flops_per_item
        self.cut = None if blocks is None else cut_of(model, blocks)
        self._layers = layers = model.layers[: None if self.cut is None else self.cut.layers]
        self._b_entries = sum(
            layer.outputs * rank for layer, rank in zip(layers, method.ranks(layers), strict=True)
        )
        # An A as wide as its layer is the identity, which is not stored.
        self._a_entries = sum(
            layer.inputs * rank
            for layer, rank in zip(layers, method.ranks(layers), strict=True)
            if rank < layer.inputs
        )
        varies = is_user_defined(method) or has_varying_sizes(method)
        self.is_by_rule = emulate is not None or not varies
        example = rule_for_shapes if self.is_by_rule else probe
        updates = {
            first: replace(example(method, layers, first), bits=bits_per_parameter)
            for first in (True, False)
        }
        self._sizes = {first: encoded_bytes(update) for first, update in updates.items()}
        self.values = _trained_values(updates[False])
        self._method = method
        self._average, self._first = method.average, updates[True]
        # A trained A is sent in every message, a device's own frozen A in the first one.
        self.trains_a = updates[False].a is not None
        self._own_a_bytes = 0 if self.trains_a else _a_bytes(updates[True])

    @property
    def distinguishes_contacts(self) -> bool:
        """Whether the first update to a receiver differs in size from later ones."""
        return self._sizes[True] != self._sizes[False]

    def size_bytes(self, first_contact: bool) -> int:
        """Return the size of an update's message [byte].

        That of random factors, if each update must be serialised to know its size.
        """
        return self._sizes[first_contact]

    def size_bytes_in(self, first_contact: bool, device: int, round_: int) -> int:
        """Return the size of the message with a device's update of a round [byte].

        For methods whose updates differ in size between rounds or devices by a rule.
        """
        plan = planned(self._method, device, round_)
        return self._size_bytes_in(first_contact, device, round_, *plan)

    @cache  # noqa: B019  (it lives as long as its run)
    def _size_bytes_in(self, first_contact: bool, device: int, round_: int, *plan: float) -> int:
        if not self.is_by_rule or not has_own_sizes(self._method):
            return self.size_bytes(first_contact)
        size = bytes_in(self._method, self._layers, device, round_, self._bits)
        if size is not None:
            return size
        update = shapes_update_in(self._method, self._layers, first_contact, device, round_)
        return encoded_bytes(replace(update, bits=self._bits))

    def mean_bytes(self, first_contact: bool, rounds: int, devices: int) -> int:
        """Return the mean size of an update's message over the first rounds and devices [byte].

        Parameters
        ----------
        first_contact : whether the messages are first ones to their receivers
        rounds, devices : of the run; at most four of each enter
        """
        sizes = [
            self.size_bytes_in(first_contact, device, round_)
            for device in range(min(devices, _MOST_SIZES))
            for round_ in range(1, 1 + min(rounds, _MOST_SIZES))
        ]
        return round(sum(sizes) / len(sizes))

    def serialised_bytes(self, update: Update) -> int:
        """Return the size of the message of one update [byte]."""
        return encoded_bytes(replace(update, bits=self._bits))

    @property
    def density(self) -> float:
        """Share of active entries of B in an update; 1 without a mask."""
        mask = self._first.mask
        if mask is None:
            return 1.0
        return sum(int(each.sum()) for each in mask) / sum(each.numel() for each in mask)

    @cached_property
    def average_bytes(self) -> int:
        """Size of the message with a server's average [byte]."""
        served = served_shapes(self._method, self._layers)
        if served is not None:
            return encoded_bytes(replace(served, bits=self._bits))
        # Computed once for equal layers: the average of a whole model need not fit into memory.
        found: dict[object, Update] = {}
        layers = []
        for index in range(len(self._layers)):
            part = _of_layer(self._first, index)
            active = None if part.mask is None else int(part.mask[0].sum())
            shape = (self._layers[index].inputs, part.b[0].shape, active)
            if shape not in found:
                found[shape] = self._average([part], [1.0])
            layers.append(found[shape])
        return encoded_bytes(replace(_concatenated(layers), bits=self._bits))

    def average_bytes_to(self, device: int, round_: int = 1, is_current: bool = False) -> int:
        """Return the size of the message with a server's average to a client [byte].

        Parameters
        ----------
        device, round_ : the client, and the round
        is_current : whether the client has received the average before
        """
        plan = planned(self._method, device, round_)
        return self._average_bytes_to(device, round_, is_current, *plan)

    @cache  # noqa: B019  (it lives as long as its run)
    def _average_bytes_to(self, device: int, round_: int, is_current: bool, *plan: float) -> int:
        part = tailored_shapes(self._method, self._layers, device, round_, is_current)
        return self.average_bytes if part is None else encoded_bytes(replace(part, bits=self._bits))

    @property
    def centroid_bytes(self) -> int:
        """Size of a device's prompt centroid [byte]."""
        return _PARAMETER_BYTES * sum(layer.inputs for layer in self._layers)

    def cluster_update_bytes(self, active: float, includes_mask: bool, newcomers: int) -> int:
        """Return the size of a cluster update's message to a device of another cluster [byte].

        Parameters
        ----------
        active : share of the entries of B that are active on at least one member
        includes_mask : whether the message carries the union of the members' masks
        newcomers : members whose A and prompt centroid the receiver does not have
        """
        size = HEADER_BYTES + self._trained_bytes(round(active * self._b_entries))
        if self.trains_a:
            size += self._trained_bytes(self._a_entries)
        if includes_mask and active < 1.0:
            size += -(-self._b_entries // 8)
        return size + newcomers * (self._own_a_bytes + self.centroid_bytes)

    def _trained_bytes(self, entries: int) -> int:
        """Return the size of trained entries of all layers together [byte]."""
        return parameters_bytes([entries, *[0] * (len(self._layers) - 1)], self._bits)

    def stored_bytes(self, states: int, devices: int, centroids: int, neighbors: int = 0) -> int:
        """Return the storage of cached adapters on a device, without masks [byte].

        Parameters
        ----------
        states : number of distinct states, each with a B, and an A if it is trained
        devices : number of devices whose states these are, each with its own A if it is frozen
        centroids : number of prompt centroids, by which a mixture routes
        neighbors : number of devices whose updates the device has received
        """
        of_a = states if self.trains_a else devices if self._own_a_bytes else min(devices, 1)
        entries = states * self._b_entries + of_a * self._a_entries
        if states:
            entries += stored_entries(self._method, self._layers, neighbors)
        return _PARAMETER_BYTES * entries + centroids * self.centroid_bytes

    def control_bytes(self, embedding_size: int = 0) -> int:
        """Return the size of a device's control message for clustering [byte].

        Parameters
        ----------
        embedding_size : length of its prompt embedding; 0 if the message carries the density of
            each layer and the position instead
        """
        if embedding_size:
            return HEADER_BYTES + _PARAMETER_BYTES * embedding_size
        # The position is two single-precision numbers.
        return HEADER_BYTES + _PARAMETER_BYTES * len(self._layers) + 8

    def listing_bytes(self, groups: int) -> int:
        """Return the size of a device's list of the cluster updates that it has [byte]."""
        # The round of each, in four bytes.
        return HEADER_BYTES + 4 * groups

    def tokens(self, batch_size: int, length: int) -> tuple[int, int]:
        """Return sequences per step and tokens per sequence, given those of the actual model."""
        if self._emulate is None:
            return batch_size, length
        return self._emulate.batch, self._emulate.length

    def split_steps(self, count: int, items: int, bits: int) -> SplitSteps | None:
        """Return the local steps of a device whose model is cut; None if it is whole.

        Parameters
        ----------
        count, items : number of steps, and of tokens or inputs in each
        bits : width of an activation and of its gradient
        """
        if self.cut is None:
            return None
        forward, training = self.forward_flops(items), self.training_flops(items)
        up, down = self.cut.activation_bytes(items, bits)
        return SplitSteps(
            count,
            self.cut.share * forward,
            self.cut.share * (training - forward),
            (1.0 - self.cut.share) * training,
            HEADER_BYTES + up,
            HEADER_BYTES + down,
        )

    def forward_flops(self, tokens: int) -> float:
        """Return the operations of a forward pass over tokens, or inputs of a network [FLOP]."""
        return float(self._flops_per_item[0] * tokens)

    def training_flops(self, tokens: int) -> float:
        """Return the operations of a forward and a backward pass over them [FLOP]."""
        return float(self._flops_per_item[1] * tokens)


def _a_bytes(update: Update) -> int:
    """Return the size of A, or of its seed, in an update [byte]."""
    if update.a is None:
        return 0 if update.a_seed is None else SEED_BYTES
    return _PARAMETER_BYTES * sum(a.numel() for a in update.a)


def _trained_values(update: Update) -> int:
    """Return the number of trained values in an update."""
    parts = update.b if update.mask is None else update.mask
    entries = sum(each.numel() if update.mask is None else int(each.sum()) for each in parts)
    if not update.a_frozen:
        entries += sum(each.numel() for each in update.a or ())
    return entries + sum(each.numel() for each in update.extra or ())


def _of_layer(update: Update, index: int) -> Update:
    """Return the part of an update for one layer."""

    def one(factors: Tensors | None) -> Tensors | None:
        return None if factors is None else (factors[index],)

    return replace(update, b=(update.b[index],), a=one(update.a), mask=one(update.mask))


def _concatenated(layers: Sequence[Update]) -> Update:
    """Return one update from those of several layers."""

    def joined(parts: Sequence[Tensors | None]) -> Tensors | None:
        return None if None in parts else tuple(each for part in parts for each in part or ())

    return replace(
        layers[0],
        b=joined([layer.b for layer in layers]) or (),
        a=joined([layer.a for layer in layers]),
        mask=joined([layer.mask for layer in layers]),
    )
