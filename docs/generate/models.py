"""Models, described by the docstrings of their modules."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator, Mapping

from wnsim import channel, mac, mobility, phy

from .docstrings import paragraphs, said
from .keys import link

# Families of models: key in a scenario, members, and modules that describe them further.
_FAMILIES: dict[str, tuple[str, Mapping[str, type], tuple[str, ...]]] = {
    "Mobility": ("mobility", mobility.MOBILITY, ("wnsim.mobility.geography",)),
    "Path loss": (
        "channel.path_loss",
        channel.PATH_LOSS,
        ("wnsim.channel.cellular", "wnsim.channel.propagation", "wnsim.channel.propagation_scene"),
    ),
    "Small-scale fading": (
        "channel.fading",
        channel.FADING,
        ("wnsim.channel.plane_waves", "wnsim.channel.processes", "wnsim.channel.delays"),
    ),
    "Antennas": ("devices.antenna", channel.ANTENNAS, ()),
    "Physical layer": (
        "radio.phy",
        phy.PHY,
        ("wnsim.phy.coding", "wnsim.phy.bicm", "wnsim.phy.transport_block"),
    ),
    "Medium access": ("mac", mac.MAC, ("wnsim.air.deadline_power",)),
}
_ROOMS = {
    "Shadow fading, O2I loss, measured and traced links": (
        "wnsim.channel.shadowing", "wnsim.channel.penetration", "wnsim.channel.replay",
        "wnsim.channel.recording", "wnsim.channel.ray_tracing",
        "wnsim.channel.ray_tracing.path_matching", "wnsim.channel.ray_tracing.deepmimo",
    ),
    "Transfers, traffic and energy": (
        "wnsim.network.transport", "wnsim.workload.background", "wnsim.workload.probes",
        "wnsim.world.energy", "wnsim.world.compute",
    ),
    "Faults and invariants": (
        "wnsim.faults", "wnsim.faults.kinds", "wnsim.faults.churn", "fl.updates.attacks",
        "fl.aggregation.robust", "fl.aggregation.clair",
        "wnsim.core.invariants",
    ),
    "Methods": (
        "fl.methods.lora", "fl.methods.rolora", "fl.methods.alternating", "fl.methods.fedsa_lora",
        "fl.methods.products.decaf", "fl.methods.products.fedex_lora",
        "fl.methods.products.fedrot_lora", "fl.methods.frozen_a.fed_sb",
        "fl.methods.scaffold", "fl.methods.products.flexlora", "fl.methods.products.hetlora",
        "fl.methods.products.flora", "fl.methods.products.fedsvd",
        "fl.methods.sparse.choco_lora", "fl.methods.sparse.fed_lo_drop",
        "fl.methods.sparse.fslora", "fl.methods.sparse.soft", "fl.methods.sparse.flasc",
        "fl.methods.sparse.ecolora", "fl.methods.sparse.sub_adapters",
        "fl.training.objective", "fl.methods.frozen_a.frozen", "fl.methods.frozen_a.masks",
        "fl.methods.frozen_a.density", "fl.methods.frozen_a.projections",
        "fl.aggregation.weighted_mean", "fl.updates.quantization",
        "fl.training.optimizer", "fl.aggregation.collision",
    ),
    "Topologies and protocols": (
        "fl.topology.graphs", "fl.topology.clustering", "fl.session.synchronous",
        "fl.session.asynchronous", "fl.session.server",
        "fl.session.cluster_exchange", "fl.session.forgetting", "fl.session.queries",
    ),
    "Inference": (
        "fl.mixture.gates", "fl.mixture.mixed", "fl.mixture.routing",
        "fl.models.sentence_encoder",
    ),
    "Tasks, data and sizes": (
        "fl.tasks", "fl.tasks.benchmarks", "fl.data.partition", "fl.trainer.cost_model",
        "fl.updates.codec", "fl.updates.indices", "fl.updates.compression",
    ),
}  # fmt: skip


def models() -> str:
    """Return all models with their sources and scope."""
    parts = []
    for title, (key, members, rooms) in _FAMILIES.items():
        parts.append(f"## {title}\n\nKeys: [`{key}`]({link(key)}).\n")
        homes = [member.__module__ for member in members.values()]
        for place, (name, member) in enumerate(members.items()):
            parts += [f"### `{name}`\n", paragraphs(said(member)[0])]
            home = homes[place]
            if homes.count(home) == 1:
                parts.append(paragraphs(said(importlib.import_module(home))[0]))
            elif home not in homes[place + 1 :]:
                parts += _rooms([home])
        parts += _rooms(rooms)
    for title, rooms in _ROOMS.items():
        parts += [f"## {title}\n", *_rooms(rooms)]
    return "\n".join(parts)


def _rooms(names: Iterable[str]) -> Iterator[str]:
    """Yield the docstrings of modules under their names."""
    for name in names:
        text = said(importlib.import_module(name))[0]
        yield f"### In {name}\n\n{paragraphs(text)}"
