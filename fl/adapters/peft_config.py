"""Settings of a PEFT adapter: adapter_config.json, and what it says of each module.

Sources: `LoraConfig`, `check_target_module_exists` and `get_pattern_key` of PEFT 0.21;
rank-stabilized scaling, alpha / sqrt(rank), after Kalajdzievski, arXiv 2312.03732.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .targets import fits, matches, of_pattern

CONFIG = "adapter_config.json"

_APPLIED = frozenset(
    {
        "peft_type", "r", "lora_alpha", "rank_pattern", "alpha_pattern", "use_rslora",
        "target_modules", "exclude_modules", "layers_to_transform", "layers_pattern",
        "init_lora_weights",
    }
)  # fmt: skip
"""Settings that are applied."""

_WITHOUT_EFFECT = frozenset(
    {
        # Of the file and of training.
        "task_type", "auto_mapping", "base_model_name_or_path", "revision", "peft_version",
        "inference_mode", "lora_dropout", "runtime_config",
        # How the base model stores its weights, which the model itself says.
        "fan_in_fan_out",
        # Read by an initialization only, whose kind is `init_lora_weights`.
        "eva_config", "corda_config", "loftq_config", "lora_ga_config",
        # Read together with `megatron_config` or `use_qalora` only.
        "megatron_core", "qalora_group_size",
    }
)  # fmt: skip
"""Settings that do not change what given factors compute."""

_DEFAULTS = {"bias": "none"}
"""Defaults of other settings, where they are not null, false or empty."""

_INITIALIZATIONS = ("gaussian", "eva", "orthogonal", "mica")
"""Initializations, besides true and false, that leave the base weights as they are."""

_CHANGES_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")
"""Beginnings of the names of initializations that subtract from, or quantize, the base weights."""


def read_config(folder: Path) -> dict[str, Any]:
    """Return the settings of the adapter in a folder.

    Raises
    ------
    ValueError
        if the file is missing or malformed, the adapter is not LoRA, or a setting that is not
        understood differs from its default
    """
    path = folder / CONFIG
    if not path.is_file():
        raise ValueError(f"{folder}: an adapter's folder must hold {CONFIG}")
    try:
        config = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not JSON: {error}") from error
    kind = config.get("peft_type") if isinstance(config, dict) else None
    if kind != "LORA":
        raise ValueError(f"{path}: peft_type must be LORA, got {kind}")
    for name, value in config.items():
        if name not in _APPLIED | _WITHOUT_EFFECT and value and value != _DEFAULTS.get(name):
            default = _DEFAULTS.get(name)
            rule = f"must be {default}" if default else "must not be set"
            raise ValueError(f"{path}: {name} {rule}, got {_shown(value)}")
    _check_initialization(path, config.get("init_lora_weights", True))
    for name in ("r", "lora_alpha"):
        _check_positive(path, name, config.get(name))
    for name in ("rank_pattern", "alpha_pattern"):
        patterns = config.get(name) or {}
        if not isinstance(patterns, dict):
            raise ValueError(f"{path}: {name} must be an object, got {_shown(patterns)}")
        for pattern, value in patterns.items():
            _check_positive(path, f"{name} of {pattern}", value)
    if not config.get("target_modules"):
        raise ValueError(f"{path}: target_modules must name modules, got none")
    for name in ("target_modules", "exclude_modules", "layers_pattern"):
        _check_names(path, name, config.get(name) or ())
    layers = config.get("layers_to_transform") or ()
    if not all(isinstance(each, int) for each in _listed(layers)):
        raise ValueError(f"{path}: layers_to_transform must be whole numbers, got {_shown(layers)}")
    return dict(config)


def is_target(config: Mapping[str, Any], name: str) -> bool:
    """Return whether an adapter of these settings adapts a module."""
    excluded = config.get("exclude_modules") or ()
    if fits(excluded, name) if isinstance(excluded, str) else matches(name, excluded):
        return False
    targets = config["target_modules"]
    if isinstance(targets, str) or name in targets:
        return matches(name, targets)
    return matches(name, targets) and _is_transformed(config, name)


def rank_and_scale(config: Mapping[str, Any], name: str | None = None) -> tuple[int, float]:
    """Return the rank and the scale of a module, or those that hold without a pattern."""
    rank, alpha = config["r"], config["lora_alpha"]
    if name is not None:
        rank = of_pattern(name, config.get("rank_pattern") or {}, rank)
        alpha = of_pattern(name, config.get("alpha_pattern") or {}, alpha)
    return rank, alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _is_transformed(config: Mapping[str, Any], name: str) -> bool:
    """Return whether `layers_to_transform` includes the block of a module."""
    layers = config.get("layers_to_transform")
    if layers is None or layers == []:
        return True
    patterns = _listed(config.get("layers_pattern") or ())
    expressions = [rf"(?:^|.*?\.){pattern}\.(?P<index>\d+)\." for pattern in patterns]
    found = (re.match(each, name) for each in expressions or [r".*?\.[^.]*\.(?P<index>\d+)\."])
    match = next((each for each in found if each is not None), None)
    return match is not None and int(match["index"]) in _listed(layers)


def _check_initialization(path: Path, value: object) -> None:
    if value is None or isinstance(value, bool):
        return
    name = value.lower() if isinstance(value, str) else ""
    if name in _INITIALIZATIONS:
        return
    if name.startswith(_CHANGES_BASE):
        raise ValueError(
            f"{path}: init_lora_weights must leave the base weights unchanged, got {value}, whose "
            "factors are relative to weights that the files do not hold; save the adapter with "
            "PEFT's path_initial_model_for_weight_conversion"
        )
    known = ", ".join(("true", "false", *_INITIALIZATIONS))
    raise ValueError(f"{path}: init_lora_weights must be one of {known}, got {_shown(value)}")


def _check_positive(path: Path, name: str, value: object) -> None:
    if not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ValueError(f"{path}: {name} must be a positive number, got {_shown(value)}")


def _check_names(path: Path, name: str, value: object) -> None:
    if not isinstance(value, str | list | tuple) or not all(isinstance(x, str) for x in value):
        raise ValueError(f"{path}: {name} must be a text or a list of texts, got {_shown(value)}")


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else [value]


def _shown(value: object) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
