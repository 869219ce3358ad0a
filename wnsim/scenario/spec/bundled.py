"""Bundled scenarios."""

from __future__ import annotations

from importlib import resources
from pathlib import Path


def shipped() -> dict[str, Path]:
    """Return the bundled scenarios by file name."""
    inside = Path(str(resources.files("wnsim"))) / "scenarios"
    folder = inside if inside.is_dir() else inside.parent.parent / "scenarios"
    return {path.name: path for path in sorted(folder.glob("*.yaml"))}
