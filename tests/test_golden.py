"""Golden digests: tables of shortened scenarios must not change."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent / "golden"))
from golden import DIGESTS, SCENARIOS, digest, of_scenario


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_tables_are_those_of_the_golden_digests(scenario: str, tmp_path: Path) -> None:
    golden = json.loads(DIGESTS.read_text("utf-8"))[scenario]
    found = of_scenario(scenario, tmp_path / scenario)
    assert set(found["tables"]) == set(golden["tables"])
    # Elsewhere the last bits of decimals may differ.
    kinds = ("all", "discrete") if found["made_with"] == golden["made_with"] else ("discrete",)
    changed = [
        f"{path} ({kind})"
        for path, digests in golden["tables"].items()
        for kind in kinds
        if found["tables"][path][kind] != digests[kind]
    ]
    assert not changed, f"changed; if that is meant, `python tests/golden` renews: {changed}"
    # Events are what a simulation costs, in numbers that do not depend on the machine.
    assert set(found["events"]) == set(golden["events"])
    more = [run for run, count in found["events"].items() if count > golden["events"][run]]
    assert not more, f"more events than before; if that is meant, `python tests/golden`: {more}"


def test_a_digest_sees_each_cell_and_follows_renames() -> None:
    none: dict[str, Any] = {"columns": {}, "values": {}}
    old = digest("transfers.csv", b"legs,reason,latency_s\n1,left,0.5\n", none)
    new = b"hops,reason,latency_s\n1,departed,0.5\n"
    renames = {
        "columns": {"transfers.csv": {"hops": "legs"}},
        "values": {"transfers.csv": {"reason": {"departed": "left"}}},
    }
    assert digest("transfers.csv", new, renames) == old
    assert digest("rounds.csv", new, renames) != old
    later = digest("transfers.csv", b"legs,reason,latency_s\n1,left,0.6\n", none)
    assert later["all"] != old["all"]
    assert later["discrete"] == old["discrete"]
    other = digest("transfers.csv", b"legs,reason,latency_s\n2,left,0.5\n", none)
    assert other["discrete"] != old["discrete"]
