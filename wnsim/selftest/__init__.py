"""Self-test of an installation: `python -m wnsim.selftest`, in less than a minute."""

from __future__ import annotations
