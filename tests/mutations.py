"""Random mutations of scenarios, traces and folders, and the check of their outcome."""

from __future__ import annotations

import gzip
import io
import json
import random
import re
import time
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import torch
from ruamel.yaml import YAML
from safetensors.torch import load_file, save_file

from wnsim.scenario.__main__ import main

LIMIT_S = 20.0
"""A check of a scenario within the schema's bounds may take so long on a busy machine."""

_DEEP: Any = 1
for _ in range(60):
    _DEEP = [_DEEP]

VALUES: list[Any] = [
    None, True, False, 0, -1, 1, 2, 3.5, -0.0, 1e308, -1e308, 1e-308, 10**30, -(10**30), "", "x",
    " ", "nan", "../../outside", "/proc/self/mem", "a\0b", "\u2028", "\U0001f642", "x" * 5000,
    "tiny", "1e9", "2026-01-01", "yes", "os:system", "mine:Model", [], [1], [1, 2], [2, 1],
    [[1, 2]], list(range(300)), {}, {"model": None}, {"model": "umi"}, {"model": "none"},
    {"model": []}, {"": 1}, {"a": {"b": {"c": 1}}}, _DEEP,
]  # fmt: skip
"""What a value may be replaced by. Nothing here is a large amount of work within bounds."""

TEXTS = [
    "\t", "\0", "&a ", "*a", "<<: *a\n", "!!python/object/apply:os.system ['true']\n", "? ", ": ",
    "- ", "{", "}", "[", "]", "|\n", ">\n", "#", "%YAML 1.1\n", "---\n", "...\n", "'", '"', ".nan",
    ".inf", "-.inf", "1_000", "0x10", "0o7", "\ufeff", "\r", "\x85", "&x [*x]\n", "!!binary x\n",
    "  ", "\n", "~", "@", "`",
]  # fmt: skip

NUMBERS = [
    b"nan", b"inf", b"-1", b"1e999", b"9" * 400, b"", b"-0", b"1e-320", b"0x1", b"\xc3",
]  # fmt: skip


