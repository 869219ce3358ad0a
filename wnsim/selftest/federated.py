"""Self-test of learning: a small federated run with known properties."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from wnsim.selftest.result import Result, equal, facts, near

_SCENARIO = """\
name: selftest
devices: {count: 4}
area_m: [100, 100]
mobility: {model: static, layout: given, positions_m: [[0, 0], [50, 0], [0, 50], [50, 50]]}
channel: {path_loss: {model: free-space}, shadowing: {sigma_db: 0}, fading: {model: none}}
mac: {model: ideal}
fl:
  tasks: [home]
  partition: {model: iid}
  method: {model: lora, rank: 2}
  topology: {model: full}
  rounds: 2
  local_steps: 12
  test_examples: 16
  train_examples: 64
  evaluate_every: 2
"""


@contextmanager
def _federated() -> Iterator[Path]:
    """Run the small scenario including its figures; yield the results folder."""
    from wnsim.scenario.execution.execute import ExecutionOptions, execute
    from wnsim.scenario.progress import Display
    from wnsim.scenario.simulation.learning import StoreConfig
    from wnsim.scenario.spec.plan import plan

    with tempfile.TemporaryDirectory() as name:
        path, out = Path(name) / "selftest.yaml", Path(name) / "results"
        path.write_text(_SCENARIO, "utf-8")
        runs = plan(str(path))
        store_config = StoreConfig(out / "store", 1 << 28)
        with Display(io.StringIO()) as watcher:
            execute(runs, out, store_config, ExecutionOptions(lambda run: (run,)), watcher)
        yield out


def learning() -> Iterator[Result]:
    """Check a small federated run against its known properties, and its figures."""
    with _federated() as out:
        (run,) = (path.parent for path in out.glob("*/manifest.json"))
        manifest = json.loads((run / "manifest.json").read_text("utf-8"))
        transfers, rounds = (_rows(run / name) for name in ("transfers.csv", "rounds.csv"))
        wanted = facts()
        arrived = [row for row in transfers if row["delivered"] == "True"]
        yield equal("messages that arrive", len(arrived), wanted["messages"], "messages")
        sent = sum(int(row["size_bytes"]) for row in transfers)
        whole = wanted["messages"] * wanted["message_bytes"]
        yield equal("bytes of updates", sent, whole, "byte")
        yield equal("events of the clock", manifest["events"], wanted["events"], "events")
        losses = [
            float(np.mean([float(row["loss"]) for row in rounds if row["round"] == number]))
            for number in ("1", "2")
        ]
        for number, (loss, known) in enumerate(zip(losses, wanted["losses"], strict=True), 1):
            # Rounding differs between machines and grows during training.
            yield near(f"loss in round {number}", loss, known, 0.02 * known, "nat")
        pdf = (out / "figures" / "latency.pdf").read_bytes()
        sound = pdf.startswith(b"%PDF") and b"/FontFile2" in pdf and b"/Type3" not in pdf
        yield Result(
            "figures",
            sound,
            f"{len(pdf)} byte" + ("" if sound else ", not as it should be"),
            "a PDF with TrueType fonts",
        )


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
