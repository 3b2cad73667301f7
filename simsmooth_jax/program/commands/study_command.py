"""`simsmooth study`: arms compared over many seeds, tuned alike and tested once."""

import dataclasses
import hashlib
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int
from rich import box

from simsmooth_jax.config import options, stored
from simsmooth_jax.config.study import StudyConfig
from simsmooth_jax.config.training import TrainingConfig
from simsmooth_jax.data.dataset import Dataset
from simsmooth_jax.data.load import load_dataset
from simsmooth_jax.errors import InputError
from simsmooth_jax.machine import devices
from simsmooth_jax.machine.bars import transient_bar
from simsmooth_jax.machine.files import manifest
from simsmooth_jax.machine.files.manifest import SUMS
from simsmooth_jax.machine.files.writing import write_json
from simsmooth_jax.machine.signals import goes_on
from simsmooth_jax.machine.terminal import tell
from simsmooth_jax.program import finished, report
from simsmooth_jax.program.html.study_page import write_study
from simsmooth_jax.program.recorded_config import default_directory
from simsmooth_jax.program.run_directory import is_in_use, open_directory, refuse_lost_inputs
from simsmooth_jax.program.wording import as_options
from simsmooth_jax.study.agreement import read_confusions
from simsmooth_jax.study.comparison import inference
from simsmooth_jax.study.comparison.entrants import ENTRANT, chosen
from simsmooth_jax.study.comparison.results import Results, results_of
from simsmooth_jax.study.comparison.rows import Rows, Shard
from simsmooth_jax.study.comparison.schedule import Schedule, Trial
from simsmooth_jax.study.comparison.superclasses import read_superclasses
from simsmooth_jax.study.comparison.trials import Trials
from simsmooth_jax.training.models.built_in import refuse_model
from simsmooth_jax.training.runner import data_sha256
from simsmooth_jax.training.saved import made_from

POLL_SECONDS = 0.5  # between looks at what other shards have done
FIRST_MODELS, STUDY = "first-models", "study.json"


def study(config: StudyConfig) -> None:
    """Does what is left of a study, this shard's part of it, and shows the result at the end."""
    devices.self_test()
    options.check(config)
    shard = Shard.of(config.shard)
    refuse_model(config.training.model)
    _refuse_fixed(config)
    dataset = load_dataset(config.training.data)
    superclasses = read_superclasses(config, dataset)
    confusions = read_confusions(config.confusions, dataset.num_classes)
    entrants = chosen(config.arms, superclasses is not None)
    contrasts = inference.contrasts_of(config.contrasts, config.arms)
    if shard.count > 1 and config.overwrite:
        raise InputError(
            "`overwrite`", "not be given with `shard`", "both", "Delete the directory before."
        )
    fixed = _identity(config, dataset, superclasses)
    name = f"{config.training.data.short_name}-{config.training.model.short_name}-study"
    directory = config.out or default_directory(name, fixed)
    made, part = made_from.of_data(dataset), f"-{shard}"
    absent = stored.identity_before(StudyConfig) | made_from.before(made)
    trials = Trials(config, dataset, superclasses, directory / FIRST_MODELS)
    trials.refuse(entrants)
    named = {"data": config.training.data.data, "superclasses": config.superclasses}
    named |= {"confusions": config.confusions}
    refuse_lost_inputs(directory, config.overwrite, named)
    makes = (f"rows-{shard}.jsonl", f"{FIRST_MODELS}/", STUDY, SUMS)
    with open_directory(directory, fixed | made, config.overwrite, absent, part, makes):
        rows = Rows(directory, shard, _sha256(fixed | made))
        goes_on(f"goes on after the last whole training in {directory}")
        schedule = Schedule(config, entrants, trials, rows)
        _describe(config, trials, contrasts)
        for stage, all_of in schedule.stages():
            todo = all_of()
            _carry_out(schedule, schedule.mine(todo, shard), stage)
            if not _others_done(schedule, todo, shard, directory):
                return
        found = results_of(config, schedule, contrasts)
        write_json(directory / STUDY, found.to_json())
        _show(found, config.tune_weight_decay)
        tell(str(write_study(directory, schedule, found, confusions)))
        manifest.write(directory, finished.own_files(directory))
        tell(f"{directory}: finished")


def _identity(
    config: StudyConfig, dataset: Dataset, superclasses: Int[np.ndarray, " classes"] | None
) -> dict[str, Any]:
    """What every row of a study must have in common."""
    absolute = dataclasses.replace(config, training=config.training.absolute(), superclasses=None)
    known = None if superclasses is None else superclasses.tolist()
    data = data_sha256(dataset, dataset.channel_statistics())
    return stored.identity(absolute) | {"superclasses": known, "data_sha256": data}


