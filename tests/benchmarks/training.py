"""Speed and memory of stacked training against a loop over PEFT, and against Flower; run by hand.

OMP_NUM_THREADS=1 python tests/benchmarks/training.py [--flower] [--gpu]

Every line is measured in this process in the order A B A B ..., in process CPU seconds, and shows
medians; its bound is the profile of the stacked side. The model, unless a line names another one:
Llama of hidden width 128, 4 layers, MLP 352, vocabulary 512; LoRA of rank 8 on all seven linear
layers; random tokens, all of them labels; AdamW; one thread.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from jobs import (
    FLOPS_PER_TOKEN,
    RANK,
    RATE,
    STEPS,
    Loop,
    Stacked,
    base,
    flops_per_token,
    make_work,
    model_of,
)
from transformers import AutoConfig

from fl.adapters import AdaptedModel, Adapter
from fl.adapters.adapter import draw_a, zero_b
from fl.config import AdamW
from fl.evaluation import Evaluator
from fl.models.language_model import Encoded, encode, encode_choices, load
from fl.tasks import Example, Task, generate
from fl.training.local_steps import LocalTraining, train
from fl.training.optimizer import Moments

HERE = Path(__file__).parent
REPEATS = 5
PEAK_PROGRAM = "--peak"
TASKS = ("reverse", "shift", "total", "largest", "home", "color", "topic", "actor")


def seconds(compute: Callable[[], object]) -> float:
    """Return the CPU time of a computation [s]."""
    start = time.process_time()
    compute()
    return time.process_time() - start


def alternating(*computations: Callable[[], object]) -> list[float]:
    """Return the median CPU time of each computation, run in turns [s]."""
    for compute in computations:
        compute()
    times: list[list[float]] = [[] for _ in computations]
    for _ in range(REPEATS):
        for index, compute in enumerate(computations):
            times[index].append(seconds(compute))
    return [statistics.median(of_one) for of_one in times]


def matrix_rate() -> float:
    """Return the rate of this machine's own product of large matrices [GFLOP/s]."""
    size = 1024
    a, b = torch.randn(size, size), torch.randn(size, size)
    taken = alternating(lambda: [torch.mm(a, b) for _ in range(5)])[0]
    return 5 * 2 * size**3 / taken / 1e9


def line(work: str, measured: str, bar: str, holds: bool | None, bound: str) -> None:
    """Print a line of the table."""
    verdict = {True: "yes", False: "NO", None: "-"}[holds]
    print(f"| {work} | {measured} | {bar} | {verdict} | {bound} |", flush=True)


KINDS = {
    "frozen products": ("mm", "addmm", "addmm_", "linear"),
    "batched products": ("bmm", "baddbmm", "baddbmm_"),
}


def bound(compute: Callable[[], object]) -> str:
    """Return the shares of a computation's time by kind of operation, the largest first.

    Passes over activations are bound by memory. Python is the rest, with autograd and the dispatch
    of operations, which the profiler makes slower.
    """
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        start = time.perf_counter()
        compute()
        # The profiler's times are those of a clock on the wall, too.
        taken_us = 1e6 * (time.perf_counter() - start)
    times = dict.fromkeys([*KINDS, "passes"], 0.0)
    for event in profile.key_averages():
        name = event.key.removeprefix("aten::")
        own = next((kind for kind, names in KINDS.items() if name in names), "passes")
        if name != event.key:
            times[own] += event.self_cpu_time_total
    times["Python"] = max(0.0, taken_us - sum(times.values()))
    total = sum(times.values())
    ordered = sorted(times.items(), key=lambda each: -each[1])
    return ", ".join(f"{kind} {time / total:.0%}" for kind, time in ordered)


def training(devices: int, rows: int, length: int, bar: float) -> None:
    """Compare local training of all devices."""
    loop, stacked = Loop(), Stacked()
    works = [make_work(device, rows, length) for device in range(devices)]
    slow, fast = alternating(lambda: loop.train(works), lambda: stacked.train(works))
    rate = matrix_rate()
    mine = devices * STEPS * rows * length * flops_per_token(length) / fast / 1e9
    per_step = 1e3 / devices / STEPS
    line(
        f"{devices} devices, {rows} x {length}, {STEPS} steps",
        f"{slow * per_step:.1f} -> {fast * per_step:.2f} ms a device-step: {slow / fast:.2f} times",
        f"{bar:g}",
        slow / fast >= bar,
        f"{mine:.0f} of {rate:.0f} GFLOP/s ({mine / rate:.0%}), the loop {mine * fast / slow:.0f}; "
        + bound(lambda: stacked.train(works)),
    )


