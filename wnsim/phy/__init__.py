"""Physical layers: from SINR to rates, transport blocks and errors."""

from __future__ import annotations

from wnsim.phy.modem import Modem, Outcome, Phy, Slots, State
from wnsim.phy.nr import NrMcs
from wnsim.phy.shannon import Shannon
from wnsim.phy.wifi import Wifi

__all__ = ["PHY", "Modem", "NrMcs", "Outcome", "Phy", "Shannon", "Slots", "State", "Wifi"]

PHY: dict[str, type[Phy]] = {"shannon": Shannon, "nr": NrMcs, "wifi": Wifi}
