"""Which of several processes this one is, as their launcher tells; free of torch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_PORTS = range(20_000, 40_000)


@dataclass(frozen=True, slots=True)
class Place:
    """A process among several.

    Parameters
    ----------
    rank, size : its number, and how many there are
    local : its number on this machine
    url : where they meet, as torch.distributed wants it
    """

    rank: int
    size: int
    local: int
    url: str


def place(environment: Mapping[str, str]) -> Place | None:
    """Return this process's place; None if it works by itself.

    Parameters
    ----------
    environment : variables as torchrun sets them (RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR,
        MASTER_PORT), or as srun does (SLURM_PROCID, SLURM_NTASKS, SLURM_LOCALID,
        SLURM_STEP_NODELIST, SLURM_JOB_ID, SLURM_STEP_ID)

    Raises
    ------
    ValueError
        if they make no sense
    """
    try:
        if "RANK" in environment and "WORLD_SIZE" in environment:
            rank = int(environment["RANK"])
            return Place(
                rank,
                int(environment["WORLD_SIZE"]),
                int(environment.get("LOCAL_RANK", rank)),
                "env://",
            )
        # Of a step, not of the script that starts the steps.
        if "SLURM_STEP_NODELIST" in environment and int(environment["SLURM_NTASKS"]) > 1:
            step = int(environment["SLURM_JOB_ID"]) * 7 + int(environment["SLURM_STEP_ID"])
            host = environment.get("MASTER_ADDR", first_node(environment["SLURM_STEP_NODELIST"]))
            port = int(environment.get("MASTER_PORT", _PORTS[step % len(_PORTS)]))
            return Place(
                int(environment["SLURM_PROCID"]),
                int(environment["SLURM_NTASKS"]),
                int(environment["SLURM_LOCALID"]),
                f"tcp://{host}:{port}",
            )
    except KeyError as error:
        raise ValueError(f"the launcher must set the variable {error.args[0]}") from error
    except ValueError as error:
        raise ValueError(f"the launcher's variables make no sense: {error}") from error
    return None


def first_node(nodes: str) -> str:
    """Return the first name of a list as Slurm writes it, such as `gpu[03-07,9],login`.

    Raises
    ------
    ValueError
        if there is none
    """
    found = re.match(r"([^\[,]+)(?:\[(\d+))?", nodes)
    if found is None:
        raise ValueError(f"a list of nodes must name one, got {nodes!r}")
    return found[1] + (found[2] or "")