def rounds() -> None:
    """Compare rounds: copying the common adapter, local steps, averaging."""
    loop, stacked = Loop(), Stacked()
    works = [make_work(device, 4, 16) for device in range(32)]
    slow, fast = alternating(lambda: loop.round(works), lambda: stacked.round(works))
    line(
        "32 devices, 4 x 16, full rounds", f"{slow:.2f} -> {fast:.2f} s: {slow / fast:.2f} times",
        "3.5", slow / fast >= 3.5, bound(lambda: stacked.round(works)),
    )  # fmt: skip


def frozen_a() -> None:
    """Compare training of both factors with training of B alone."""
    stacked = Stacked()
    for devices, rows, length in ((32, 1, 32), (16, 4, 32), (8, 16, 64)):
        both = [make_work(device, rows, length) for device in range(devices)]
        alone = [make_work(device, rows, length, train_a=False) for device in range(devices)]
        slow, fast = alternating(lambda b=both: stacked.train(b), lambda a=alone: stacked.train(a))
        line(
            f"{devices} devices, {rows} x {length}, A frozen",
            f"{1 - fast / slow:.0%} less time", "no slower", fast <= slow,
            "no gradient, no moments and no inputs kept for A",
        )  # fmt: skip


class Letters:
    """A tokenizer of single characters."""

    eos_token_id, bos_token_id, pad_token_id = 1, None, 0

    def __call__(self, text: Any, **_: object) -> dict[str, Any]:
        ids = [list(map(ord, one)) for one in ([text] if isinstance(text, str) else text)]
        return {"input_ids": ids[0] if isinstance(text, str) else ids}


def evaluation(devices: int, prompts: int, length: int, bar: float) -> None:
    """Compare exact match of many adapters with a loop that swaps adapters and takes all logits."""
    loop, model = Loop(), AdaptedModel(base())
    adapters = [make_work(device, 1, 1, random_b=True).adapter for device in range(devices)]
    generator = torch.Generator().manual_seed(1)
    letters = torch.randint(97, 123, (prompts, length - 5), generator=generator).tolist()
    examples = tuple(Example("".join(map(chr, row)), "xyz") for row in letters)
    tokenizer: Any = Letters()
    evaluator = Evaluator(model, [Task("letters", (), examples, 0.0)], tokenizer, length)
    slow, fast = alternating(
        lambda: loop.accuracies(adapters, examples, tokenizer, length),
        lambda: evaluator.accuracies(adapters),
    )
    tokens = devices * prompts * length
    line(
        f"evaluation of {devices} adapters on {prompts} prompts of {length}",
        f"{slow:.3f} -> {fast:.3f} s: {slow / fast:.2f} times", f"{bar:g}", slow / fast >= bar,
        f"{tokens * FLOPS_PER_TOKEN / 2 / fast / 1e9:.0f} of {matrix_rate():.0f} GFLOP/s; "
        + bound(lambda: evaluator.accuracies(adapters)),
    )  # fmt: skip


