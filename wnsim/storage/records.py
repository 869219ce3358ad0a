"""Result files of a run: tables of simulated quantities, and a manifest.

The tables hold simulated quantities only, so that a second run gives the same bytes. Whatever
depends on machine or clock is in the manifest, which is written last and marks the run complete.
"""

from __future__ import annotations

import contextlib
import csv
import functools
import hashlib
import io
import itertools
import json
import math
import os
import platform
import re
import subprocess
import sys
import warnings
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from wnsim.core.files import naming
from wnsim.storage import parquet

if TYPE_CHECKING:
    from wnsim.core.transfer import Packet, Transfer

MANIFEST = "manifest.json"
FAILURE = "failure.json"
# Entries that every manifest has.
_SHAPE = {
    "scenario": str, "variant": str, "seed": int, "swept": dict, "fingerprint": str,
    "config_hash": str, "sha256": dict, "sizes": str,
}  # fmt: skip
# Rows of a table in memory at once.
_ROWS = 1024
# Names of files that `write` has begun.
_TEMPORARY = re.compile(
    r"\..+\.(csv|gz|html|json|parquet|pdf|png|safetensors|svg|tex|yaml)\.\d+\.tmp"
)
# Keys of /proc/cpuinfo that tell the generation of a processor.
_GENERATION = ("cpu family", "model", "CPU part")
_PACKAGES = ("wnsim", "numpy", "scipy", "simpy", "torch", "transformers")

_OF_TRANSFER = (
    "sent_s", "started_s", "ended_s", "delivered", "reason", "latency_s", "queue_s",
    "channel_access_s", "airtime_s", "retransmission_s", "backhaul_s", "packets", "air_bytes",
    "acked_bytes", "carried_bytes", "hops", "attempts", "receivers", "blocks", "failed_blocks",
    "retransmitted_blocks", "mean_snr_db", "capacity_bytes",
)  # fmt: skip
TRANSFER_COLUMNS = (
    "round", "kind", "source", "target", "size_bytes", "header_bytes", *_OF_TRANSFER
)  # fmt: skip
PACKET_COLUMNS = ("round", "kind", "source", "target", "hop", "packet", "size_bytes", "arrived_s")


class Table(NamedTuple):
    """Table that may exceed the memory.

    Parameters
    ----------
    columns : names of the columns
    rows : one value per column; iterated once
    """

    columns: Sequence[str]
    rows: Iterable[Sequence[Any]]


def transfer_table(transfers: Iterable[Transfer], names: Sequence[str]) -> Table:
    """Return the table of messages, one row per message and receiver, late and lost ones included.

    Parameters
    ----------
    transfers : ended transfers
    names : names of the nodes
    """
    rows = (
        [
            transfer.message.round,
            transfer.message.kind,
            names[transfer.message.source],
            names[transfer.message.target],
            transfer.message.size_bytes,
            transfer.message.header_bytes,
            *(getattr(transfer, column) for column in _OF_TRANSFER),
        ]
        for transfer in transfers
    )
    return Table(TRANSFER_COLUMNS, rows)


def packet_table(packets: Iterable[Packet], names: Sequence[str]) -> Table:
    """Return the table of received packets.

    Parameters
    ----------
    packets : received packets
    names : names of the nodes
    """
    rows = (
        [
            packet.message.round,
            packet.message.kind,
            names[packet.message.source],
            names[packet.message.target],
            packet.hop,
            packet.number,
            packet.size_bytes,
            packet.arrived_s,
        ]
        for packet in packets
    )
    return Table(PACKET_COLUMNS, rows)


def _pieces(table: Table) -> Iterator[bytes]:
    """Yield a table as CSV in UTF-8, in batches of rows."""
    rows = itertools.chain([table.columns], table.rows)
    while batch := list(itertools.islice(rows, _ROWS)):
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerows([_cell(value) for value in row] for row in batch)
        yield text.getvalue().encode()


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return "" if math.isnan(value) else repr(round(value, 9))
    return value


def write_table(path: Path, table: Table) -> str:
    """Write a table atomically, as CSV or, if it is so called, in Parquet; return its SHA-256.

    Numbers are rounded to nine decimals, durations to the nanosecond; a missing value is an empty
    cell.

    Raises
    ------
    OSError
        if it cannot be written; it names the file
    """
    if path.suffix != parquet.SUFFIX:
        return _write(path, _pieces(table))
    lines = path.with_suffix(".csv")
    with naming(path), replacing(lines, keep=False) as source, replacing(path) as target:
        _fill(source, _pieces(table))
        parquet.convert(source, target)
    return file_digest(path)


def write(path: Path, data: bytes) -> str:
    """Write a file atomically; return its SHA-256.

    Raises
    ------
    OSError
        if it cannot be written; it names the file
    """
    return _write(path, [data])


def write_compressed(path: Path, lines: Iterable[str]) -> str:
    """Write lines of text atomically, compressed with gzip; return the SHA-256 of the file.

    Raises
    ------
    OSError
        if it cannot be written; it names the file
    """
    return _write(path, _compressed(lines))


def _compressed(lines: Iterable[str]) -> Iterator[bytes]:
    """Yield lines of text in UTF-8 in the format of gzip, without a date."""
    # The window of zlib plus 16 stands for gzip.
    packer = zlib.compressobj(wbits=zlib.MAX_WBITS + 16)
    rest = iter(lines)
    while batch := list(itertools.islice(rest, _ROWS)):
        yield packer.compress("".join(f"{line}\n" for line in batch).encode())
    yield packer.flush()


def _write(path: Path, pieces: Iterable[bytes]) -> str:
    with naming(path), replacing(path) as temporary:
        return _fill(temporary, pieces)


