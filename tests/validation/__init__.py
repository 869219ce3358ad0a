"""Validation of the simulator against closed forms, standards' tables and other simulators.

Each check returns rows of deviations and perhaps a picture. The page `docs/validation.md` and
`tests/test_validation.py` are made of the same checks.
"""
