"""The configuration that a run directory was begun with, and whether another one is the same."""

import hashlib
import json
from pathlib import Path
from typing import Any

from simsmooth_jax.machine.files.writing import read_json
from simsmooth_jax.program.differences import differences

CONFIG = "config.json"
RUNS = "runs"  # default directories stand in it
FORMAT = "simsmooth_jax run 1"  # says whose config.json it is


def default_directory(name: str, config: dict[str, Any]) -> Path:
    """`runs/NAME-CONFIG`: every configuration has a directory of its own, the same each time."""
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:6]
    return Path(RUNS) / f"{name}-{digest}"


def recorded_differences(path: Path, config: dict[str, Any], absent: dict[str, Any]) -> str | None:
    """How a recorded configuration differs from this one, which does not know its data's hashes.

    None where there is no run of ours.
    """
    if not has_our_config(path):
        return None
    recorded = read_json(path / CONFIG)
    return differences(recorded, recorded | of_json(config), absent)


def has_our_config(path: Path) -> bool:
    """Whether a directory is that of a run."""
    config = path / CONFIG
    return config.is_file() and read_json(config).get("format") == FORMAT


def of_json(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration as it is read again."""
    return json.loads(json.dumps({"format": FORMAT} | config))
