"""User-defined partition, optimizer, robust rule, compressor, allocation and protocol."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any, Literal

import commands
import numpy as np
import pandas as pd
import pytest
import torch

from fl.adapters.adapter import Adapter
from fl.adapters.flat_parameters import FlatParameters
from fl.aggregation.robust import OwnRule, median
from fl.config import Lora, Sgd, SoLora
from fl.data.partition import partition
from fl.methods import method_of
from fl.session import completion
from fl.training.optimizer import make_stepper
from fl.updates.codec import Update, decode, encode
from fl.updates.compression import Compression, nearest
from wnsim.core.params import parameters
from wnsim.mac.allocation import Demand, checked
from wnsim.metrics.devices import jain
from wnsim.scenario import contracts
from wnsim.scenario.__main__ import main

EXAMPLES = Path(__file__).parent.parent / "docs" / "examples"


class Group:
    def __init__(self, name: str, count: int) -> None:
        self.name, self.train = name, [f"{name} {n}" for n in range(count)]


def splitting(result: Any) -> Any:
    """Return a partition that returns the same for all arguments."""

    class Fixed:
        model = "ownrules:Fixed"

        def split(self, groups: Any, devices: int, seed: int) -> Any:
            return result

    return Fixed()


GROUPS = [Group("a", 3), Group("b", 2)]


def test_a_partition_gives_devices_the_examples_it_names() -> None:
    shares = partition(splitting([[(0, 2), (1, 0)], [(0, 0)]]), GROUPS, 2, 1)
    assert [share.owned for share in shares] == [((0, "a 2"), (1, "b 0")), ((0, "a 0"),)]


@pytest.mark.parametrize(
    ("result", "complaint"),
    [
        ([[(0, 0)]], "ownrules:Fixed: split must return 2 devices' examples, got 1"),
        ([[(0, 0)], []], "split must give an example to device 1, got none"),
        ([[(0, 0)], [(1, 2)]], r"a group and an example of it, got \(1, 2\) for device 1"),
        ([[(0, 0)], [(0, -1)]], r"got \(0, -1\) for device 1"),
        ([[(0, 0)], [(0, 0)]], r"to one device, once, got \(0, 0\) for devices 0 and 1"),
        ([[(0, 0), (0, 0)], [(0, 1)]], r"once, got \(0, 0\) for devices 0 and 0"),
    ],
)
def test_a_partition_that_breaks_its_contract_is_refused(result: Any, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        partition(splitting(result), GROUPS, 2, 1)


class Momentum:
    """Gradient descent with momentum, as `Sgd`."""

    model = "ownrules:Momentum"

    def step(self, values: Any, gradient: Any, state: Any, number: int, rate: float) -> Any:
        velocity = gradient if not state else 0.9 * state[0] + gradient
        return values - rate * velocity, (velocity,)


def adapters(ranks: list[int], *, masked: bool) -> list[Adapter]:
    generator = torch.Generator().manual_seed(3)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    found = []
    for rank in ranks:
        mask = (draw(5, rank) > 0,) if masked else None
        found.append(Adapter((draw(rank, 4),), (draw(5, rank),), 1.0, mask=mask))
    return found


@pytest.mark.parametrize("masked", [False, True])
def test_an_optimizer_steps_as_the_built_in_one_of_the_same_rule(masked: bool) -> None:
    """Law: v <- m v + g, x <- x - r v, with state kept from round to round, and frozen entries."""
    ranks = [3, 3] if masked else [3, 2]
    rows = [FlatParameters(adapters(ranks, masked=masked), torch.device("cpu")) for _ in range(2)]
    moments: list[Any] = [[None, None], [None, None]]
    generator = torch.Generator().manual_seed(4)
    for _ in range(2):
        steppers = [
            make_stepper(config, one, before, [0.1, 0.2])
            for config, one, before in zip(
                (Momentum(), Sgd(momentum=0.9)), rows, moments, strict=True
            )
        ]
        for count in (2, 2, 1):
            gradients = torch.randn(rows[0].trained.shape, generator=generator)
            for index in range(2):
                own = torch.zeros_like(gradients[index], dtype=torch.bool)
                own[rows[0].entries(index)] = True
                gradients[index] *= own
            if rows[0].mask is not None:
                gradients *= rows[0].mask
            for stepper in steppers:
                stepper.step(gradients.clone(), count)
        moments = [stepper.moments() for stepper in steppers]
    torch.testing.assert_close(rows[0].trained, rows[1].trained)
    assert [each.steps for each in moments[0]] == [6, 4]


@pytest.mark.parametrize(
    ("step", "complaint"),
    [
        (lambda values, *_: values, "step must return values and a tuple of state"),
        (lambda values, *_: (values[:1], ()), r"values of step must be vectors of shape \(27,\)"),
        (lambda values, *_: (values, (1.0,)), r"state of step must be vectors .* got float"),
    ],
)
def test_an_optimizer_that_breaks_its_contract_is_refused(step: Any, complaint: str) -> None:
    class Bad:
        model = "ownrules:Bad"

    Bad.step = staticmethod(step)  # type: ignore[attr-defined]
    rows = FlatParameters(adapters([3], masked=False), torch.device("cpu"))
    stepper = make_stepper(Bad(), rows, [None], [0.1])
    with pytest.raises(ValueError, match=complaint):
        stepper.step(torch.ones_like(rows.trained), 1)


class Middle:
    model = "ownrules:Middle"

    def aggregate(self, updates: Any, weights: Any, reference: Any) -> Any:
        return torch.from_numpy(np.nanmedian(updates.numpy(), axis=0))


class Krum:
    """The update with the least sum of distances to the others, whole."""

    model = "ownrules:Krum"

    def aggregate(self, updates: Any, weights: Any, reference: Any) -> Any:
        return updates[torch.cdist(updates, updates).sum(1).argmin()]


def updates(count: int, *, masked: bool) -> list[Update]:
    generator = torch.Generator().manual_seed(5)
    found = []
    for device in range(count):
        b = tuple(torch.randn(shape, generator=generator) for shape in ((4, 2), (3, 2)))
        a = tuple(torch.randn(shape, generator=generator) for shape in ((2, 5), (2, 4)))
        if masked:
            mask = tuple(torch.rand(each.shape, generator=generator) < 0.7 for each in b)
            b = tuple(x * on for x, on in zip(b, mask, strict=True))
            found.append(Update(device, 1, b, mask))
        else:
            found.append(Update(device, 1, b, a=a))
    return found


@pytest.mark.filterwarnings("ignore:All-NaN slice")
@pytest.mark.parametrize("masked", [False, True])
def test_a_robust_rule_sees_and_replaces_what_a_method_averages(masked: bool) -> None:
    """Law: an entry-wise rule over whole vectors is the same rule matrix by matrix."""
    method = method_of(SoLora() if masked else Lora())
    given = updates(5, masked=masked)
    own = OwnRule(Middle(), method.average)(given, [1.0] * 5, given[0])
    built_in = method.average(given, [1.0] * 5, median)
    for mine, expected in zip(
        (*own.b, *(own.a or ())), (*built_in.b, *(built_in.a or ())), strict=True
    ):
        torch.testing.assert_close(mine, expected)


def test_a_robust_rule_may_compare_whole_updates() -> None:
    """Law: one update is chosen for all matrices; four are alike and one is far away."""
    given = updates(1, masked=False)
    near = [Update(d, 1, tuple(x + 0.01 * d for x in given[0].b), a=given[0].a) for d in range(4)]
    far = Update(4, 1, tuple(x + 100.0 for x in given[0].b), a=given[0].a)
    found = OwnRule(Krum(), method_of(Lora()).average)([far, *near], [1.0] * 5, far)
    chosen = [all(torch.equal(x, y) for x, y in zip(found.b, each.b, strict=True)) for each in near]
    assert sum(chosen) == 1


@pytest.mark.parametrize(
    ("aggregate", "complaint"),
    [
        (lambda rows, *_: rows, r"aggregate must return a vector of shape \(32,\), got \(2, 32\)"),
        (lambda rows, *_: rows[0] / 0.0, "aggregate must return finite values"),
        (lambda rows, *_: 1.0, "got float"),
    ],
)
def test_a_robust_rule_that_breaks_its_contract_is_refused(aggregate: Any, complaint: str) -> None:
    class Bad:
        model = "ownrules:Bad"

    Bad.aggregate = staticmethod(aggregate)  # type: ignore[attr-defined]
    given = updates(2, masked=False)
    with pytest.raises(ValueError, match=complaint):
        OwnRule(Bad(), method_of(Lora()).average)(given, [1.0, 1.0], given[0])


@pytest.mark.parametrize("bits", [4, 8])
def test_rounding_to_the_nearest_is_off_by_half_a_level(bits: int) -> None:
    values = torch.randn(40, 7, generator=torch.Generator().manual_seed(6))
    step = float(values.abs().max()) / (2 ** (bits - 1) - 1)
    found = nearest(values, bits)
    assert float((found - values).abs().max()) <= step / 2 + 1e-6
    assert torch.equal(nearest(torch.zeros(2, 2), bits), torch.zeros(2, 2))
    # The stochastic rounding of the serialisation leaves such values as they are.
    from fl.adapters import Layer

    sent = decode(encode(Update(0, 1, (found,), bits=bits)), [Layer("x", 5, 40)], [7])
    torch.testing.assert_close(sent.b[0], found)


class Signs:
    model = "ownrules:Signs"
    feedback = True

    def compress(self, values: Any, bits: int, seed: int) -> Any:
        return torch.sign(values) * values.abs().mean()


def test_what_a_compressor_leaves_out_is_sent_later() -> None:
    """Law: sums of updates and of what was sent differ by the last error, on each device alone."""
    generator = torch.Generator().manual_seed(7)
    compression = Compression(Signs(), 4, 1)
    assert compression.has_memory
    total, sent = torch.zeros(2, 6, 3), torch.zeros(2, 6, 3)
    for round_ in range(1, 9):
        for device in range(2):
            values = torch.randn(6, 3, generator=generator)
            update = Update(device, round_, (values,))
            first = compression.compressed(update)
            # A second time in the round, for receivers without the mask, it is the same.
            assert torch.equal(first.b[0], compression.compressed(update).b[0])
            # States outside of rounds change nothing.
            compression.compressed(Update(device, 0, (values,)))
            total[device] += values
            sent[device] += first.b[0]
            error = total[device] - sent[device]
            torch.testing.assert_close(error, compression._errors[device][2][0])
    assert float((total - sent).norm()) < 0.5 * float((total - 0.0).norm()) + 10.0


def test_a_compressor_leaves_masks_seeds_and_frozen_factors() -> None:
    mask = torch.tensor([[True, False], [True, True]])
    b = torch.tensor([[1.0, 0.0], [2.0, -3.0]])
    a = torch.randn(2, 3)
    update = Update(0, 1, (b,), (mask,), a=(a,), a_frozen=True)
    found = Compression(Signs(), 8, 1).compressed(update)
    assert found.a is not None
    assert torch.equal(found.a[0], a)
    assert torch.equal(found.b[0], torch.tensor([[1.5, 0.0], [1.5, -1.5]]))


@pytest.mark.parametrize(
    ("compress", "complaint"),
    [
        (lambda values, *_: values[0], r"compress must return a matrix of shape \(2, 3\), got"),
        (lambda values, *_: values / 0.0, "compress must return finite values"),
    ],
)
def test_a_compressor_that_breaks_its_contract_is_refused(compress: Any, complaint: str) -> None:
    class Bad:
        model = "ownrules:Bad"

    Bad.compress = staticmethod(compress)  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match=complaint):
        Compression(Bad(), 8, 1).compressed(Update(0, 1, (torch.ones(2, 3),)))


@pytest.mark.parametrize(
    ("band", "power", "complaint"),
    [
        ([0.5], [1.0, 1.0], r"the band of each device as an array of shape \(2,\), got \(1,\)"),
        ([0.5, 0.0], [1.0, 1.0], "band must be above 0 and at most 1"),
        ([0.7, 0.7], [1.0, 1.0], "shares of the band must have sum 1, got 1.4"),
        ([0.5, 0.5], [1.0, 0.6], "shares of the power must be within the limits"),
    ],
)
def test_shares_of_an_allocation_are_checked(band: Any, power: Any, complaint: str) -> None:
    ones = np.ones(2)
    demand = Demand(ones, ones, ones, np.array([1.0, 0.5]), ones, ones, ones, np.arange(2))
    with pytest.raises(ValueError, match=complaint):
        checked("ownrules:Bad", demand, (np.array(band), np.array(power)))
    shares = np.array([0.25, 0.75]), np.array([1.0, 0.5])
    assert checked("ownrules:Good", demand, shares).noise is None
    assert checked("ownrules:Good", demand, (*shares, np.array([1.0, 2.0]))).noise is not None
    for wrong in (shares[0], (*shares, np.array([1.0, 0.5])), (*shares, 2.0), (*shares, None, 1)):
        with pytest.raises(ValueError, match="ownrules:Bad"):
            checked("ownrules:Bad", demand, wrong)


OWN_RULES = '''
from typing import Literal

import numpy as np

from fl.session import Session
from fl.session.synchronous import SynchronousSession
from wnsim.core.params import parameters


@parameters
class Equal:
    model: Literal["ownrules:Equal"] = "ownrules:Equal"
    def valid_s(self, demand): return float("inf")
    def shares(self, modem, demand):
        return np.full(demand.bits.size, 1.0 / demand.bits.size), demand.limit

@parameters
class Greedy(Equal):
    model: Literal["ownrules:Greedy"] = "ownrules:Greedy"
    def shares(self, modem, demand): return np.ones(demand.bits.size), demand.limit

@parameters
class Rounds:
    model: Literal["ownrules:Rounds"] = "ownrules:Rounds"
    def session(self, *arguments): return SynchronousSession(*arguments)

@parameters
class Odd:
    """Rules that break a contract."""
    model: Literal["ownrules:Odd"] = "ownrules:Odd"

@parameters
class Still:
    model: Literal["ownrules:Still"] = "ownrules:Still"
    def step(self, values, gradient, state, number, learning_rate):
        return values + learning_rate * gradient, state

@parameters
class Sum:
    model: Literal["ownrules:Sum"] = "ownrules:Sum"
    def aggregate(self, updates, weights, reference): return updates.sum(0)

@parameters
class One:
    model: Literal["ownrules:One"] = "ownrules:One"
    def compress(self, values, bits, seed): return values * 0 + 1

@parameters
class Same:
    model: Literal["ownrules:Same"] = "ownrules:Same"
    def split(self, groups, devices, seed): return [[(0, 0)]] * devices

@parameters
class Wrong:
    model: Literal["ownrules:Wrong"] = "ownrules:Wrong"
    def split(self, groups, devices, seed): return [helper(n) for n in range(devices)]

@parameters
class Late:
    model: Literal["ownrules:Late"] = "ownrules:Late"
    def compress(self, values, bits, seed): raise KeyError("later")

def helper(number):
    return number.nothing

class Base(Session):
    def run(self):
        kind = self.learning.protocol.kind
        if kind == "ends": yield self.network.timeout(3.0)
        if kind == "rounds": yield from self.run_rounds(self.empty)
        if kind == "waits": yield self.network.inbox[0].get()
        while kind == "ticks": yield self.network.timeout(0.001)
        while kind == "stands": yield self.network.timeout(0.0)
        while kind == "trains":
            trained, duration_s = self.train(0, 1, self.states[0])
            yield self.network.timeout(duration_s)
        trained, duration_s = self.train(0, 1, self.states[0])
        yield self.network.timeout(duration_s)
        if kind == "open": self.record_round(1, 0, trained, (0.0, duration_s), (0, 0), [], [])
    def empty(self, number, present): yield self.network.timeout(1.0)

@parameters
class Lazy:
    model: Literal["ownrules:Lazy"] = "ownrules:Lazy"
    kind: str = ""
    def session(self, *arguments): return Base(*arguments)
'''
SCENARIO = """
name: own
devices: {count: 3}
area_m: [100, 100]
mobility: {model: static}
fl:
  tasks: [reverse]
  method: {model: lora, rank: 2}
  topology: {model: full}
  rounds: 2
  local_steps: 1
  batch_size: 2
  train_examples: 8
  test_examples: 2
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "ownrules.py").write_text(OWN_RULES)
    (tmp_path / "own.yaml").write_text(SCENARIO)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "ownrules", raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("Greedy", "shares of the band must have sum 1"),
        ("Still", "must come nearer to the minimum"),
        ("Sum", "aggregate of equal updates must be that update"),
        ("One", "compress of zeros must be zeros"),
        ("Same", "an example to one device, once"),
    ],
)
def test_contracts_find_violations(folder: Path, name: str, complaint: str) -> None:
    from wnsim.scenario.spec.validation import allow

    allow(["ownrules"])
    _, found = contracts.violations(f"ownrules:{name}")
    assert any(complaint in text for text in found), found


