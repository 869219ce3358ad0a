"""Gates of the mixture, on experts that learned one task each in isolation.

    python tests/benchmarks/gates.py [seeds]

Printed: the accuracy on all tasks, and the share of prompts of which the heaviest expert is the
right one, means over seeds. `own adapter` is a device without the others, on its own task
and on all; `two clusters` has two devices share the mean of their B's, the tasks in two pairs.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import sys
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from fl.adapters import Adapter
from fl.config import Computing, Learning, SoLora
from fl.config.inference import Mixture
from fl.mixture import Expert, centroid
from fl.models.language_model import encode, load
from fl.tasks import Task, generate
from fl.trainer import Trainer

NAMES = ("reverse", "total", "home", "topic")
ROUNDS, STEPS, TEST = 20, 10, 64
RANK = 8
GATES = {
    "oracle": Mixture(gate="oracle"),
    "seq-centroid": Mixture(),
    "seq-centroid, argmax": Mixture(choice="argmax"),
    "seq-centroid, top-k r/4 each": Mixture(top_k=len(NAMES) * RANK // 4),
    "none": Mixture(gate="none"),
    "paper-cosine": Mixture(gate="paper-cosine"),
    "paper-hadamard": Mixture(gate="paper-hadamard"),
    "paper-projector": Mixture(gate="paper-projector"),
    "paper-cosine, all components": Mixture(gate="paper-cosine", top_k=len(NAMES) * RANK),
    "paper-hadamard, all components": Mixture(gate="paper-hadamard", top_k=len(NAMES) * RANK),
    "paper-projector, all components": Mixture(gate="paper-projector", top_k=len(NAMES) * RANK),
}
Rows = dict[str, tuple[list[float], float]]


def trained(seed: int) -> tuple[Trainer, list[Expert]]:
    """Return a trainer, and the adapter that each of its devices learned alone."""
    model, tokenizer = load("tiny")
    learning = Learning(
        method=SoLora(rank=RANK, density=0.54),
        tasks=NAMES,
        local_steps=STEPS,
        test_examples=TEST,
        trainer=Computing(micro_batch_tokens=1024),
    )
    tasks: list[Task] = [generate(name, learning.train_examples, TEST, seed) for name in NAMES]
    trainer = Trainer(learning, tasks, model, tokenizer, len(NAMES), seed)
    states = [trainer.train(device, 1, None) for device in range(len(NAMES))]
    for round_ in range(2, ROUNDS + 1):
        states = [trainer.train(device, round_, state) for device, state in enumerate(states)]
    experts = []
    for device, state in enumerate(states):
        (task,) = trainer.task_of[device]
        adapter = state.value().adapter
        data = encode(tasks[task].train, tokenizer, learning.max_length)
        means = centroid(trainer.model, data, 64)
        experts.append(Expert(adapter.a, adapter.b, adapter.scale, means, (task,)))
    return trainer, experts


def clustered(experts: Sequence[Expert]) -> list[Expert]:
    """Return the experts with the mean B of their cluster: the first two, the last two."""
    found = []
    for pair in (experts[:2], experts[2:]):
        b = tuple(sum(each) / 2 for each in zip(*(one.b for one in pair), strict=True))
        found += [replace(one, b=b) for one in pair]
    return found


def measure(seed: int) -> Rows:
    """Return accuracy on each task and routing accuracy, row by row."""
    trainer, experts = trained(seed)
    evaluator = trainer._workload.evaluator
    rows: Rows = {}
    alone = evaluator.accuracies([Adapter(one.a, one.b, one.scale) for one in experts])
    own = [0.0] * len(NAMES)
    for one, accuracies in zip(experts, alone, strict=True):
        own[one.tasks[0]] = accuracies[one.tasks[0]]
    rows["own adapter, own task"] = (own, np.nan)
    rows["own adapter, all tasks"] = (list(np.mean(alone, axis=0)), np.nan)
    for name, gate in GATES.items():
        rows[name] = evaluator.mixture(experts, gate)[:2]
    pairs = clustered(experts)
    for name in ("oracle", "seq-centroid", "none", "paper-cosine"):
        rows[f"two clusters: {name}"] = evaluator.mixture(pairs, GATES[name])[:2]
    return rows


def run(seeds: int) -> None:
    """Measure and print the table."""
    each = [measure(seed) for seed in range(1, seeds + 1)]
    columns = " ".join(f"{name:>8}" for name in (*NAMES, "all", "routing"))
    print(f"{'':34} {columns}  ({seeds} seeds)")
    for name in each[0]:
        tasks = np.mean([rows[name][0] for rows in each], axis=0)
        routing = np.mean([rows[name][1] for rows in each])
        numbers = " ".join(f"{value:8.3f}" for value in (*tasks, tasks.mean(), routing))
        print(f"{name:34} {numbers}")


if __name__ == "__main__":
    run(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
