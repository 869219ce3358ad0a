"""PEFT checkpoint format of an adapter: written for `peft.PeftModel`, and read.

Sources: the files that PEFT 0.18 writes: adapter_config.json, adapter_model.safetensors;
rank-stabilized scaling, alpha / sqrt(rank), after Kalajdzievski, arXiv 2312.03732.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from .adapter import Adapter, Layer
from .targets import matches, of_pattern

_CONFIG, _TENSORS, _PICKLE = "adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"
_PREFIX = "base_model.model."
_KEY = re.compile(r"base_model\.model\.(.+)\.lora_([AB])(?:\.default)?\.weight")

_NOT_LORA = (
    "use_dora", "lora_bias", "modules_to_save", "use_qalora", "use_bdlora", "layer_replication",
    "target_parameters", "trainable_token_indices", "alora_invocation_tokens", "arrow_config",
    "kasa_config", "velora_config", "monteclora_config", "megatron_config",
)  # fmt: skip
"""Settings of adapters that are more than a product B A on each adapted linear layer."""


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
    for index, (layer, a, b) in enumerate(zip(layers, adapter.a, adapter.b, strict=True)):
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
        _CONFIG: (json.dumps(config, indent=2) + "\n").encode(),
        _TENSORS: save(tensors, metadata={"format": "pt"}),
    }


def read(folder: Path, layers: Sequence[Layer]) -> Adapter:
    """Return an adapter from a folder written by PEFT or with `files`.

    Layers without an adapter get factors of rank 0. Dropout, which affects training only, is
    ignored.

    Parameters
    ----------
    folder : contains adapter_config.json and adapter_model.safetensors
    layers : the adapted layers of the model

    Raises
    ------
    ValueError
        if files are missing or corrupted, the adapter is more than low-rank factors of linear
        layers, or it does not fit the layers
    """
    config = _config(folder)
    factors = _factors(folder, config)
    known = {layer.name for layer in layers}
    for name in factors:
        if name not in known:
            raise ValueError(
                f"{folder}: module must be one of the model's adapted layers, got {name}"
            )
    partial = config.get("layers_to_transform") is not None or config.get("exclude_modules")
    a, b, scales = [], [], []
    for layer in layers:
        rank, scale = _rank_and_scale(folder, config, layer.name)
        scales.append(scale)
        if layer.name in factors:
            one_a, one_b = factors[layer.name]
            _check_shape(folder, layer, "lora_A", one_a, (rank, layer.inputs))
            _check_shape(folder, layer, "lora_B", one_b, (layer.outputs, rank))
        elif not partial and matches(layer.name, config["target_modules"]):
            raise ValueError(f"{folder}: {_TENSORS} must hold the factors of {layer.name}")
        else:
            one_a, one_b = torch.zeros(0, layer.inputs), torch.zeros(layer.outputs, 0)
        a.append(one_a)
        b.append(one_b)
    common = _scale(config, config["lora_alpha"], config["r"])
    differ = any(scale != common for scale in scales)
    return Adapter(tuple(a), tuple(b), common, layer_scales=tuple(scales) if differ else None)


def _config(folder: Path) -> dict[str, Any]:
    path = folder / _CONFIG
    if not path.is_file():
        raise ValueError(f"{folder}: an adapter's folder must hold {_CONFIG}")
    try:
        config = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path}: not JSON: {error}") from error
    kind = config.get("peft_type") if isinstance(config, dict) else None
    if kind != "LORA":
        raise ValueError(f"{path}: peft_type must be LORA, got {kind}")
    for name in _NOT_LORA:
        if config.get(name):
            raise ValueError(f"{path}: {name} must not be set, got {config[name]}")
    if config.get("bias", "none") != "none":
        raise ValueError(f"{path}: bias must be none, got {config['bias']}")
    for name in ("r", "lora_alpha"):
        _check_positive(path, name, config.get(name))
    for name in ("rank_pattern", "alpha_pattern"):
        for pattern, value in (config.get(name) or {}).items():
            _check_positive(path, f"{name} of {pattern}", value)
    if not config.get("target_modules"):
        raise ValueError(f"{path}: target_modules must name modules, got none")
    return dict(config)


def _check_positive(path: Path, name: str, value: object) -> None:
    if not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ValueError(f"{path}: {name} must be a positive number, got {value}")


def _rank_and_scale(folder: Path, config: Mapping[str, Any], name: str) -> tuple[int, float]:
    rank = of_pattern(name, config.get("rank_pattern") or {}, config["r"])
    alpha = of_pattern(name, config.get("alpha_pattern") or {}, config["lora_alpha"])
    return rank, _scale(config, alpha, rank)


def _scale(config: Mapping[str, Any], alpha: float, rank: int) -> float:
    scale: float = alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)
    return scale


def _factors(
    folder: Path, config: Mapping[str, Any]
) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Return A and B by module, in float32."""
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
            raise ValueError(f"{path}: tensors must be factors of linear layers, got {key}")
        found.setdefault(match[1], {})[match[2]] = tensor.float()
    for name, pair in found.items():
        if len(pair) < 2:
            raise ValueError(f"{path}: {name} must have lora_A and lora_B, got {min(pair)} alone")
    return {name: (pair["A"], pair["B"]) for name, pair in found.items()}


def _check_shape(
    folder: Path, layer: Layer, factor: str, tensor: torch.Tensor, shape: tuple[int, int]
) -> None:
    if tuple(tensor.shape) != shape:
        raise ValueError(
            f"{folder}: {factor} of {layer.name} must be {shape[0]} by {shape[1]}, "
            f"got {' by '.join(map(str, tensor.shape))}"
        )
