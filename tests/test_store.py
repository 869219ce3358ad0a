"""The result cache: keyed by dependencies, written atomically, bounded in size."""

from __future__ import annotations

import errno
import fcntl
import gc
import os
import re
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from fl.engine.batching import JobSize, micro_batches
from fl.engine.executor import Executor, Outcome
from fl.engine.jobs import DerivedValue, Job, LazyValue, digest
from fl.engine.store import Store

MIB = 1 << 20


def files(folder: Path, suffix: str) -> list[str]:
    return sorted(path.stem for path in folder.glob(f"??/*{suffix}"))


def test_an_entry_is_found_by_its_key(tmp_path: Path) -> None:
    store = Store(tmp_path, "run", MIB)
    assert store.scalars("ab12") is None
    assert store.entry("ab12") is None
    store.put("ab12", [{"loss": 0.5}], b"numbers")
    again = Store(tmp_path, "other", MIB)
    assert again.scalars("ab12") == [{"loss": 0.5}]
    assert again.tensors("ab12") == b"numbers"
    assert again.entry("ab12") is not None


@pytest.mark.parametrize("damage", [b"", b"{", b"\xff\xfe", b"{}"])
def test_damaged_scalars_count_as_missing(tmp_path: Path, damage: bytes) -> None:
    store = Store(tmp_path, "run", MIB)
    store.put("ab12", [{"loss": 0.5}], b"")
    path = tmp_path / "ab" / "ab12.json"
    path.write_bytes(damage)
    with pytest.warns(UserWarning, match=re.escape(str(path))):
        assert store.scalars("ab12") is None


def test_altered_scalars_count_as_missing(tmp_path: Path) -> None:
    store = Store(tmp_path, "run", MIB)
    store.put("ab12", [{"loss": 0.5}], b"")
    path = tmp_path / "ab" / "ab12.json"
    path.write_bytes(path.read_bytes().replace(b"0.5", b"0.6"))
    with pytest.warns(UserWarning, match=re.escape(str(path))):
        assert store.scalars("ab12") is None
    store.put("ab12", [{"loss": 0.5}], b"")
    assert store.scalars("ab12") == [{"loss": 0.5}]


@pytest.mark.parametrize("damage", [b"", b"number", b"numbert", b"numbers "])
def test_damaged_tensors_count_as_missing(tmp_path: Path, damage: bytes) -> None:
    store = Store(tmp_path, "run", MIB)
    store.put("ab12", [{"loss": 0.5}], b"numbers")
    path = tmp_path / "ab" / "ab12.safetensors"
    path.write_bytes(damage)
    with pytest.warns(UserWarning, match=re.escape(str(path))) as warned:
        assert store.entry("ab12") is None
    assert len(warned) == 1
    assert len(str(warned[0].message).splitlines()) == 1
    with pytest.warns(UserWarning, match="altered"):
        assert store.tensors("ab12") is None
    assert store.scalars("ab12") == [{"loss": 0.5}]


def test_a_store_is_bounded_and_keeps_what_is_in_use(tmp_path: Path) -> None:
    size = 10_000
    store = Store(tmp_path, "run", size)
    kept_entries = store.put("aa00", [{}], bytes(2000))
    assert kept_entries is not None
    for number in range(40):
        store.put(f"bb{number:02}", [{}], bytes(2000))
        total = sum(path.stat().st_size for path in tmp_path.glob("*/*"))
        assert total <= size + 2000 + size // 16
    kept = files(tmp_path, ".safetensors")
    assert "aa00" in kept
    assert "bb39" in kept
    assert "bb00" not in kept
    # Facts of an unfinished run stay, however many.
    assert len(files(tmp_path, ".json")) == 41


def test_what_another_unfinished_run_needs_is_kept_too(tmp_path: Path) -> None:
    theirs = Store(tmp_path, "theirs", 10_000)
    entry = theirs.put("aa00", [{}], bytes(2000))
    assert entry is not None
    # That process was killed; its list alone protects its entries.
    store = Store(tmp_path, "mine", 10_000)
    for number in range(40):
        store.put(f"bb{number:02}", [{}], bytes(2000))
    assert "aa00" in files(tmp_path, ".safetensors")
    again = Store(tmp_path, "theirs", 10_000)
    assert again.entry("aa00") is not None
    again.close()
    del entry
    for number in range(40):
        store.put(f"cc{number:02}", [{}], bytes(2000))
    assert "aa00" not in files(tmp_path, ".safetensors")


