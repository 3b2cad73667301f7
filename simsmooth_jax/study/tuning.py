"""`simsmooth run --tune`: the weights of both soft arms, chosen on the validation images."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from simsmooth_jax.config.commands import RunConfig
from simsmooth_jax.config.labels import USUAL_EPSILON, WITHOUT_OWN
from simsmooth_jax.data.dataset import Dataset
from simsmooth_jax.errors import InputError
from simsmooth_jax.machine.bars import Progress
from simsmooth_jax.machine.files.disks import make_directory
from simsmooth_jax.machine.files.ledger import claim
from simsmooth_jax.machine.processes import is_writer
from simsmooth_jax.study.arms import RELATION, UNIFORM, Arm, Plan
from simsmooth_jax.study.comparison import measures
from simsmooth_jax.study.relations import Relations
from simsmooth_jax.training.observers.recording import METRICS, MetricsLog
from simsmooth_jax.training.runner import ArmRunner

EPSILONS = (0.1, 0.3, 0.5, 0.7)
TRAININGS = 2 * len(EPSILONS)  # at most: a table may have another class on top at the largest
FEW_IMAGES = 1000  # one of fewer moves an accuracy by more than a tenth of a point
TUNING = "tuning"  # directory of these trainings

Rows = list[dict[str, Any]]


def refuse_tuning(config: RunConfig) -> None:
    """Refuses, with `tune`, weights that are given; of the options before they are resolved."""
    given = {"epsilon": config.relation.epsilon}
    if config.uniform_epsilon != USUAL_EPSILON:
        given["uniform_epsilon"] = config.uniform_epsilon
    for name, value in given.items():
        if config.tune and value is not None:
            raise InputError(f"`{name}`", "be left out with `tune`", value, "Leave out either.")


def refuse_streamed(dataset: Dataset) -> None:
    """Refuses images that are not in memory, of which no temperature is fitted."""
    if dataset.streamed:
        must = "be given with images in memory"
        raise InputError("`tune`", must, "a streamed set", "Compare `epsilon` by simsmooth train.")


def cost(runner: ArmRunner) -> list[str]:
    """What it will take, in a line, and a warning where it can tell little."""
    steps, images = runner.trainer.total_steps, len(runner.dataset.validation)
    said = (
        f"tuning: up to {TRAININGS} trainings more, of {steps:,} steps each; {TRAININGS + 3} in all"
    )
    if images >= FEW_IMAGES:
        return [said]
    luck = (
        f"Warning: {images:,} validation images choose by luck, as one of them is "
        f"{100 / images:.2f} points; take {FEW_IMAGES:,} or more, or leave tuning out."
    )
    return [said, luck]


def tuned(
    runner: ArmRunner, plan: Plan, relations: Relations, directory: Path, bars: Progress
) -> Rows:
    """Trains both arms at each weight; a row tells what the validation images say of it.

    What was trained before, as a stopped run had, is read. The test images are not looked at.
    """
    if is_writer():
        claim(directory, f"{TUNING}/", f"{TUNING}/{METRICS}")
        make_directory(directory / TUNING)
    log, rows = MetricsLog(directory / TUNING / METRICS), []
    for arm, epsilon, its_plan in _points(plan, relations):
        name = f"{arm.name}-{epsilon:g}"
        if is_writer():
            claim(directory, f"{TUNING}/{name}/")
        objective = arm.objective(its_plan)
        state = runner.train(name, objective, directory / TUNING / name, log, bars)
        images = runner.dataset.validation
        logits = runner.evaluator.logits(state.params, state.batch_stats, images)
        found = measures.of_validation(logits, images.all_labels())
        rows.append({"arm": arm.name, "epsilon": epsilon} | found)
    return rows


def in_words(rows: Rows) -> str:
    """What was chosen, whether it is at an end of what was tried, and what was left out."""
    chosen = []
    for arm in (UNIFORM, RELATION):
        tried = [row["epsilon"] for row in rows if row["arm"] == arm.name]
        at = {min(tried): ", the least that was tried", max(tried): ", the most that was tried"}
        weight = best(rows, arm)
        chosen.append(f"{weight:g} for {arm.title}{at.get(weight, '')}")
    said = f"Chosen on validation by NLL at T: epsilon {'; '.join(chosen)}."
    if len(rows) == TRAININGS:
        return said
    left = EPSILONS[len(rows) - TRAININGS :]
    return f"{said} With {left[0]:g} or more a relation label would have another class on top."


def best(rows: Rows, arm: Arm) -> float:
    """The weight of an arm's least NLL, at its temperature."""
    return min((r for r in rows if r["arm"] == arm.name), key=lambda row: row["nll"])["epsilon"]


def _points(plan: Plan, relations: Relations) -> Iterator[tuple[Arm, float, Plan]]:
    for epsilon in EPSILONS:
        yield UNIFORM, epsilon, plan._replace(uniform_epsilon=epsilon)
    own = relations.config.include_self and relations.config.rule not in WITHOUT_OWN
    for epsilon in (*EPSILONS[:-1], 1.0) if own else EPSILONS:  # 1 is the patent's own form
        try:
            labels = of_weight(relations, epsilon).labels()
        except InputError:  # from here on a row without its own class has another on top
            if epsilon == EPSILONS[0]:
                raise
            break
        yield RELATION, epsilon, plan._replace(table=labels)


def of_weight(relations: Relations, epsilon: float) -> Relations:
    """The same relations with another weight against the hard label."""
    config = dataclasses.replace(relations.config, epsilon=epsilon)
    return dataclasses.replace(relations, config=config)
