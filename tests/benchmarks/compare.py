"""Speed against an earlier version, and the page docs/benchmarks.md; run by hand.

    python tests/benchmarks/compare.py [CASE ...] [--base COMMIT] [--repeats N]

Each case runs in a process of its own, in turns with the same case in a checkout of the earlier
version (a git worktree in a temporary folder): A B A B; what is compared are medians of CPU
seconds. Measurements are kept in build/benchmarks, so that an interrupted comparison goes on where
it ended; the page is written from all that are there. Without names: all cases.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import math
import os
import platform
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wnsim.storage.records import processor

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
KEPT = ROOT / "build" / "benchmarks"
PAGE = ROOT / "docs" / "benchmarks.md"
BASE = "978de87"
NO_BYTECODE = "PYTHONDONTWRITEBYTECODE"
PACKAGES = ("numpy", "scipy", "numba", "simpy", "torch", "transformers")

HEAD = """# Speed

Measured on {day} with `python tests/benchmarks/compare.py`: this version and commit {base} (before
the compiled kernels) in turns on the same machine; one thread, CPU seconds, medians. Imports and
the loading of compiled code are left out. Seconds depend on the machine and on what else runs on
it; ratios hardly do.

* Machine: {machine}.
* Versions: {versions}.
"""
NOTES = """What bounds the rows that miss their target, by profile:

* **Fading**: three fifths are plane waves (an addition and a rotation for each wave, link and
  sample, and the sines and cosines of the first samples of a chunk), a quarter shadowing and LOS
  fields at 27 instants, the rest the sum of both.
* **1,000 devices**: four fifths are Python and NumPy: 750 calls for each message, most of them on
  arrays of a dozen pairs; a quarter of all is the choice of who may start, which looks at twenty
  waiting transmissions for each one that does. Kernels are a fifth, most of it random fields.
  Memory is that of compiled code, 80 MiB.
* **500 links**: a quarter is HARQ (0.07 µs for a transport block), a fifth the other kernels;
  half is bookkeeping in Python, 0.15 ms for each message and each of its two events.
* **A single message**: 730 calls of Python and NumPy functions; kernels are a tenth.
* **`--check`** imports NumPy, pydantic and the YAML library (a third of its time), and builds the
  schemas of the models that the scenario names; 0.54 to 0.60 s where nothing else ran.
* **Training** is bound by its products with frozen weights and with factors, two thirds of the
  time at up to four fifths of the speed of a large product; the rest are passes over activations
  and Python.
