"""Updates of user-defined methods: whose size is known only when they are made, and made once.

The built-in methods send updates of one size each, by a rule for shapes (`shapes_update`). A
user-defined `update` may select or compress values, and may keep state per device, such as the
error of a compressor. It is called once per device and round, at the simulated time of sending, and
charged as it is serialised.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import torch

from ..engine.jobs import Job, LazyValue

if TYPE_CHECKING:
    from ..adapters import Adapter, Layer
    from ..trainer.state import State
    from ..updates.codec import Update
    from ..updates.compression import Compression
    from . import Method


def is_user_defined(method: Method) -> bool:
    """Return whether a method's `update` is not a built-in one."""
    definer = type(method).__mro__[_depth(method, "update")]
    return not definer.__module__.startswith(__name__.partition(".")[0] + ".")


def has_shapes_rule(method: Method) -> bool:
    """Return whether the rule for shapes belongs to the method's own `update`.

    A class that redefines `update` alone inherits a rule for other updates.
    """
    return _depth(method, "shapes_update") <= _depth(method, "update")


def rule_for_shapes(method: Method, layers: Sequence[Layer], first_contact: bool) -> Update:
    """Return the update of an emulated model, from the method's own rule for shapes.

    Raises
    ------
    ValueError
        if a user-defined method has no rule of its own, or declares that its updates vary in size
    """
    name = type(method).__name__
    if getattr(method, "variable_size", False):
        raise ValueError(
            f"payload emulate needs updates of constant size, but those of {name} vary in size "
            "(variable_size)"
        )
    if is_user_defined(method) and not has_shapes_rule(method):
        raise ValueError(
            f"payload emulate needs the size of an update from shapes alone: {name} must define "
            "shapes_update, as it defines update"
        )
    return method.shapes_update(layers, first_contact)


def probe(method: Method, layers: Sequence[Layer], first_contact: bool) -> Update:
    """Return an update of random factors; the method's own state is not changed."""
    other = copy.deepcopy(method)
    return other.update(random_adapter(other, layers), 0, 0, first_contact)


def random_adapter(method: Method, layers: Sequence[Layer], seed: int = 0) -> Adapter:
    """Return an adapter with random B, and with a random mask if the method calibrates."""
    generator = torch.Generator().manual_seed(seed)
    adapter = method.initial(layers, seed, 0, 2)
    b = tuple(0.1 * torch.randn(each.shape, generator=generator) for each in adapter.b)
    if not any(method.calibration):
        return replace(adapter, b=b)
    mask = tuple(torch.rand(each.shape, generator=generator) < 0.5 for each in b)
    return replace(adapter, b=tuple(x * on for x, on in zip(b, mask, strict=True)), mask=mask)


class OwnUpdates:
    """Updates that devices make of their states, each made once.

    Parameters
    ----------
    method : method of the devices
    compression : compression of their updates; None for none
    """

    def __init__(self, method: Method, compression: Compression | None = None) -> None:
        self._method = method
        self._compression = compression
        self._unused = copy.deepcopy(method)
        self._made: WeakKeyDictionary[LazyValue[State], dict[bool, Update]] = WeakKeyDictionary()

    def of(
        self, device: int, round_: int | None, state: LazyValue[State], first_contact: bool = True
    ) -> Update:
        """Return the update of a device's state.

        Parameters
        ----------
        device, round_ : device, and round of the state; None for that of its local steps
        state : state of the device
        first_contact : whether it is for a receiver without the device's mask and A
        """
        if round_ is None:
            round_ = state.round if isinstance(state, Job) else 0
        made = self._made.setdefault(state, {})
        if first_contact not in made:
            adapter = state.value().adapter
            update = self._method.update(adapter, device, round_, first_contact)
            if self._compression is not None:
                update = self._compression.compressed(update)
            made[first_contact] = update
        return made[first_contact]

    def initial(self, adapter: Adapter) -> Update:
        """Return the update of the initial adapter, without effect on the state of a method."""
        return copy.deepcopy(self._unused).update(adapter, 0, 0, True)


def _depth(method: Method, name: str) -> int:
    """Return the position of the class that defines a name, in the order of resolution."""
    kinds = type(method).__mro__
    return next((place for place, kind in enumerate(kinds) if name in vars(kind)), len(kinds) - 1)
