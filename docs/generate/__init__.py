"""Generated parts of the pages: keys, models, metrics, columns and the Python API.

Keys, models and columns are described in docstrings; this turns docstrings and the JSON schema into
Markdown, so that the pages cannot contradict the code.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from .api import python
from .keys import keys
from .models import models
from .tables import metrics_table, tables


def write(docs: Path) -> None:
    """Write all parts into the folder of the pages; unchanged files are not touched."""
    parts: dict[str, Callable[[], str]] = {
        "models": models, "metrics": metrics_table, "tables": tables, "api": python,
    }  # fmt: skip
    files = {docs / "_generated" / f"{name}.md": make() for name, make in parts.items()}
    for name, text in keys().items():
        page = "_generated/keys.md" if name == "index" else f"keys/{name}.md"
        files[docs / page] = text
    for path, text in files.items():
        path.parent.mkdir(exist_ok=True)
        if not path.is_file() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")
