"""Laws of the methods that send or train a part of the factors, and of their index coding."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from fl.adapters import Adapter, Layer
from fl.config import (
    ChocoLora,
    EcoLora,
    FedLoDrop,
    Flasc,
    FsLora,
    Full,
    Learning,
    Lora,
    Median,
    Mixture,
    Server,
    Sgd,
    Soft,
)
from fl.methods import method_of
from fl.methods.extensions import extra_shapes, masks_of_seed
from fl.updates import indices
from fl.updates.codec import HEADER_BYTES, SEED_BYTES, Update, decode, encode, encoded_bytes
from wnsim.faults import LinkOutage
from wnsim.mac import Cell

LAYERS = (Layer("q", 24, 18), Layer("down", 30, 20))
RANK = 4
D_R = RANK * sum(layer.outputs for layer in LAYERS)
K_R = RANK * sum(layer.inputs for layer in LAYERS)
WEIGHTS = [1.0, 3.0, 2.0]
PLACES = ((0.0, 0.0), (100.0, 0.0), (0.0, 100.0))


def factors(seed: int, step: float = 0.0) -> Update:
    """Return random factors of a device, multiples of a step if it is positive."""
    generator = torch.Generator().manual_seed(seed)
    b = tuple(torch.randn(layer.outputs, RANK, generator=generator) for layer in LAYERS)
    a = tuple(torch.randn(RANK, layer.inputs, generator=generator) for layer in LAYERS)
    if step:
        b, a = (tuple((each / step).round() * step for each in part) for part in (b, a))
    return Update(seed, 1, b, a=a)


def flat(parts: Any) -> Any:
    """Return B, then A of all layers, as a vector."""
    both = (*parts.b, *(parts.a or ())) if hasattr(parts, "b") else parts
    return torch.cat([each.reshape(-1).double() for each in both]).numpy()


def sent(method: Any, update: Update) -> Update:
    """Return an update as its receivers decode it."""
    data = encode(update)
    assert len(data) == encoded_bytes(update)
    shapes, masks_of = extra_shapes(method, LAYERS), masks_of_seed(method, LAYERS)
    return decode(data, LAYERS, [RANK] * 2, extra=shapes, masks_of=masks_of)


# Index coding.


def entropy_bits(share: float) -> float:
    return -share * np.log2(share) - (1 - share) * np.log2(1 - share)


@pytest.mark.parametrize("share", [0.002, 0.02, 0.1, 0.25])
def test_coded_gaps_are_near_the_entropy(share: float) -> None:
    """Law: the code is a bijection, and never below the entropy of the positions; Golomb's code is
    within 4 % of it at these densities (Gallager and van Voorhis 1975), Rice's within 7 %."""
    active = np.zeros(40_000, dtype=bool)
    active[np.random.default_rng(1).permutation(active.size)[: int(share * active.size)]] = True
    data = indices.pack_gaps(active)
    assert len(data) == indices.gaps_bytes(active)
    found, count = indices.unpack_gaps(memoryview(data + b"more"), active.size)
    assert count == len(data)
    np.testing.assert_array_equal(found, active)
    bound = entropy_bits(share) * active.size / 8
    # The number of combinations is below 2^(n H) by half a logarithm of n.
    assert 0.98 * bound <= len(data) - 5 <= 1.07 * bound + 1


@pytest.mark.parametrize("places", [[], [0], [9], list(range(10)), [0, 9]])
def test_coded_gaps_of_few_entries(places: list[int]) -> None:
    active = np.isin(np.arange(10), places)
    found, _ = indices.unpack_gaps(memoryview(indices.pack_gaps(active)), 10)
    np.testing.assert_array_equal(found, active)


def test_damaged_gaps_are_refused() -> None:
    active = np.isin(np.arange(100), [3, 50, 99])
    data = indices.pack_gaps(active)
    for cut in range(len(data)):
        with pytest.raises(ValueError, match="ends within its coded gaps"):
            indices.unpack_gaps(memoryview(data[:cut]), 100)
    with pytest.raises(ValueError, match="must end within 99 entries, got 99"):
        indices.unpack_gaps(memoryview(data), 99)
    with pytest.raises(ValueError, match="cannot have"):
        indices.unpack_gaps(memoryview(b"\xff\xff\xff\x7f\x00" + data[5:]), 100)


