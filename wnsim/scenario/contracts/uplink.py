"""Contract check of allocations of an uplink."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from wnsim.mac.allocation import Demand, checked
from wnsim.phy import Shannon

_SEED = 7


def allocation(config: Any) -> Iterator[str]:
    """Yield the violations of the contract of allocations of an uplink."""
    modem = Shannon().modem(20e6, 1, 1_000_000)
    rng = np.random.default_rng(_SEED)
    for count in (1, 2, 5):
        demand = Demand(
            bits=rng.uniform(1e5, 1e7, count),
            left_s=rng.uniform(1.0, 20.0, count),
            snr=rng.exponential(100.0, count),
            limit=np.where(np.arange(count) % 2 == 0, 1.0, 0.5),
            tx_power_w=np.full(count, 0.2),
            size_bits=np.full(count, 2e7),
            weight=rng.uniform(1.0, 100.0, count),
            device=np.arange(count),
        )
        if not config.valid_s(demand) > 0.0:
            yield f"valid_s must be positive, got {config.valid_s(demand)}"
        before = repr(demand)
        shares = config.shares(modem, demand)
        if repr(demand) != before:
            yield "shares must not change the demand"
        try:
            found = checked(config.model, demand, shares)
        except ValueError as error:
            yield str(error)
            continue
        again = config.shares(modem, demand)
        if not all(map(np.array_equal, found[:2], again[:2])):
            yield "shares must be the same for the same demand"