def test_an_interrupted_run_keeps_its_list_until_it_has_caught_up(tmp_path: Path) -> None:
    first = Store(tmp_path, "run", 1000)
    entry = first.put("aa00", [{}], bytes(900))
    assert entry is not None
    again = Store(tmp_path, "run", 1000)
    again.scalars("aa00")
    other = Store(tmp_path, "other", 1000)
    other.put("bb00", [{}], bytes(900))
    assert "aa00" in files(tmp_path, ".safetensors")


def process(code: str, *arguments: str) -> subprocess.Popen[str]:
    """Start another process that uses a store."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code, *arguments],
        cwd=Path(__file__).parent.parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


KEEP = """
import os, sys
from pathlib import Path
from fl.engine.store import Store
entry = Store(Path(sys.argv[1]), "run", 10_000).put(sys.argv[2], [{}], bytes(2000))
print("kept", flush=True)
sys.stdin.readline()
os._exit(1)
"""


def test_a_run_takes_over_the_lists_of_its_dead_processes_only(tmp_path: Path) -> None:
    with process(KEEP, str(tmp_path), "cc00") as alive:
        assert alive.stdout is not None
        assert alive.stdout.readline() == "kept\n"
        with process(KEEP, str(tmp_path), "aa00") as dead:
            dead.communicate()
        assert len(list(tmp_path.glob("*.needed"))) == 2
        again = Store(tmp_path, "run", 10_000)
        lists = {path.name.split(".")[-2] for path in tmp_path.glob("*.needed")}
        assert lists == {str(alive.pid), str(os.getpid())}
        other = Store(tmp_path, "other", 10_000)
        for number in range(20):
            other.put(f"bb{number:02}", [{}], bytes(2000))
        assert {"aa00", "cc00"} <= set(files(tmp_path, ".safetensors"))
        again.close()
        for number in range(20):
            other.put(f"dd{number:02}", [{}], bytes(2000))
        assert "aa00" not in files(tmp_path, ".safetensors")
        assert "cc00" in files(tmp_path, ".safetensors")
        alive.communicate()


def test_a_run_removes_what_its_dead_processes_were_writing(tmp_path: Path) -> None:
    with (
        process(KEEP, str(tmp_path), "cc00") as alive,
        process(KEEP, str(tmp_path), "aa00") as dead,
    ):
        assert alive.stdout is not None
        assert alive.stdout.readline() == "kept\n"
        dead.communicate()
        host = socket.gethostname()
        kept = tmp_path / "cc" / f".cc01.json.{host}.{alive.pid}.tmp"
        ended = [
            tmp_path / f".run.{host}.{dead.pid}.needed.{host}.{dead.pid}.tmp",
            tmp_path / "aa" / f".aa01.json.{host}.{dead.pid}.tmp",
        ]
        for path in (kept, *ended):
            path.write_bytes(b"half")
        Store(tmp_path, "other", MIB)
        assert [path.exists() for path in (kept, *ended)] == [True, True, True]
        Store(tmp_path, "run", MIB)
        assert [path.exists() for path in (kept, *ended)] == [True, False, False]
        alive.communicate()


# Runs of a store that is always too small: each keeps two entries at a time, and must find both.
CROWD = """
import random, sys, time
from collections import deque
from pathlib import Path
from fl.engine.store import Store
folder, run, seed = sys.argv[1:]
draw = random.Random(seed)
until = time.monotonic() + 3.0
while time.monotonic() < until:
    store = Store(Path(folder), run, 20_000)
    kept_entries = deque(maxlen=2)
    for _ in range(40):
        key = f"{draw.randrange(12):04}"
        data = key.encode() * 1000
        scalars = store.scalars(key)
        assert scalars in (None, [{"name": key}]), scalars
        entry = None if scalars is None else store.entry(key)
        kept_entries.append(entry or store.put(key, [{"name": key}], data))
        for each in kept_entries:
            assert store.tensors(each.key) == each.key.encode() * 1000, "lost"
    store.close()
