"""Former names of YAML keys and values, so that an error names today's word."""

from __future__ import annotations

RENAMED = {
    # Transport.
    "on_break": "on_link_failure",
    "break_after_s": "link_failure_timeout_s",
    # Learning.
    "sharing": "cluster_exchange",
    "value_bits": "bits_per_parameter",
    "start": "initial_adapter",
    "evaluate_before_merging": "evaluate_before_aggregation",
    "chunk_tokens": "micro_batch_tokens",
    "regroup_every": "recluster_every",
    "alone": "isolated",
    "similar": "similarity",
    "likelihood": "mean",
    "seq_centroid": "seq-centroid",
    "paper_cosine": "paper-cosine",
    "paper_hadamard": "paper-hadamard",
    "paper_projector": "paper-projector",
    "block_qr": "block-qr",
    # Radio, devices and faults.
    "transmissions": "max_transmissions",
    "processes": "harq_processes",
    "protect_db": "protection_ratio_db",
    "law": "distribution",
    "short_guard": "guard_interval_us",
    "joules_per_flop": "energy_per_flop_j",
    "blackouts": "link_outages",
    "stations": "station_failures",
    "break": "fail",
    "metres": "meters",
}
"""Today's names by former name."""
