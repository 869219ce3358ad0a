"""A device's adapter in PEFT's on-disk format, to be loaded by `peft.PeftModel.from_pretrained`.

Sources: the files that PEFT 0.18 writes: adapter_config.json, adapter_model.safetensors.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from safetensors.torch import save

from .adapters.adapter import Adapter, Layer


def files(
    adapter: Adapter, layers: Sequence[Layer], base_model: str, transposed: bool
) -> dict[str, bytes]:
    """Return the two files of an adapter by name.

    Parameters
    ----------
    adapter : factors of every layer; a mask has left its trace in B and is not kept
    layers : the adapted layers, in the order of the factors
    base_model : name or folder of the model
    transposed : whether the model stores its weights (inputs, outputs), as GPT-2 does
    """
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base_model,
        "r": adapter.rank,
        "lora_alpha": adapter.scale * adapter.rank,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": transposed,
        "target_modules": sorted(layer.name for layer in layers),
        "inference_mode": True,
    }
    tensors = {}
    for layer, a, b in zip(layers, adapter.a, adapter.b, strict=True):
        tensors[f"base_model.model.{layer.name}.lora_A.weight"] = a.contiguous()
        tensors[f"base_model.model.{layer.name}.lora_B.weight"] = b.contiguous()
    return {
        "adapter_config.json": (json.dumps(config, indent=2) + "\n").encode(),
        "adapter_model.safetensors": save(tensors, metadata={"format": "pt"}),
    }
