"""Parts of the pages that the code itself says: keys, models, metrics, columns and the Python API.

What is written of a key, a model or a column stands in its docstring; this turns docstrings and the
JSON schema into Markdown, so that the pages cannot say anything else than the code.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from .api import python
from .keys import keys
from .models import models
from .tables import metrics_table, tables


def write(folder: Path) -> None:
    """Write all parts into a folder; those that have not changed are left alone."""
    folder.mkdir(exist_ok=True)
    parts: dict[str, Callable[[], str]] = {
        "keys": keys, "models": models, "metrics": metrics_table, "tables": tables, "api": python,
    }  # fmt: skip
    for name, make in parts.items():
        path, text = folder / f"{name}.md", make()
        if not path.is_file() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")
