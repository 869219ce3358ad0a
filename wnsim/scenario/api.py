"""Python interface: load a scenario, run it, read its tables.

Examples
--------
>>> from wnsim import load, run
>>> plan = load("network.yaml", settings={"traffic.rounds": 1, "devices.count": 4})
>>> results = run(plan, "results/small")
>>> sorted(set(results.transfers["kind"]))
['round']
"""

from __future__ import annotations

import contextlib
import json
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wnsim.channel import OutOfRangeWarning
from wnsim.scenario.errors import ScenarioError
from wnsim.scenario.options import parser
from wnsim.scenario.simulation.advice import check
from wnsim.scenario.spec.learning_package import check_learning_package
from wnsim.scenario.spec.plan import Run, plan, results_folder
from wnsim.scenario.spec.validation import allow
from wnsim.storage import parquet, records

if TYPE_CHECKING:
    import pandas as pd

    from wnsim.scenario.progress import Progress


@dataclass(frozen=True)
class Plan:
    """Runs of a scenario: variants times swept values times seeds.

    Parameters
    ----------
    scenario : scenario file, name of a bundled scenario, or its keys
    settings : overrides as `key=value`
    plugins : modules whose models the scenario may use
    runs : the runs, validated and resolved

    Examples
    --------
    >>> plan = load("network.yaml", settings={"repeat": 3})
    >>> sorted({run.scenario.seed for run in plan})
    [1, 2, 3]
    """

    scenario: str | Mapping[str, Any]
    settings: tuple[str, ...]
    plugins: tuple[str, ...]
    runs: tuple[Run, ...]

    def __len__(self) -> int:
        """Return the number of runs."""
        return len(self.runs)

    def __iter__(self) -> Iterator[Run]:
        """Iterate over the runs."""
        return iter(self.runs)


class Results:
    """Tables of a scenario's results folder as pandas data frames.

    A table of single runs, such as `transfers` or `evaluations`, concatenates the rows of all
    complete runs; the columns `run`, `variant`, `seed` and the swept values come first.

    Parameters
    ----------
    folder : results folder of a scenario

    Raises
    ------
    ScenarioError
        if the folder has no summary, hence no complete run

    Examples
    --------
    >>> small = {"traffic.rounds": 1, "devices.count": 4, "traffic.size_bytes": 1000, "repeat": 2}
    >>> plan = load("network.yaml", settings=small)
    >>> folder = run(plan, "results/read", figures=False).folder
    >>> results = Results(folder)
    >>> results.transfers.columns[:3].tolist()
    ['run', 'variant', 'seed']
    >>> results.aggregate.query("metric == 'messages'")["n"].unique().tolist()
    [2]
    >>> {manifest["seed"] for manifest in results.manifests.values()} == {1, 2}
    True
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        if not (self.folder / "summary.csv").is_file():
            raise ScenarioError(f"{self.folder}: no summary.csv, so no complete runs in it")

    @property
    def summary(self) -> pd.DataFrame:
        """Metrics: one row per run and metric; `wnsim.metrics.DEFINITIONS` defines them."""
        return _read(self.folder / "summary.csv")

    @property
    def aggregate(self) -> pd.DataFrame:
        """Means over seeds and paired differences to the baseline, with 95 % intervals."""
        return _read(self.folder / "aggregate.csv")

    @property
    def manifests(self) -> dict[str, dict[str, Any]]:
        """Manifest of each complete run: variant, seed, swept values, versions, digests."""
        names = dict.fromkeys(self.summary["run"])
        path = self.folder
        return {
            name: json.loads((path / name / records.MANIFEST).read_text("utf-8")) for name in names
        }

    def table(self, name: str, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """Return a table, concatenated over all complete runs that have it.

        Parameters
        ----------
        name : table such as `transfers`, `rounds`, `evaluations`, `devices` or `clusters`
        columns : columns to read; all if not given. A few of a million messages need little memory

        Raises
        ------
        ScenarioError
            if no run has such a table, a run lacks a column, or a table is in Parquet and the
            package pyarrow is missing

        Examples
        --------
        >>> small = {"traffic.rounds": 1, "devices.count": 4, "traffic.size_bytes": 1000}
        >>> plan = load("network.yaml", settings=small)
        >>> results = run(plan, "results/table", figures=False)
        >>> results.table("devices")["device"].nunique()
        4
        """
        import pandas as pd

        from wnsim.metrics import table_file

        manifests = self.manifests
        frames = []
        for run, manifest in manifests.items():
            path = table_file(self.folder / run / f"{name}.csv")
            if path is None:
                continue
            frame = _read(path, columns)
            front = {"run": run, "variant": manifest["variant"], "seed": manifest["seed"]}
            for place, (key, value) in enumerate((front | manifest["swept"]).items()):
                # A swept list or section is shown as it is written.
                plain = value if isinstance(value, str | int | float) else json.dumps(value)
                frame.insert(place, key, plain)
            frames.append(frame)
        if not frames:
            tables = {table for each in manifests.values() for table in each["sha256"]}
            known = sorted(
                {
                    Path(table).stem
                    for table in tables
                    if Path(table).suffix in (".csv", parquet.SUFFIX)
                }
            )
            raise ScenarioError(
                f"{self.folder}: no run has a table {name!r}; known: {', '.join(known)}"
            )
        return pd.concat(frames, ignore_index=True)

    @property
    def transfers(self) -> pd.DataFrame:
        """Messages: one row per message and receiver, late and lost ones included."""
        return self.table("transfers")

    @property
    def rounds(self) -> pd.DataFrame:
        """Rounds: one row per device and round."""
        return self.table("rounds")

    @property
    def evaluations(self) -> pd.DataFrame:
        """Evaluations: one row per device, task and evaluation."""
        return self.table("evaluations")


def _read(path: Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Read a table; names of devices are numbers if they look like numbers, in either format."""
    import pandas as pd

    try:
        if path.suffix != parquet.SUFFIX:
            found = pd.read_csv(path, usecols=columns)
            return found if columns is None else found[list(columns)]
        found = parquet.read(path, columns)
    except ValueError as error:
        raise ScenarioError(f"{path}: {error}") from error
    for name in parquet.TEXTS.keys() & set(found):
        with contextlib.suppress(ValueError):
            found[name] = pd.to_numeric(found[name])
    return found


