"""The one exception of the program: something in the input is wrong, said in one sentence."""

from __future__ import annotations


class ScenarioError(ValueError):
    """A scenario, or a file that it names, cannot be used; the message says where and why."""
