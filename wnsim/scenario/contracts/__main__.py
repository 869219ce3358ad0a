"""Command `python -m wnsim.scenario.contracts`."""

from __future__ import annotations

import sys

from wnsim.scenario.contracts import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
