"""Laws of CLAIR: optimality of the decomposition, exact recovery, and detection of attacks."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch

from fl.aggregation.clair import aligned_factors, decompose, usual_weight
from fl.config import AdfLora, Byzantine, Clair, FfaLora, Full, Learning, Lora, Server, UpdateFaults

SHAPES = ((18, 24), (20, 30))
RANK = 3


def devices_of(count: int, bad: tuple[int, ...], kind: str, noise: float = 0.0) -> Any:
    """Return factors of devices with a common B but for noise, and of contaminated ones."""
    generator = torch.Generator().manual_seed(5)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    b: list[list[torch.Tensor]] = [[] for _ in range(count)]
    a: list[list[torch.Tensor]] = [[] for _ in range(count)]
    for rows, columns in SHAPES:
        common_b, common_a = draw(rows, RANK), draw(RANK, columns)
        for device in range(count):
            own_b = common_b + noise * draw(rows, RANK)
            own_a = common_a + 0.3 * draw(RANK, columns)
            if device in bad and kind == "flip":
                own_b = -own_b
            elif device in bad:
                own_b, own_a = draw(rows, RANK), draw(RANK, columns)
            b[device].append(own_b)
            a[device].append(own_a)
    return [tuple(each) for each in b], [tuple(each) for each in a]


def test_the_decomposition_is_optimal() -> None:
    """Law: the dual certificate of the convex program: Y = U V^T + W with ||W||_2 <= 1 off the
    spaces of L, ||Y_ij|| <= lambda, and Y_ij = lambda S_ij / ||S_ij|| where S_ij is not zero. Y
    follows from S on its blocks; on the others it exists if no descent direction does: moving any
    block between L and S does not lower the objective."""
    b, a = devices_of(4, (1,), "other")
    differences = [
        torch.stack([b[i][n] @ a[i][n] - b[j][n] @ a[j][n] for i, j in combinations(range(4), 2)])
        for n in range(2)
    ]
    weight = usual_weight(differences, 4)
    found = decompose(differences, weight)
    for whole, low, sparse in zip(differences, found.low_rank, found.sparse, strict=True):
        torch.testing.assert_close(low + sparse, whole, rtol=0, atol=1e-4 * float(whole.norm()))

    def objective(shift: list[torch.Tensor]) -> float:
        low = [x + s for x, s in zip(found.low_rank, shift, strict=True)]
        sparse = [d - x for d, x in zip(differences, low, strict=True)]
        nuclear = sum(
            float(torch.linalg.svdvals(each.transpose(0, 1).flatten(1)).sum()) for each in low
        )
        blocks = sum(
            float(torch.stack([each[pair].norm() for each in sparse]).norm()) for pair in range(6)
        )
        return nuclear + weight * blocks

    # Exactly feasible, and near the optimum of a convex function: no direction descends.
    zero = [torch.zeros_like(each) for each in differences]
    least = objective(zero)
    generator = torch.Generator().manual_seed(1)
    for scale in (0.01, 0.3):
        for _ in range(5):
            noise = [torch.randn(each.shape, generator=generator).double() for each in zero]
            assert objective([scale * each for each in noise]) > least
        for part in (found.sparse, [-each for each in found.sparse], found.low_rank):
            assert objective([scale * each for each in part]) > least * (1 - 1e-4)
        for pair in range(6):
            single = [each.clone() for each in zero]
            for own, sparse in zip(single, differences, strict=True):
                own[pair] = scale * sparse[pair]
            assert objective(single) > least * (1 - 1e-4)
            assert objective([-each for each in single]) > least * (1 - 1e-4)


@pytest.mark.parametrize("kind", ["flip", "other"])
@pytest.mark.parametrize(("count", "bad"), [(4, (1,)), (5, ()), (6, (2, 5))])
@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_contaminated_devices_are_found(
    count: int, bad: tuple[int, ...], kind: str, noise: float
) -> None:
    """Law: exactly those, with common B's and with noise on them; without noise the result is the
    dense rule in NumPy: the own part in the span of the common B, and the benign mean of the rest,
    which here has the columns of B alone."""
    b, a = devices_of(count, bad, kind, noise)
    found_b, found_a, flagged = aligned_factors(b, a, RANK)
    assert tuple(flagged) == bad
    benign = [device for device in range(count) if device not in bad]
    for layer in range(2):
        products = np.stack([(b[d][layer] @ a[d][layer]).numpy() for d in benign])
        found = found_b[layer].double().numpy() @ found_a[layer].double().numpy()
        if noise:
            continue
        inside, _ = np.linalg.qr(b[0][layer].numpy())
        projection = inside @ inside.T
        mean = products.mean(0)
        dense = projection @ products[0] + mean - projection @ mean
        np.testing.assert_allclose(found, dense, atol=1e-4 * np.abs(dense).max())


def test_two_devices_have_no_majority() -> None:
    """Law: the mean of the products, truncated; a single device keeps its factors."""
    b, a = devices_of(2, (), "flip")
    found_b, found_a, flagged = aligned_factors(b, a, RANK)
    assert flagged == []
    mean = sum((b[d][0] @ a[d][0]).numpy() for d in range(2)) / 2
    u, s, vh = np.linalg.svd(mean)
    best = (u[:, :RANK] * s[:RANK]) @ vh[:RANK]
    found = (found_b[0].double() @ found_a[0].double()).numpy()
    np.testing.assert_allclose(found, best, atol=1e-5 * np.abs(best).max())
    assert aligned_factors(b[:1], a[:1], RANK)[0][0] is b[0][0]


def test_an_attack_does_not_reach_the_others(make_network, learn_over) -> None:  # type: ignore[no-untyped-def]
    """Law: with one of four devices that sends noise of 30 times its update, the change of the
    others is less than the update itself, since a fourth of it is missing; that of a mean is more
    than 10 times as large."""
    places = ((0.0, 0.0), (100.0, 0.0), (0.0, 100.0), (100.0, 100.0))
    noisy = UpdateFaults((Byzantine(devices=(3,), attack="noise", scale=30.0),))

    def product(robust: Any, faults: Any) -> torch.Tensor:
        _, _, session = learn_over(
            make_network(places), method=Lora(rank=4), rounds=1, topology=Full(), robust=robust,
            update_faults=faults, target_modules=("down_proj",),
        )  # fmt: skip
        adapter = session.adapters[0]
        return adapter.b[0] @ adapter.a[0]

    plain = product(Clair(), None)
    assert float((product(Clair(), noisy) - plain).norm()) < float(plain.norm())
    assert float((product(None, noisy) - plain).norm()) > 10 * float(plain.norm())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": FfaLora()}, "clair is for methods that average both factors, got method ffa"),
        ({"method": AdfLora(), "protocol": Server()}, "clair is for devices without a server"),
    ],
)
def test_what_makes_no_sense_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Learning(robust=Clair(), **settings)
