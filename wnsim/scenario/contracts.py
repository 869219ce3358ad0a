"""Contract checks: properties that each model of a family must have, bundled or user-defined.

    python -m wnsim.scenario.contracts mine:Wall mine:Line

Each check yields one message per violated property. The checks find what would break a simulation
or make it depend on the order of calls; whether a model is right is for its author to show.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fl.plugins import Family, resolve, source_file
from wnsim.channel import Fading, PathLoss
from wnsim.core.units import Floats
from wnsim.mobility import Mobility
from wnsim.scenario.spec.validation import allow

_AREA_M = (400.0, 300.0)
_COUNT = 6
_SEED = 7


def path_loss(model: Any) -> Iterator[str]:
    """Yield the violations of the contract of path-loss models."""
    d2d_m = np.array([[0.0, 10.0], [100.0, 300.0], [1000.0, 3000.0]])
    low_m, high_m = 1.5, 10.0
    for los in (True, False):
        if not np.isfinite(model.loss_db(d2d_m, low_m, low_m, 3.5e9, los)).all():
            yield "loss_db must be finite at any distance, 0 m too, between equal heights too"
        loss_db = np.asarray(model.loss_db(d2d_m, low_m, high_m, 3.5e9, los))
        if loss_db.shape != d2d_m.shape or not np.isfinite(loss_db).all():
            yield f"loss_db must be finite, of shape {d2d_m.shape}, got shape {loss_db.shape}"
        elif not np.array_equal(loss_db, model.loss_db(d2d_m, high_m, low_m, 3.5e9, los)):
            yield "loss_db must be the same with the two ends exchanged"
        elif not np.array_equal(
            loss_db[1, 1], model.loss_db(d2d_m[1, 1], low_m, high_m, 3.5e9, los)
        ):
            yield "loss_db must not depend on which distances are asked for together"
        if np.any(np.asarray(model.shadow_db(d2d_m, low_m, high_m, 3.5e9, los)) < 0.0):
            yield "shadow_db must be at least 0 dB"
        if not model.shadow_correlation_m(los) > 0.0:
            yield "shadow_correlation_m must be positive"
    sight = np.asarray(model.los_probability(d2d_m, low_m, high_m))
    clear = np.asarray(model.los_or_nlosv_probability(d2d_m, low_m, high_m))
    if not ((sight >= 0.0) & (sight <= 1.0) & (clear <= 1.0)).all():
        yield "los_probability and los_or_nlosv_probability must be from 0 to 1"
    elif (clear < sight).any():
        yield "los_or_nlosv_probability must be at least los_probability"
    near_m, far_m = model.range_m
    if not 0.0 <= near_m < far_m:
        yield f"range_m must be two distances, the nearer one first, got {model.range_m}"
    if not all(isinstance(note, str) for note in model.notes(low_m, low_m, 3.5e9)):
        yield "notes must be a list of sentences"


def fading(model: Any) -> Iterator[str]:
    """Yield the violations of the contract of fading models."""
    process = model.process(3.5e9, 20e6, 1, _SEED)
    if process is None:
        return
    links, times = 400, 2
    source, target = np.arange(links), np.arange(links) + links
    place_m = np.broadcast_to(np.arange(float(links))[:, None, None] * 9.7, (links, times, 2))
    other_m = place_m + np.array([30.0, 1.0])
    t_s = np.array([0.0, 50.0])
    there = process.response(source, target, place_m, other_m, t_s)
    if there.shape != (links, times, process.subbands):
        yield f"response must have shape {(links, times, process.subbands)}, got {there.shape}"
        return
    if not np.array_equal(there, process.response(target, source, other_m, place_m, t_s)):
        yield "response must be the same in both directions"
    one = process.response(source[5:6], target[5:6], place_m[5:6], other_m[5:6], t_s)
    if not np.allclose(one, there[5:6], rtol=1e-9, atol=1e-12):
        yield "response must not depend on which links are asked for together"
    power = np.mean(np.abs(there[:, 0]) ** 2, axis=-1)
    # Five standard errors of the mean over links.
    if abs(power.mean() - 1.0) > 5.0 * power.std() / np.sqrt(links) + 1e-9:
        yield f"the mean power must be 1, got {power.mean():.3f} over {links} links"


def mobility(model: Any) -> Iterator[str]:
    """Yield the violations of the contract of mobility models."""
    motion, again = (model.motion(_COUNT, _AREA_M, _SEED) for _ in range(2))
    count = len(motion.names)
    devices, t_s = np.arange(count), np.arange(0.0, 60.0, 0.5)
    place_m = motion.position_m(devices, t_s)
    if place_m.shape != (count, t_s.size, 2) or not np.isfinite(place_m).all():
        yield f"position_m must be finite, of shape {(count, t_s.size, 2)}, got {place_m.shape}"
        return
    if not np.array_equal(place_m[::-1, ::-1], again.position_m(devices[::-1], t_s[::-1])):
        yield "position_m must not depend on what was asked before, nor on order"
    present = motion.present(devices, t_s)
    step_m = np.linalg.norm(np.diff(place_m, axis=1), axis=-1)
    stays = present[:, 1:] & _present_throughout(motion, present, t_s)
    if (step_m[stays] > 0.5 * motion.max_speed_mps * (1.0 + 1e-9) + 1e-9).any():
        yield f"no device may be faster than max_speed_mps, {motion.max_speed_mps:g} m/s"
    if not motion.next_change_s(0.0) > 0.0:
        yield "next_change_s must be later than the instant asked for, or inf"


def _present_throughout(motion: Any, present: Any, t_s: Floats) -> Any:
    """Return (n, T - 1) whether each device is present from each instant to the next.

    Parameters
    ----------
    motion : motion to check
    present : (n, T) presence of each device
    t_s : (T,) instants [s]
    """
    return np.array(
        [
            [
                bool(present[device, now])
                and motion.presence_end_s(device, t_s[now]) >= t_s[now + 1]
                for now in range(t_s.size - 1)
            ]
            for device in range(len(present))
        ]
    )


def method(config: Any) -> Iterator[str]:
    """Yield the violations of the contract of methods."""
    from fl.adapters import Layer
    from fl.methods import method_of
    from fl.updates.codec import Update, decode, encode, encoded_bytes

    made = method_of(config)
    layers = (Layer("q", 96, 64), Layer("up", 64, 96))
    first = made.initial(layers, _SEED, 0, 2)
    if not first.is_zero():
        yield "initial must return an adapter that changes nothing yet"
    ranks = made.ranks(layers)
    if [b.shape[1] for b in first.b] != ranks or [a.shape[0] for a in first.a] != ranks:
        yield f"initial must have the ranks that ranks returns, {ranks}"
        return
    again = made.initial(layers, _SEED, 0, 2)
    if not all(np.array_equal(x, y) for x, y in zip(first.a, again.a, strict=True)):
        yield "initial must return the same for the same seed and device"
    for contact in (True, False):
        shape = made.shapes_update(layers, contact)
        if not isinstance(shape, Update) or encoded_bytes(shape) != len(encode(shape)):
            yield "shapes_update must return an update whose mask fits its factors"
            return
    if not made.exchanges or any(made.calibration):
        # The result of a calibration needs a model.
        return
    update = made.update(first, 0, 1, True)
    sent = decode(encode(update), layers, ranks)
    if len(encode(update)) != encoded_bytes(made.shapes_update(layers, True)):
        yield "shapes_update must be as large as an update is"
    average = made.average([sent, sent], [1.0, 3.0])
    kept = made.adopt(first, average)
    if not all(np.allclose(x, y, atol=1e-3) for x, y in zip(first.b, kept.b, strict=True)):
        yield "average of equal updates must be that update"


@dataclass
class _View:
    """View of the network that a topology sees in its check; see `fl.topology.View`."""

    present: Any
    distance_m: Floats

    @property
    def tx_power_w(self) -> Floats:
        return np.ones(self.present.size)

    def required_power_w(self, bits: float, deadline_s: float, receivers: int) -> Floats:
        return np.asarray(1e-6 * self.distance_m**2)


def topology(config: Any) -> Iterator[str]:
    """Yield the violations of the contract of topologies."""
    from fl.topology import TopologyContext, policy_of

    count = 10
    places_m = np.random.default_rng(_SEED).random((count, 2)) * 100.0
    apart_m = places_m[:, None] - places_m
    there = np.ones(count, dtype=np.bool_)
    there[[0, 4]] = False
    view = _View(there, np.hypot(apart_m[..., 0], apart_m[..., 1]))
    embeddings = np.random.default_rng(_SEED).normal(size=(count, 8))
    context = TopologyContext(
        count, _SEED, [(device % 3,) for device in range(count)],
        densities=lambda: (np.full((count, 2), 0.25), np.ones(2)),
        prompt_embeddings=lambda: embeddings,
    )  # fmt: skip
    graph, again = (policy_of(config, context)(view, 1) for _ in range(2))
    if set(graph.nodes) != set(np.flatnonzero(there).tolist()):
        yield "the graph must have exactly the devices that are there"
    if any(one == other for one, other in graph.edges):
        yield "nobody may be a neighbor of itself"
    if set(map(frozenset, graph.edges)) != set(map(frozenset, again.edges)):
        yield "the graph must be the same for the same view"


def task(source: Any) -> Iterator[str]:
    """Yield the violations of the contract of task sources."""
    first, again = (
        [source.draw(np.random.default_rng([_SEED, n]), n % source.strata) for n in range(40)]
        for _ in range(2)
    )
    if first != again:
        yield "draw must return the same for the same generator"
    for example in first:
        if not example.prompt or not example.answer:
            yield f"prompt and answer must not be empty, got {example!r}"
        elif example.choices and example.answer not in example.choices:
            yield f"the answer must be one of the choices, got {example!r}"
        else:
            continue
        break
    if not (0.0 <= source.chance <= 1.0 and source.prompts >= source.strata >= 1):
        yield "chance must be from 0 to 1, and prompts at least strata, at least 1"


Check = Callable[[Any], Iterator[str]]


def _families() -> dict[str, tuple[Family, Check]]:
    """Return the families, each with its check, by a member that only they have."""
    return {
        "loss_db": (Family("path loss", PathLoss), path_loss),
        "process": (Family("fading model", Fading), fading),
        "motion": (Family("mobility model", Mobility), mobility),
        "method": (Family("method", ("learning_rate", "method")), method),
        "policy": (Family("topology", ("policy",)), topology),
    }


def violations(name: str) -> tuple[str, list[str]]:
    """Return the family of a user-defined model and its violations.

    Raises
    ------
    ValueError
        if the model cannot be checked: it does not exist, belongs to no family with a check, or a
        scenario would refuse it
    """
    found = resolve(name)
    if hasattr(found, "draw"):
        return "task", list(task(found))
    for need, (family, check) in _families().items():
        if hasattr(found, need):
            model = family.create(name, found, {"model": name})
            return family.title, list(dict.fromkeys(check(model)))
    raise ValueError(
        f"{name} belongs to no family that has a check: path loss, fading, mobility, method, "
        "topology, task; of a medium access, compare the two engines"
    )


def main(names: Sequence[str]) -> int:
    """Check user-defined models by name; return 0, 1 for violations, or 2 for errors."""
    if not names or any(":" not in name for name in names):
        print("usage: python -m wnsim.scenario.contracts MODULE:NAME ...", file=sys.stderr)
        return 2
    wrong = 0
    for name in names:
        try:
            allow([name.partition(":")[0]])
            kind, complaints = violations(name)
        except ValueError as error:
            if source_file(name) not in {Path(each.filename) for each in _frames(error)}:
                print(f"{name}: {error}", file=sys.stderr)
                return 2
            _tell(name, error)
            wrong += 1
        # An error in the user's code: its traceback below a line that names the model.
        except Exception as error:
            _tell(name, error)
            wrong += 1
        else:
            wrong += bool(complaints)
            said = "; ".join(complaints) if complaints else "keeps what it promises"
            print(f"{name}, a {kind}: {said}")
    return 1 if wrong else 0


def _tell(name: str, error: Exception) -> None:
    """Print the error that ended a check, and its place."""
    print(f"{name}: its check ends in an error, {type(error).__name__}: {error}", file=sys.stderr)
    own = source_file(name)
    for frame in _frames(error):
        if own is not None and Path(frame.filename) == own:
            print(f"  {frame.filename}:{frame.lineno}: {frame.line}", file=sys.stderr)


def _frames(error: Exception) -> list[traceback.FrameSummary]:
    return list(traceback.extract_tb(error.__traceback__))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
