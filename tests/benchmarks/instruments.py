"""Quality of the generated tasks and the bundled model as instruments; run by hand.

`python -m tests.benchmarks.instruments --seeds 0 1` prints a row per task: accuracy before
training, after 300 steps of LoRA on this task alone, the step at which 90 % was reached, and the
same with A frozen; then the effect of averaging the factors of four and of twelve devices once.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Mapping, Sequence
from statistics import fmean

import numpy as np
import torch
import transformers
from torch import Tensor, nn
from torch.nn import functional

from fl.models.language_model import encode, load
from fl.tasks import GENERATED, Task, generate
from tests.scoring import accuracy

BATCH = 8
STEPS = 300
RANK = 8
ALPHA = 16
TEST = 200
TRAIN = 1000
CHECK_EVERY = 50
CHECKED = 100
MIXES = (("reverse", "total", "home", "tone"), tuple(GENERATED))


class LoraLinear(nn.Module):
    """A frozen linear layer with a low-rank addition, alpha / rank times B A."""

    def __init__(self, base: nn.Linear, generator: torch.Generator) -> None:
        super().__init__()
        self.base = base
        wide = base.in_features
        # PEFT's initialization has variance 1 / (3 k); the frozen one has 1 / k.
        self.kaiming = (torch.rand(RANK, wide, generator=generator) * 2 - 1) / math.sqrt(wide)
        self.gaussian = torch.randn(RANK, wide, generator=generator) / math.sqrt(wide)
        self.A = nn.Parameter(self.kaiming.clone())
        self.B = nn.Parameter(torch.zeros(base.out_features, RANK))

    def reset(self, frozen_a: bool) -> None:
        """Return to the state before training."""
        self.A.data.copy_(self.gaussian if frozen_a else self.kaiming)
        self.A.requires_grad_(not frozen_a)
        self.B.data.zero_()

    def forward(self, x: Tensor) -> Tensor:
        low: Tensor = functional.linear(functional.linear(x, self.A), self.B)
        out: Tensor = self.base(x)
        return out + (ALPHA / RANK) * low


class Bench:
    """The bundled model with one adapter that is trained, read and written."""

    def __init__(self, name: str, seed: int) -> None:
        self.model, self.tokenizer = load(name)
        generator = torch.Generator().manual_seed(seed)
        self.layers: list[LoraLinear] = []
        for block in self.model.model.layers:
            for parent in (block.self_attn, block.mlp):
                for label, child in list(parent.named_children()):
                    if isinstance(child, nn.Linear):
                        layer = LoraLinear(child, generator)
                        setattr(parent, label, layer)
                        self.layers.append(layer)

    def read(self) -> list[Tensor]:
        """Return a copy of the adapter."""
        return [p.data.clone() for layer in self.layers for p in (layer.A, layer.B)]

    def write(self, state: Sequence[Tensor]) -> None:
        """Replace the adapter."""
        parameters = [p for layer in self.layers for p in (layer.A, layer.B)]
        for parameter, value in zip(parameters, state, strict=True):
            parameter.data.copy_(value)

    def accuracy(self, task: Task, count: int = TEST) -> float:
        """Return the share of right answers to the first test prompts."""
        return accuracy(self.model, self.tokenizer, task.test[:count])

    def train(
        self, task: Task, steps: int, lr: float, seed: int, frozen_a: bool, every: int = 0
    ) -> int | None:
        """Train from the start; return the first checked step with 90 % accuracy."""
        for layer in self.layers:
            layer.reset(frozen_a)
        parameters = [p for layer in self.layers for p in (layer.A, layer.B) if p.requires_grad]
        optimizer = torch.optim.AdamW(parameters, lr=lr, weight_decay=0.0)
        rows = encode(task.train, self.tokenizer, 256)
        rng = np.random.default_rng([seed, *task.name.encode()])
        order: list[int] = []
        reached = None
        for step in range(1, steps + 1):
            if len(order) < BATCH:
                order = [int(i) for i in rng.permutation(len(task.train))]
            batch, order = order[:BATCH], order[BATCH:]
            width = int(rows.mask[batch].sum(-1).max())
            ids, mask, labels = (x[batch, :width] for x in (rows.ids, rows.mask, rows.labels))
            logits = self.model(input_ids=ids, attention_mask=mask).logits
            loss = functional.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            check = every and reached is None and step % every == 0
            if check and self.accuracy(task, CHECKED) >= 0.9:
                reached = step
        return reached


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--tasks", nargs="+", default=list(GENERATED))
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--frozen-lr", type=float, default=5e-3)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--no-mix", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    transformers.utils.logging.disable_progress_bar()
    print(
        f"LoRA rank {RANK} alpha {ALPHA} batch {BATCH}, {arguments.steps} steps of AdamW, "
        f"lr {arguments.lr:g} (frozen A {arguments.frozen_lr:g}), {TEST} test prompts"
    )
    print(f"{'task':10} {'chance':>6} {'before':>6} | {'LoRA':24} {'step of 90 %':18} | frozen A")
    single: dict[int, dict[str, list[Tensor]]] = {}
    for name in arguments.tasks:
        before, after, reached, frozen = [], [], [], []
        for seed in arguments.seeds:
            bench = Bench(arguments.model, seed)
            task = generate(name, TRAIN, TEST, seed)
            before.append(bench.accuracy(task))
            reached.append(
                bench.train(task, arguments.steps, arguments.lr, seed, False, CHECK_EVERY)
            )
            after.append(bench.accuracy(task))
            single.setdefault(seed, {})[name] = bench.read()
            bench.train(task, arguments.steps, arguments.frozen_lr, seed, True)
            frozen.append(bench.accuracy(task))
        print(
            f"{name:10} {100 * task.chance:6.1f} {100 * fmean(before):6.1f} | {_list(after):24} "
            f"{' '.join(str(step) for step in reached):18} | {_list(frozen)}",
            flush=True,
        )
    if not arguments.no_mix:
        _mixes(arguments.model, single)


def _mixes(model: str, single: Mapping[int, Mapping[str, list[Tensor]]]) -> None:
    for mix in MIXES:
        for seed, states in single.items():
            if not set(mix) <= set(states):
                continue
            bench = Bench(model, seed)
            tasks = [generate(name, TRAIN, TEST, seed) for name in mix]
            own = []
            for task in tasks:
                bench.write(states[task.name])
                own.append(bench.accuracy(task))
            bench.write(
                [
                    torch.stack(values).mean(0)
                    for values in zip(*(states[name] for name in mix), strict=True)
                ]
            )
            mean = [bench.accuracy(task) for task in tasks]
            print(
                f"{len(mix)} devices, seed {seed}: own task {100 * fmean(own):.1f} before and "
                f"{100 * fmean(mean):.1f} after averaging ({_list(mean)})",
                flush=True,
            )


def _list(shares: Sequence[float]) -> str:
    return " ".join(f"{100 * share:.1f}" for share in shares)


if __name__ == "__main__":
    start = time.perf_counter()
    main()
    print(f"{time.perf_counter() - start:.0f} s")
