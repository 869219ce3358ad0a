"""Contract checks of the models of the network: channel, mobility, antenna, radio, access."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from wnsim.core.units import Floats
from wnsim.mac import Cell, Csma, OnAir, Rules, Sidelink
from wnsim.phy import Slots, Wifi
from wnsim.phy.modem import IDLE, NEW, OUTCOMES, REPEATED

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
        loss_db = np.asarray(model.loss_db(d2d_m, high_m, low_m, 3.5e9, los))
        if loss_db.shape != d2d_m.shape or not np.isfinite(loss_db).all():
            yield f"loss_db must be finite, of shape {d2d_m.shape}, got shape {loss_db.shape}"
        elif not np.array_equal(
            loss_db[1, 1], model.loss_db(d2d_m[1, 1], high_m, low_m, 3.5e9, los)
        ):
            yield "loss_db must not depend on which distances are asked for together"
        if np.any(np.asarray(model.shadow_db(d2d_m, high_m, low_m, 3.5e9, los)) < 0.0):
            yield "shadow_db must be at least 0 dB"
        if not model.shadow_correlation_m(los) > 0.0:
            yield "shadow_correlation_m must be positive"
    sight = np.asarray(model.los_probability(d2d_m, high_m, low_m))
    clear = np.asarray(model.los_or_nlosv_probability(d2d_m, high_m, low_m))
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
    if getattr(motion, "height_bounds_m", None) is not None:
        height_m = motion.height_m(devices, t_s)
        if height_m.shape != (count, t_s.size):
            yield f"height_m must be of shape {(count, t_s.size)}, got {height_m.shape}"
            return
        low_m, high_m = (np.asarray(bound_m)[:, None] for bound_m in motion.height_bounds_m)
        if not ((low_m <= height_m) & (height_m <= high_m)).all():
            yield "height_m must be within height_bounds_m"
        place_m = np.dstack([place_m, height_m])
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


def antenna(model: Any) -> Iterator[str]:
    """Yield the violations of the contract of antennas."""
    rng = np.random.default_rng(_SEED)
    shape = (3, 200)
    azimuth_deg, elevation_deg = rng.uniform(-360.0, 360.0, shape), rng.uniform(-90.0, 90.0, shape)
    gain_dbi = np.asarray(model.pattern_dbi(azimuth_deg, elevation_deg))
    if gain_dbi.shape != shape or not np.isfinite(gain_dbi).all():
        yield f"pattern_dbi must be finite, of shape {shape}, got shape {gain_dbi.shape}"
        return
    if not (gain_dbi <= model.peak_dbi + 1e-9).all():
        yield f"pattern_dbi must be at most peak_dbi, {model.peak_dbi:g}, got {gain_dbi.max():g}"
    if not np.allclose(gain_dbi, model.pattern_dbi(azimuth_deg + 360.0, elevation_deg), atol=1e-6):
        yield "pattern_dbi must be the same after a full turn of 360 degrees"
    part = np.asarray(model.pattern_dbi(azimuth_deg[1:2, :7], elevation_deg[1:2, :7]))
    if not np.array_equal(part, gain_dbi[1:2, :7]):
        yield "pattern_dbi must not depend on which directions are asked for together"
    copy = dataclasses.replace(model)
    try:
        same = copy == model and hash(copy) == hash(model)
    except TypeError as error:
        yield f"antennas must be hashable: {error}"
    else:
        if not same:
            yield "antennas with equal parameters must be equal, with equal hashes"


def physical_layer(model: Any) -> Iterator[str]:
    """Yield the violations of the contract of physical layers."""
    modem = model.modem(20e6, 2, 1_000_000)
    if not isinstance(modem.slot_ns, int) or modem.slot_ns <= 0:
        yield f"slot_ns must be a positive integer, got {modem.slot_ns!r}"
    snr = 10.0 ** (np.linspace(-20.0, 40.0, 121) / 10.0)
    share = np.ones(snr.size)
    rate_bps = np.asarray(modem.rate_bps(snr, share))
    if rate_bps.shape != snr.shape or not (np.isfinite(rate_bps) & (rate_bps >= 0.0)).all():
        yield f"rate_bps must be finite and not negative, of shape {snr.shape}"
        return
    # At the threshold of a faster scheme, its errors may cost a tenth of the rate.
    if (np.diff(rate_bps) < -0.1 * rate_bps[:-1] * (1.0 + 1e-9)).any():
        yield "rate_bps must not fall by more than a tenth when the SNR rises"
    known = np.repeat(snr[:, None], 2, axis=1)
    served = rate_bps > 0.0
    wanted_bps = 0.6 * rate_bps[served]
    factor = np.asarray(modem.factor(known[served], wanted_bps, share[served]))
    if factor.shape != wanted_bps.shape or not (factor >= 0.0).all():
        yield f"factor must be a number from 0 to infinity, of shape {wanted_bps.shape}"
    # A factor that lands on the threshold of a scheme may be off by its last bits.
    elif (
        modem.rate_bps(snr[served] * factor * (1.0 + 1e-6), share[served])
        < wanted_bps * (1.0 - 1e-9)
    ).any() or (factor > 1.0 + 1e-6).any():
        yield "factor must be the inverse of rate_bps: the factor on the SNR that gives the rate"
    # The radio of Wi-Fi has no slots.
    if not isinstance(model, Wifi):
        yield from _slots(modem)


# Slots of the calls into which a scan is divided.
_CUTS = (slice(0, 1), slice(1, 2), slice(2, 23), slice(23, 60))


def _slots(modem: Any) -> Iterator[str]:
    """Yield the violations of the contract of a modem's slots."""
    rng = np.random.default_rng(_SEED)
    links, count = 6, 60
    sinr = 10.0 ** rng.normal(1.0, 0.7, (links, count, 2))
    active = rng.random((links, count)) < 0.8
    slots = Slots(
        sinr * 10.0 ** rng.normal(0.0, 0.2, sinr.shape),
        sinr,
        np.repeat([[1.0], [0.5], [0.25]] * 2, count, axis=1),
        active,
        rng.random((links, count)),
    )
    size_bits = np.array([10**9, 200_000, 10**9, 50_000, 3_000, 10**6])
    multicast = np.array([False, False, True, False, False, True])
    state = modem.start(size_bits, multicast)
    before = state.copy()
    whole = modem.scan(state, slots)
    for name, array in (("bits", whole.bits), ("kind", whole.kind)):
        if array.shape != active.shape or not np.issubdtype(array.dtype, np.integer):
            found = f"{array.dtype} of shape {array.shape}"
            yield f"{name} must be integers of shape {active.shape}, got {found}"
            return
    if not ((whole.kind >= IDLE) & (whole.kind < OUTCOMES)).all():
        yield f"kind must be from {IDLE} to {OUTCOMES - 1}"
    if (whole.bits < 0).any():
        yield "bits must not be negative"
    if (whole.bits[~np.isin(whole.kind, (NEW, REPEATED))] != 0).any():
        yield "bits must be 0 in slots in which nothing is received"
    if (whole.kind[~active] != IDLE).any():
        yield "kind must be 0 in slots in which the link may not send"
    if modem.memoryless and not np.array_equal(state, before):
        yield "a memoryless modem must not change its state"
    again = modem.start(size_bits, multicast)
    parts = [modem.scan(again, _part(slots, slice(None), each)) for each in _CUTS]
    for name in ("bits", "kind"):
        joined = np.concatenate([getattr(part, name) for part in parts], axis=1)
        if not np.array_equal(joined, getattr(whole, name)):
            yield f"{name} must be the same whether slots are scanned in one call or in several"
    if again.tobytes() != state.tobytes():
        yield "the state must be the same whether slots are scanned in one call or in several"
    one = slice(3, 4)
    alone = modem.scan(modem.start(size_bits[one], multicast[one]), _part(slots, one, slice(None)))
    if not np.array_equal(alone.bits, whole.bits[one]):
        yield "the bits of a link must not depend on which links are scanned together"