def places(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of each value in nested data."""
    items = data.items() if isinstance(data, dict) else enumerate(data)
    for key, value in items:
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from places(value, (*path, key))


def spoiled_values(data: dict[str, Any], draws: random.Random) -> dict[str, Any]:
    """Return a scenario with one to three values replaced, removed, renamed or moved."""
    data = json.loads(json.dumps(data))
    for _ in range(draws.choice([1, 1, 1, 2, 3])):
        *above, last = draws.choice(list(places(data)))
        holder: Any = data
        for key in above:
            holder = holder[key]
        kind = draws.choice(["replace", "replace", "replace", "remove", "rename", "move"])
        if kind == "remove":
            del holder[last]
        elif kind == "rename" and isinstance(holder, dict):
            name = str(last)
            place = draws.randrange(len(name) + 1)
            holder[name[:place] + draws.choice("x_ .é") + name[place:]] = holder.pop(last)
        elif kind == "move":
            holder[last] = json.loads(json.dumps(data[draws.choice(list(data))]))
        else:
            # A copy, as inserted values may be mutated again.
            holder[last] = json.loads(json.dumps(draws.choice(VALUES)))
        if not data:
            return {"name": "empty"}
    return data


def spoiled_text(text: str, draws: random.Random) -> bytes:
    """Return a scenario's text with lines or characters added, taken out or doubled."""
    for _ in range(draws.choice([1, 1, 2, 5])):
        place = draws.randrange(len(text) + 1)
        kind = draws.randrange(4)
        if kind == 0:
            text = text[:place] + draws.choice(TEXTS) + text[place:]
        elif kind == 1:
            text = text[:place] + text[place + draws.randrange(1, 9) :]
        else:
            lines = text.splitlines(keepends=True) or [""]
            line = draws.randrange(len(lines))
            if kind == 2:
                lines.insert(draws.randrange(len(lines)), lines[line])
            else:
                lines[line] = " " * draws.randrange(5) + lines[line].lstrip()
            text = "".join(lines)
    data = text.encode("utf-8", "surrogatepass")
    if draws.random() < 0.1:
        place = draws.randrange(len(data) + 1)
        data = data[:place] + bytes([draws.randrange(128, 256)]) + data[place:]
    return data


def spoiled(text: str, draws: random.Random) -> bytes:
    """Return a spoiled scenario."""
    if draws.random() < 0.4:
        return spoiled_text(text, draws)
    data = YAML(typ="safe", pure=True).load(text)
    out = io.StringIO()
    # JSON is YAML; what JSON cannot write is not in a scenario either.
    json.dump(spoiled_values(data, draws), out, ensure_ascii=draws.random() < 0.5)
    return out.getvalue().encode("utf-8", "surrogatepass")


def spoiled_trace(data: bytes, draws: random.Random) -> bytes:
    """Return a trace with bytes changed, cut, doubled or packed."""
    for _ in range(draws.choice([1, 1, 2, 4])):
        place = draws.randrange(len(data) + 1)
        kind = draws.randrange(6)
        if kind == 0:
            data = data[:place] + bytes([draws.randrange(256)]) + data[place + 1 :]
        elif kind == 1:
            data = data[:place]
        elif kind == 2:
            data = data[:place] + data[max(0, place - draws.randrange(200)) :]
        elif kind == 3:
            data = data[:place] + draws.choice(NUMBERS) + data[place + draws.randrange(6) :]
        elif kind == 4:
            lines = data.splitlines(keepends=True) or [b""]
            draws.shuffle(lines)
            data = b"".join(lines)
        else:
            data = gzip.compress(data, mtime=0)[: draws.choice([None, 40, -9])]
    return data


def spoil_tasks(folder: Path, draws: random.Random) -> None:
    """Spoil one file of a folder of tasks: its bytes, or the values of one of its lines."""
    path = draws.choice(sorted(folder.glob("*/*.jsonl")))
    if draws.random() < 0.05:
        path.unlink()
    elif draws.random() < 0.5:
        path.write_bytes(spoiled_trace(path.read_bytes(), draws))
    else:
        lines = path.read_text("utf-8").splitlines()
        number = draws.randrange(len(lines))
        lines[number] = json.dumps(spoiled_values(json.loads(lines[number]), draws))
        path.write_text("\n".join(lines), "utf-8", "surrogatepass")


def spoil_model(folder: Path, draws: random.Random) -> None:
    """Spoil one file of a folder with a model: its bytes, its values, or one of its tensors."""
    path = draws.choice(sorted(folder.iterdir()))
    if draws.random() < 0.05:
        path.unlink()
    elif path.suffix == ".json" and draws.random() < 0.8:
        data = spoiled_values(json.loads(path.read_text("utf-8")), draws)
        path.write_text(json.dumps(data), "utf-8", "surrogatepass")
    elif path.suffix == ".safetensors" and draws.random() < 0.6:
        tensors = load_file(path)
        name = draws.choice(sorted(tensors))
        kind = draws.randrange(5)
        spoilt = tensors.pop(name)
        if kind == 1:
            tensors[f"{name}x"] = spoilt
        elif kind == 2:
            tensors[name] = spoilt[1:].clone()
        elif kind == 3:
            tensors[name] = spoilt * draws.choice([float("nan"), float("inf"), 1e30, -1.0, 0.0])
        elif kind == 4:
            tensors[name] = spoilt.to(draws.choice([torch.float16, torch.int8, torch.float64]))
        save_file(tensors, path, {"format": "pt"})
    else:
        path.write_bytes(spoiled_trace(path.read_bytes(), draws))


def outcome(arguments: list[str], limit_s: float = LIMIT_S) -> tuple[int, str, float]:
    """Return exit code, standard error and seconds of a command in this process.

    Raises
    ------
    AssertionError
        if it is neither a run nor one clear sentence for each error
    """
    stdout, stderr = io.StringIO(), io.StringIO()
    began_s = time.monotonic()
    with redirect_stderr(stderr), redirect_stdout(stdout):
        code = main(arguments)
    took_s = time.monotonic() - began_s
    errors = stderr.getvalue()
    assert code in (0, 2), (code, errors)
    assert "Traceback" not in errors, errors
    if code == 2:
        lines = [line for line in errors.strip().splitlines() if not line.startswith("note: ")]
        # Of a run that has begun there are lines of progress before.
        for line in lines if "--check" in arguments else lines[-1:]:
            assert 10 < len(line) < 2000, errors
            assert line.isprintable(), errors
            assert re.match(r"\S.*?: \S|and \d+ more errors$", line), errors
    assert took_s < limit_s, f"{took_s:.1f} s"
    return code, errors, took_s


def inside(root: Path) -> set[Path]:
    """Return all files below a folder."""
    return {path for path in root.rglob("*") if not path.is_dir()}
