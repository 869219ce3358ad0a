"""Gymnasium environments: an agent decides in the runs of a scenario.

An episode is a run, with its radio, mobility and learning. `ClientSelection` lets an agent select
the clients of each round, `BandAllocation` divide band and power of an uplink. They need the
package gymnasium (`pip install "wnsim[gymnasium]"`).

Sources: Towers et al., "Gymnasium: a standard interface for reinforcement learning environments",
2024, for the interface. Observations, actions and rewards are ours.
"""

from __future__ import annotations

from wnsim.scenario.errors import ScenarioError

try:
    import gymnasium  # noqa: F401
except ImportError as missing:
    raise ScenarioError(
        'wnsim.scenario.agents needs the package gymnasium: pip install "wnsim[gymnasium]"'
    ) from missing

from wnsim.scenario.agents.allocation import AgentShares, BandAllocation
from wnsim.scenario.agents.environment import Price
from wnsim.scenario.agents.selection import AgentClients, ClientSelection

__all__ = ["AgentClients", "AgentShares", "BandAllocation", "ClientSelection", "Price"]
