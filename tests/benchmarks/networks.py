"""Speed of networks of many devices, together and one after another.

    python tests/benchmarks/networks.py

Both ways alternate, A B A B ..., and medians are compared. `rule` is what a run chooses by the size
of the largest activation; `share` is the speed of the chosen one over that of a large product.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

import torch

from fl.adapters.adapter import dense_adapter
from fl.config import Sgd
from fl.engine.device import matmul_flops_per_s
from fl.models.nets import Labelled, Network, load_network
from fl.training.local_steps import LocalTraining, train

DEVICES, STEPS, REPETITIONS, CLASSES = 10, 5, 7, 10
DIGITS, MNIST, CIFAR = (1, 8, 8), (1, 28, 28), (3, 32, 32)
CASES = (
    ("mlp", DIGITS, 16), ("mlp", MNIST, 16), ("mlp", MNIST, 64),
    ("cnn", DIGITS, 8), ("cnn", DIGITS, 16), ("cnn", DIGITS, 32), ("cnn", DIGITS, 64),
    ("cnn", MNIST, 4), ("cnn", MNIST, 8), ("cnn", MNIST, 16), ("cnn", MNIST, 32),
    ("resnet8", DIGITS, 16), ("resnet8", DIGITS, 32), ("resnet8", DIGITS, 64),
    ("resnet8", CIFAR, 2), ("resnet8", CIFAR, 4), ("resnet8", CIFAR, 16),
)  # fmt: skip


def works(model: Network, batch: int) -> list[LocalTraining]:
    """Return a training of each device."""
    generator = torch.Generator().manual_seed(0)
    shape = (batch, *model.input_shape)
    return [
        LocalTraining(
            dense_adapter(model.layers),
            None,
            [
                Labelled(
                    torch.randn(shape, generator=generator),
                    torch.randint(CLASSES, (batch,), generator=generator),
                )
                for _ in range(STEPS)
            ],
            0.01,
        )
        for _ in range(DEVICES)
    ]


def durations_s(models: tuple[Network, Network], batch: int) -> Iterator[list[float]]:
    """Yield the durations of one step of all devices, of each model [s]."""
    jobs = works(models[0], batch)
    found: list[list[float]] = [[], []]
    for model in models:
        train(model, jobs, Sgd(), 1.0)
    for _ in range(REPETITIONS):
        for model, times in zip(models, found, strict=True):
            start = time.perf_counter()
            train(model, jobs, Sgd(), 1.0)
            times.append((time.perf_counter() - start) / STEPS)
    yield from found


def main() -> None:
    """Print a line for each case."""
    torch.set_num_threads(1)
    peak = matmul_flops_per_s(1)
    print(f"{DEVICES} devices, milliseconds per step of all; matrix product {peak:.2g} FLOP/s")
    print("network  inputs       batch  largest  one by one  together  ratio  rule        share")
    for name, shape, batch in CASES:
        module = load_network(name, shape, CLASSES, seed=1)
        models = (
            Network(module, shape, full=True, most_together=0),
            Network(module, shape, full=True, most_together=1 << 40),
        )
        single_s, together_s = map(statistics.median, durations_s(models, batch))
        chosen = Network(module, shape, full=True).runs_together(batch)
        flop = DEVICES * batch * models[0].flops_per_item[1]
        share = flop / (together_s if chosen else single_s) / peak
        print(
            f"{name:8} {shape!s:12} {batch:5} {batch * models[0].activations[0]:8} "
            f"{1e3 * single_s:11.1f} {1e3 * together_s:9.1f} {single_s / together_s:6.2f}  "
            f"{'together' if chosen else 'one by one':10} {share:6.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
