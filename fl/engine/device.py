"""Device selection, and the numerics fingerprint and speed of a device."""

from __future__ import annotations

import time

import torch

from ..config import Computing

_SIDE = 512
# Below this width, rounding activations takes longer than products in bfloat16 save.
_LEAST_WIDTH = 512
# Speed-up of products from which bfloat16 is chosen: processors with instructions for it have
# twice the rate of float32, and others a fraction.
_LEAST_SPEEDUP = 1.5
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def select_device(computing: Computing) -> tuple[str, torch.dtype]:
    """Return the device and dtype that a scenario requests, or else the usual ones available.

    On a CPU, `convert_if_faster` decides about a model that was loaded in float32.

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


def convert_if_faster(computing: Computing, model: torch.nn.Module) -> bool:
    """Convert a float32 model to bfloat16 if products then are much faster; return whether it was.

    That is measured on this processor, if the scenario leaves the dtype open and the model is on a
    CPU and wide enough.

    Parameters
    ----------
    computing : requested device and dtype
    model : Hugging Face model
    """
    width = getattr(getattr(model, "config", None), "hidden_size", 0)
    parameter = next(model.parameters())
    is_open = computing.dtype == "auto" and computing.quantization == "none"
    if not is_open or parameter.device.type != "cpu" or parameter.dtype != torch.float32:
        return False
    if width < _LEAST_WIDTH or _bfloat16_speedup(computing.threads) < _LEAST_SPEEDUP:
        return False
    model.to(torch.bfloat16)
    return True


def _bfloat16_speedup(threads: int) -> float:
    """Measure how much faster a matrix product is in bfloat16 than in float32."""
    single = _product_s(torch.float32, threads)
    return single / _product_s(torch.bfloat16, threads)


def numerics_fingerprint(device: torch.device, threads: int) -> list[str]:
    """Return the versions and properties that determine the rounding of results on a device."""
    if device.type == "cuda":
        return [torch.__version__, torch.cuda.get_device_name(device)]
    return [torch.__version__, torch.backends.cpu.get_cpu_capability(), str(threads)]


def matmul_flops_per_s(threads: int, precision: str = "float32") -> float:
    """Measure the speed of the processor in a large matrix product [FLOP/s].

    Parameters
    ----------
    threads : number of threads
    precision : `float32` or `bfloat16`
    """
    return 2 * _SIDE**3 / _product_s(_DTYPES[precision], threads)


def _product_s(dtype: torch.dtype, threads: int) -> float:
    """Measure the duration of a product of square matrices with the side `_SIDE` [s]."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    square = torch.ones(_SIDE, _SIDE, dtype=dtype)
    durations_s = []
    for _ in range(10):
        start_s = time.perf_counter()
        square @ square
        durations_s.append(time.perf_counter() - start_s)
    torch.set_num_threads(before)
    # Other processes can only slow it down.
    return min(durations_s)
