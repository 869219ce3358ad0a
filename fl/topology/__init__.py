"""Communication topologies: graphs over the devices that are present, and clustering."""

from .graphs import (
    CONTROL,
    TOPOLOGIES,
    Graph,
    Policy,
    TopologyContext,
    View,
    connected_groups,
    policy_of,
)

__all__ = [
    "CONTROL",
    "TOPOLOGIES",
    "Graph",
    "Policy",
    "TopologyContext",
    "View",
    "connected_groups",
    "policy_of",
]