def _part(slots: Slots, links: slice, times: slice) -> Slots:
    """Return some slots of some links."""
    return Slots(
        slots.known[links, times],
        slots.sinr[links, times],
        slots.share[links, times],
        slots.active[links, times],
        slots.draws[links, times],
    )


def medium_access(model: Any) -> Iterator[str]:
    """Yield the violations of the contract of medium access."""
    if isinstance(model, Csma):
        for each in model.functions:
            windows = [each.contention_window(failures) for failures in range(20)]
            if windows != sorted(windows) or (windows[0], windows[-1]) != (
                each.cw_min,
                each.cw_max,
            ):
                yield "contention_window must rise from cw_min to cw_max"
        return
    yield from _rules(model.rules())
    if isinstance(model, Sidelink):
        low, high = model.counter_range(1_000_000)
        if not 1 <= low <= high:
            yield f"counter_range must be two positive numbers in order, got {low}, {high}"
        if not 0 <= model.lookback_slots(1_000_000) < model.period_slots:
            yield "lookback_slots must be from 0 to below period_slots"
        return
    if model.scheme != "scheduled":
        yield f"scheme must be 'scheduled', got {model.scheme!r}"
    yield from _groups(model)
    yield from _shares(model)


def _rules(rules: Any) -> Iterator[str]:
    """Yield the violations of the contract of constraints."""
    if not isinstance(rules, Rules):
        yield f"rules must return Rules, got {type(rules).__name__}"
        return
    for name in ("max_transmissions", "max_receptions"):
        limit = getattr(rules, name)
        if limit is not None and limit < 1:
            yield f"{name} must be at least 1 or None, got {limit}"
    if rules.margin_db is not None and not 0.0 <= rules.margin_db < np.inf:
        yield f"margin_db must be at least 0 dB or None, got {rules.margin_db}"


