"""The work of the training benchmark: by a PEFT loop, stacked, and by Flower's simulation.

python tests/benchmarks/jobs.py (flower | stacked) ROWS LENGTH ROUNDS does a complete job of 32
devices and federated averaging, and prints the norm of the adapter that comes out.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

if TYPE_CHECKING:
    from fl.adapters import Adapter, Layer
    from fl.models.language_model import Encoded
    from fl.tasks import Example
    from fl.training.local_steps import LocalTraining, TrainingResult

HIDDEN, LAYERS, MLP, VOCABULARY, RANK, STEPS, RATE = 128, 4, 352, 512, 8, 5, 1e-3
DEVICES = 32
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
_WEIGHTS = LAYERS * (4 * HIDDEN**2 + 3 * HIDDEN * MLP) + HIDDEN * VOCABULARY
_ADAPTER = LAYERS * RANK * (8 * HIDDEN + 3 * (HIDDEN + MLP))
FLOPS_PER_TOKEN = 4 * _WEIGHTS + 6 * _ADAPTER


def flops_per_token(length: int) -> int:
    """Return the operations per token of a training step, attention included [FLOP]."""
    # Two products forward; in the backward pass four, and the scores once more.
    return FLOPS_PER_TOKEN + LAYERS * 7 * 2 * length * HIDDEN


def model_of(config: Any) -> Any:
    """Return a frozen model with random weights, always the same."""
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config).requires_grad_(False).eval()


def base() -> Any:
    """Return the small model, always the same."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=HIDDEN, intermediate_size=MLP, use_cache=False,
        num_hidden_layers=LAYERS, num_attention_heads=4, num_key_value_heads=4,
    )  # fmt: skip
    return LlamaForCausalLM(config).requires_grad_(False).eval()


def tokens(device: int, rows: int, length: int) -> torch.Tensor:
    """Return a device's random tokens, (steps, rows, length)."""
    generator = torch.Generator().manual_seed(1000 + device)
    return torch.randint(0, VOCABULARY, (STEPS, rows, length), generator=generator)


def make_work(
    device: int,
    rows: int,
    length: int,
    *,
    train_a: bool = True,
    random_b: bool = False,
    layers: Sequence[Layer] | None = None,
) -> LocalTraining:
    """Return a device's local training: all start from the same A, and from B = 0 unless random."""
    from fl.adapters import AdaptedModel, Adapter
    from fl.adapters.adapter import draw_a, zero_b
    from fl.models.language_model import Encoded
    from fl.training.local_steps import LocalTraining

    layers = layers or AdaptedModel(base()).layers
    b = zero_b(layers, RANK)
    if random_b:
        generator = torch.Generator().manual_seed(device)
        b = tuple(0.05 * torch.randn(one.shape, generator=generator) for one in b)
    a = draw_a(layers, RANK, "kaiming", device if random_b else 0)
    batches = [Encoded(x, torch.ones_like(x), x) for x in tokens(device, rows, length)]
    return LocalTraining(Adapter(a, b, 2.0, train_a=train_a), None, batches, RATE)


class Loop:
    """One model in PEFT, into which one device's adapter after another is copied."""

    def __init__(self, lm: Any = None) -> None:
        from peft import LoraConfig, get_peft_model

        config = LoraConfig(
            r=RANK, lora_alpha=2 * RANK, target_modules=TARGETS, task_type="CAUSAL_LM"
        )
        self.model = get_peft_model(base() if lm is None else lm, config)
        named = dict(self.model.named_parameters())
        self._a = [p for name, p in named.items() if "lora_A" in name]
        self._b = [p for name, p in named.items() if "lora_B" in name]

    def put(self, adapter: Adapter) -> None:
        """Copy an adapter into the model."""
        with torch.no_grad():
            torch._foreach_copy_([*self._a, *self._b], [*adapter.a, *adapter.b])

    def steps(
        self, batches: Sequence[torch.Tensor], labels: Sequence[torch.Tensor] | None = None
    ) -> float:
        """Train as PEFT's users do, with a fresh optimizer; all tokens are labels by default."""
        optimizer = torch.optim.AdamW([*self._a, *self._b], lr=RATE, weight_decay=0.0)
        self.model.train()
        total = 0.0
        for ids, wanted in zip(batches, labels or batches, strict=True):
            optimizer.zero_grad(set_to_none=True)
            loss = self.model(input_ids=ids, labels=wanted).loss
            loss.backward()
            optimizer.step()
            total += loss.item()
        return total / len(batches)

    def train(self, works: Sequence[LocalTraining]) -> None:
        """Train every device."""
        for work in works:
            self.put(work.adapter)
            self.steps(
                [batch.ids for batch in work.batches], [batch.labels for batch in work.batches]
            )

    def round(self, works: Sequence[LocalTraining]) -> list[torch.Tensor]:
        """Train every device, and return the mean adapter."""
        mean = [torch.zeros_like(p) for p in (*self._a, *self._b)]
        for work in works:
            self.put(work.adapter)
            self.steps([batch.ids for batch in work.batches])
            trained = [p.detach() for p in (*self._a, *self._b)]
            torch._foreach_add_(mean, trained, alpha=1 / len(works))
        return mean

    def accuracies(
        self, adapters: Sequence[Adapter], examples: Sequence[Example], tokenizer: Any, length: int
    ) -> list[float]:
        """Return the share of exact answers of every adapter, from the logits of all tokens."""
        from fl.models.language_model import IGNORED, encode

        rows = encode(examples, tokenizer, length)
        wanted = rows.labels[:, 1:]
        self.model.eval()
        found = []
        for adapter in adapters:
            self.put(adapter)
            with torch.inference_mode():
                logits = self.model(input_ids=rows.ids, attention_mask=rows.mask).logits
            hit = (logits[:, :-1].argmax(-1) == wanted) | (wanted == IGNORED)
            found.append(float(hit.all(1).float().mean()))
        return found

    def log_likelihoods(
        self, adapters: Sequence[Adapter], tests: Sequence[Encoded]
    ) -> list[list[torch.Tensor]]:
        """Return the log-likelihood of each token of each test set, for every adapter."""
        self.model.eval()
        found = []
        for adapter in adapters:
            self.put(adapter)
            with torch.inference_mode():
                logits = [
                    self.model(input_ids=rows.ids, attention_mask=rows.mask).logits
                    for rows in tests
                ]
            found.append(
                [
                    torch.nn.functional.cross_entropy(
                        one[:, :-1].flatten(0, 1), rows.labels[:, 1:].flatten(), reduction="none"
                    )
                    for one, rows in zip(logits, tests, strict=True)
                ]
            )
        return found


