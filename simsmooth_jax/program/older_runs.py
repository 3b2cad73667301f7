"""Runs from before the validation tenth was stratified: the same command goes on as they began."""

import dataclasses
from pathlib import Path
from typing import TypeVar

from simsmooth_jax.config import options, stored
from simsmooth_jax.config.commands import RunConfig, TrainConfig
from simsmooth_jax.config.data import SourceConfig
from simsmooth_jax.program.run_directory import RUNS, recorded_differences

C = TypeVar("C", RunConfig, TrainConfig)
_CUT = next(field for field in dataclasses.fields(SourceConfig) if field.name == "validation_cut")


def as_recorded(config: C, name: str) -> C:
    """The configuration with the rule of before, where a run of it is recorded without any rule.

    Args:
      config: without a rule of its own choice, it may mean a run that knew the old one alone.
      name: how the default directories of its runs begin.
    """
    data = config.training.data
    before = options.of(_CUT).before
    if data.source.validation_cut or data.resolved_source.validation_cut == before:
        return config
    source = dataclasses.replace(data.source, validation_cut=before)
    training = dataclasses.replace(config.training, data=dataclasses.replace(data, source=source))
    older = dataclasses.replace(config, training=training)
    fixed = stored.identity(dataclasses.replace(older, training=training.absolute()))
    absent = stored.identity_before(type(config))
    directories = [config.out] if config.out else sorted(Path(RUNS).glob(f"{name}-*"))
    found = any(recorded_differences(path, fixed, absent) == "" for path in directories)
    return older if found and not config.overwrite else config