"""


def test_processes_share_a_store(tmp_path: Path) -> None:
    crowd = [
        process(CROWD, str(tmp_path), run, str(seed))
        for seed, run in enumerate(["same", "same", "other"])
    ]
    for each in crowd:
        _, said = each.communicate(timeout=60)
        assert each.returncode == 0, said
    assert not list(tmp_path.glob("*.needed"))
    assert not list(tmp_path.rglob("*.tmp"))


def test_files_of_terminated_processes_are_evicted_first(tmp_path: Path) -> None:
    store = Store(tmp_path, "run", 10_000)
    store.put("aa00", [{}], bytes(2000))
    old, new = (tmp_path / "aa" / f".aa0{n}.json.host.{n}.tmp" for n in (2, 3))
    for path in (old, new):
        path.write_bytes(bytes(5000))
    os.utime(old, (0, 0))
    store.put("aa01", [{}], bytes(2000))
    assert not old.exists()
    assert new.exists()
    assert store.tensors("aa00") is not None


def test_a_file_system_without_locks_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_lock(file: object, operation: int) -> None:
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(fcntl, "flock", no_lock)
    with pytest.warns(UserWarning, match="no locks available"):
        store = Store(tmp_path, "run", MIB)
    with pytest.warns(UserWarning, match="no locks available"):
        store.put("ab12", [{}], b"numbers")
    with pytest.warns(UserWarning, match="no locks available"):
        assert store.tensors("ab12") == b"numbers"


class Chain:
    """Jobs that add: the value of a link is that of the one before and one more."""

    def __init__(self, store: Store | None, rank_limit: int = 10**9) -> None:
        self.calls: list[list[str]] = []
        self.limit = rank_limit
        self.executor = Executor("chain", self._plan, self._compute, store)

    def _plan(self, jobs: Sequence[Job[Any]]) -> list[tuple[Job[Any], ...]]:
        return micro_batches(
            jobs, lambda job: JobSize(1, 1, 1), lambda kind, count, size: count <= 3
        )

    def _compute(self, batch: Sequence[Job[Any]]) -> list[Outcome]:
        if len(self.calls) == self.limit:
            raise KeyboardInterrupt
        self.calls.append([job.key for job in batch])
        result = []
        for job in batch:
            value = job.dependencies[0].value() + 1.0
            result.append(Outcome({"sum": float(value.sum())}, {"x": value}))
        return result

    def link(self, device: int, round_: int, start: LazyValue[torch.Tensor]) -> Job[torch.Tensor]:
        key = digest("link", device, round_, start.key)
        job: Job[torch.Tensor] = Job(
            self.executor,
            "link",
            key,
            (start,),
            device,
            round_,
            lambda scalars, tensors: tensors["x"],
        )
        self.executor.submit(job)
        return job

    def run(self, devices: int = 5, rounds: int = 6) -> list[float]:
        """Add, mix with a neighbor's, and so on; return sums."""
        states: list[LazyValue[torch.Tensor]] = [
            DerivedValue(digest("zero", d), (), lambda d=d: torch.full((4,), float(d)))
            for d in range(devices)
        ]
        for round_ in range(rounds):
            links = [self.link(d, round_, state) for d, state in enumerate(states)]
            states = [
                DerivedValue(
                    digest("mix", one.key, other.key),
                    (one, other),
                    lambda one=one, other=other: (one.value() + other.value()) / 2,
                )
                for one, other in zip(links, links[1:] + links[:1], strict=True)
            ]
            del links
            self.executor.run_pending()
        return [float(state.value().sum()) for state in states]


def test_nothing_is_computed_twice(tmp_path: Path) -> None:
    first = Chain(Store(tmp_path, "run", MIB))
    expected = first.run()
    assert len(first.calls) == 12
    assert expected == Chain(None).run()
    second = Chain(Store(tmp_path, "run", MIB))
    assert second.run() == expected
    assert second.calls == []
    assert second.executor.found == {"link": 30}


@pytest.mark.parametrize("chunks_done", [0, 1, 2, 5, 11])
@pytest.mark.parametrize("size", [1, MIB])
def test_an_interrupted_run_repeats_what_was_in_flight_only(
    tmp_path: Path, chunks_done: int, size: int
) -> None:
    expected = Chain(None).run()
    broken = Chain(Store(tmp_path, "run", size), chunks_done)
    with pytest.raises(KeyboardInterrupt):
        broken.run()
    del broken
    gc.collect()
    again = Chain(Store(tmp_path, "run", size))
    assert again.run() == expected
    assert len(again.calls) == 12 - chunks_done
    # However long a run is, it needs the last round or two.
    if size == 1:
        assert len(files(tmp_path, ".safetensors")) <= 6


def test_lost_tensors_are_computed_again(tmp_path: Path) -> None:
    expected = Chain(Store(tmp_path, "run", MIB)).run()
    for path in tmp_path.glob("??/*.safetensors"):
        path.unlink()
    again = Chain(Store(tmp_path, "run", MIB))
    assert again.run() == expected
    assert len(again.calls) == 12


def test_damaged_tensors_are_computed_again(tmp_path: Path) -> None:
    expected = Chain(Store(tmp_path, "run", MIB)).run()
    for path in tmp_path.glob("??/*.safetensors"):
        data = path.read_bytes()
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    again = Chain(Store(tmp_path, "run", MIB))
    with pytest.warns(UserWarning, match="altered"):
        assert again.run() == expected
    assert len(again.calls) == 12


