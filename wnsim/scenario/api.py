"""What the command line does, from Python: load a scenario, run it, read its tables.

from wnsim.scenario import load, run

results = run(load("urban.yaml", settings={"fl.rounds": 5}), jobs=2)
results.transfers.groupby("variant")["latency_s"].median()
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wnsim.channel import OutOfRangeWarning
from wnsim.scenario.errors import ScenarioError
from wnsim.scenario.options import parser
from wnsim.scenario.simulation.build import check
from wnsim.scenario.spec.learning_package import check_fl
from wnsim.scenario.spec.plan import Run, plan, results_folder
from wnsim.scenario.spec.validation import allow
from wnsim.storage import records

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Plan:
    """The runs that a scenario stands for: variants, times swept values, times seeds.

    Parameters
    ----------
    scenario : the file, or the name on board
    settings : texts `key=value` that go over what it says
    plugins : modules whose models it may use
    runs : its runs
    """

    scenario: str
    settings: tuple[str, ...]
    plugins: tuple[str, ...]
    runs: tuple[Run, ...]

    def __len__(self) -> int:
        """Return the number of runs."""
        return len(self.runs)

    def __iter__(self) -> Iterator[Run]:
        """Yield the runs."""
        return iter(self.runs)


class Results:
    """The tables in a scenario's folder of results, as data frames.

    A table of single runs, such as `transfers` or `evaluations`, has the rows of all complete runs
    below each other, with the columns `run`, `variant`, `seed` and swept values in front.

    Parameters
    ----------
    folder : the folder

    Raises
    ------
    ScenarioError
        if no complete run has been gathered there
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        if not (self.folder / "summary.csv").is_file():
            raise ScenarioError(f"{self.folder}: no summary.csv, so no complete runs in it")

    @property
    def summary(self) -> pd.DataFrame:
        """One row per run and metric; `wnsim.metrics.DEFINITIONS` says what each is."""
        return self._read("summary.csv")

    @property
    def aggregate(self) -> pd.DataFrame:
        """Means over seeds and paired differences, with their 95 % intervals."""
        return self._read("aggregate.csv")

    @property
    def manifests(self) -> dict[str, dict[str, Any]]:
        """What each complete run was: variant, seed, swept values, versions, digests."""
        names = dict.fromkeys(self.summary["run"])
        path = self.folder
        return {
            name: json.loads((path / name / records.MANIFEST).read_text("utf-8")) for name in names
        }

    def table(self, name: str) -> pd.DataFrame:
        """Return a table of all complete runs that have it.

        Parameters
        ----------
        name : such as `transfers`, `rounds`, `evaluations`, `devices` or `groups`

        Raises
        ------
        ScenarioError
            if no run has such a table
        """
        import pandas as pd

        manifests = self.manifests
        frames = []
        for run, manifest in manifests.items():
            path = self.folder / run / f"{name}.csv"
            if not path.is_file():
                continue
            frame = pd.read_csv(path)
            front = {"run": run, "variant": manifest["variant"], "seed": manifest["seed"]}
            for place, (key, value) in enumerate((front | manifest["swept"]).items()):
                # A list or a section that was swept over is shown as it is written.
                plain = value if isinstance(value, str | int | float) else json.dumps(value)
                frame.insert(place, key, plain)
            frames.append(frame)
        if not frames:
            tables = {table for each in manifests.values() for table in each["sha256"]}
            known = sorted(Path(table).stem for table in tables if table.endswith(".csv"))
            raise ScenarioError(
                f"{self.folder}: no run has a table {name!r}; known: {', '.join(known)}"
            )
        return pd.concat(frames, ignore_index=True)

    @property
    def transfers(self) -> pd.DataFrame:
        """One row per message, late and lost ones too."""
        return self.table("transfers")

    @property
    def rounds(self) -> pd.DataFrame:
        """One row per device and round."""
        return self.table("rounds")

    @property
    def evaluations(self) -> pd.DataFrame:
        """One row per device, task and evaluation."""
        return self.table("evaluations")

    def _read(self, name: str) -> pd.DataFrame:
        import pandas as pd

        return pd.read_csv(self.folder / name)


def load(
    scenario: str | Path,
    *,
    settings: Mapping[str, Any] | None = None,
    plugins: Sequence[str] = (),
) -> Plan:
    """Return the runs of a scenario, checked but not run.

    Parameters
    ----------
    scenario : path of a YAML file, or name of a scenario on board
    settings : values by dotted key that go over what the file says, as by --set
    plugins : modules whose models it may use, as by --plugin

    Raises
    ------
    ScenarioError
        if anything in it is wrong
    """
    check_fl()
    texts = tuple(f"{key}={json.dumps(value)}" for key, value in (settings or {}).items())
    runs = plan(str(scenario), texts, allow(plugins))
    with warnings.catch_warnings():
        # It is said when the scenario is run.
        warnings.simplefilter("ignore", OutOfRangeWarning)
        check(runs, str(scenario))
    return Plan(str(scenario), texts, tuple(plugins), tuple(runs))


def run(
    scenario: Plan | str | Path,
    out: str | Path | None = None,
    *,
    jobs: int = 1,
    store: str | Path | None = None,
    store_gib: float = 2.0,
) -> Results:
    """Run what is not complete of a scenario, and return its results.

    Parameters
    ----------
    scenario : what `load` returned, or what it takes
    out : folder of results; results/<name> if not given
    jobs : how many runs at once, each in a process of its own
    store : folder of what was trained; one in the folder of results if not given
    store_gib : what it may grow to [GiB]

    Raises
    ------
    ScenarioError
        if an argument makes no sense, or a run failed; the others are complete then, and
        `Results(out)` has them
    """
    if not 1 <= jobs <= 1024:
        raise ScenarioError(f"jobs must be from 1 to 1024, got {jobs}")
    if not 0 < store_gib < 1e9:
        raise ScenarioError(f"store_gib must be above 0 and below 1e9, got {store_gib}")
    wanted = scenario if isinstance(scenario, Plan) else load(scenario)
    words = [f"--set={text}" for text in wanted.settings]
    words += [f"--plugin={name}" for name in wanted.plugins]
    words += [f"--jobs={jobs}", f"--store-gib={store_gib}"]
    words += [] if out is None else [f"--out={out}"]
    words += [] if store is None else [f"--store={store}"]
    options = parser().parse_args([*words, "--", wanted.scenario])
    folder = results_folder(wanted.runs[0], options.out)
    # Whoever only reads results need not wait for what running takes.
    from wnsim.scenario.execution.from_options import carry_out

    outcome = carry_out(options, wanted.runs, folder, sys.stderr)
    if outcome.failures:
        raise ScenarioError("; ".join(f"{name}: {why}" for name, why in outcome.failures.items()))
    return Results(folder)