@pytest.mark.parametrize(
    ("share", "ranks", "coding"),
    [(0.05, False, "gaps"), (0.5, False, "bitmap"), (0.99, False, "all"), (0.5, True, "ranks")],
)
@pytest.mark.parametrize("bits", [16, 4])
def test_the_shortest_coding_is_chosen(share: float, ranks: bool, coding: str, bits: int) -> None:
    """Law: as large as the smallest of all codings, and decoded to the same values."""
    update = factors(1)
    generator = torch.Generator().manual_seed(2)
    if ranks:
        active = tuple(torch.rand(RANK, generator=generator) < share for _ in LAYERS)
        mask, mask_a = indices.of_ranks(active, [18, 20], [24, 30])
    else:
        mask, mask_a = (
            tuple(torch.rand(each.shape, generator=generator) < share for each in part)
            for part in (update.b, update.a)
        )
    b, a = (
        tuple(torch.where(on, x, 0.0) for on, x in zip(masks, part, strict=True))
        for masks, part in ((mask, update.b), (mask_a, update.a))
    )
    sparse = replace(
        update, b=b, a=a, mask=mask, mask_a=mask_a, includes_mask=True, index="shortest", bits=bits
    )
    sizes = {
        each: encoded_bytes(replace(sparse, includes_mask=False))
        + indices.masks_bytes(mask, mask_a, each)
        for each in ("bitmap", "gaps", *["ranks"] * ranks)
    }
    sizes["all"] = encoded_bytes(Update(1, 1, b, a=a, bits=bits))
    data = encode(sparse)
    assert len(data) == encoded_bytes(sparse) == min(sizes.values()) == sizes[coding]
    found = decode(data, LAYERS, [RANK] * 2)
    if coding != "all":
        for x, y in zip((*found.mask, *found.mask_a), (*mask, *mask_a), strict=True):
            assert torch.equal(x, y)
    # Half precision; or one level of the layer's largest value.
    error = 4e-3 if bits == 16 else float(np.abs(flat(sparse)).max()) / 7
    assert np.abs(flat(found) - flat(sparse)).max() <= error


# CHOCO.


def choco(count: int, keep: float, gamma: float, step: float = 0.0) -> tuple[Any, list[Adapter]]:
    """Return the method, and adapters of devices at random places."""
    method = method_of(ChocoLora(rank=RANK, keep=keep, gamma=gamma))
    start = method.initial(LAYERS, 1, 0, count)
    if step:
        a = tuple((each / step).round() * step for each in start.a)
        start = replace(start, a=a)
        start = replace(start, kept={"public copy": tuple(x.half() for x in (*start.b, *a))})
    places = [factors(seed, step) for seed in range(count)]
    return method, [
        replace(start, b=place.b, a=tuple(x + y for x, y in zip(place.a, start.a, strict=True)))
        for place in places
    ]


def rounds_of(method: Any, adapters: list[Adapter], neighbors: Any, count: int) -> Any:
    """Yield the adapters and the decoded updates after each round without training."""
    for number in range(1, count + 1):
        updates = [
            sent(method, method.update(each, device, number, True))
            for device, each in enumerate(adapters)
        ]
        adapters = [
            method.combine(
                each,
                updates[me],
                [updates[n] for n in neighbors(me)],
                [1.0] * (len(neighbors(me)) + 1),
            )
            for me, each in enumerate(adapters)
        ]
        yield adapters, updates


def test_choco_with_all_entries_and_gamma_1_is_gossip() -> None:
    """Law: to the last bit where nothing is rounded, for unequal weights."""
    method, adapters = choco(3, keep=1.0, gamma=1.0, step=1 / 16)
    updates = [sent(method, method.update(each, n, 1, True)) for n, each in enumerate(adapters)]
    found = method.combine(adapters[0], updates[0], updates[1:], WEIGHTS)
    plain = [Update(n, 1, each.b, a=each.a) for n, each in enumerate(adapters)]
    mean = method_of(Lora(rank=RANK)).average(plain, WEIGHTS)
    np.testing.assert_allclose(flat(found), flat(mean), atol=1e-6)


