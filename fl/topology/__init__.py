"""Communication topologies: graphs over the devices that are present, and clustering."""

from .graphs import CONTROL, TOPOLOGIES, Graph, Party, Policy, View, groups, policy_of

__all__ = ["CONTROL", "TOPOLOGIES", "Graph", "Party", "Policy", "View", "groups", "policy_of"]
