"""Keys that the model of another section leaves without effect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_OF_PEERS = ("fl.topology", "fl.broadcast", "fl.broadcast_quantile")
_WITHOUT_EFFECT: dict[tuple[str, str], tuple[str, ...]] = {
    ("fl.protocol", "server"): _OF_PEERS,
    ("fl.protocol", "hierarchical"): _OF_PEERS,
    ("fl.protocol", "split"): _OF_PEERS,
    ("fl.method", "local"): ("fl.topology",),
    ("fl.method", "centralised"): ("fl.topology",),
}
"""Keys without effect by section and model of the other section."""


def without_effect(data: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield keys without effect in a resolved scenario, each with its reason: section and model.

    Parameters
    ----------
    data : values of the resolved scenario
    """
    for (section, model), keys in _WITHOUT_EFFECT.items():
        parent, _, name = section.rpartition(".")
        if (data.get(parent) or {}).get(name, {}).get("model") == model:
            yield from ((key, section, model) for key in keys)
