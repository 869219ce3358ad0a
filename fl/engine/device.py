"""Where a model computes on this machine, and in which numbers."""

from __future__ import annotations

import time

import torch

from ..config import Computing

_SIDE = 512
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


def speed(threads: int) -> float:
    """Return what the processor does in a large product on some threads [FLOP/s]."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    square = torch.ones(_SIDE, _SIDE)
    took_s = []
    for _ in range(10):
        began_s = time.perf_counter()
        square @ square
        took_s.append(time.perf_counter() - began_s)
    torch.set_num_threads(before)
    # Other programs can only make it slower.
    return 2 * _SIDE**3 / min(took_s)
