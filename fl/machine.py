"""Where a model computes on this machine, and in which numbers."""

from __future__ import annotations

import torch

from .config import Computing

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def place_of(computing: Computing) -> tuple[str, torch.dtype]:
    """Return the device and the type of numbers that a scenario asks for, or the best there is.

    Raises
    ------
    ValueError
        if there is no such device
    """
    there = torch.cuda.is_available()
    if computing.device == "cuda" and not there:
        raise ValueError("trainer.device is cuda, but torch finds no GPU here")
    cuda = there and computing.device != "cpu"
    device = f"cuda:{torch.cuda.current_device()}" if cuda else "cpu"
    if computing.dtype != "auto":
        return device, _DTYPES[computing.dtype]
    return device, torch.bfloat16 if cuda else torch.float32


def bits_of(device: torch.device, threads: int) -> list[str]:
    """Return what decides the last bits of results on a device of this machine."""
    if device.type == "cuda":
        return [torch.__version__, torch.cuda.get_device_name(device)]
    return [torch.__version__, torch.backends.cpu.get_cpu_capability(), str(threads)]