def test_choco_gossip_converges_at_its_known_rate() -> None:
    """Law (Koloskova et al. 2019, Theorem 2): with gamma of the theorem, the distances of all
    devices to the mean and to their copies fall by 1 - delta^2 omega / 82 in a round at least; at a
    larger gamma they vanish, up to the rounding of half precision. The mean never changes."""
    count, keep = 6, 0.25
    ring = lambda me: [(me - 1) % count, (me + 1) % count]  # noqa: E731
    mixing = np.array([[(i == j) or j in ring(i) for j in range(count)] for i in range(count)]) / 3
    moduli = np.sort(np.abs(np.linalg.eigvalsh(mixing)))
    delta, beta = 1 - moduli[-2], np.linalg.norm(np.eye(count) - mixing, 2)
    top = delta**2 * keep
    gamma = top / (16 * delta + delta**2 + 4 * beta**2 + 2 * delta * beta**2 - 8 * delta * keep)

    def distance(adapters: list[Adapter]) -> float:
        places = np.stack([flat(each) for each in adapters])
        np.testing.assert_allclose(places.mean(0), mean, atol=1e-5)
        copies = np.stack([flat(each.kept["public copy"]) for each in adapters])
        return float(np.square(places - mean).sum() + np.square(places - copies).sum())

    for step, length in ((gamma, 15), (0.3, 70)):
        method, adapters = choco(count, keep, step)
        mean = np.stack([flat(each) for each in adapters]).mean(0)
        before = distance(adapters)
        for number, (now, _) in enumerate(rounds_of(method, adapters, ring, length), 1):
            assert distance(now) <= (1 - top / 82) ** number * before
    assert distance(now) < 1e-6 * before


def test_choco_is_the_published_algorithm() -> None:
    """Law: Algorithm 2 in NumPy, every receiver with copies of its own, which add differences."""
    count, keep, gamma = 4, 0.2, 0.4
    others = lambda me: [n for n in range(count) if n != me]  # noqa: E731
    method, adapters = choco(count, keep, gamma)
    x = np.stack([flat(each) for each in adapters])
    start = flat(method.initial(LAYERS, 1, 0, count).kept["public copy"])
    # [receiver, sender, entries]
    copies = np.broadcast_to(start, (count, count, start.size)).copy()
    for now, updates in rounds_of(method, adapters, others, 12):
        for me in range(count):
            # Equal at all receivers, and what a first contact would be sent next time.
            q = x[me] - copies[me, me]
            kept = np.argsort(-np.abs(q), kind="stable")[: round(keep * q.size)]
            q[np.setdiff1d(np.arange(q.size), kept)] = 0.0
            np.testing.assert_allclose(flat(updates[me]), q, atol=4e-3)
            # The next test is of the rule, not of rounding: copies add what was decoded.
            copies[:, me] = (copies[:, me] + flat(updates[me])).astype(np.float16)
            np.testing.assert_array_equal(flat(now[me].kept["public copy"]), copies[0, me])
        for me in range(count):
            x[me] += gamma * sum((copies[me, n] - copies[me, me]) / count for n in others(me))
            np.testing.assert_allclose(flat(now[me]), x[me], atol=1e-5)
            x[me] = flat(now[me])


def test_a_receiver_that_missed_a_difference_is_sent_the_copy(make_network, learn_over) -> None:  # type: ignore[no-untyped-def]
    """Law: a message has the copy if and only if the message of the round before did not arrive:
    in the first round, and after an outage of one link in the second one."""
    outage = LinkOutage(links=((0, 1),), from_s=2.0, until_s=2.7)
    network = make_network(PLACES, faults={"link_outages": (outage,)})
    network, trainer, session = learn_over(
        network, devices=3, method=ChocoLora(rank=4), rounds=4, topology=Full(), deadline_s=0.5,
        compute_s=lambda device, flops: 1.0,
    )  # fmt: skip
    copy = 2 * 4 * sum(layer.inputs + layer.outputs for layer in trainer.model.layers)
    large = set()
    for transfer in network.transfers:
        message = transfer.message
        is_lost = message.round == 2 and {message.source, message.target} == {0, 1}
        assert transfer.delivered != is_lost
        if message.size_bytes > copy:
            large.add((message.round, message.source, message.target))
    first = {(1, source, target) for source, target in itertools.permutations(range(3), 2)}
    assert large == first | {(3, 0, 1), (3, 1, 0)}
    # Its factors, its public copy, and those of two neighbors.
    assert session.stored_bytes(0) == 4 * copy


# Sub-adapters.


def thinned(method: Any, device: int, round_: int) -> tuple[Any, Any]:
    """Return the masks of a device in a round, flat."""
    update = method.shapes_update_in(LAYERS, False, device, round_)
    return flat(update.mask), flat(update.mask_a)


