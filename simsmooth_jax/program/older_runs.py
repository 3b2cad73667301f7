"""Runs from before a default was another one: the same command goes on as they began."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from simsmooth_jax.config import options, stored
from simsmooth_jax.config.commands import RunConfig, TrainConfig
from simsmooth_jax.config.data import SourceConfig
from simsmooth_jax.config.labels import USUAL_EPSILON
from simsmooth_jax.program.recorded_config import RUNS, recorded_differences
from simsmooth_jax.program.run_directory import REPORT

C = TypeVar("C", RunConfig, TrainConfig)
_CUT = next(field for field in dataclasses.fields(SourceConfig) if field.name == "validation_cut")


def as_recorded(config: C, name: Callable[[C], str], *older: C) -> C:
    """What of several configurations a run is recorded of; the first where there is none.

    Args:
      config: without a rule of its own choice, it may mean a run that knew the old one alone.
      name: how the default directories of a configuration's runs begin.
      older: what the same command meant under defaults of before; in a default directory a run of
        theirs that was finished stays where it is, and the command starts one of today.
    """
    if config.overwrite:
        return config
    for meant in (config, *older):
        for one in (meant, _cut_as_before(meant)):
            if one is not None and _is_recorded(one, name(one), whole=meant is config):
                return one
    return config


def by_older_defaults(config: C) -> list[C]:
    """What it meant while uniform smoothing's weight was 0.1, and a run's rule the patent's."""
    found = [config]
    if config.uniform_epsilon == USUAL_EPSILON:
        found.insert(0, dataclasses.replace(config, uniform_epsilon=0.1))
    return [_labels_as_before(one) if isinstance(one, RunConfig) else one for one in found]


def _labels_as_before(config: RunConfig) -> RunConfig:
    given = config.relation
    usual: dict[str, Any] = {"similarity": "kernel", "rule": "clip", "epsilon": 1.0}
    missing = {name: value for name, value in usual.items() if getattr(given, name) is None}
    return dataclasses.replace(config, relation=dataclasses.replace(given, **missing))


def _is_recorded(config: RunConfig | TrainConfig, name: str, whole: bool) -> bool:
    fixed = stored.identity(dataclasses.replace(config, training=config.training.absolute()))
    absent = stored.identity_before(type(config))
    directories = [config.out] if config.out else sorted(Path(RUNS).glob(f"{name}-*"))
    return any(
        recorded_differences(path, fixed, absent) == ""
        for path in directories
        if whole or config.out or not (path / REPORT).exists()
    )


def _cut_as_before(config: C) -> C | None:
    """The configuration with the rule of before, where it may mean that."""
    data, before = config.training.data, options.of(_CUT).before
    if data.source.validation_cut or data.resolved_source.validation_cut == before:
        return None
    source = dataclasses.replace(data.source, validation_cut=before)
    training = dataclasses.replace(config.training, data=dataclasses.replace(data, source=source))
    return dataclasses.replace(config, training=training)
