"""Device selection, and the numerics fingerprint and speed of a device."""

from __future__ import annotations

import time

import torch

from ..config import Computing

_SIDE = 512
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def select_device(computing: Computing) -> tuple[str, torch.dtype]:
    """Return the device and dtype that a scenario requests, or the best ones available.

    Raises
    ------
    ValueError
        if the device does not exist
    """
    has_gpu = torch.cuda.is_available()
    if computing.device == "cuda" and not has_gpu:
        raise ValueError("trainer.device is cuda, but torch finds no GPU here")
    cuda = has_gpu and computing.device != "cpu"
    device = f"cuda:{torch.cuda.current_device()}" if cuda else "cpu"
    if computing.dtype != "auto":
        return device, _DTYPES[computing.dtype]
    return device, torch.bfloat16 if cuda else torch.float32


def numerics_fingerprint(device: torch.device, threads: int) -> list[str]:
    """Return the versions and properties that determine the rounding of results on a device."""
    if device.type == "cuda":
        return [torch.__version__, torch.cuda.get_device_name(device)]
    return [torch.__version__, torch.backends.cpu.get_cpu_capability(), str(threads)]


def matmul_flops_per_s(threads: int) -> float:
    """Measure the speed of the processor in a large matrix product [FLOP/s]."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    square = torch.ones(_SIDE, _SIDE)
    durations_s = []
    for _ in range(10):
        start_s = time.perf_counter()
        square @ square
        durations_s.append(time.perf_counter() - start_s)
    torch.set_num_threads(before)
    # Other processes can only slow it down.
    return 2 * _SIDE**3 / min(durations_s)