@contextlib.contextmanager
def replacing(path: Path, *, keep: bool = True) -> Iterator[Path]:
    """Give a temporary file, which then takes the place of a file, or else vanishes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        # Left by a killed process with this number.
        temporary.unlink(missing_ok=True)
        yield temporary
        if keep:
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
    finally:
        # On any error, such as a full disk, the partial file is removed.
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _fill(path: Path, pieces: Iterable[bytes]) -> str:
    """Write a new file; return its SHA-256."""
    sha256 = hashlib.sha256()
    with path.open("xb") as file:
        for piece in pieces:
            file.write(piece)
            sha256.update(piece)
    return sha256.hexdigest()


def remove_half_written(folder: Path) -> None:
    """Remove temporary files that killed processes have left in a folder of results."""
    for temporary in folder.glob(".*.tmp"):
        if _TEMPORARY.fullmatch(temporary.name):
            temporary.unlink(missing_ok=True)


def digest(data: bytes) -> str:
    """Return the SHA-256 of bytes."""
    return hashlib.sha256(data).hexdigest()


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, cached while the file does not change."""
    status = path.stat()
    return _file_digest(path, status.st_mtime_ns, status.st_size)


@functools.lru_cache(maxsize=4096)
def _file_digest(path: Path, modified_ns: int, size: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_manifest(folder: Path, digests: Mapping[str, str], facts: Mapping[str, Any]) -> None:
    """Write a run's manifest, which marks the run complete.

    Parameters
    ----------
    folder : run folder
    digests : SHA-256 of each file by name
    facts : further entries, such as wall and simulated seconds
    """
    manifest = {
        "complete": True,
        **facts,
        "sha256": dict(digests),
        "versions": _versions(),
        "commit": _commit(),
        "machine": {"system": platform.platform(), "processor": processor()},
    }
    write(folder / MANIFEST, (json.dumps(manifest, indent=2, ensure_ascii=False) + "\n").encode())


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """Return a complete run's manifest; None if it is missing or incomplete."""
    path = folder / MANIFEST
    if path.is_symlink() or not path.is_file():
        return None
    try:
        manifest = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return manifest if _is_manifest(manifest) else None


def _is_manifest(manifest: object) -> bool:
    """Return whether an object has the shape of a complete run's manifest."""
    if not isinstance(manifest, dict) or manifest.get("complete") is not True:
        return False
    return all(isinstance(manifest.get(key), kind) for key, kind in _SHAPE.items())


def is_intact(folder: Path, manifest: Mapping[str, Any]) -> bool:
    """Return whether the files of a run match its manifest; a warning names one that does not."""
    path = spoilt(folder, manifest)
    if path is not None:
        message = "was altered or cut short since its run ended, which counts as not done"
        warnings.warn(f"{path}: {message}", stacklevel=2)
    return path is None


def spoilt(folder: Path, manifest: Mapping[str, Any]) -> Path | None:
    """Return a file of a run that does not match its manifest; None if all do."""
    # A run has tables in any case.
    if not manifest["sha256"]:
        return folder / MANIFEST
    for name, known in manifest["sha256"].items():
        path = Path(folder / name)
        outside = Path(name).is_absolute() or ".." in Path(name).parts
        if outside or not path.is_file() or file_digest(path) != known:
            return path
    return None


def ended_runs(results: Path) -> dict[Path, dict[str, Any]]:
    """Return the manifests of all ended runs by their folders, in order of name.

    Folders that are links are left out, and the files of runs are not read.

    Parameters
    ----------
    results : results folder; there are none if it does not exist
    """
    folders = sorted(results.iterdir()) if results.is_dir() else []
    return {
        folder: manifest
        for folder in folders
        if not folder.is_symlink() and (manifest := read_manifest(folder)) is not None
    }


def manifests(results: Path, scenario: str) -> dict[str, dict[str, Any]]:
    """Return the manifests of a scenario's ended runs by name, without reading their files.

    Parameters
    ----------
    results : results folder
    scenario : name of the scenario
    """
    found = {
        path.parent.name: manifest
        for path in sorted(results.glob(f"*/{MANIFEST}"))
        if (manifest := read_manifest(path.parent)) is not None
    }
    return {name: each for name, each in found.items() if each.get("scenario") == scenario}


def complete_runs(
    results: Path, scenario: str, first: Sequence[str] = ()
) -> dict[str, dict[str, Any]]:
    """Return the manifests of a scenario's complete runs by name.

    Runs with a file that was altered or truncated are skipped with a warning.

    Parameters
    ----------
    results : results folder
    scenario : name of the scenario
    first : names of runs to list first, in this order
    """
    found = {
        name: manifest
        for name, manifest in manifests(results, scenario).items()
        if is_intact(results / name, manifest)
    }
    order = {name: place for place, name in enumerate(first)}
    names = sorted(found, key=lambda name: (order.get(name, len(order)), name))
    return {name: found[name] for name in names}


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        # The checkout may not be installed, or the run may not need the package.
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions


def _commit() -> str | None:
    """Return the commit of the checkout that this package runs from, or None."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        done = subprocess.run(  # noqa: S603  (nothing in the command comes from outside)
            ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40"],  # noqa: S607
            capture_output=True, text=True, timeout=10, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def processor() -> str:
    """Return the name of the processor, with what tells its generation where names are general.

    Last digits of results depend on the instructions that a generation has.
    """
    if sys.platform != "linux":
        return platform.processor()
    first, *_ = Path("/proc/cpuinfo").read_text("utf-8").split("\n\n")
    facts = {
        key.strip(): value.strip()
        for key, _, value in (line.partition(":") for line in first.splitlines())
    }
    name = facts.get("model name") or platform.processor()
    known = [f"{key} {facts[key]}" for key in _GENERATION if key in facts]
    return f"{name} ({', '.join(known)})" if known else name