def generated_tasks(training_bar: float, evaluation_bar: float) -> None:
    """Compare training and evaluation of the bundled model on the tasks of urban.yaml."""
    (lm, tokenizer), model = load("tiny"), AdaptedModel(load("tiny")[0])
    loop, devices, steps, rows = Loop(lm), 20, 5, 8
    tasks = [generate(name, 200, 32, 1) for name in TASKS]
    examples = [encode(task.train, tokenizer, 256) for task in tasks]
    generator = torch.Generator().manual_seed(0)
    works = []
    for device in range(devices):
        own = examples[device % len(tasks)]
        orders = [torch.randperm(200, generator=generator)[:rows] for _ in range(steps)]
        batches = [Encoded(own.ids[x], own.mask[x], own.labels[x]) for x in orders]
        a = draw_a(model.layers, RANK, "kaiming", device)
        works.append(
            LocalTraining(Adapter(a, zero_b(model.layers, RANK), 2.0), None, batches, RATE)
        )
    works.sort(key=lambda work: work.batches[0].ids.shape[1])
    chunks = [works[start : start + 5] for start in range(0, devices, 5)]
    slow, fast = alternating(
        lambda: loop.train(works), lambda: [train(model, chunk, AdamW(), 1e9) for chunk in chunks]
    )
    line(
        f"{devices} devices with the tasks of urban.yaml, {rows} rows, {steps} steps",
        f"{slow:.2f} -> {fast:.2f} s: {slow / fast:.2f} times",
        f"{training_bar:g}", slow / fast >= training_bar,
        bound(lambda: [train(model, chunk, AdamW(), 1e9) for chunk in chunks]),
    )  # fmt: skip
    adapters = [make_work(n, 1, 1, random_b=True, layers=model.layers).adapter for n in range(4)]
    evaluator = Evaluator(model, tasks, tokenizer, 256)
    tests = [
        encode_choices(task.test, tokenizer, 256)[0]
        if all(example.choices for example in task.test)
        else encode(task.test, tokenizer, 256)
        for task in tasks
    ]
    slow, fast = alternating(
        lambda: loop.log_likelihoods(adapters, tests), lambda: evaluator.accuracies(adapters)
    )
    line(
        f"evaluation of {len(adapters)} adapters on 32 examples of each of these tasks",
        f"{slow:.2f} -> {fast:.2f} s: {slow / fast:.2f} times",
        f"{evaluation_bar:g}", slow / fast >= evaluation_bar,
        bound(lambda: evaluator.accuracies(adapters)),
    )  # fmt: skip


def adapters_of_a_thousand_devices() -> None:
    """Add up the state of a thousand devices on the bundled model."""
    model = AdaptedModel(load("tiny")[0])
    a = draw_a(model.layers, RANK, "kaiming", 0)
    b = tuple(torch.zeros(layer.outputs, RANK) for layer in model.layers)
    work = make_work(0, 1, 8)
    done = train(
        model, [LocalTraining(Adapter(a, b, 2.0), None, work.batches[:1], 1e-3)], AdamW(), 1.0
    )[0]
    moments = done.moments or Moments(0, (), ())
    entries = sum(x.numel() for x in (*done.adapter.a, *done.adapter.b))
    kept = (*done.adapter.a, *done.adapter.b, *moments.first, *moments.second)
    storages = {x.untyped_storage().data_ptr(): x.untyped_storage().nbytes() for x in kept}
    gib = 1000 * sum(storages.values()) / 2**30
    line(
        "adapters and AdamW moments of 1,000 devices on fl/tiny, rank 8",
        f"{entries} values each: {gib:.2f} GiB", "1 GiB", gib <= 1.0, "float32, three per value",
    )  # fmt: skip


def peak_growth() -> None:
    """Measure the peak of memory for more and more devices, each in a separate process."""
    peaks = []
    for devices in (8, 32, 128):
        command = [sys.executable, __file__, PEAK_PROGRAM, str(devices)]
        output = subprocess.run(command, check=True, capture_output=True, text=True)
        peaks.append(float(output.stdout))
    line(
        "peak memory of 8, 32, 128 devices, 4 x 32, less what devices keep",
        ", ".join(f"{peak:.0f}" for peak in peaks) + " MiB", "the chunk's",
        peaks[2] <= 1.25 * peaks[0], "activations of a chunk",
    )  # fmt: skip


def print_peak(devices: int) -> None:
    """Print how much the peak of this process grows in training beyond what results take [MiB]."""
    stacked = Stacked()
    stacked.train([make_work(0, 1, 8)])
    works = [make_work(device, 4, 32) for device in range(devices)]
    page = os.sysconf("SC_PAGE_SIZE")
    before = int(Path("/proc/self/statm").read_text().split()[1]) * page
    # Resets the mark of the highest resident size.
    Path("/proc/self/clear_refs").write_text("5")
    done = stacked.train(works)
    marked = [row for row in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in row]
    peak = int(marked[0].split()[1]) * 1024
    kept = sum(
        x.numel() * 4
        for one in done
        for x in (*one.adapter.a, *one.adapter.b, *one.moments.first, *one.moments.second)
    )
    print((peak - before - kept) / 2**20)


