"""Every row of the page docs/validation.md passes; slow checks on smaller samples."""

import pytest
from validation.check import Check
from validation.checks import CHECKS


@pytest.mark.parametrize("check", CHECKS, ids=[check.name for check in CHECKS])
def test_deviations_are_allowed(check: Check) -> None:
    finding = check.run(False)
    assert finding.rows
    for row in finding.rows:
        assert row.passed, f"{row.what}: {row.deviation:g} {row.unit}, allowed {row.tolerance:g}"
