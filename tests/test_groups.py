"""Clusters that aggregate inside and exchange outside: cached updates, and sizes of messages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from fl.config import (
    Agglomerative,
    ByTask,
    ClusterExchange,
    Full,
    Isolated,
    Lora,
    Mixture,
    Ring,
    Similarity,
    SoLora,
)
from fl.mixture import stored_bytes
from fl.mixture.features import EMBEDDING_SIZE
from fl.updates.codec import HEADER_BYTES
from wnsim.core.units import dbm_to_w, thermal_noise_w
from wnsim.phy import Shannon

SQUARE = ((0.0, 0.0), (100.0, 0.0), (0.0, 100.0), (100.0, 100.0))
SPARSE = SoLora(rank=4, density=0.3, calibration_prompts=8, allocation="uniform")


@pytest.fixture
def federate(make_network, learn_over) -> Callable[..., Any]:  # type: ignore[no-untyped-def]
    """Return a runner of small federations of four devices; gives network, trainer and session."""

    def run(positions=SQUARE, **learning):  # type: ignore[no-untyped-def]
        settings = {"rounds": 2, "evaluate_every": 1, "method": SPARSE} | learning
        return learn_over(make_network(positions), **settings)

    return run


def sent(network, kind: str) -> list[tuple[int, int, int, int]]:  # type: ignore[no-untyped-def]
    """Round, source, target and size of the messages of a kind."""
    messages = [t.message for t in network.transfers if t.message.kind == kind]
    return [(m.round, m.source, m.target, m.size_bytes) for m in messages]


def test_clusters_of_one_device_do_not_communicate(federate) -> None:  # type: ignore[no-untyped-def]
    """Law: without admissible collisions no update is received."""
    network, _, clusters = federate(topology=Agglomerative(s_max=0.0))
    _, _, alone = federate(topology=Isolated())
    assert sent(network, "update") == []
    for one, other in zip(clusters.adapters, alone.adapters, strict=True):
        assert all(torch.equal(x, y) for x, y in zip(one.b, other.b, strict=True))
    assert {row.devices for row in clusters.groups} == {1}


def test_one_cluster_is_a_complete_graph(federate) -> None:  # type: ignore[no-untyped-def]
    _, _, cluster = federate(topology=Agglomerative(s_max=1.0))
    _, _, full = federate(topology=Full())
    for one, other in zip(cluster.adapters, full.adapters, strict=True):
        assert all(torch.equal(x, y) for x, y in zip(one.b, other.b, strict=True))
    assert {row.devices for row in cluster.groups} == {4}


def test_clusters_are_negotiated_over_the_air(federate) -> None:  # type: ignore[no-untyped-def]
    network, trainer, _ = federate(topology=Agglomerative(s_max=0.1, recluster_every=2), rounds=3)
    size = HEADER_BYTES + 2 * len(trainer.model.layers) + 8
    expected = [(n, s, t, size) for n in (1, 3) for s in range(4) for t in range(4) if s != t]
    assert sorted(sent(network, "control")) == expected


def test_collisions_are_those_of_the_masks(federate) -> None:  # type: ignore[no-untyped-def]
    """Law: masks of the same density 0.3 in pairs collide in 9 % of the entries if independent."""
    _, _, session = federate(topology=Agglomerative(s_max=0.1))
    for row in session.groups:
        assert row.devices == 2
        assert row.expected_collision_rate == pytest.approx(0.09, abs=0.001)
        # Gradients of one model on random data are not independent: only the order is sure.
        assert 0.04 < row.collision_rate < 0.25
        assert 0.0 <= row.sign_conflict_rate <= 1.0


def test_cluster_updates_are_exchanged(federate) -> None:  # type: ignore[no-untyped-def]
    """Law: sizes are those of the union's values, at first with its mask, A's and centroids."""
    network, trainer, session = federate(
        topology=ByTask(), cluster_exchange=ClusterExchange(every=2), inference=Mixture(), rounds=4
    )
    share = sent(network, "cluster-exchange")
    assert {number for number, *_ in share} == {2, 4}
    groups = [(0, 2), (1, 3)]
    assert len(share) == 2 * 2 * 2
    layers = trainer.model.layers
    entries = 4 * sum(layer.outputs for layer in layers)
    for members in groups:
        masks = [trainer._base_adapter(member).value().mask for member in members]
        union = sum(int((x | y).sum()) for x, y in zip(*masks, strict=True))
        later = HEADER_BYTES + 2 * union
        a_and_centroid = 2 * (4 + 1) * sum(layer.inputs for layer in layers)
        first = later + -(-entries // 8) + 2 * a_and_centroid
        sizes = {n: {s for m, head, _, s in share if m == n and head in members} for n in (2, 4)}
        assert sizes == {2: {first}, 4: {later}}
    for device in range(4):
        assert set(session.cached_updates(device)) == {0, 1, 2, 3}
    # A device caches its own cluster's state in single precision, the other's in half precision.
    own = session.cached_updates(0)[2].value().b[0]
    assert torch.equal(own, session.adapters[0].b[0])
    received = session.cached_updates(0)[1].value().b[0]
    assert torch.allclose(received, session.adapters[1].b[0], atol=1e-3)


def test_undelivered_cluster_updates_are_not_cached(federate) -> None:  # type: ignore[no-untyped-def]
    far = (*SQUARE[:3], (95_000.0, 95_000.0))
    _, _, session = federate(
        far, topology=Isolated(), cluster_exchange=ClusterExchange(every=1), inference=Mixture(),
        deadline_s=1e-3,
    )  # fmt: skip
    assert 3 not in session.cached_updates(0)
    assert set(session.cached_updates(3)) == {3}


def test_devices_with_similar_prompts_form_clusters(federate) -> None:  # type: ignore[no-untyped-def]
    """Law: two tasks whose prompts differ from the first word on are two groups."""
    network, _, session = federate(topology=Similarity(threshold=0.5))
    assert {row.devices for row in session.groups} == {2}
    assert {(s, t) for _, s, t, _ in sent(network, "update")} == {(0, 2), (2, 0), (1, 3), (3, 1)}
    assert {size for *_, size in sent(network, "control")} == {HEADER_BYTES + 2 * EMBEDDING_SIZE}


def test_cluster_updates_come_from_the_sender_with_the_best_link(federate) -> None:  # type: ignore[no-untyped-def]
    """Law: the nearest device that has an update sends it, at first a member, later any device."""
    line = ((0.0, 0.0), (100.0, 0.0), (200.0, 0.0), (300.0, 0.0))
    network, _, session = federate(
        line, topology=Isolated(), cluster_exchange=ClusterExchange(every=1, source="nearest"),
        inference=Mixture(),
    )  # fmt: skip
    share = sent(network, "cluster-exchange")
    assert len(share) == 2 * 12
    # All updates are of this round, which only their authors have at the exchange.
    assert {(s, t) for _, s, t, _ in share} == {
        (s, t) for s in range(4) for t in range(4) if s != t
    }
    for device in range(4):
        assert set(session.cached_updates(device)) == {0, 1, 2, 3}


def test_an_oracle_routes_to_the_expert_of_the_task(federate) -> None:  # type: ignore[no-untyped-def]
    """Law: all devices cache the same experts, up to half precision, and route correctly."""
    _, _, session = federate(
        method=Lora(rank=4), topology=Isolated(), cluster_exchange=ClusterExchange(every=1),
        inference=Mixture(gate="oracle"),
    )  # fmt: skip
    last = [row for row in session.evaluations if row.round == 2]
    assert {row.routing_accuracy for row in last} == {1.0}
    for device in range(4):
        assert set(session.cached_updates(device)) == {0, 1, 2, 3}


def test_groups_have_the_spectral_gap_of_their_graph(federate) -> None:  # type: ignore[no-untyped-def]
    """Law: a ring of four, all with as many examples, has a gap of 2/3; it is far from agreeing
    when a clique does, up to half precision."""
    _, _, ring = federate(topology=Ring(), method=Lora(rank=4), weights="equal")
    for row in ring.groups:
        assert row.devices == 4
        assert row.spectral_gap == pytest.approx(2 / 3)
    _, _, full = federate(topology=Full(), method=Lora(rank=4), weights="equal")
    for row in full.groups:
        assert row.spectral_gap == pytest.approx(1.0, abs=1e-6)
        assert row.consensus_error < 1e-5
    assert min(row.consensus_error for row in ring.groups) > 1e-3
    _, _, alone = federate(topology=Isolated())
    assert {(row.spectral_gap, row.consensus_error) for row in alone.groups} == {(1.0, 0.0)}


def test_late_updates_do_not_mix(federate) -> None:  # type: ignore[no-untyped-def]
    far = (*SQUARE[:3], (95_000.0, 95_000.0))
    network, _, session = federate(far, topology=Full(), method=Lora(rank=4), deadline_s=5e-3)
    assert not all(transfer.delivered for transfer in network.transfers)
    for row in session.groups:
        assert row.devices == 4
        # An isolated device keeps its state.
        assert row.spectral_gap == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("method", [SPARSE, Lora(rank=4), SoLora(rank=4, shared_a=True)])
def test_stored_bytes_are_those_of_the_experts(federate, method) -> None:  # type: ignore[no-untyped-def]
    """Law: the size computed from shapes is that of the experts' factors."""
    _, trainer, session = federate(
        topology=ByTask(),
        cluster_exchange=ClusterExchange(every=1),
        inference=Mixture(),
        method=method,
    )
    for device in range(4):
        cached = session.cached_updates(device)
        experts = [trainer.groups.expert(other, cached[other]).value() for other in sorted(cached)]
        assert len(experts) == 4
        assert session.stored_bytes(device) == stored_bytes(experts)
    _, trainer, session = federate(topology=Full(), method=method)
    layers = trainer.model.layers
    one = 2 * 4 * sum(layer.inputs + layer.outputs for layer in layers)
    assert {session.stored_bytes(device) for device in range(4)} == {one}


def test_power_of_the_paper_meets_the_deadline_exactly(make_network) -> None:  # type: ignore[no-untyped-def]
    """Law: p* of Eq. (25) in the delay of Eq. (8) gives the deadline."""
    network = make_network(SQUARE, phy=Shannon())
    view = network.snapshot()
    bits, deadline_s, receivers = 6e6, 0.4, 3
    power_w = view.required_power_w(bits, deadline_s, receivers)
    assert np.isinf(np.diag(power_w)).all()
    band_hz = 20e6 / receivers
    noise_w = thermal_noise_w(band_hz, 9.0)
    gain = 10 ** (view.snr_db / 10) * thermal_noise_w(20e6, 9.0) / float(dbm_to_w(23.0))
    off = ~np.eye(4, dtype=bool)
    rate_bps = band_hz * np.log2(1 + power_w[off] * gain[off] / noise_w)
    assert bits / rate_bps == pytest.approx(deadline_s, rel=1e-12)
