"""Which device learns which task from which examples."""

from __future__ import annotations

from collections.abc import Sequence

from .tasks import Example, Task


def one_task_each(tasks: Sequence[Task], devices: int) -> list[tuple[int, tuple[Example, ...]]]:
    """Give device i task i modulo their number; devices with the same task share its examples out.

    Parameters
    ----------
    tasks : what there is to learn
    devices : number of devices

    Returns
    -------
    per device, the index of its task and its own training examples

    Raises
    ------
    ValueError
        if a task has fewer training examples than devices
    """
    result = []
    for device in range(devices):
        index = device % len(tasks)
        sharers = len(range(index, devices, len(tasks)))
        own = tasks[index].train[device // len(tasks) :: sharers]
        if not own:
            raise ValueError(
                f"task {tasks[index].name!r} has {len(tasks[index].train)} training examples "
                f"for {sharers} devices; each needs at least one"
            )
        result.append((index, own))
    return result
