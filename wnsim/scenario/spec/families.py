"""Unions of models, of which a section chooses one by its key `model`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Union

from wnsim.core.plugins import Family


def family(members: Mapping[str, type], title: str, protocol: type) -> Any:
    """Return the union type of a family's members, discriminated by `model`.

    Parameters
    ----------
    members : built-in models by name
    title : name of a member in messages
    protocol : required attributes of a user-defined member
    """
    choice: Any = Union[tuple(members.values())]  # noqa: UP007 - a union of a tuple has no other form
    return Annotated[choice, Family(title, protocol)]
