"""Coverage-guided fuzzing of the readers of untrusted files; run by hand.

    pip install atheris
    python tests/fuzz/fuzz.py scenario|trace|update|arrays|paths [options: -max_total_time=60]

Whatever the bytes, a loader returns, or raises the ValueError that it documents; everything else
is a finding, which libFuzzer leaves as a file, and which becomes a test. Seeds are written to
tests/fuzz/corpus/<target>, which git ignores, and what is found to reach new code is kept there.
"""

from __future__ import annotations

import io
import os
import struct
import sys
import tempfile
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import atheris

with atheris.instrument_imports(include=["wnsim", "fl"]):
    import numpy as np
    import torch

    from fl.adapters import Layer
    from fl.config import Arrays
    from fl.methods.frozen_a.density import largest_mask
    from fl.tasks.arrays import load_arrays
    from fl.updates.codec import HEADER_BYTES, Update, decode, encode
    from wnsim.channel.ray_tracing.npz import read_arrays, traced_paths
    from wnsim.mobility import Trace
    from wnsim.scenario.spec.bundled import shipped
    from wnsim.scenario.spec.document import read
    from wnsim.scenario.spec.schema import PLAN_KEYS
    from wnsim.scenario.spec.validation import validate

from trace_writers import WRITERS, made_tracks

LAYERS = (Layer("q", 24, 16), Layer("up", 16, 40))
RANKS = [4, 4]
B = tuple(torch.ones(layer.outputs, 4) for layer in LAYERS)
WORK = Path(tempfile.mkdtemp())


def scenario(data: bytes) -> None:
    """Read and validate a scenario."""
    path = WORK / "s.yaml"
    path.write_bytes(data)
    validate(read(path, "s.yaml").without(*PLAN_KEYS))


def trace(data: bytes) -> None:
    """Read a trace in the format detected from its beginning."""
    path = WORK / "trace"
    path.write_bytes(data)
    motion = Trace(file=str(path)).motion(3, (100.0, 100.0), 1)
    motion.next_change_s(0.0)


def update(data: bytes) -> None:
    """Decode an update, with a mask at hand or without.

    A checksum that fits, once in two times, and a header that does, let more of the bytes matter.
    """
    if len(data) > HEADER_BYTES and data[6] % 2:
        good, body = encode(Update(1, 2, B)), data[HEADER_BYTES:]
        # Magic and version; flags, sender and round as fuzzed; shapes; length and checksum.
        fits = struct.pack("<QI", len(body), zlib.crc32(body))
        data = good[:5] + data[5:16] + good[16:20] + fits + body
    mask = tuple(
        largest_mask(torch.arange(layer.outputs * 4.0).reshape(-1, 4), 9) for layer in LAYERS
    )
    for known in (None, mask):
        decoded = decode(data, LAYERS, RANKS, known)
        assert [tuple(b.shape) for b in decoded.b] == [(16, 4), (40, 4)]


def arrays(data: bytes) -> None:
    """Read the arrays of a NumPy file."""
    path = WORK / "s.npz"
    path.write_bytes(data)
    load_arrays(Arrays(arrays=str(path)), 100, 100, 1)


def paths(data: bytes) -> None:
    """Read the traced paths of a NumPy file."""
    path = WORK / "t.npz"
    path.write_bytes(data)
    traced_paths(str(path), read_arrays(str(path)))


def seeds(target: str) -> Iterator[bytes]:
    """Yield good files to begin with."""
    if target == "scenario":
        yield from (path.read_bytes() for path in shipped().values())
    elif target == "trace":
        yield from (write(made_tracks()).encode()[:4000] for write in WRITERS.values())
    elif target == "arrays":
        values, labels = np.arange(48.0).reshape(4, 3, 4), np.array([0, 1, 0, 1])
        parts = {"x_train": values, "y_train": labels, "x_test": values, "y_test": labels}
        for save in (np.savez, np.savez_compressed):
            file = io.BytesIO()
            save(file, **parts)
            yield file.getvalue()
    elif target == "paths":
        places = np.arange(6.0).reshape(2, 3)
        known = {"frequency_hz": 1e9, "tx_m": places[:1], "rx_m": places}
        known |= {name: np.zeros((1, 2, 1)) for name in ("gain_db", "phase_deg", "delay_s")}
        for save in (np.savez, np.savez_compressed):
            file = io.BytesIO()
            save(file, **known)
            yield file.getvalue()
    else:
        b = tuple(torch.randn(layer.outputs, 4) for layer in LAYERS)
        a = tuple(torch.randn(4, layer.inputs) for layer in LAYERS)
        mask = tuple(largest_mask(one, 9) for one in b)
        for bits in (16, 8, 4):
            yield encode(Update(1, 2, b, a=a, bits=bits))
            yield encode(Update(1, 2, b, mask, a_seed=5, includes_mask=True, bits=bits))


def guarded(target: Callable[[bytes], None]) -> Callable[[bytes], None]:
    """Return a target that accepts its documented error."""

    def one(data: bytes) -> None:
        try:
            target(data)
        except ValueError:
            return

    return one


def main() -> None:
    """Fuzz the named target."""
    targets = {"scenario": scenario, "trace": trace, "update": update, "arrays": arrays,
               "paths": paths}  # fmt: skip
    if len(sys.argv) < 2 or sys.argv[1] not in targets:
        sys.exit(__doc__)
    name = sys.argv.pop(1)
    corpus = HERE / "corpus" / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(seeds(name)):
        (corpus / f"seed-{number}").write_bytes(data)
    warnings.simplefilter("ignore")
    atheris.Setup([sys.argv[0], "-timeout=20", "-rss_limit_mb=4096", *sys.argv[1:], str(corpus)],
                  guarded(targets[name]))  # fmt: skip
    atheris.Fuzz()


if __name__ == "__main__":
    main()