def load(
    scenario: str | Path | Mapping[str, Any],
    *,
    settings: Mapping[str, Any] | None = None,
    plugins: Sequence[str] = (),
) -> Plan:
    """Load and validate a scenario without running it.

    Parameters
    ----------
    scenario : path of a YAML file, name of a bundled scenario, or keys and values as in a file, in
        which relative paths start from the working folder
    settings : overrides by dotted key, as `--set` on the command line
    plugins : modules whose models the scenario may use, as `--plugin` on the command line

    Raises
    ------
    ScenarioError
        if the scenario is invalid

    Examples
    --------
    >>> plan = load("network.yaml", settings={"repeat": 2})
    >>> len(plan) == 2 * len({run.scenario.label for run in plan})
    True
    >>> keys = {"name": "mine", "devices": {"count": 3}, "traffic": {"size_bytes": 1000}}
    >>> len(load(keys))
    1
    """
    check_learning_package()
    texts = tuple(f"{key}={json.dumps(value)}" for key, value in (settings or {}).items())
    source = scenario if isinstance(scenario, Mapping) else str(scenario)
    runs = plan(source, texts, allow(plugins))
    with warnings.catch_warnings():
        # The warning is issued when the scenario is run.
        warnings.simplefilter("ignore", OutOfRangeWarning)
        check(runs, source if isinstance(source, str) else "scenario")
    return Plan(source, texts, tuple(plugins), tuple(runs))


def run(
    scenario: Plan | str | Path | Mapping[str, Any],
    out: str | Path | None = None,
    *,
    jobs: int = 1,
    store: str | Path | None = None,
    store_gib: float = 2.0,
    figures: bool = True,
    tables: str = "csv",
    follow: Callable[[Progress], object] | None = None,
) -> Results:
    """Run the incomplete runs of a scenario and return all results.

    Parameters
    ----------
    scenario : plan returned by `load`, or an argument for it
    out : results folder; `results/<name>` by default
    jobs : number of runs at once, each in a process of its own, which reads the file; 1 for
        a scenario given by its keys
    store : folder of the training cache; a folder `store` in the results folder by default
    store_gib : maximum size of that folder [GiB]
    figures : whether to draw the standard figures
    tables : format of the tables of runs, `csv` or `parquet`
    follow : is called with the `Progress` of a run after each round; if it raises an exception, all
        runs end, those that are complete are kept, and `run` raises it

    Raises
    ------
    ScenarioError
        if an argument is invalid or a run failed; the other runs are complete then, and
        `Results(out)` reads them

    Examples
    --------
    >>> small = {"traffic.rounds": 1, "devices.count": 4, "traffic.size_bytes": 1000}
    >>> results = run(load("network.yaml", settings=small), "results/tiny")
    >>> int(results.summary.query("metric == 'messages'")["value"].min()) > 0
    True
    """
    if not 1 <= jobs <= 1024:
        raise ScenarioError(f"jobs must be from 1 to 1024, got {jobs}")
    if not 0 < store_gib < 1e9:
        raise ScenarioError(f"store_gib must be above 0 and below 1e9, got {store_gib}")
    if tables not in ("csv", "parquet"):
        raise ScenarioError(f"tables must be csv or parquet, got {tables!r}")
    if follow is not None and not callable(follow):
        raise ScenarioError(f"follow must be a function, got {follow!r}")
    wanted = scenario if isinstance(scenario, Plan) else load(scenario)
    if isinstance(wanted.scenario, Mapping) and jobs > 1:
        raise ScenarioError(f"jobs must be 1 for a scenario given by its keys, got {jobs}")
    words = [f"--set={text}" for text in wanted.settings]
    words += [f"--plugin={name}" for name in wanted.plugins]
    words += [f"--jobs={jobs}", f"--store-gib={store_gib}"]
    words += [] if out is None else [f"--out={out}"]
    words += [] if store is None else [f"--store={store}"]
    words += [] if figures else ["--no-figures"]
    words.append(f"--tables={tables}")
    shown = "scenario" if isinstance(wanted.scenario, Mapping) else wanted.scenario
    options = parser().parse_args([*words, "--", shown])
    folder = results_folder(wanted.runs[0], options.out)
    # Imported late: reading results does not need it.
    from wnsim.scenario.execution.from_options import run_from_options
    from wnsim.scenario.progress import Interrupted

    try:
        outcome = run_from_options(options, wanted.runs, folder, sys.stderr, follow)
    except Interrupted as interrupted:
        raise interrupted.__cause__ or interrupted from None
    if outcome.failures:
        raise ScenarioError("; ".join(f"{name}: {why}" for name, why in outcome.failures.items()))
    return Results(folder)
