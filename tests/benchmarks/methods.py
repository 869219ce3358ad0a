"""CPU time of the methods of the comparison, relative to lora in the same field; run by hand.

    PYTHONPATH=. OMP_NUM_THREADS=1 python tests/benchmarks/methods.py [--fields F] [--methods M]

Each method runs a few rounds of the field, with one evaluation at the end, in turns with lora
(A B A B ...) in one process. Shown are medians of the CPU seconds of a whole run, with its network,
and their ratio. Runs of one round are taken away, so that the load of the model, calibration, and
the evaluations do not count: what is left is the cost of the further rounds.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from comparison.entries import Entry, Field, Unit, entries, fields
from wnsim import load, run

_MOST = 1.5


def cpu_s(field: Field, entry: Entry, rounds: int) -> float:
    """Return the CPU time of a run of so many rounds [s]."""
    unit = Unit(field, entry, entry.grid(field)[0], tuning=False)
    settings = unit.settings() | {
        "repeat": 1, "fl.rounds": rounds, "fl.evaluate_every": rounds, "fl.test_examples": 1,
    }  # fmt: skip
    plan = load(field.path, settings=settings)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
        start = time.process_time()
        run(plan, Path(folder) / "out", figures=False)
        return time.process_time() - start


def per_round_s(field: Field, pair: Sequence[Entry], rounds: int, repeats: int) -> list[float]:
    """Return the median CPU time of a round of each method, measured in turns [s]."""
    times: list[list[float]] = [[] for _ in pair]
    for _ in range(repeats):
        for taken, entry in zip(times, pair, strict=True):
            more, one = (cpu_s(field, entry, number) for number in (1 + rounds, 1))
            taken.append((more - one) / rounds)
    return [statistics.median(each) for each in times]


def main() -> None:
    """Measure, and print a line for each method."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n\n")[0])
    parser.add_argument("--fields", default="decentralised,server")
    parser.add_argument("--methods", default="")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=2)
    options = parser.parse_args()
    known = fields()
    methods = entries(known)
    named = options.methods.split(",") if options.methods else list(methods)
    for name in options.fields.split(","):
        field = known[name]
        for each in named:
            entry = methods[each]
            if name not in entry.fields or each == "lora":
                continue
            own, base = per_round_s(
                field, [entry, methods["lora"]], options.rounds, options.repeats
            )
            verdict = "" if own <= _MOST * base else f", more than {_MOST:g}"
            print(f"{name}: {each}: {base:.2f} -> {own:.2f} s a round: {own / base:.2f}{verdict}")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
