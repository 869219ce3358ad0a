"""All checks, in the order of the page."""

from __future__ import annotations

from validation import (
    access,
    categories,
    contention,
    delivery,
    engines,
    fading,
    large_scale,
    motion,
    radio,
    shadows,
    sidelink,
    traced,
)
from validation.check import Check

_ROOMS = {
    "Path loss, line of sight and shadow fading": (
        large_scale.path_loss, large_scale.aerial, large_scale.quadriga, large_scale.open_ground,
        large_scale.empirical, large_scale.line_of_sight, large_scale.penetration,
        shadows.shadow_parameters, shadows.shadow_autocorrelation, shadows.shadow_places,
        shadows.soft_states,
    ),
    "Small-scale fading": (
        fading.power_laws, fading.deep_fades, fading.autocorrelations, fading.crossings,
        fading.delays, fading.interference_outage,
    ),
    "Traced paths": (traced.traced_gains, traced.data_sets),
    "Mobility": (
        motion.waypoint_speeds, motion.waypoint_density, motion.uniform_places,
        motion.gauss_markov, motion.contact_laws,
    ),
    "Radios": (
        radio.tables, radio.block_errors, radio.selective_block_errors, radio.link_adaptation,
        radio.repetitions, radio.outer_loop, radio.distance_from_shannon,
    ),
    "Transfers, queues and energy": (
        delivery.static_links, delivery.rayleigh_rate, delivery.outage, delivery.nakagami_outage,
        delivery.waiting_time, delivery.priorities, delivery.energy,
    ),
    "Scheduled access and interference": (
        access.interference, access.turns, access.schedulers, access.poisson_cells,
        access.poisson_links,
    ),
    "Sidelink": (sidelink.collisions, sidelink.half_duplex, sidelink.reservations),
    "Wi-Fi": (
        contention.frame_errors, contention.saturated_bianchi, contention.performance_anomaly,
        contention.two_sizes, contention.saturated_ns3, contention.aggregation,
        categories.two_categories, categories.access_points, categories.several_stations,
        contention.hidden_terminals,
    ),
    "Engines": (engines.equal_engines,),
}  # fmt: skip

CHECKS = tuple(Check(room, run) for room, functions in _ROOMS.items() for run in functions)
