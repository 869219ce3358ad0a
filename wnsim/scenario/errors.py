"""The one exception of the program: something in the input is wrong, said in one sentence."""

from __future__ import annotations


class ScenarioError(ValueError):
    """A scenario, or a file that it names, cannot be used; the message says where and why."""


def sentence(error: ScenarioError | OSError | MemoryError) -> str:
    """Return what went wrong: with the input, the files or the machine."""
    if isinstance(error, OSError):
        return f"{error.filename or 'output'}: {error.strerror}"
    if isinstance(error, MemoryError):
        return "not enough memory on this machine for this scenario"
    return str(error)