"""
Measured = dict[str, Any]


@dataclass(frozen=True)
class Line:
    """A row of the table.

    Parameters
    ----------
    work : what is measured
    target : how many times less CPU than the earlier version; none: this version alone
    bound : what limits it, from this version's measurement
    repeats : how many times each version is measured, if not as the options say
    command : what is measured whole, with its start; none: a case of `cases.py`
    """

    work: str
    target: float | None
    bound: Callable[[Measured], str] = lambda found: ""
    repeats: int | None = None
    command: tuple[str, ...] | None = None


def events(found: Measured) -> str:
    """Describe the events that the work consists of."""
    return f"{found['events']} events, {1e6 * found['seconds'] / found['events']:.0f} µs each"


def per_transfer(found: Measured) -> str:
    """Describe the time of a transfer."""
    each_ms = 1e3 * found["seconds"] / found["transfers"]
    return (
        f"{found['transfers']} transfers, {each_ms:.2f} ms each, {found['delivered']:.1%} "
        f"delivered; Shannon time over time used {found['shannon']:.2f}"
    )


def blocks(found: Measured) -> str:
    """Describe the rate of transport blocks."""
    return f"{found['blocks']} transport blocks, {found['blocks'] / found['seconds']:.2g} a second"


OUT = "{out}"
# The start of a run without learning, up to its first event.
START = """
from wnsim.scenario.api import load
from wnsim.scenario.simulation.build import build_world
from wnsim.scenario.simulation.simulate import network_of
scenario = next(iter(load("network.yaml"))).scenario
network = network_of(scenario, build_world(scenario))
network.env.process(scenario.traffic.process(network, lambda number: None))
network.env.step()
"""
LINES = {
    "fading": Line(
        "fading and all of the gain, 190 links, 1024 samples", 5.0,
        lambda found: f"{found['rate'] / 1e6:.1f} M link-samples a second",
    ),
    "reuse-1000": Line(
        "1,000 devices on 4 km², interference, 10 x 10 x 1 MB", 3.0, per_transfer, 1
    ),
    "reuse-100": Line("100 devices, the same density, 4 rounds", 3.0, per_transfer),
    "network": Line("`network.yaml`, all variants, network part", 2.5, events),
    "highway": Line("`highway.yaml`, all variants, network part", 2.5, events),
    "cell": Line("`cell.yaml`, all variants, network part", 2.5, events),
    "ofdma": Line(
        "OFDMA with NR, 20 devices, 4 x 74 MB, 20 rounds", 5.0, per_transfer, 1
    ),
    "links-20": Line("20 links x 10 MiB, NR", 3.0, blocks),
    "links-500": Line("500 links x 10 MiB, NR", 3.0, blocks),
    "single": Line(
        "one link, one message of 1500 bytes", 5.0,
        lambda found: f"{1e3 * found['seconds']:.2f} ms; calls of Python and NumPy",
    ),
    "urban": Line(
        "`urban.yaml`, all variants, with figures and report", 1.67,
        lambda found: "training 60 %, evaluation 25 %, simulation 10 % of a variant",
        1, ("-m", "wnsim.scenario", "urban.yaml", "--out", OUT),
    ),
    "check": Line(
        "`--check urban.yaml`, with the start of Python", None,
        lambda found: f"{found['seconds']:.2f} s, at most 0.6 wanted",
        None, ("-m", "wnsim.scenario", "--check", "urban.yaml"),
    ),
    "start": Line(
        "start of `network.yaml`, up to its first event", None,
        lambda found: f"{found['seconds']:.2f} s, at most 2.5 wanted", None, ("-c", START),
    ),
    "reuse-1000-sparse": Line(
        "1,000 devices on 4 km², interference, 3 rounds", None, per_transfer, 1
    ),
    "reuse-10000": Line(
        "10,000 devices on 40 km², interference, 3 rounds", None, per_transfer, 1
    ),
}  # fmt: skip


# Tables that other commands make.
TABLES = {
    "Training": ("training.py",),
    "Wi-Fi": ("wifi.py",),
    "Memory of a run, its tables, figures and report": (
        "memory.py", "--messages", "10000", "100000", "1000000",
    ),
}  # fmt: skip


def measured(case: str, tree: Path) -> Measured:
    """Measure a case in a checkout, in a process of its own."""
    command = LINES[case].command
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryDirectory() as out:
        words = command or (str(HERE / "cases.py"), case)
        done = subprocess.run(
            [sys.executable, *(word.replace(OUT, out) for word in words)],
            cwd=tree,
            # Bytecode is kept, as it is for users; the first start after a change writes it.
            env={name: value for name, value in os.environ.items() if name != NO_BYTECODE}
            | {"PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise RuntimeError(f"{case} in {tree}:\n{done.stderr}")
    if command is not None:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
        # The peak of all children so far says nothing of this one.
        return {"seconds": seconds, "peak_bytes": math.nan}
    found: Measured = json.loads(done.stdout.splitlines()[-1])
    return found


@contextmanager
def checkout(commit: str) -> Iterator[Path]:
    """Yield a folder with an earlier version."""
    git = ["git", "-C", str(ROOT), "worktree"]
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "base"
        subprocess.run(
            [*git, "add", "--detach", str(tree), commit], check=True, stdout=subprocess.DEVNULL
        )
        try:
            yield tree
        finally:
            subprocess.run([*git, "remove", "--force", str(tree)], check=True)


def measure(case: str, base: Path, repeats: int) -> None:
    """Measure a case in turns, unless that was done, and keep what was found."""
    path, line = KEPT / f"{case}.json", LINES[case]
    if path.exists():
        return
    found: dict[str, list[Measured]] = {"base": [], "now": []}
    for _ in range(line.repeats or repeats):
        if line.target is not None:
            found["base"].append(measured(case, base))
        found["now"].append(measured(case, ROOT))
        print(case, [f"{name} {each[-1]['seconds']:.3g} s" for name, each in found.items() if each])
    KEPT.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found | {"date": today()}), "utf-8")


def table() -> list[str]:
    """Return the rows of the table of what was measured."""
    rows = [
        "| work | CPU before [s] | now [s] | ratio | target | memory before, now [GiB] | bound |",
        "|---|---|---|---|---|---|---|",
    ]
    for case, line in LINES.items():
        path = KEPT / f"{case}.json"
        if not path.exists():
            continue
        found = json.loads(path.read_text("utf-8"))
        now = middle(found["now"])
        cells = ["", f"{now['seconds']:.3g}", "", "", gib(now)]
        if line.target is not None:
            before = middle(found["base"])
            ratio = before["seconds"] / now["seconds"]
            verdict = "met" if ratio >= line.target else "missed"
            cells = [
                f"{before['seconds']:.3g}", cells[1], f"{ratio:.1f}",
                f"{line.target:g}, {verdict}",
                f"{gib(before)}, {cells[4]}" if cells[4] else "",
            ]  # fmt: skip
        rows.append("| " + " | ".join([line.work, *cells, line.bound(now)]) + " |")
    return rows


def gib(found: Measured) -> str:
    """Return the peak of memory as text, empty if it was not measured [GiB]."""
    peak = found["peak_bytes"] / 2**30
    return "" if math.isnan(peak) else f"{peak:.2f}"


def growth() -> list[str]:
    """Return how the work grows from 1,000 to 10,000 devices, if both were measured."""
    paths = [KEPT / f"{case}.json" for case in ("reuse-1000-sparse", "reuse-10000")]
    if not all(path.exists() for path in paths):
        return []
    few, many = (middle(json.loads(path.read_text("utf-8"))["now"]) for path in paths)
    exponent = math.log10(many["seconds"] / few["seconds"])
    text = (
        f"From 1,000 to 10,000 devices of the same density, CPU time grows with the exponent "
        f"{exponent:.2f} (at most 1.15 wanted), to {many['seconds']:.0f} s (900) and "
        f"{many['peak_bytes'] / 2**30:.2f} GiB (4)."
    )
    return [text, ""]


def middle(found: list[Measured]) -> Measured:
    """Return the measurement of median time."""
    return sorted(found, key=lambda each: float(each["seconds"]))[(len(found) - 1) // 2]


def page(base: str) -> str:
    """Return the page."""
    names = [f"{name} {importlib.metadata.version(name)}" for name in PACKAGES]
    machine = f"{processor()}, {os.cpu_count()} cores"
    versions = f"Python {platform.python_version()}, {', '.join(names)}"
    head = HEAD.format(day=today(), base=base, machine=machine, versions=versions)
    return "\n".join([head, *table(), "", *growth(), NOTES, *others()])


def others() -> list[str]:
    """Return the tables that other commands have made."""
    found = []
    for title in TABLES:
        path = KEPT / f"{title.split()[0].lower()}.md"
        if path.exists():
            lines = path.read_text("utf-8").splitlines()
            found += [f"## {title}", ""]
            found += [line if line.startswith("|") or not line else f"* {line}" for line in lines]
            found.append("")
    return found


def make_table(title: str) -> None:
    """Let another command make its table, unless that was done."""
    path = KEPT / f"{title.split()[0].lower()}.md"
    if not path.exists():
        script, *options = TABLES[title]
        done = subprocess.run(
            [sys.executable, str(HERE / script), *options],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        KEPT.mkdir(parents=True, exist_ok=True)
        path.write_text(done.stdout, "utf-8")


def today() -> str:
    """Return the date."""
    return datetime.now(UTC).date().isoformat()


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", choices=[[], *LINES], metavar="CASE")
    parser.add_argument("--base", default=BASE)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    with checkout(options.base) as base:
        for case in options.cases or LINES:
            measure(case, base, options.repeats)
    for title in TABLES if not options.cases else ():
        make_table(title)
    PAGE.write_text(page(options.base), "utf-8")
    print(*table(), sep="\n")


if __name__ == "__main__":
    main()
