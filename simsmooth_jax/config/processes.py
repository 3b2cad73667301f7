"""The processes that train together, and what of their names belongs together."""

import dataclasses
import re

from simsmooth_jax.config.options import option
from simsmooth_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class DistributedConfig:
    """Processes that train together, on one machine or several: each is given the same command."""

    distributed: bool = False
    """Find the other processes by what TPU pods, Slurm, Open MPI or Kubernetes tell each."""
    coordinator: str | None = None
    """Or name them: where process 0 listens, as HOST:PORT."""
    num_processes: int | None = option(None, least=1, example=2)
    """With --coordinator: the number of processes."""
    process_id: int | None = option(None, least=0, example=0, then="They count from 0.")
    """With --coordinator: which of them this one is, from 0."""


def refuse_processes(config: DistributedConfig) -> None:
    """Refuses names of processes that are incomplete, or that no process can have."""
    names = ("coordinator", "num_processes", "process_id")
    values = {name: getattr(config, name) for name in names}
    given = {name: value for name, value in values.items() if value is not None}
    if config.distributed and given:
        name, value = next(iter(given.items()))
        raise InputError(
            "`distributed`",
            f"be given without `{name}`",
            f"`{name}={value}` as well",
            "It finds the processes: leave one of them out.",
        )
    if 0 < len(given) < len(values):
        missing = next(name for name in names if name not in given)
        raise InputError(
            f"`{missing}`",
            f"be given with {' '.join(f'`{name}={value}`' for name, value in given.items())}",
            "none",
            "Give all three of `coordinator`, `num_processes` and `process_id`.",
        )
    if config.coordinator is None or config.num_processes is None or config.process_id is None:
        return
    address = re.fullmatch(r"([^\s:]+|\[[\da-fA-F:]+\]):(\d{1,5})", config.coordinator)
    if not address or not 1 <= int(address[2]) <= 65535:
        raise InputError(
            "`coordinator`",
            "be HOST:PORT with a port from 1 to 65535",
            config.coordinator,
            "Try 127.0.0.1:8476 for processes of one machine.",
        )
    if config.process_id >= config.num_processes:
        raise InputError(
            "`process_id`",
            f"be from 0 to {config.num_processes - 1}, less than `num_processes`",
            config.process_id,
            "They count from 0.",
        )
