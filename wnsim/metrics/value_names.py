"""Short texts for swept values: numbers and words as they are, sections by their models."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any


def value_names(values: Sequence[Any]) -> dict[str, str]:
    """Return a text for each different value of a swept key, by the value as JSON.

    Lists are joined by slashes, and sections named by their models. Values within which there are
    lists or sections again, and those whose texts would be equal, are numbered in their order.

    Parameters
    ----------
    values : values of the key, repeated ones too
    """
    different = {json.dumps(value): value for value in values}
    texts = {name: _text(value) for name, value in different.items()}
    count = Counter(texts.values())
    return {
        name: text if text and count[text] == 1 else f"{text} #{number}".strip()
        for number, (name, text) in enumerate(texts.items(), start=1)
    }


def _text(value: Any) -> str:
    """Return the text of a value, empty if it has none that is short."""
    if isinstance(value, Mapping):
        model, others = value.get("model"), {k: v for k, v in value.items() if k != "model"}
        if not all(_is_plain(each) for each in others.values()):
            return "" if model is None else str(model)
        rest = ", ".join(f"{key} {_plain(each)}" for key, each in others.items())
        return f"{model} ({rest})" if model and rest else str(model or rest)
    if isinstance(value, list | tuple):
        return "/".join(map(_plain, value)) if all(map(_is_plain, value)) else ""
    return _plain(value)


def _is_plain(value: Any) -> bool:
    return not isinstance(value, Mapping | list | tuple)


def _plain(value: Any) -> str:
    return "none" if value is None else str(value)