@pytest.mark.parametrize("bits", [16, 8])
@pytest.mark.parametrize(
    ("config", "share"),
    [
        (FedLoDrop(rank=RANK, gamma=0.5, draws="count"), 0.5),
        (FsLora(rank=RANK, kept_ranks=(3,)), 0.75),
        (FsLora(rank=RANK, kept_ranks=(1, 3)), 0.25),
    ],
)
def test_both_directions_shrink_by_the_share(config: Any, share: float, bits: int) -> None:
    """Law: values in proportion, and a seed of 8 bytes, from which the masks are decoded."""
    method = method_of(config)
    whole = factors(1)
    adapter = replace(method.initial(LAYERS, 1, 0, 3), b=whole.b, a=whole.a)
    scales = 0 if bits == 16 else 4 * 4
    size = HEADER_BYTES + SEED_BYTES + scales + round(share * (D_R + K_R)) * bits // 8
    for part in (method.update(adapter, 0, 3, True), method.tailored(whole, 0, 3, True)):
        found = sent(method, replace(part, bits=bits))
        assert encoded_bytes(replace(part, bits=bits)) == size
        shapes = method.tailored_shapes(LAYERS, 0, 3, True)
        assert encoded_bytes(replace(shapes, bits=bits)) == size
        assert torch.equal(found.mask[1], part.mask[1])
        is_active = np.concatenate([flat(found.mask), flat(found.mask_a)]) > 0
        assert not flat(found)[~is_active].any()
        assert np.abs(flat(found)[is_active] - flat(whole)[is_active]).max() < 0.1
    assert encoded_bytes(method.served_shapes(LAYERS)) == HEADER_BYTES + 2 * (D_R + K_R)
    assert method.tailored(whole, 0, None, True) is whole


def test_masks_are_bernoulli_and_independent_of_each_other() -> None:
    """Law: whole rows of B and columns of A, each with its probability; other seeds, devices and
    rounds have other masks. 92 times 200 draws are within 4 standard deviations of their mean:
    a false alarm in 16,000."""
    method = method_of(FedLoDrop(rank=RANK, gamma=0.3))
    method.start_run(5, 3)
    kept = []
    for device, number in itertools.product(range(20), range(1, 11)):
        update = method.shapes_update_in(LAYERS, False, device, number)
        for mask, mask_a in zip(update.mask, update.mask_a, strict=True):
            assert torch.equal(mask, mask[:, :1].expand_as(mask))
            assert torch.equal(mask_a, mask_a[:1].expand_as(mask_a))
            kept.append(torch.cat([mask[:, 0], mask_a[0]]).numpy())
    for width, offset in ((18, 0), (24, 18)):
        counts = np.array([each[offset : offset + width].sum() for each in kept[::2]])
        # The variance of 200 binomial numbers is within a tenth of its mean in 2 of 3 cases.
        assert 0.5 < counts.var() / (width * 0.7 * 0.3) < 2.0
    drawn = np.concatenate(kept)
    assert abs(drawn.mean() - 0.7) < 4 * np.sqrt(0.7 * 0.3 / drawn.size)
    first = thinned(method, 0, 1)
    assert all((x == y).all() for x, y in zip(first, thinned(method, 0, 1), strict=True))
    assert any((x != y).any() for x, y in zip(first, thinned(method, 1, 1), strict=True))
    assert any((x != y).any() for x, y in zip(first, thinned(method, 0, 2), strict=True))
    method.start_run(6, 3)
    assert any((x != y).any() for x, y in zip(first, thinned(method, 0, 1), strict=True))


@pytest.mark.parametrize(
    "config", [FedLoDrop(rank=RANK, gamma=0.6), FsLora(rank=RANK, kept_ranks=(1, 2, 3))]
)
def test_sub_adapters_are_averaged_entry_by_entry(config: Any) -> None:
    """Law: loops in NumPy: over the clients that trained an entry (fed-lo-drop), or over all, with
    the value before for those that did not (fslora)."""
    method = method_of(config)
    start = factors(9)
    updates = []
    for device in range(3):
        own = factors(device)
        adapter = replace(method.initial(LAYERS, 1, device, 3), b=own.b, a=own.a)
        updates.append(method.update(adapter, device, 2, True))
    found = flat(method.aggregate_clients(start, updates, WEIGHTS))
    masks = [np.concatenate([flat(each.mask), flat(each.mask_a)]) > 0 for each in updates]
    values, before = [flat(each) for each in updates], flat(start)
    nobody = 0
    for entry in range(before.size):
        active = [n for n in range(3) if masks[n][entry]]
        if isinstance(config, FsLora):
            each = [values[n][entry] if n in active else before[entry] for n in range(3)]
            expected = np.average(each, weights=WEIGHTS)
        elif active:
            expected = np.average(
                [values[n][entry] for n in active], weights=[WEIGHTS[n] for n in active]
            )
        else:
            nobody += 1
            expected = before[entry]
        assert abs(found[entry] - expected) < 1e-6
    assert nobody or isinstance(config, FsLora)


