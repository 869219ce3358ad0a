#!/usr/bin/env sh
# PEFT 0.21.2 (transformers 5.23.0, torch 2.13.0), target_modules="all-linear" on Mixtral.
#
# PEFT warns that rank and alpha patterns of the fused expert weights "did not match any targeted module
# and were ignored".  They are not ignored: the factors of gate_up_proj have the doubled rank that the
# pattern asks for (2 x 2 ranks for each of 4 experts: 16 rows at r=2).
#
# Seen: "warned: True; rows of gate_up_proj's A: [16]".
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet torch==2.13.0
"$work/env/bin/pip" install --quiet peft==0.21.2 transformers==5.23.0
cat > "$work/look.py" <<'PYTHON'
import warnings

from peft import LoraConfig, get_peft_model
from transformers import MixtralConfig, MixtralForCausalLM

model = MixtralForCausalLM(
    MixtralConfig(vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=1,
                  num_attention_heads=4, num_key_value_heads=4, num_local_experts=4)
)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    adapted = get_peft_model(model, LoraConfig(r=2, target_modules="all-linear"))
warned = any("gate_up_proj" in str(each.message) and "ignored" in str(each.message)
             for each in caught)
rows = [value.shape[0] for name, value in adapted.named_parameters()
        if "lora_A" in name and value.shape[0] > 8]
print(f"warned: {warned}; rows of gate_up_proj's A: {rows}")
assert warned and rows == [16], "the behaviour has changed"
PYTHON
"$work/env/bin/python" "$work/look.py"
