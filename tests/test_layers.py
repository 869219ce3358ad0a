"""The architecture: permitted imports, from the syntax trees."""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import networkx as nx
import pytest

ROOT = Path(__file__).parent.parent
LAYERS = {
    "core": 0, "storage": 0, "kernels": 0,
    "mobility": 1, "channel": 1, "phy": 1, "faults": 1,
    "world": 2, "contacts": 2,
    "mac": 3, "air": 3, "network": 3, "workload": 3, "metrics": 3,
    "scenario": 4,
    "figures": 5, "report": 5, "selftest": 5,
}  # fmt: skip
# Modules of the simulator that fl may import, the last ones in its session alone.
FOR_LEARNING = ("wnsim.core.units", "wnsim.core.streams", "wnsim.core.params", "wnsim.core.plugins")
FOR_SESSION = (
    "wnsim.network", "wnsim.core.resource_blocks", "wnsim.core.transfer", "wnsim.storage.journal",
)  # fmt: skip
ONLY_IN = {
    "simpy": {
        "wnsim.core.clock",
        "wnsim.air",
        "wnsim.network",
        "wnsim.workload",
        "fl.session",
    },
    "matplotlib": {"wnsim.figures"},
    "jinja2": {"wnsim.report"},
    "numba": {"wnsim.kernels.compiling"},
    "submitit": {"wnsim.scenario.execution.cluster_jobs"},
    "dask": {"wnsim.scenario.execution.dask_jobs"},
    "distributed": {"wnsim.scenario.execution.dask_jobs"},
    "shtab": {"wnsim.scenario.completion"},
    "pyarrow": {"wnsim.storage.parquet", "wnsim.mobility"},
    "ruamel": {"wnsim.scenario"},
    "torch": {"fl"},
    "transformers": {"fl"},
    "networkx": {"fl"},
}
FILES = sorted([*ROOT.glob("wnsim/**/*.py"), *ROOT.glob("fl/**/*.py")])


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@functools.cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def imports(path: Path) -> Iterator[str]:
    """Yield the absolute names that a file imports, inside functions too."""
    module = module_of(path)
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1]
            stem = ".".join([*base, node.module or ""]) if node.level else str(node.module)
            yield from (f"{stem.rstrip('.')}.{alias.name}" for alias in node.names)


def layer(module: str) -> int | None:
    parts = module.split(".")
    return LAYERS.get(parts[1]) if parts[0] == "wnsim" and len(parts) > 1 else None


def statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements outside functions, those of branches and classes included."""
    for node in body:
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for inner in ("body", "orelse", "finalbody"):
                yield from statements(getattr(node, inner, []))


def imported(path: Path) -> Iterator[tuple[str, str, str]]:
    """Yield what a module imports outside functions: module, name there, and name here."""
    module = module_of(path)
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in statements(tree_of(path).body):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "", alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            base = parts[: len(parts) - node.level + 1] if node.level else []
            stem = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((stem, alias.name, alias.asname or alias.name) for alias in node.names)


def import_graph(paths: list[Path]) -> dict[str, set[str]]:
    """Return the modules that each module imports; a name that a package re-exports counts as an
    import of the module that defines it."""
    found = {module_of(path): list(imported(path)) for path in paths}
    packages = {module_of(path) for path in paths if path.name == "__init__.py"}
    exports = {
        (package, here): (stem, name)
        for package in packages
        for stem, name, here in found[package]
        if name
    }

    def origin(stem: str, name: str) -> str:
        if f"{stem}.{name}" in found:
            return f"{stem}.{name}"
        return origin(*exports[stem, name]) if (stem, name) in exports else stem

    return {
        module: {origin(stem, name) for stem, name, _ in names} & found.keys() - {module}
        for module, names in found.items()
    }


def cycles(graph: dict[str, set[str]]) -> list[set[str]]:
    """Return the import cycles, each as the set of its modules."""
    components = nx.strongly_connected_components(
        nx.DiGraph([(module, other) for module, others in graph.items() for other in others])
    )
    return [set(each) for each in components if len(each) > 1]


def test_no_import_cycle() -> None:
    assert cycles(import_graph(FILES)) == []


def test_an_import_cycle_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    sources = {
        "wnsim/__init__.py": "",
        "wnsim/air/__init__.py": "from wnsim.air.one import One\n",
        "wnsim/air/one.py": "if TYPE_CHECKING:\n    from wnsim.two import Two\nclass One: ...\n",
        "wnsim/two.py": "from wnsim.air import One\n",
        "wnsim/lazy.py": "def f():\n    from wnsim.user import User\n",
        "wnsim/user.py": "from wnsim import lazy\n",
    }
    for name, source in sources.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(source, "utf-8")
    graph = import_graph([tmp_path / name for name in sources])
    assert graph["wnsim.user"] == {"wnsim.lazy"}
    assert cycles(graph) == [{"wnsim.air.one", "wnsim.two"}]


def test_each_package_has_a_layer() -> None:
    packages = {path.parent.name for path in ROOT.glob("wnsim/*/__init__.py")}
    assert packages == set(LAYERS)
    assert {path.name for path in ROOT.glob("wnsim/*.py")} == {"__init__.py"}


def test_no_import_from_above() -> None:
    wrong = []
    for path in FILES:
        module = module_of(path)
        mine = layer(module)
        for name in imports(path):
            theirs = layer(name)
            known = mine is not None and theirs is not None
            # The command line calls the figures and the report.
            above = known and theirs > mine and (mine, theirs) != (4, 5)
            learning = name.split(".")[0] == "fl" and module.split(".")[0] == "wnsim"
            if above or (learning and not module.startswith("wnsim.scenario")):
                wrong.append(f"{module} imports {name}")
    assert wrong == []


def test_learning_knows_nothing_of_radio() -> None:
    wrong = []
    for path in FILES:
        module = module_of(path)
        allowed = FOR_LEARNING + FOR_SESSION * module.startswith("fl.session")
        for name in imports(path):
            permitted = f"{name}.".startswith(tuple(f"{each}." for each in allowed))
            if module.split(".")[0] == "fl" and name.split(".")[0] == "wnsim" and not permitted:
                wrong.append(f"{module} imports {name}")
    assert wrong == []


def test_third_party_packages_stay_in_their_modules() -> None:
    wrong = []
    for path in FILES:
        module = module_of(path)
        typed = {
            alias.name.split(".")[0]
            for node in ast.walk(tree_of(path))
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
            for child in ast.walk(node)
            if isinstance(child, ast.Import)
            for alias in child.names
        }
        for name in imports(path):
            package = name.split(".")[0]
            if package in ONLY_IN and package not in typed:
                homes = tuple(f"{home}." for home in ONLY_IN[package])
                if not f"{module}.".startswith(homes):
                    wrong.append(f"{module} imports {name}")
    assert wrong == []


@pytest.mark.parametrize("module", ["figures", "scenario.summary.latex", "report"])
def test_figures_tables_and_report_know_a_results_folder_only(module: str) -> None:
    ours = (
        f"wnsim.{module}", "wnsim.core.statistics", "wnsim.metrics", "wnsim.storage.records",
        "wnsim.storage.results_folder",
        # Options of figures, and user-defined ones.
        "wnsim.core.figure_options", "wnsim.core.plugins",
    )  # fmt: skip
    if module == "report":
        ours = (*ours, "wnsim.figures")
    for path in [path for path in FILES if f"{module_of(path)}.".startswith(f"wnsim.{module}.")]:
        for name in imports(path):
            if name.startswith(ours):
                continue
            assert name.split(".")[0] not in ("wnsim", "fl", "simpy", "torch"), f"imports {name}"


def test_only_safe_serialisation() -> None:
    for path in FILES:
        assert "pickle" not in {name.split(".")[0] for name in imports(path)}, path


# Packages that are slow to import, and of which a question imports none.
SLOW = {
    "jinja2", "matplotlib", "networkx", "numba", "pandas", "pyarrow", "safetensors", "scipy",
    "simpy", "torch", "tqdm", "transformers",
}  # fmt: skip
SLOWER = {*SLOW, "numpy", "pydantic"}


@pytest.mark.parametrize(
    ("option", "slow"),
    [
        (["--check", "urban.yaml"], SLOW),
        (["--check", "network.yaml"], SLOW),
        (["--check", "digits.yaml"], SLOW),
        (["--schema"], SLOW),
        (["--list"], SLOWER),
        (["--help"], {*SLOWER, "ruamel"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_questions_do_not_pay_for_slow_imports(option: list[str], slow: set[str]) -> None:
    code = (
        "import sys\n"
        "from wnsim.scenario.__main__ import main\n"
        "try: assert main(sys.argv[1:]) == 0\n"
        "except SystemExit as end: assert end.code == 0\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *option], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert slow.intersection(done.stderr.split()) == set()


@pytest.mark.parametrize("package", ["fl", "wnsim"])
def test_a_listing_of_a_package_can_be_read_at_a_glance(package: str) -> None:
    entries = [path.name for path in (ROOT / package).iterdir() if path.name != "__pycache__"]
    assert len(entries) <= 20
