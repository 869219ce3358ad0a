#!/usr/bin/env sh
# PEFT 0.21.2 (transformers 5.23.0, torch 2.13.0), init_lora_weights="pissa_niter_4".
#
# An adapter that was never trained, saved and loaded again onto the same base model, should leave its
# logits as they are.  With "pissa" it does (to rounding); with "pissa_niter_4" it does not: the
# randomised singular value decomposition that was subtracted from the base weights is drawn once more
# at loading, with other numbers, and does not fit the saved factors.
#
# Seen: "pissa: 0.0000  pissa_niter_4: 3.5796".
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet torch==2.13.0
"$work/env/bin/pip" install --quiet peft==0.21.2 transformers==5.23.0
cat > "$work/look.py" <<'PYTHON'
import sys
import tempfile

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM


def base():
    torch.manual_seed(1)
    return LlamaForCausalLM(
        LlamaConfig(vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
                    num_attention_heads=4, num_key_value_heads=4, initializer_range=0.2)
    ).eval()


tokens = torch.arange(12)[None]
found = {}
for kind in ("pissa", "pissa_niter_4"):
    with torch.no_grad():
        before = base()(tokens).logits
    config = LoraConfig(r=4, target_modules=["q_proj", "o_proj"], init_lora_weights=kind)
    with tempfile.TemporaryDirectory() as folder:
        get_peft_model(base(), config).save_pretrained(folder)
        fresh = base()
        # Another process has other random numbers.
        torch.manual_seed(2)
        loaded = PeftModel.from_pretrained(fresh, folder).eval()
    with torch.no_grad():
        found[kind] = float((loaded(tokens).logits - before).abs().max())
print("  ".join(f"{kind}: {value:.4f}" for kind, value in found.items()))
assert found["pissa"] < 1e-3 < 1e-2 < found["pissa_niter_4"], "the behaviour has changed"
sys.exit(0)
PYTHON
"$work/env/bin/python" "$work/look.py"
