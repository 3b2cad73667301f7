"""The page of a study: everything that its rows and first models tell."""

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Real

from simsmooth_jax.method.relations.similarity import cosine_similarity
from simsmooth_jax.program.html import explorer, strengths
from simsmooth_jax.program.html.calibration import Measured, reliability, risk_coverage
from simsmooth_jax.program.html.forest import Compared, forest
from simsmooth_jax.program.html.page import Page, Said, Table, write_page
from simsmooth_jax.program.html.strengths import Tried, Tuned
from simsmooth_jax.program.pictures import TITLES
from simsmooth_jax.program.wording import as_options
from simsmooth_jax.study.agreement import stability
from simsmooth_jax.study.comparison import inference
from simsmooth_jax.study.comparison.entrants import ENTRANT, Entrant
from simsmooth_jax.study.comparison.inference import Difference
from simsmooth_jax.study.comparison.points import MOST_STRENGTH
from simsmooth_jax.study.comparison.results import Results
from simsmooth_jax.study.comparison.schedule import Schedule

COLUMNS = {
    "accuracy": ("top-1 %", 2),
    "superclass_accuracy": ("superclass %", 2),
    "nll": ("NLL", 3),
    "nll_at_temperature": ("NLL at T", 3),
    "ece": ("ECE %", 2),
    "ece_at_temperature": ("ECE % at T", 2),
    "brier": ("Brier", 3),
    "aurc": ("AURC", 4),
    "distance": ("distance", 3),
    "distance_of_mistakes": ("distance of mistakes", 3),
}
UNSHOWN = ("seed", "weight_decay", "out", "overwrite", "shard")  # of a study without meaning
KINDS = {"better": "better", "worse": "worse", "no difference": "same"}  # by verdict: a colour


def write_study(
    directory: Path,
    schedule: Schedule,
    found: Results,
    confusions: Real[np.ndarray, "classes classes"] | None,
) -> Path:
    """Writes report.html and its tables into the directory of a finished study."""
    tested = [_tested(schedule, entrant) for entrant in schedule.entrants]
    arms = [arm for arm in tested if arm.bins("bins")]  # not of another answer than the likeliest
    figures = [
        forest(_compared(found), found.margin),
        strengths.strengths(*_tuned(schedule), seeds=schedule.config.tuning_seeds),
        reliability(arms),
        risk_coverage(arms),
    ]
    data, seeds = schedule.trials.dataset, schedule.config.seeds
    page = Page(
        title=f"Does it help on {data.name}?",
        compared=_about(schedule),
        said=_said(found),
        notes=_notes(found, seeds, schedule.config.tune_weight_decay),
        results=_results(found, schedule),
        figures=[figure for figure in figures if figure is not None],
        explorer=_explorer(schedule, confusions),
        settings=_settings(schedule),
    )
    return write_page(page, directory)


def _about(schedule: Schedule) -> list[str]:
    config, trials = schedule.config, schedule.trials
    data, drawn = trials.dataset, len(trials.draws.train(0))
    noise = ""
    if config.label_noise:
        noise = f" {config.label_noise:.0%} of the training labels are wrong ({config.noise})."
    tuned = "" if config.tune_weight_decay else " that has a strength or sharpness to tune"
    titles = [entrant.title for entrant in schedule.entrants]
    return [
        f"{len(titles)} ways to label, with the same network ({config.training.model.model}): "
        f"{'; '.join(titles)}.",
        f"{data.num_classes} classes; {drawn:,} of {len(data.train):,} training {data.holds} a "
        f"seed, {len(data.validation):,} to choose by, {len(data.test):,} to test on.{noise} Each "
        f"way{tuned} tried {_counted(config.points, 'setting')} on "
        f"{_counted(config.tuning_seeds, 'seed')}; the best was trained on "
        f"{config.seeds} other seeds, each with its own subset, weights and order, the same for "
        "all.",
    ]


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _said(found: Results) -> list[Said]:
    """A sentence for each difference that was named, and one for each arm that diverged."""
    count = len(found.contrasts)
    verdicts = [inference.verdict(one, count) for one in found.contrasts]
    rest = ["diverged"] * (len(found.sentences) - count)
    return [
        Said(verdict, KINDS.get(verdict, "open"), as_options(sentence[:1].upper() + sentence[1:]))
        for verdict, sentence in zip([*verdicts, *rest], found.sentences, strict=True)
    ]


def _notes(found: Results, seeds: int, tuned: bool) -> list[str]:
    decay = "weight decay," if tuned else "weight decay as it was given;"
    notes = [
        f"Against {ENTRANT[found.base].title}: the paired difference in top-1 with its 95% "
        f"interval. T: the temperature that validation gave. Under each name: {decay} "
        f"strength ε and sharpness τ, chosen on validation by {found.select}."
    ]
    count = len(found.contrasts)
    if inference.least_p(seeds, count) > inference.SIGNIFICANT:
        least = inference.least_p_in_words(seeds, count)
        notes.append(
            f"With so few seeds none of {count} differences can be told: {least}. "
            f"It takes {inference.least_seeds(count)} seeds."
        )
    return notes