def test_a_run_of_other_code_finds_nothing(tmp_path: Path) -> None:
    Chain(Store(tmp_path, "run", MIB)).run()
    other = Chain(Store(tmp_path, "run", MIB))
    other.executor._context = "another version"
    other.run()
    assert len(other.calls) == 12


def test_micro_batches_do_not_depend_on_order() -> None:
    chain = Chain(None)
    zero: LazyValue[torch.Tensor] = DerivedValue("zero", (), lambda: torch.zeros(1))
    jobs = [chain.link(device, 0, zero) for device in range(7)]
    plan = chain._plan(jobs)
    # As few as possible, and even.
    assert [len(batch) for batch in plan] == [2, 2, 3]
    assert chain._plan(jobs[::-1]) == plan
    assert [job.device for batch in plan for job in batch] == list(range(7))


def test_jobs_of_similar_size_share_a_micro_batch() -> None:
    chain = Chain(None)
    zero: LazyValue[torch.Tensor] = DerivedValue("zero", (), lambda: torch.zeros(1))
    jobs = [chain.link(device, 0, zero) for device in range(6)]
    widths = [8, 64, 8, 64, 8, 64]
    plan = micro_batches(
        jobs,
        lambda job: JobSize(widths[job.device], 2, 1),
        lambda kind, count, size: count * size.width * size.rows <= 200,
    )
    assert [[job.device for job in batch] for batch in plan] == [[0, 2, 4], [1], [3], [5]]


FOREIGN = {
    "a hexadecimal name": "ab/ab12.json",
    "tensors of others": "ab/model.safetensors",
    "a note": "ab/notes.tmp",
    "another folder's entry": "ab/cd12.json",
    "a hidden file": "ab/.ab12.tmp",
}


@pytest.mark.parametrize("name", FOREIGN.values(), ids=FOREIGN)
def test_a_folder_of_others_is_refused_and_left_as_it_is(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.parent.mkdir()
    file.write_text("theirs")
    with pytest.raises(ValueError, match="is not empty and not a store"):
        Store(tmp_path, "run", 1)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [file]


def test_files_of_others_in_a_store_are_never_evicted(tmp_path: Path) -> None:
    store = Store(tmp_path, "run", 1000)
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    outside.mkdir()
    (outside / "ab34.json").write_text("theirs")
    (tmp_path / "ab").mkdir()
    theirs = [tmp_path / "ab" / each for each in ("notes.json", "cd12.json", "ab12.txt")]
    for path in theirs:
        path.write_text("theirs")
        os.utime(path, (0, 0))
    (tmp_path / "ab" / "ab34.json").symlink_to(outside / "ab34.json")
    (tmp_path / "cd").symlink_to(outside)
    for number in range(5):
        store.put(f"ab{number:04x}", [{}], bytes(900))
    assert all(path.read_text() == "theirs" for path in [*theirs, outside / "ab34.json"])
    assert (tmp_path / "ab" / "ab34.json").is_symlink()
    assert len(list((tmp_path / "ab").glob("ab000*.safetensors"))) < 5


def test_a_lock_file_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_text("theirs")
    folder = tmp_path / "store"
    folder.mkdir()
    (folder / "store.lock").symlink_to(target)
    with pytest.raises(ValueError, match="is not the lock file of a store"):
        Store(folder, "run", 1000)
    assert target.read_text() == "theirs"


def test_an_entry_under_another_key_is_not_believed(tmp_path: Path) -> None:
    store = Store(tmp_path, "run", MIB)
    store.put("aa01", [{"loss": 1.0}], b"one")
    store.put("aa02", [{"loss": 2.0}], b"two")
    for suffix in (".json", ".safetensors"):
        (tmp_path / "aa" / f"aa01{suffix}").replace(tmp_path / "aa" / f"aa02{suffix}")
    with pytest.warns(UserWarning, match=r"aa02\.json: was altered"):
        assert store.scalars("aa02") is None
    with pytest.warns(UserWarning, match=r"aa02\.json: was altered"):
        assert store.tensors("aa02") is None


def test_all_who_wait_for_jobs_get_the_error_of_their_computation() -> None:
    """One device's error must not become another one's message of a missing job."""
    chain = Chain(None, rank_limit=0)
    zero = DerivedValue(digest("zero"), (), lambda: torch.zeros(4))
    links = [chain.link(device, 0, zero) for device in range(2)]
    for link in links:
        with pytest.raises(KeyboardInterrupt):
            link.wait()
    chain.limit = 10**9
    assert [link.wait()["sum"] for link in links] == [4.0, 4.0]