def job_wall(job: str, rows: int, length: int, rounds: int) -> tuple[float, str]:
    """Return the wall time of a complete job in a separate process [s], and its output."""
    start = time.perf_counter()
    command = [sys.executable, str(HERE / "jobs.py"), job, *map(str, (rows, length, rounds))]
    output = subprocess.run(command, check=True, capture_output=True, text=True)
    return time.perf_counter() - start, output.stdout.strip().splitlines()[-1]


def flower() -> None:
    """Compare rounds, and complete jobs of 3 rounds with start-up, of 32 devices."""
    each = []
    for job in ("flower", "stacked"):
        one, more = job_wall(job, 4, 16, 1)[0], job_wall(job, 4, 16, 5)[0]
        each.append((more - one) / 4)
    line(
        "Flower's simulation, 32 devices, 4 x 16, a round without start-up",
        f"{each[0]:.2f} -> {each[1]:.2f} s wall: {each[0] / each[1]:.2f} times", "5",
        each[0] / each[1] >= 5, "Flower: a model made and messages passed per device",
    )  # fmt: skip
    for rows, length, bar in ((4, 32, 2.0), (16, 64, 1.2)):
        slow, theirs = job_wall("flower", rows, length, 3)
        fast, mine = job_wall("stacked", rows, length, 3)
        line(
            f"Flower's simulation, 32 devices, 3 rounds, {rows} x {length}, with start-up",
            f"{slow:.1f} -> {fast:.1f} s wall: {slow / fast:.2f} times (norms {theirs}, {mine})",
            f"{bar:g}", slow / fast >= bar, "start-up, and as above",
        )  # fmt: skip


def gpu() -> None:
    """Measure 64 devices, 4 x 128, on a GPU, of this model and of a half-billion one."""
    qwen = AutoConfig.for_model(
        "qwen2", vocab_size=151_936, hidden_size=896, intermediate_size=4864, num_hidden_layers=24,
        num_attention_heads=14, num_key_value_heads=2, tie_word_embeddings=True,
    )  # fmt: skip
    for name, config, dtype, chunk in (
        ("this model, fp32", None, torch.float32, 64),
        ("Qwen2 0.5 B, bf16", qwen, torch.bfloat16, 8),
    ):
        lm = base() if config is None else model_of(config)
        stacked = Stacked(lm.to(device="cuda", dtype=dtype))
        works = [make_work(n, 4, 128, layers=stacked.model.layers) for n in range(64)]
        stacked.train(works[:chunk], chunk)
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        start = time.perf_counter()
        stacked.train(works, chunk)
        torch.cuda.synchronize()
        wall = time.perf_counter() - start
        tokens = 64 * STEPS * 4 * 128
        peak = torch.cuda.max_memory_allocated() / 2**30
        line(
            f"GPU, 64 devices, 4 x 128, {name}, chunks of {chunk}",
            f"{wall:.2f} s, {tokens / wall:.0f} tokens/s, {peak:.2f} GiB", "-", None,
            f"{4 * stacked.model.parameter_count * tokens / wall / 1e12:.1f} TFLOP/s",
        )  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flower", action="store_true", help="compare with flwr[simulation]")
    parser.add_argument("--gpu", action="store_true", help="measure on CUDA")
    parser.add_argument(PEAK_PROGRAM, type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    if options.peak:
        print_peak(options.peak)
        return
    print("| work | measured | bar | holds | what bounds it |")
    print("|---|---|---|---|---|")
    if options.gpu:
        gpu()
        return
    training(32, 1, 32, 5.0)
    training(32, 4, 16, 3.5)
    training(16, 4, 32, 2.5)
    training(8, 16, 64, 1.6)
    rounds()
    evaluation(16, 8, 32, 2.0)
    evaluation(16, 64, 64, 2.0)
    generated_tasks(3.0, 2.0)
    frozen_a()
    adapters_of_a_thousand_devices()
    peak_growth()
    if options.flower:
        flower()


if __name__ == "__main__":
    main()