STATIONS = {"stations_m": ((50.0, 50.0),), "mac": Cell()}


def served(make_network: Any, learn_over: Any, config: Any, rounds: int = 2, **more: Any) -> Any:
    """Return network, trainer and session of a server with three clients."""
    settings = {"devices": 3, "protocol": Server(), "rounds": rounds, **more}
    return learn_over(make_network(PLACES, **STATIONS), method=config, **settings)


@pytest.fixture(scope="module")
def averages() -> dict[str, Any]:
    """Results of federated averaging, which several methods have as a limit."""
    return {}


@pytest.mark.parametrize(
    ("config", "error"),
    [
        (FedLoDrop(rank=4, gamma=0.0), 0.0),
        (FsLora(rank=4, kept_ranks=(4,)), 0.0),
        # Changes are rounded to half precision in place of factors, which are at most 0.3.
        (Flasc(rank=4, density=1.0, server="mean"), 3e-4),
        (EcoLora(rank=4, segments=1, largest_keep=1.0, smallest_keep=1.0), 3e-4),
    ],
    ids=lambda x: getattr(x, "model", ""),
)
def test_the_limit_of_everything_sent_is_federated_averaging(  # type: ignore[no-untyped-def]
    make_network, learn_over, averages, config: Any, error: float
) -> None:
    """Law: the same factors, to the last bit where these are sent themselves, and as many bytes;
    of ecolora at most, since zeros are no entries."""
    settings = {"optimizer": Sgd(momentum=0.0), "clip_norm": 1e9}
    if not averages:
        plain = Lora(rank=4, learning_rate=0.1)
        network, _, session = served(make_network, learn_over, plain, **settings)
        averages["sizes"] = [each.message.size_bytes for each in network.transfers]
        averages["factors"] = flat(session.adapters[0])
    mine = replace(config, learning_rate=0.1)
    network, _, session = served(make_network, learn_over, mine, **settings)
    sizes = [each.message.size_bytes for each in network.transfers]
    is_same = [x == y for x, y in zip(sizes, averages["sizes"], strict=True)]
    assert all(is_same) or isinstance(config, EcoLora)
    assert max(sizes) <= max(averages["sizes"])
    found = flat(session.adapters[0])
    assert np.abs(found - averages["factors"]).max() <= error
    assert found.std() > 0.01