# Source, target and transmission of attempts, by device, then station; see `_on_air`.
_DEVICES = 8
_DIRECT = ((0, 3, 0), (0, 4, 1), (1, 5, 2), (1, 6, 2), (2, 7, 3))
_CELLULAR = ((0, 8, 0), (1, 8, 1), (2, 9, 2), (8, 4, 3), (8, 5, 4), (9, 6, 5))


def _links(model: Any) -> list[tuple[int, int, int]]:
    """Return attempts that the rules allow on the air together: source, target, transmission."""
    links = _CELLULAR if _is_cellular(model) else _DIRECT
    if model.rules().max_transmissions != 1:
        return list(links)
    first: dict[int, int] = {}
    for source, _, transmission in links:
        first.setdefault(source, transmission)
    return [link for link in links if link[2] == first[link[0]]]


def _is_cellular(model: Any) -> bool:
    """Return whether a medium access, or that of its digital messages, has base stations."""
    return isinstance(getattr(model, "digital", model), Cell)


def _groups(model: Any) -> Iterator[str]:
    """Yield the violations of the contract of groups and carriers."""
    links = _links(model)
    first = [_placed(model, each) for each in links]
    again = [_placed(model, each) for each in reversed(links)]
    if first != again[::-1]:
        yield "group and carrier must not depend on the order in which links are asked for"
    if not all(isinstance(group, int | np.integer) for group, _ in first):
        yield "group must be an integer"
    if any(carrier not in (0, 1) for _, carrier in first):
        yield "carrier must be 0 or 1"
    if not _is_cellular(model) and _placed(model, (1, 5, 2)) != _placed(model, (1, 6, 2)):
        yield "the links of a multicast must have one group and one carrier"


def _placed(model: Any, link: tuple[int, int, int]) -> tuple[Any, Any]:
    """Return group and carrier of a link."""
    return model.group(*link[:2], _DEVICES), model.carrier(*link[:2], _DEVICES)


def _on_air(model: Any) -> OnAir:
    """Return attempts on the air, in the order of groups, then transmissions."""
    links = sorted(_links(model), key=lambda link: (_placed(model, link)[0], link[2]))
    source = np.array([link[0] for link in links])
    sent = {(link[0], link[2]) for link in links}
    together = [sum(other == link[0] for other, _ in sent) for link in links]
    batch = np.array(together) if model.rules().batch else np.ones(len(links), dtype=np.int64)
    group = [_placed(model, link)[0] for link in links]
    members = {(each, link[2]) for each, link in zip(group, links, strict=True)}
    sharing = np.array([sum(other == each for other, _ in members) for each in group])
    return OnAir(
        source,
        np.array(group),
        np.array([link[2] for link in links]),
        batch,
        1.0 / batch,
        1.0 / sharing,
    )


def _shares(model: Any) -> Iterator[str]:
    """Yield the violations of the contract of shares."""
    attempts = _on_air(model)
    count, first_slot, slots = attempts.source.size, 5, 24
    duty = np.asarray(model.duty(attempts))
    if duty.shape != (count,) or not ((duty >= 0.0) & (duty <= 1.0)).all():
        yield f"duty must be from 0 to 1, of shape {(count,)}"
    patterned = model.rules().patterned
    rng = np.random.default_rng(_SEED)
    quality = rng.uniform(0.1, 5.0, (count, slots if patterned else 0))
    average = np.zeros(count)
    whole = model.shares(attempts, first_slot, slots, quality, average)
    single: list[Any] = []
    for slot in range(slots):
        column = quality[:, slot : slot + 1] if patterned else quality
        single.append(model.shares(attempts, first_slot + slot, 1, column, average))
        if single[-1].average is not None:
            average = single[-1].average[:, 0]
    names = ("band", "power", "active") + (("average",) if whole.average is not None else ())
    together = attempts.transmission[1:] == attempts.transmission[:-1]
    for name in names:
        many = getattr(whole, name)
        if many.shape not in ((count, slots), (count, 1)):
            yield f"{name} must have shape {(count, slots)} or {(count, 1)}, got {many.shape}"
            continue
        if name in ("band", "power") and not ((many >= 0.0) & (many <= 1.0)).all():
            yield f"{name} must be from 0 to 1"
        one_by_one = np.concatenate([getattr(each, name) for each in single], axis=1)
        if not np.array_equal(one_by_one, np.broadcast_to(many, (count, slots))):
            yield f"{name} must be the same for one slot at a time as for many slots at once"
        elif not patterned and (many != many[:, :1]).any():
            yield f"{name} must not differ between slots unless the rules say patterned"
        elif (many[:-1][together] != many[1:][together]).any() and name != "average":
            yield f"{name} must be the same for all attempts of a transmission"
