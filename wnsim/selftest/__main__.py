"""Command line of the self-test: one line per check, exit code 1 if a check fails."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

from wnsim.selftest.checks import CHECKS
from wnsim.selftest.result import Result


def results() -> Iterator[Result]:
    """Yield the results of all checks; a check that raises an exception has failed."""
    for name, check in CHECKS.items():
        try:
            yield from check()
        except Exception as error:
            yield Result(
                name, False, f"{type(error).__name__}: {error}", "a check that can be made"
            )


def main() -> int:
    """Print the results of all checks; return the exit code."""
    began, failed, count = time.perf_counter(), 0, 0
    for result in results():
        count += 1
        failed += not result.sound
        state = "ok    " if result.sound else "FAILED"
        print(f"{state} {result.name}: {result.measured} (expected {result.expected})", flush=True)
    seconds = time.perf_counter() - began
    print(f"{count - failed} of {count} checks passed in {seconds:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