def test_masked_entries_are_frozen_and_their_moments_wait(make_trainer) -> None:  # type: ignore[no-untyped-def]
    """Law: Adam in NumPy over two rounds, whose masks differ: entries outside the mask keep value
    and moments, which are not those of zero gradients."""
    from fl.training.loss import answer_loss

    rate = 1e-2
    method = FedLoDrop(rank=4, gamma=0.5, learning_rate=rate)
    trainer = make_trainer(
        method=method, clip_norm=1e9, local_steps=2, devices=1, protocol=Server()
    )
    first = trainer.train(0, 1, None)
    second = trainer.train(0, 2, first)
    start = trainer._base_adapter(0).value()
    x = np.concatenate([flat([each.T for each in start.b]), flat(start.a)])
    m, v = np.zeros_like(x), np.zeros_like(x)
    parts = [*[each.T for each in start.b], *start.a]
    steps, frozen_with_moments = 0, 0
    for number in (1, 2):
        masked = trainer.method.masked(start, 0, number)
        on = np.concatenate([flat([each.T for each in masked.mask]), flat(masked.mask_a)]) > 0
        frozen_with_moments += int((~on & (m != 0)).sum())
        x = np.where(on, x, 0.0)
        for batch in trainer.examples.training(0, number):
            tensors = torch.from_numpy(x).float().split([part.numel() for part in parts])
            leaves = [
                one.view(part.shape)[None].clone().requires_grad_()
                for one, part in zip(tensors, parts, strict=True)
            ]
            half = len(leaves) // 2
            with trainer.model.stacked(leaves[half:], leaves[:half], start.scale):
                loss = answer_loss(trainer.model, batch.ids, batch.labels, 1).sum()
                gradients = torch.autograd.grad(loss, leaves)
            g = torch.cat([each.reshape(-1) for each in gradients]).double().numpy()
            steps += 1
            m = np.where(on, 0.9 * m + 0.1 * g, m)
            v = np.where(on, 0.999 * v + 0.001 * g**2, v)
            step = m / (1 - 0.9**steps) / (np.sqrt(v / (1 - 0.999**steps)) + 1e-8)
            x = np.where(on, x - rate * step, x)
    assert frozen_with_moments > 50
    state = second.value()
    found = np.concatenate([flat([each.T for each in state.adapter.b]), flat(state.adapter.a)])
    # The first steps of Adam are a sign of the gradient where that is near zero.
    assert np.abs(found - x).mean() < 1e-2 * rate
    assert not found[~on].any()
    moment = state.moments.first[0].double().numpy()
    np.testing.assert_allclose(moment, m, atol=1e-4 * np.abs(m).max())
    assert np.abs(moment[~on]).max() > 0


def test_the_mean_sketch_of_the_ranks_is_the_adapter(make_trainer) -> None:  # type: ignore[no-untyped-def]
    """Law: S has the mean I: rank j is active in k of r draws, within 4 standard deviations, and
    then has the scale r / k."""
    method = method_of(FsLora(rank=RANK, kept_ranks=(1,)))
    adapter = method.initial(LAYERS, 1, 0, 1)
    counts = np.zeros(RANK)
    for number in range(1, 401):
        found = method.masked(adapter, 0, number)
        assert found.scale == adapter.scale * RANK
        counts += np.array([float(each.any()) for each in found.a[0]])
    assert counts.sum() == 400
    assert np.abs(counts / 400 - 0.25).max() < 4 * np.sqrt(0.25 * 0.75 / 400)


# SOFT.


def test_the_penalty_has_the_gradient_of_its_formula() -> None:
    """Law: autograd of w/2 (|off(B^T B)|^2 + |off(A A^T)|^2)."""
    method = method_of(Soft(rank=RANK, orthogonality=0.7))
    one = factors(3)
    adapter = replace(method.initial(LAYERS, 1, 0, 1), b=one.b, a=one.a)
    parts = [each.requires_grad_() for each in (*[b.T.clone() for b in one.b], *one.a)]
    total = 0.0
    for part in parts:
        products = part @ part.T
        total = total + 0.35 * (products - torch.diag(products.diagonal())).square().sum()
    expected = torch.cat([each.reshape(-1) for each in torch.autograd.grad(total, parts)])
    values = torch.cat([each.detach().reshape(-1) for each in parts])
    zero = torch.zeros_like(values)
    found = method.objective(adapter, 0).gradient(zero, values, zero)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-4)
    assert method_of(Soft(orthogonality=0.0)).objective(adapter, 0) is None


def test_soft_sends_the_most_important_ranks() -> None:
    """Law: by |b_k| |a_k|, a bit per rank; a rank is averaged over the receiver and its senders, by
    a server over its senders, and stays where there is none."""
    method = method_of(Soft(rank=RANK, keep=0.5))
    adapters = [
        replace(method.initial(LAYERS, 1, n, 3), b=one.b, a=one.a)
        for n, one in enumerate(factors(seed) for seed in range(3))
    ]
    updates = [sent(method, method.update(each, n, 1, True)) for n, each in enumerate(adapters)]
    size = HEADER_BYTES + (D_R + K_R) + 1
    assert {encoded_bytes(method.update(each, 0, 1, True)) for each in adapters} == {size}
    assert encoded_bytes(method.shapes_update(LAYERS, True)) == size
    found = method.combine(adapters[0], updates[0], updates[1:], WEIGHTS)
    start = factors(9)
    by_server = method.aggregate_clients(start, updates, WEIGHTS)
    for layer in range(2):
        kept = [
            np.argsort(-np.linalg.norm(x.b[layer], axis=0) * np.linalg.norm(x.a[layer], axis=1))[:2]
            for x in adapters
        ]
        for k in range(RANK):
            senders = [n for n in range(3) if k in kept[n]]
            for result, devices, before in (
                (found, sorted({0, *senders}), adapters[0]),
                (by_server, senders, start),
            ):
                mean = before.a[layer][k]
                if devices:
                    weights = np.array([WEIGHTS[n] for n in devices])
                    rows = np.stack([adapters[n].a[layer][k].numpy() for n in devices])
                    mean = weights @ rows / weights.sum()
                np.testing.assert_allclose(result.a[layer][k], mean, atol=2e-3)


