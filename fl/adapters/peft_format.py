"""PEFT checkpoint format of an adapter: written for `peft.PeftModel`, and read.

Sources: the files that PEFT 0.21 writes: adapter_config.json, adapter_model.safetensors. Of adapted
output layers and resized embeddings it writes copies of the base weights too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import nn

from .adapter import Adapter, Layer
from .linear import AdaptedLinear
from .peft_config import CONFIG, is_target, rank_and_scale, read_config

_TENSORS, _PICKLE = "adapter_model.safetensors", "adapter_model.bin"
_PREFIX = "base_model.model."
_KEY = re.compile(r"base_model\.model\.(.+)\.lora_([AB])(?:\.default)?\.weight")


def files(
    adapter: Adapter, layers: Sequence[Layer], base_model: str, transposed: bool
) -> dict[str, bytes]:
    """Return the two files of an adapter by name.

    Parameters
    ----------
    adapter : factors of every layer; its mask is not written, as B is zero outside of it
    layers : the adapted layers, in the order of the factors
    base_model : name or folder of the model
    transposed : whether the model stores its weights as (inputs, outputs), as GPT-2 does
    """
    rank, alpha = adapter.rank, adapter.scale * adapter.rank
    ranks: dict[str, int] = {}
    alphas: dict[str, float] = {}
    tensors = {}
    for index, (layer, a, b) in enumerate(zip(layers, adapter.written_a(), adapter.b, strict=True)):
        own = a.shape[0]
        if not own:
            continue
        ranks[layer.name], alphas[layer.name] = own, adapter.scale_at(index) * own
        tensors[f"{_PREFIX}{layer.name}.lora_A.weight"] = a.contiguous()
        tensors[f"{_PREFIX}{layer.name}.lora_B.weight"] = b.contiguous()
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base_model,
        "r": rank,
        "lora_alpha": alpha,
        "rank_pattern": {name: own for name, own in ranks.items() if own != rank},
        "alpha_pattern": {name: own for name, own in alphas.items() if own != alpha},
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": transposed,
        "target_modules": sorted(ranks),
        "inference_mode": True,
    }
    return {
        CONFIG: (json.dumps(config, indent=2) + "\n").encode(),
        _TENSORS: save(tensors, metadata={"format": "pt"}),
    }


def read(folder: Path, layers: Sequence[Layer], model: nn.Module | None = None) -> Adapter:
    """Return an adapter from a folder written by PEFT or with `files`.

    Layers without an adapter get factors of rank 0. Dropout, which affects training only, is
    ignored.

    Parameters
    ----------
    folder : contains adapter_config.json and adapter_model.safetensors
    layers : the adapted layers of the model
    model : the model, to which copies of its weights are compared; without it they are refused

    Raises
    ------
    ValueError
        if files are missing or corrupted, the adapter is more than low-rank factors of linear
        layers, a copy differs from the model's weights, or the adapter does not fit the layers
    """
    config = read_config(folder)
    factors = _factors(folder, model)
    known = {layer.name for layer in layers}
    for name in factors:
        if name not in known:
            raise ValueError(
                f"{folder}: module must be one of the model's adapted layers, got {name}"
            )
        if not is_target(config, name):
            raise ValueError(
                f"{folder}: {_TENSORS} must hold factors of the modules that {CONFIG} selects "
                f"only, got {name}"
            )
    a, b, scales = [], [], []
    for layer in layers:
        rank, scale = rank_and_scale(config, layer.name)
        scales.append(scale)
        if layer.name in factors:
            one_a, one_b = factors[layer.name]
            _check_shape(folder, layer, "lora_A", one_a, (rank, layer.inputs))
            _check_shape(folder, layer, "lora_B", one_b, (layer.outputs, rank))
        elif is_target(config, layer.name):
            raise ValueError(f"{folder}: {_TENSORS} must hold the factors of {layer.name}")
        else:
            one_a, one_b = torch.zeros(0, layer.inputs), torch.zeros(layer.outputs, 0)
        a.append(one_a)
        b.append(one_b)
    common = rank_and_scale(config)[1]
    differ = any(scale != common for scale in scales)
    return Adapter(tuple(a), tuple(b), common, layer_scales=tuple(scales) if differ else None)


def _factors(folder: Path, model: nn.Module | None) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Return A and B by module, in float32, and check copies of the model's weights."""
    path = folder / _TENSORS
    if not path.is_file():
        if (folder / _PICKLE).is_file():
            raise ValueError(
                f"{folder}: an adapter must be in safetensors format, found only {_PICKLE} "
                "(pickle files can run code)"
            )
        raise ValueError(f"{folder}: an adapter's folder must hold {_TENSORS}")
    try:
        tensors = load(path.read_bytes())
    except SafetensorError as error:
        raise ValueError(f"{path}: not safetensors: {error}") from error
    found: dict[str, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        match = _KEY.fullmatch(key)
        if match is None:
            _check_copy(path, key, tensor, model)
            continue
        found.setdefault(match[1], {})[match[2]] = tensor.float()
    for name, pair in found.items():
        if len(pair) < 2:
            raise ValueError(f"{path}: {name} must have lora_A and lora_B, got {min(pair)} alone")
    return {name: (pair["A"], pair["B"]) for name, pair in found.items()}


def _check_copy(path: Path, key: str, tensor: torch.Tensor, model: nn.Module | None) -> None:
    """Raise ValueError unless a tensor is a copy of the model's own weights.

    They are compared in the less precise of their two formats, as either may have been converted.
    """
    own = None if model is None else _weight(model, key)
    if own is None:
        raise ValueError(f"{path}: tensors must be factors of linear layers, got {key}")
    dtype = min(own.dtype, tensor.dtype, key=lambda each: (each.itemsize, each != torch.bfloat16))
    if own.shape != tensor.shape or not torch.equal(own.cpu().to(dtype), tensor.to(dtype)):
        raise ValueError(
            f"{path}: {key} must equal the model's own weights, but differs: the adapter is of "
            "another base model, or was saved with base weights that have changed"
        )


def _weight(model: nn.Module, key: str) -> torch.Tensor | None:
    """Return the model's weight of a key in PEFT's format, None if there is none."""
    name, _, leaf = key.removeprefix(_PREFIX).rpartition(".")
    try:
        module = model.get_submodule(name.removesuffix(".base_layer"))
    except AttributeError:
        return None
    found = getattr(module.base if isinstance(module, AdaptedLinear) else module, leaf, None)
    return found if isinstance(found, torch.Tensor) and found.is_floating_point() else None


def _check_shape(
    folder: Path, layer: Layer, factor: str, tensor: torch.Tensor, shape: tuple[int, int]
) -> None:
    if tuple(tensor.shape) != shape:
        raise ValueError(
            f"{folder}: {factor} of {layer.name} must be {shape[0]} by {shape[1]}, "
            f"got {' by '.join(map(str, tensor.shape))}"
        )
