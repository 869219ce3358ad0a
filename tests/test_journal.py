"""Records on disk: read back unchanged, with bounded memory."""

from __future__ import annotations

import errno
import math
import tracemalloc
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wnsim.core.transfer import Message, Packet
from wnsim.scenario.__main__ import main
from wnsim.storage import journal, records
from wnsim.storage.journal import Journal


@dataclass(frozen=True, slots=True)
class MixedRecord:
    """One value of each type that a record may have."""

    number: int
    share: float
    good: bool
    text: str
    message: Message


MIXED = st.builds(
    MixedRecord,
    st.integers(),
    st.floats(),
    st.booleans(),
    st.text(),
    st.builds(Message, st.integers(), st.integers(), st.integers(), st.floats(0)),
)


@given(records=st.lists(MIXED, max_size=20), held=st.integers(1, 7), read=st.integers(0, 20))
def test_records_come_back_to_the_bit(records: list[MixedRecord], held: int, read: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal, "_HELD", held)
        kept = Journal(MixedRecord)
        for number, record in enumerate(records):
            if number == read:
                # Reading in between changes nothing of what is written afterwards.
                assert repr(list(kept)) == repr(records[:number])
            kept.append(record)
        assert len(kept) == len(records)
        assert bool(kept) == bool(records)
        # Two readers at once do not disturb each other.
        pairs = list(zip(kept, kept, strict=True))
    assert repr([one for one, _ in pairs]) == repr([other for _, other in pairs]) == repr(records)


def test_what_is_added_while_it_is_read_is_not_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "_HELD", 2)
    kept = Journal(Message)
    kept.extend(Message(n, n + 1, 1, 1.0) for n in range(5))
    seen = []
    for record in kept:
        seen.append(record.source)
        kept.append(record)
    assert seen == [0, 1, 2, 3, 4]
    assert [record.source for record in kept] == 2 * seen


def test_numbers_of_numpy_are_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "_HELD", 1)
    kept = Journal(MixedRecord)
    number, share, good = np.int64(3), np.float64(0.1), np.bool_(True)
    kept.append(MixedRecord(number, share, good, "", Message(0, 1, 1, math.inf)))  # type: ignore[arg-type]
    assert repr(list(kept)) == repr([MixedRecord(3, 0.1, True, "", Message(0, 1, 1, math.inf))])


def test_memory_does_not_grow_with_the_number_of_records() -> None:
    kept = Journal(Packet)
    message = Message(0, 1, 10_000, 1.0)

    def add(count: int) -> int:
        kept.extend(Packet(message, 0, 10**6 + n, 10**6 + n, 1.0 / (n + 1)) for n in range(count))
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        first = add(4 * journal._HELD)
        # A list of these would grow by 200 bytes a record; a block counts one number.
        assert add(20 * journal._HELD) - first < 16 * journal._HELD
    finally:
        tracemalloc.stop()
    assert len(kept) == 24 * journal._HELD


def test_few_records_need_no_file(tmp_path: Path) -> None:
    kept = Journal(Message, tmp_path / "none")
    kept.extend(Message(0, 1, 1, 1.0) for _ in range(journal._HELD - 1))
    assert len(list(kept)) == journal._HELD - 1


def test_a_folder_that_takes_no_file_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "_HELD", 1)
    with pytest.raises(OSError, match=rf"\[Errno {errno.ENOENT}\].*: '{tmp_path / 'none'}'$"):
        Journal(Message, tmp_path / "none").append(Message(0, 1, 1, 1.0))


def test_nothing_is_left_in_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "_HELD", 1)
    kept = Journal(Message, tmp_path)
    kept.append(Message(0, 1, 1, 1.0))
    assert len(kept) == 1
    assert not list(tmp_path.iterdir())


def test_a_closed_journal_is_empty_and_gives_back_its_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "_HELD", 2)
    kept = Journal(Message, tmp_path)
    kept.extend(Message(0, 1, 1, 1.0) for _ in range(5))
    file = kept._disk()
    kept.close()
    assert file.closed
    assert not kept
    assert list(kept) == []


WHOLE = """\
name: w
devices: {count: 3}
area_m: [100, 100]
transport: {trace: true}
traffic: {size_bytes: 20_000, neighbors: 2, rounds: 4}
"""


def test_tables_are_the_same_however_much_is_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "w.yaml"
    path.write_text(WHOLE)
    for held in (10_000, 5):
        monkeypatch.setattr(journal, "_HELD", held)
        monkeypatch.setattr(records, "_ROWS", held)
        assert main([str(path), "--out", str(tmp_path / str(held))]) == 0
    in_memory, on_disk = (tmp_path / each / "seed=1" for each in ("10000", "5"))
    assert len((on_disk / "packets.csv").read_bytes().splitlines()) > 4 * 6 * 10
    for table in in_memory.glob("*.csv"):
        assert table.read_bytes() == (on_disk / table.name).read_bytes()
    assert sorted(path.name for path in in_memory.iterdir()) == sorted(
        path.name for path in on_disk.iterdir()
    )


def test_a_full_disk_amid_a_run_is_told_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*args: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(journal, "_HELD", 5)
    monkeypatch.setattr("wnsim.storage.journal.tempfile.TemporaryFile", full)
    (tmp_path / "w.yaml").write_text(WHOLE)
    assert main([str(tmp_path / "w.yaml"), "--out", str(tmp_path / "out")]) == 2
    output = capsys.readouterr().err.splitlines()[-1]
    assert output == f"{tmp_path / 'out' / 'seed=1'}: No space left on device"


def test_no_journal_outlives_its_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "_HELD", 5)
    made = []
    whole = Journal.__init__

    def watched(self: Journal[object], *args: object) -> None:
        made.append(self)
        whole(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(Journal, "__init__", watched)
    (tmp_path / "w.yaml").write_text(WHOLE + "repeat: 2\n")
    assert main([str(tmp_path / "w.yaml"), "--out", str(tmp_path / "out")]) == 0
    assert len(made) == 4
    assert {each._file for each in made} == {None}