# FLASC.


def test_flasc_sends_the_largest_entries_and_steps_by_adam() -> None:
    """Law: one threshold over both factors, down and up; Adam (Reddi et al. 2021) in NumPy, two
    rounds."""
    method = method_of(Flasc(rank=RANK, density=0.25, server_learning_rate=0.01))
    state = factors(4)
    x = flat(state)
    m, v = np.zeros_like(x), np.full_like(x, 1e-6)
    for number in (1, 2):
        down = method.tailored(state, 0, number, True)
        assert down.extra is None
        top = np.zeros(x.size, dtype=bool)
        top[np.argsort(-np.abs(x), kind="stable")[: round(x.size / 4)]] = True
        found = sent(method, down)
        np.testing.assert_allclose(flat(found), np.where(top, x, 0.0), atol=2e-3)
        bitmap = HEADER_BYTES + 2 * round(x.size / 4) + -(-x.size // 8)
        assert encoded_bytes(down) <= bitmap
        updates, changes = [], []
        for device in range(3):
            after = factors(10 * number + device)
            begin = replace(method.initial(LAYERS, 1, device, 3), b=found.b, a=found.a)
            trained = method.trained(begin, replace(begin, b=after.b, a=after.a), 1, 0.1, 1.0)
            updates.append(method.update(trained, device, number, True))
            change = flat(after) - flat(begin)
            order = np.argsort(-np.abs(change), kind="stable")[: round(x.size / 4)]
            changes.append(np.where(np.isin(np.arange(x.size), order), change, 0.0))
            np.testing.assert_allclose(flat(updates[-1]), changes[-1], atol=1e-5)
        state = method.aggregate_clients(state, updates, WEIGHTS)
        mean = np.average(changes, axis=0, weights=WEIGHTS)
        m, v = 0.9 * m + 0.1 * mean, 0.99 * v + 0.01 * mean**2
        x = x + 0.01 * m / (np.sqrt(v) + 1e-3)
        np.testing.assert_allclose(flat(state), x, atol=1e-5)


# EcoLoRA.


def test_ecolora_sends_segments_in_turn_and_loses_nothing_of_them() -> None:
    """Law: sent and left out are the change of the segment; in S rounds each segment is sent once;
    the server moves by the mean over those that sent a segment."""
    method = method_of(EcoLora(rank=RANK, segments=3, largest_keep=0.5, smallest_keep=0.5))
    begin = method.initial(LAYERS, 1, 0, 3)
    size = D_R + K_R
    bounds = [size * part // 3 for part in range(4)]
    state, total = factors(7), {}
    updates = []
    for device in range(2):
        adapter, left = begin, np.zeros(size)
        covered: list[int] = []
        for number in (1, 2, 3, 4):
            turned = method.masked(adapter, device, number)
            after = factors(20 + 10 * device + number)
            trained = method.trained(turned, replace(turned, b=after.b, a=after.a), 1, 0.1, 2.0)
            place = (device + number) % 3
            segment = slice(bounds[place], bounds[place + 1])
            change = np.zeros(size)
            change[segment] = (flat(after) - flat(turned))[segment] + left[segment]
            update = method.update(trained, device, number, True)
            message = flat(update)
            np.testing.assert_allclose(message[segment] + flat(trained.kept["left out"])[segment],
                                       change[segment], atol=1e-5)  # fmt: skip
            assert not message[: segment.start].any()
            assert not message[segment.stop :].any()
            assert np.count_nonzero(message) == round(0.5 * (segment.stop - segment.start))
            assert np.abs(message[segment])[message[segment] != 0].min() >= (
                np.abs(change[segment][message[segment] == 0]).max() - 1e-6
            )
            np.testing.assert_allclose(flat(sent(method, update)), message, atol=4e-3)
            left = flat(trained.kept["left out"])
            covered.append(place)
            adapter = replace(trained, b=begin.b, a=begin.a)
        assert sorted(covered[:3]) == [0, 1, 2]
        total[device] = (place, message)
        updates.append(update)
    # Two devices of another segment each, and the first one twice: once with another weight.
    found = method.aggregate_clients(state, [*updates, updates[0]], [1.0, 2.0, 3.0])
    expected = flat(state) + total[0][1] + total[1][1]
    np.testing.assert_allclose(flat(found), expected, atol=1e-5)
    assert total[0][0] != total[1][0]


def test_the_share_of_ecolora_follows_the_loss() -> None:
    method = method_of(EcoLora(rank=RANK, segments=1, largest_keep=0.9, smallest_keep=0.3))
    adapter = method.initial(LAYERS, 1, 0, 1)
    shares = ((2.0, 0.9), (1.0, 0.3 + 0.6 * np.exp(-1)), (5.0, 0.9), (-50.0, 0.3))
    for seed, (loss, share) in enumerate(shares):
        after = factors(seed)
        turned = method.masked(adapter, 0, 1)
        trained = method.trained(turned, replace(turned, a=after.a, b=after.b), 1, 0.1, loss)
        count = np.count_nonzero(flat(method.update(trained, 0, 1, True)))
        assert count == round(share * (D_R + K_R))
        adapter = trained


# All of them.


def test_megabytes_of_the_emulated_model(make_lm) -> None:  # type: ignore[no-untyped-def]
    """Law: Qwen2.5-1.5B, all linear layers, r = 8: values by the formula, positions near or below
    a bitmap; up, and down where there is a server."""
    from fl.adapters import AdaptedModel
    from fl.config import Emulate
    from fl.trainer.cost_model import CostModel

    model = AdaptedModel(make_lm())

    def megabytes(config: Any) -> tuple[float, float]:
        cost = CostModel(Emulate(emulate="qwen2.5-1.5b"), method_of(config), model)
        up, down = cost.size_bytes_in(False, 0, 1), cost.average_bytes_to(0, 1, True)
        return round((up - HEADER_BYTES) / 1e6, 2), round((down - HEADER_BYTES) / 1e6, 2)

    # 18.46 MB are 9.232e6 entries, whose bitmap has 1.154 MB.
    assert megabytes(FsLora(rank=8, kept_ranks=(4,))) == (9.23, 9.23)
    # 0.7 of 18.46 MB, whole rows and columns.
    assert megabytes(FedLoDrop(rank=8, gamma=0.3, draws="count")) == (12.92, 12.92)
    assert megabytes(Soft(rank=8)) == (9.23, 18.46)
    up, down = megabytes(Flasc(rank=8, density=0.25))
    assert up == down
    assert 4.62 + 0.811 * 1.154 <= up <= 4.62 + 1.154
    up, _ = megabytes(ChocoLora(rank=8, keep=0.1))
    assert 1.846 + 0.469 * 1.154 <= up <= 1.846 + 1.07 * 0.469 * 1.154


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": ChocoLora(), "protocol": Server()}, "choco-lora is for devices without a se"),
        ({"method": FedLoDrop()}, "fed-lo-drop is for a server and its clients, got protocol syn"),
        ({"method": Soft(), "robust": Median()}, "method soft has another rule, got robust median"),
        ({"method": Soft(), "inference": Mixture()}, "adapters are sent whole, got method soft"),
    ],
)
def test_what_makes_no_sense_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Learning(**settings)


def test_wrong_parameters_are_refused() -> None:
    with pytest.raises(ValueError, match="kept_ranks must be at most rank, 4, got 5"):
        FsLora(rank=4, kept_ranks=(2, 5))
    with pytest.raises(ValueError, match="smallest_keep must be at most largest_keep"):
        EcoLora(largest_keep=0.2)


def test_soft_and_choco_learn_among_devices(make_network, learn_over) -> None:  # type: ignore[no-untyped-def]
    """Contract: messages are charged as they are serialised, on a complete graph."""
    for config in (Soft(rank=4), ChocoLora(rank=4)):
        network, trainer, session = learn_over(
            make_network(PLACES), devices=3, method=config, rounds=2, topology=Full()
        )
        last = [each for each in network.transfers if each.message.round == 2]
        for each in last:
            update = trainer._updates.of(
                each.message.source, 2, session.trained[each.message.source], False
            )
            assert each.message.size_bytes == len(encode(update))