def _results(found: Results, schedule: Schedule) -> Table:
    names = [name for name in COLUMNS if any(name in arm.means for arm in found.arms)]
    head = (
        "arm",
        COLUMNS["accuracy"][0],
        f"against {found.base}",
        *(COLUMNS[n][0] for n in names[1:]),
    )
    rows = []
    for arm in found.arms:
        means = arm.means
        first, *shown = (f"{means[n]:.{COLUMNS[n][1]}f}" if n in means else "" for n in names)
        against = arm.against or ""
        rows.append((ENTRANT[arm.name].title, first, against, *shown))
    colours = [ENTRANT[arm.name].colour for arm in found.arms]
    file_rows = [(*row, arm.setting) for row, arm in zip(rows, found.arms, strict=True)]
    limited = [_with_limit(arm.setting, _limit(schedule, ENTRANT[arm.name])) for arm in found.arms]
    settings = [re.sub("(wd|ε|τ) ", "\\1\u00a0", setting) for setting in limited]
    caption, whole = "Means over the seeds, on test.", (*head, "setting")
    return Table("results", caption, head, rows, colours, settings, whole, file_rows)


def _with_limit(setting: str, limit: float | None) -> str:
    """Says the largest ε of a table, where it is what ends the range."""
    if limit is None or limit >= MOST_STRENGTH:
        return setting
    return re.sub(r"ε [\d.]+", rf"\g<0> of at most {limit:.2f}", setting)


def _limit(schedule: Schedule, entrant: Entrant) -> float | None:
    """The mean over the seeds, as ε is one."""
    point, seeds = schedule.choice(entrant), range(schedule.config.seeds)
    limits = [schedule.rows[schedule.key("test", entrant, point, s)]["limit"] for s in seeds]
    return None if limits[0] is None else float(np.mean(limits))


def _compared(found: Results) -> list[Compared]:
    """The differences that were named, then those in accuracy that were not."""
    explored = [
        Difference(**{key: value for key, value in one.items() if key != "figure"})
        for one in found.exploratory
        if one["figure"] == "accuracy"
    ]
    values = {arm.name: np.array(arm.values["accuracy"]) for arm in found.arms}
    named = {(one.arm, one.than) for one in found.contrasts}
    others = [
        one for one in explored if (one.arm, one.than) not in named | {t[::-1] for t in named}
    ]
    return [
        Compared(
            f"{ENTRANT[one.arm].title} − {ENTRANT[one.than].title}",
            ENTRANT[one.arm].colour,
            one,
            (values[one.arm] - values[one.than]).tolist(),
            (one.arm, one.than) in named,
        )
        for one in (*found.contrasts, *others)
    ]


def _tuned(schedule: Schedule) -> tuple[list[Tuned], Tuned]:
    arms = [_tuned_arm(schedule, e) for e in schedule.entrants if not e.tuned_as]
    return arms, arms[0]  # one-hot labels are the first


def _tuned_arm(schedule: Schedule, entrant: Entrant) -> Tuned:
    chosen, tried = schedule.choice(entrant), []
    for number in schedule.tried(entrant):
        keys = [schedule.key("tune", entrant, number, seed) for seed in schedule.tuning]
        rows = [schedule.rows[key] for key in keys]
        given = rows[0]["given"]
        accuracy, nll = (
            float(np.mean([row["validation"][name] for row in rows]))
            for name in ("accuracy", "nll")
        )
        strength = (
            None if rows[0]["strength"] is None else float(np.mean([r["strength"] for r in rows]))
        )
        decay, sharpness = given["weight_decay"], given["sharpness"]
        tried.append(Tried(decay, strength, sharpness, accuracy, nll, number == chosen))
    return Tuned(entrant.title, entrant.colour, tried)


def _tested(schedule: Schedule, entrant: Entrant) -> Measured:
    point, seeds = schedule.choice(entrant), range(schedule.config.seeds)
    keys = [schedule.key("test", entrant, point, seed) for seed in seeds]
    return Measured(entrant.title, entrant.colour, [schedule.rows[key]["test"] for key in keys])


def _explorer(
    schedule: Schedule, confusions: Real[np.ndarray, "classes classes"] | None
) -> explorer.Explorer | None:
    """Of the first models' kernels; None where no arm needed first models."""
    setting, trials = schedule.setting(ENTRANT["onehot"], "accuracy"), schedule.trials
    seeds = range(schedule.config.seeds)
    needed = any("first" in entrant.needs for entrant in schedule.entrants)
    if not needed and not all(trials.model_path(seed, setting).exists() for seed in seeds):
        return None
    # One that has been lost is made again.
    kernels = [trials.first_model(seed, setting).kernel for seed in seeds]
    found = stability([np.asarray(cosine_similarity(kernel)) for kernel in kernels])
    names, tree = trials.dataset.class_names, trials.superclasses
    return explorer.explorer(found, len(seeds), names, TITLES["kernel"], tree, confusions)


def _settings(schedule: Schedule) -> Sequence[tuple[str, str]]:
    """Every option, by the name that the command line has for it."""
    return list(_flat(dataclasses.asdict(schedule.config)))


def _flat(config: dict[str, Any]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for name, value in config.items():
        if isinstance(value, dict):
            found += _flat(value)
        elif value is not None and name not in UNSHOWN:
            text = " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
            found += [(name.replace("_", "-"), text)] if text else []
    return found