def test_contracts_find_nothing_in_the_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    names = ("Turns", "Zipf", "Lion", "GeometricMedian", "Signs", "Backlog")
    assert contracts.main([f"parts:{name}" for name in names]) == 0


def run(folder: Path, out: str, *settings: str) -> Path:
    """Run the scenario in this process; return the folder of its run."""
    words = ["own.yaml", "--plugin", "ownrules", "--no-figures", "--out", out]
    assert main([*words, *(f"--set={each}" for each in settings)]) == 0
    return folder / out / "seed=1"


TABLES = ("transfers.csv", "rounds.csv", "evaluations.csv")


def test_a_protocol_of_built_in_rounds_gives_the_same_tables(folder: Path) -> None:
    own = run(folder, "one", "fl.protocol={model: 'ownrules:Rounds'}")
    built_in = run(folder, "two")
    for name in TABLES:
        assert (own / name).read_bytes() == (built_in / name).read_bytes()


@pytest.mark.parametrize(
    ("kind", "complaint"),
    [
        ("ends", "has recorded none, at "),
        ("rounds", "has recorded none, at 2."),
        ("open", "has not called end_round after 1 that it has recorded"),
        ("waits", "waits for an event that never comes, at 0 s"),
        ("ticks", "has done nothing in 5000 events of the simulation"),
        ("stands", "has done nothing in 5000 events of the simulation, at 0 s"),
        ("trains", "has trained and sent 61 times since one was recorded last"),
    ],
)
def test_a_protocol_that_records_no_round_ends_in_a_sentence(
    folder: Path,
    kind: str,
    complaint: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(completion, "_BATCH", 500)
    monkeypatch.setattr(completion, "_ACTIONS", 20)
    protocol = f"--set=fl.protocol={{model: 'ownrules:Lazy', kind: {kind}}}"
    assert main(["own.yaml", "--plugin", "ownrules", "--no-figures", protocol]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("ownrules:Lazy: run must record the rounds of devices and end, but ")
    assert complaint in said


def test_an_allocation_of_equal_shares_gives_the_same_tables(folder: Path) -> None:
    cell = ("base_stations={}", "fl.protocol={model: server}")
    own, built_in = (
        run(folder, out, *cell, f"mac={{model: cell, allocation: {{model: '{model}'}}}}")
        for out, model in (("one", "ownrules:Equal"), ("two", "equal"))
    )
    for name in TABLES:
        assert (own / name).read_bytes() == (built_in / name).read_bytes()


def test_the_rules_of_the_example_run_together(tmp_path: Path) -> None:
    for name in ("parts.py", "parts.yaml"):
        shutil.copy(EXAMPLES / name, tmp_path)
    done = commands.wnsim(
        "parts.yaml", "--plugin=parts", "--set=figures.only=[bytes]", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    results = tmp_path / "results" / "parts"
    drawn = {path.stem for path in (results / "figures").iterdir()}
    assert drawn == {"bytes", "parts-waiting"}
    summary = pd.read_csv(results / "summary.csv")
    own = summary[summary["metric"] == "parts:fairness"].set_index("run")["value"]
    received = pd.read_csv(results / "turns,seed=1" / "rounds.csv")
    each = received.groupby("device")["updates_received"].sum()
    assert own["turns,seed=1"] == pytest.approx(jain(each))
    assert len(own) == 2
    assert "fairness index of the updates" in (results / "report.html").read_text("utf-8")
    rounds = pd.read_csv(results / "turns,seed=1" / "rounds.csv").sort_values("start_s")
    # Law: no device begins to train before the one before it has sent its update.
    assert (rounds["start_s"].to_numpy()[1:] >= rounds["end_s"].to_numpy()[:-1] - 1e-9).all()
    # Law: rank 4 of each linear layer at 4 bits, with a scale per factor and the header.
    sizes = set(pd.read_csv(results / "turns,seed=1" / "transfers.csv")["size_bytes"])
    assert len(sizes) == 1
    manifest = json.loads((results / "server,seed=1" / "manifest.json").read_text("utf-8"))
    assert any(path.endswith("parts.py") for path in manifest["inputs"])


def test_an_error_in_a_rule_is_one_sentence_with_the_place_of_its_traceback(folder: Path) -> None:
    words = ["own.yaml", "--plugin=ownrules", "--no-figures"]
    words.append("--set=fl.compressor={model: 'ownrules:Late'}")
    done = commands.wnsim(*words, cwd=folder)
    assert done.returncode == 2
    (said,) = [line for line in done.stderr.splitlines() if "ownrules" in line]
    line = OWN_RULES.splitlines().index(
        '    def compress(self, values, bits, seed): raise KeyError("later")'
    )
    traceback = Path("results/own/seed=1/traceback.txt")
    assert said == (
        f"ownrules:Late.compress: KeyError: 'later' (ownrules.py:{line + 1}); "
        f"traceback: {traceback}"
    )
    assert "Traceback" not in done.stderr
    assert (folder / traceback).read_text("utf-8").startswith("Traceback")
    # What was trained is kept, and the run ends when the part is mended.
    assert list((folder / "results" / "own" / "store").rglob("*"))
    fixed = OWN_RULES.replace('raise KeyError("later")', "return values")
    (folder / "ownrules.py").write_text(fixed)
    again = commands.wnsim(*words, cwd=folder)
    assert again.returncode == 0, again.stderr
    assert not (folder / traceback).exists()


@pytest.mark.parametrize("word", ["--check", "--dry-run"])
def test_an_error_before_a_run_names_the_part(folder: Path, word: str) -> None:
    words = ["own.yaml", "--plugin=ownrules", word]
    words.append("--set=fl.partition={model: 'ownrules:Wrong'}")
    done = commands.wnsim(*words, cwd=folder)
    assert done.returncode == 2
    line = OWN_RULES.splitlines().index("    return number.nothing") + 1
    assert done.stderr.strip() == (
        "ownrules:Wrong.split: AttributeError: 'int' object has no attribute 'nothing' "
        f"(ownrules.py:{line}); --traceback shows its traceback"
    )
    shown = commands.wnsim(*words, "--traceback", cwd=folder)
    assert "Traceback" in shown.stderr
    assert "in helper" in shown.stderr


def test_other_variants_are_computed_despite_an_error_in_one(folder: Path) -> None:
    text = SCENARIO + (
        "variants:\n  - {label: good}\n"
        "  - {label: bad, fl: {compressor: {model: 'ownrules:Late'}}}\n"
    )
    (folder / "own.yaml").write_text(text)
    done = commands.wnsim("own.yaml", "--plugin=ownrules", "--no-figures", cwd=folder)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    runs = pd.read_csv(folder / "results" / "own" / "runs.csv")
    assert runs["state"].tolist() == ["finished", "failed"]
    assert runs["error"][1].startswith("ownrules:Late.compress: KeyError: 'later'")
    assert (folder / "results" / "own" / "summary.csv").is_file()


@parameters
class Plain:
    """A user-defined model made in Python."""

    model: Literal["elsewhere:Plain"] = "elsewhere:Plain"

    def split(self, groups: Any, devices: int, seed: int) -> Any:
        return [[(0, device)] for device in range(devices)]


def test_an_object_of_python_needs_no_permission() -> None:
    from fl.config import Learning

    assert isinstance(Learning(partition=Plain()).partition, Plain)
    with pytest.raises(ValueError, match="must have step, as each optimizer has"):
        Learning(optimizer=Plain())


def test_compressors_are_refused_where_they_cannot_apply(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["own.yaml", "--check", "--set=fl.compressor={model: nearest}"]
    assert main([*words, "--set=fl.method={model: soft}"]) == 2
    assert "method soft selects what it sends" in capsys.readouterr().err
    split = [
        "--set=fl.protocol={model: split}",
        "--set=mac={model: cell}",
        "--set=base_stations={}",
    ]
    assert main([*words, *split]) == 2
    assert "compressor is for updates of devices, and protocol split" in capsys.readouterr().err
