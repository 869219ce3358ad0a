"""Launcher environment: rank of this process under torchrun or srun; free of torch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_PORTS = range(20_000, 40_000)


@dataclass(frozen=True, slots=True)
class ProcessRank:
    """Rank of a process among those of a run.

    Parameters
    ----------
    rank, size : number of this process, and number of processes
    local : number of this process on its machine
    url : rendezvous of the processes, as torch.distributed expects it
    """

    rank: int
    size: int
    local: int
    url: str


def rank_from_environment(environment: Mapping[str, str]) -> ProcessRank | None:
    """Return the rank of this process; None if it was not started by a launcher.

    Parameters
    ----------
    environment : variables of torchrun (RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT) or
        of srun (SLURM_PROCID, SLURM_NTASKS, SLURM_LOCALID, SLURM_STEP_NODELIST, SLURM_JOB_ID,
        SLURM_STEP_ID)

    Raises
    ------
    ValueError
        if a variable is missing or malformed
    """
    try:
        if "RANK" in environment and "WORLD_SIZE" in environment:
            rank = int(environment["RANK"])
            return ProcessRank(
                rank,
                int(environment["WORLD_SIZE"]),
                int(environment.get("LOCAL_RANK", rank)),
                "env://",
            )
        # Set for the tasks of a step, not for the batch script that starts the steps.
        if "SLURM_STEP_NODELIST" in environment and int(environment["SLURM_NTASKS"]) > 1:
            step = int(environment["SLURM_JOB_ID"]) * 7 + int(environment["SLURM_STEP_ID"])
            host = environment.get("MASTER_ADDR", first_node(environment["SLURM_STEP_NODELIST"]))
            port = int(environment.get("MASTER_PORT", _PORTS[step % len(_PORTS)]))
            return ProcessRank(
                int(environment["SLURM_PROCID"]),
                int(environment["SLURM_NTASKS"]),
                int(environment["SLURM_LOCALID"]),
                f"tcp://{host}:{port}",
            )
    except KeyError as error:
        raise ValueError(f"the launcher must set the variable {error.args[0]}") from error
    except ValueError as error:
        raise ValueError(f"the launcher's variables are malformed: {error}") from error
    return None


def first_node(nodes: str) -> str:
    """Return the first host of a Slurm node list, such as `gpu[03-07,9],login`.

    Raises
    ------
    ValueError
        if the list names no host
    """
    found = re.match(r"([^\[,]+)(?:\[(\d+))?", nodes)
    if found is None:
        raise ValueError(f"a list of nodes must name one, got {nodes!r}")
    return found[1] + (found[2] or "")
