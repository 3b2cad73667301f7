"""What a study has found: means, settings, differences, and sentences about those named before."""

import dataclasses
from typing import Any

import numpy as np

from simsmooth_jax.config.study import StudyConfig
from simsmooth_jax.study.comparison import inference
from simsmooth_jax.study.comparison.entrants import ENTRANT, Entrant
from simsmooth_jax.study.comparison.inference import Difference
from simsmooth_jax.study.comparison.schedule import Schedule

POINTS = ("accuracy", "superclass_accuracy", "ece", "ece_at_temperature")  # shown as per cent
FIGURES = (*POINTS, "nll", "nll_at_temperature", "brier", "aurc", "distance")
FIGURES += ("distance_of_mistakes",)  # which older rows lack


@dataclasses.dataclass(frozen=True)
class ArmResult:
    """One arm: means over the seeds, in points where they are shares, and its setting."""

    name: str
    means: dict[str, float]
    values: dict[str, list[float]]  # of each seed, in their order
    setting: str
    point: dict[str, float | None]
    strength: float | None  # mean over the seeds, where tables limit it
    limit: float | None  # the least of the largest legal strengths of its tables
    diverged: int  # seeds on which it did, and counts as guesses
    against: str | None  # the difference in accuracy to the base


@dataclasses.dataclass(frozen=True)
class Results:
    """All that a study tells; `base` is the arm that all others are compared with."""

    title: str
    base: str
    select: str
    arms: tuple[ArmResult, ...]
    contrasts: tuple[Difference, ...]
    # Every other arm against the base, in each figure that both have.
    exploratory: tuple[dict[str, Any], ...]
    sentences: tuple[str, ...]
    margin: float

    def to_json(self) -> dict[str, Any]:
        """As study.json holds it."""
        return dataclasses.asdict(self)


def results_of(
    config: StudyConfig, schedule: Schedule, contrasts: list[tuple[str, str]]
) -> Results:
    """Reads the rows of the test and compares them."""
    values = {entrant.name: _values(schedule, entrant) for entrant in schedule.entrants}
    base = inference.base_of(values)
    compared = [
        inference.difference(
            arm, than, values[arm]["accuracy"], values[than]["accuracy"], config.margin
        )
        for arm, than in contrasts
    ]
    named = inference.holm(compared)
    arms = tuple(_arm(schedule, entrant, values, base) for entrant in schedule.entrants)
    titles = {name: ENTRANT[name].title for name in values}
    sentences = [inference.in_words(one, titles, config.margin, len(named)) for one in named]
    sentences += [
        f"{titles[arm.name]}: diverged on {arm.diverged} of {config.seeds} seeds, which count as "
        "guesses; lower `learning_rate`."
        for arm in arms
        if arm.diverged
    ]
    title = f"means of {config.seeds} seeds on test; NLL and ECE at the temperature of validation"
    return Results(
        title,
        base,
        config.select,
        arms,
        tuple(named),
        _explored(values, base),
        tuple(sentences),
        config.margin,
    )


def _values(schedule: Schedule, entrant: Entrant) -> dict[str, np.ndarray]:
    """Each figure of every seed, in points where it is a share; those that all seeds have."""
    point = schedule.choice(entrant)
    tests = [
        schedule.rows[schedule.key("test", entrant, point, seed)]["test"]
        for seed in range(schedule.config.seeds)
    ]
    return {
        name: np.array([test[name] for test in tests]) * (100 if name in POINTS else 1)
        for name in FIGURES
        if all(name in test for test in tests)
    }


def _arm(
    schedule: Schedule, entrant: Entrant, values: dict[str, dict[str, np.ndarray]], base: str
) -> ArmResult:
    own, name = values[entrant.name], entrant.name
    point, number = schedule.setting(entrant), schedule.choice(entrant)
    tests = [
        schedule.rows[schedule.key("test", entrant, number, seed)]
        for seed in range(schedule.config.seeds)
    ]
    strengths, limits = ([row[key] for row in tests] for key in ("strength", "limit"))
    strength = None if strengths[0] is None else float(np.mean(strengths))
    against = None
    if name != base:
        found = inference.difference(name, base, own["accuracy"], values[base]["accuracy"], None)
        against = f"{found.mean:+.2f} ({found.low:+.2f} to {found.high:+.2f})"
    setting = f"wd {point.weight_decay:.2g}"
    setting += "" if strength is None else f", ε {strength:.2f}"
    setting += "" if point.sharpness is None else f", τ {point.sharpness:.2g}"
    return ArmResult(
        name,
        {figure: float(each.mean()) for figure, each in own.items()},
        {figure: [round(float(x), 6) for x in each] for figure, each in own.items()},
        setting,
        point._asdict(),
        strength,
        None if limits[0] is None else min(limits),
        sum(row["diverged"] for row in tests),
        against,
    )


def _explored(values: dict[str, dict[str, np.ndarray]], base: str) -> tuple[dict[str, Any], ...]:
    return tuple(
        {"figure": figure}
        | dataclasses.asdict(
            inference.difference(arm, base, own[figure], values[base][figure], None)
        )
        for arm, own in values.items()
        if arm != base
        for figure in own
        if figure in values[base]
    )
