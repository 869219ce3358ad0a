"""Digests of everything that a result depends on: model, data and code."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from wnsim.core import streams
from wnsim.core.plugins import source_file

if TYPE_CHECKING:
    from collections.abc import Iterable


def digest_of_tensors(tensors: Iterable[torch.Tensor]) -> str:
    """Return a digest of the shapes, dtypes and bits of tensors."""
    found = hashlib.blake2b(digest_size=16)
    for tensor in tensors:
        found.update(f"{tuple(tensor.shape)} {tensor.dtype}".encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        found.update(flat.view(torch.uint8).numpy().data if flat.numel() else b"")
    return found.hexdigest()


def digest_of_model(model: torch.nn.Module) -> str:
    """Return a digest of a model's weights and configuration."""
    settings: Any = getattr(model, "config", None)
    text = settings.to_json_string() if settings is not None else ""
    weights = digest_of_tensors(model.state_dict().values())
    return hashlib.blake2b((text + weights).encode(), digest_size=16).hexdigest()


def digest_of_start(folder: str | None) -> str:
    """Return a digest of the adapter in a folder, empty without a folder."""
    if folder is None:
        return ""
    found = hashlib.blake2b(digest_size=16)
    for path in sorted(Path(folder).glob("adapter_*")):
        found.update(path.read_bytes())
    return found.hexdigest()


def plugin_code_digest(name: str) -> str:
    """Return a digest of the source file of a plugin by its name, empty for a built-in model."""
    path = source_file(name) if ":" in name else None
    return "" if path is None else hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()


@functools.cache
def code_digest() -> str:
    """Return a digest of this package's code, and of the random streams that it draws from."""
    found = hashlib.blake2b(digest_size=16)
    root = Path(__file__).parent
    for path in sorted(root.rglob("*.py")):
        found.update(path.relative_to(root).as_posix().encode())
        found.update(path.read_bytes())
    found.update(Path(streams.__file__).read_bytes())
    return found.hexdigest()