class Stacked:
    """Stacked training of all devices of a chunk."""

    def __init__(self, lm: Any = None) -> None:
        from fl.adapters import AdaptedModel

        self.model = AdaptedModel(base() if lm is None else lm)

    def train(
        self, works: Sequence[LocalTraining], chunk: int | None = None
    ) -> list[TrainingResult]:
        """Train every device, in chunks of the best size by default."""
        from fl.config import AdamW
        from fl.training.local_steps import BEST_BATCH_TOKENS, train

        if chunk is None:
            chunk = max(1, BEST_BATCH_TOKENS // works[0].batches[0].ids.numel())
        done: list[TrainingResult] = []
        for start in range(0, len(works), chunk):
            done += train(self.model, works[start : start + chunk], AdamW(), 1e9)
        return done

    def round(self, works: Sequence[LocalTraining]) -> Adapter:
        """Train every device, and return the mean adapter."""
        each = [done.adapter for done in self.train(works)]
        a = [torch.stack(one).mean(0) for one in zip(*(x.a for x in each), strict=True)]
        b = [torch.stack(one).mean(0) for one in zip(*(x.b for x in each), strict=True)]
        return replace(each[0], a=tuple(a), b=tuple(b))


def run_stacked(rows: int, length: int, rounds: int) -> float:
    """Return the norm of the mean adapter after all rounds."""
    stacked = Stacked()
    layers = stacked.model.layers
    works = [make_work(device, rows, length, layers=layers) for device in range(DEVICES)]
    for _ in range(rounds):
        mean = stacked.round(works)
        works = [replace(work, adapter=mean) for work in works]
    return _norm([*mean.a, *mean.b])


def run_flower(rows: int, length: int, rounds: int) -> float:
    """Return the same from Flower, its clients in one actor of one thread."""
    os.environ |= {
        "FLWR_TELEMETRY_ENABLED": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    }
    here = str(Path(__file__).resolve().parent)
    paths = [here, os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
    from flwr.clientapp import ClientApp
    from flwr.serverapp import Grid, ServerApp
    from flwr.serverapp.strategy import FedAvg
    from flwr.simulation import run_simulation

    client, server, results = ClientApp(), ServerApp(), []

    @client.train()
    def train(message: Message, context: Context) -> Message:
        from jobs import Loop, tokens
        from peft import get_peft_model_state_dict, set_peft_model_state_dict

        torch.set_num_threads(1)
        loop = Loop()
        set_peft_model_state_dict(loop.model, message.content["arrays"].to_torch_state_dict())
        device = int(context.node_config["partition-id"])
        loss = loop.steps(list(tokens(device, rows, length)))
        state = get_peft_model_state_dict(loop.model)
        arrays = ArrayRecord({name: x.detach().contiguous() for name, x in state.items()})
        metrics = MetricRecord({"loss": loss, "num-examples": STEPS * rows})
        return Message(RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=message)

    @server.main()
    def main(grid: Grid, context: Context) -> None:
        from peft import get_peft_model_state_dict

        loop = Loop()
        loop.put(make_work(0, rows, length).adapter)
        state = get_peft_model_state_dict(loop.model)
        strategy = FedAvg(
            fraction_train=1.0, fraction_evaluate=0.0, min_train_nodes=DEVICES,
            min_available_nodes=DEVICES,
        )  # fmt: skip
        start = ArrayRecord({name: x.clone() for name, x in state.items()})
        done = strategy.start(grid=grid, initial_arrays=start, num_rounds=rounds)
        results.append(_norm(list(done.arrays.to_torch_state_dict().values())))

    run_simulation(
        server_app=server,
        client_app=client,
        num_supernodes=DEVICES,
        backend_config={
            "init_args": {"num_cpus": 1, "include_dashboard": False},
            "client_resources": {"num_cpus": 1, "num_gpus": 0.0},
        },
    )
    return float(results[0])


def _norm(tensors: Sequence[torch.Tensor]) -> float:
    return float(torch.stack([x.square().sum() for x in tensors]).sum().sqrt())


if __name__ == "__main__":
    torch.set_num_threads(1)
    _run = run_flower if sys.argv[1] == "flower" else run_stacked
    print(f"{_run(*map(int, sys.argv[2:5])):.4f}")