def _sha256(identity: dict[str, Any]) -> str:
    """Of what every row has in common, wherever the data lie: their content is in it."""
    training = identity["training"]
    source = {name: value for name, value in training["data"].items() if name != "data"}
    moved = identity | {"training": training | {"data": source}}
    return hashlib.sha256(json.dumps(moved, sort_keys=True).encode()).hexdigest()


def _refuse_fixed(config: StudyConfig) -> None:
    """Refuses options of a single training that a study does not look at."""
    given, usual = config.training, TrainingConfig()
    if given.seed != usual.seed:
        must = "be left out: the seeds of a study are counted from 0"
        raise InputError("`seed`", must, given.seed, "Choose how many by `seeds`.")
    decay = given.optimizer.weight_decay
    if config.tune_weight_decay and decay != usual.optimizer.weight_decay:
        must = "be left out where a study tunes it for each arm"
        raise InputError("`weight_decay`", must, decay, "To keep it: `tune_weight_decay=False`.")


def _describe(config: StudyConfig, trials: Trials, contrasts: list[tuple[str, str]]) -> None:
    """What is drawn, tuned and, before anything is trained, which differences are asked about."""
    data, drawn = trials.dataset, len(trials.draws.train(0))
    tell(
        f"{data.name}: {drawn:,} of {len(data.train):,} training images a seed, "
        f"{len(data.validation):,} validation, {len(data.test):,} test, {data.num_classes} classes"
    )
    counts = {"arms": len(config.arms), "points of each, at most": config.points}
    counts |= {"tuning seeds": config.tuning_seeds, "seeds": config.seeds}
    tell("; ".join(f"{what}: {count:,}" for what, count in counts.items()))
    if config.label_noise:
        wrong = f"{config.label_noise:.0%} of the training labels are wrong ({config.noise})"
        tell(f"{wrong}; validation and test are clean")
    tell(f"contrasts: {' '.join(map(':'.join, contrasts))}")
    if rest := inference.explored(contrasts, config.arms):
        tell(f"exploratory, without adjusted p: {' '.join(map(':'.join, rest))}")
    count = len(contrasts)
    if inference.least_p(config.seeds, count) > inference.SIGNIFICANT:
        tell(
            f"Warning: with so few seeds no contrast can be told: "
            f"{inference.least_p_in_words(config.seeds, count)}. Take "
            f"{inference.least_seeds(count)} seeds or more."
        )


def _carry_out(schedule: Schedule, trials: list[Trial], stage: str) -> None:
    with transient_bar() as bar:
        for trial in bar.track(trials, description=stage):
            schedule.carry_out(trial)


def _others_done(schedule: Schedule, stage: list[Trial], shard: Shard, directory: Path) -> bool:
    """Waits while the shards that a stage needs are at work; says which of them are not."""
    with transient_bar() as bar:
        bar.add_task("waiting for other shards", total=None)
        while left := schedule.left(stage, shard.count):
            missing = {Shard(number, shard.count) for number in left}
            running = any(is_in_use(directory, f"-{other}") for other in missing - {shard})
            schedule.rows.read()
            left = schedule.left(stage, shard.count)
            if left and not running:
                names = " and ".join(f"--shard {n}/{shard.count}" for n in sorted({*left}))
                what = "1 training is" if len(left) == 1 else f"{len(left)} trainings are"
                tell(f"{directory}: {what} left to {names}; start that as well, then this again")
                return False
            time.sleep(POLL_SECONDS)
    return True


def _show(found: Results, tuned: bool) -> None:
    results = report.Table(title=found.title, box=box.SIMPLE, title_justify="left")
    given = "" if tuned else ", but for wd, which was given"
    settings = report.Table(title=f"chosen on validation by {found.select}{given}", box=box.SIMPLE)
    settings.title_justify = "left"
    results.add_column("arm")
    for column in ("top-1 %", f"against {found.base}", "NLL", "ECE %"):
        results.add_column(column, justify="right", no_wrap=True)
    for column in ("arm", "is", "setting"):
        settings.add_column(column)
    for arm in found.arms:
        results.add_row(
            arm.name,
            f"{arm.means['accuracy']:.2f}",
            arm.against or "",
            f"{arm.means['nll_at_temperature']:.3f}",
            f"{arm.means['ece_at_temperature']:.1f}" if "ece_at_temperature" in arm.means else "",
        )
        settings.add_row(arm.name, ENTRANT[arm.name].title, arm.setting)
    console = report.console()
    console.print(settings)
    console.print(results)
    for sentence in found.sentences:
        console.print(as_options(sentence))
