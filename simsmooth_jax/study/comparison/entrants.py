"""The arms of a study: what each minimises, and what of it is tuned."""

import dataclasses
from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

from simsmooth_jax.config.labels import ObjectiveConfig
from simsmooth_jax.errors import InputError
from simsmooth_jax.method.objectives import Objective, label_table, self_distillation
from simsmooth_jax.method.relations import rules
from simsmooth_jax.study.arms import ARM
from simsmooth_jax.study.comparison import relation_rows as rows
from simsmooth_jax.study.comparison.points import (
    COSINES,
    DISTANCES,
    MOST_STRENGTH,
    STRENGTHS,
    TEMPERATURES,
    WHOLE,
    Point,
    Range,
    Space,
    perplexities,
    space_of,
)
from simsmooth_jax.study.comparison.relation_rows import Rows, Seen


@dataclasses.dataclass(frozen=True)
class Entrant:
    """One arm: relation rows that its strength mixes with hard labels, or another objective.

    `needs` are "first", a first model, and "superclasses". `longer` multiplies its steps, and
    `tuned_as` names the arm whose setting it takes. `unmixed` is that of its objective.
    """

    name: str
    title: str
    colour: str
    space: Callable[[int], Space]
    rows: Callable[[Seen, float | None], Rows] | None = None
    objective: Callable[[Seen, Point], Objective] | None = None
    needs: tuple[str, ...] = ()
    longer: int = 1
    tuned_as: str = ""
    unmixed: bool = False
    least_risk: bool = False  # decides for the class of least expected distance, not the likeliest

    def made(self, seen: Seen, point: Point) -> "Made":
        """What it minimises on a seed, and its strength there, which a table may limit."""
        if self.rows is None:
            assert self.objective is not None
            return Made(self.objective(seen, point), point.strength, None)
        table = self.rows(seen, point.sharpness)
        limit = rows.most_strength(table)
        strength = min(point.strength or 0.0, limit)
        return Made(label_table(rules.mixed(seen.own, table, strength)), strength, limit)


class Made(NamedTuple):
    """An objective with its strength, and the largest that its table allows."""

    objective: Objective
    strength: float | None
    limit: float | None


def _as_trained(name: str, seen: Seen, point: Point) -> Objective:
    """That of `simsmooth train --labels NAME`."""
    return ARM[name].objective(seen.plan._replace(options=ObjectiveConfig(strength=point.strength)))


_onehot = partial(_as_trained, "onehot")


def _whole_label_smoothing_plus_plus(seen: Seen, point: Point) -> Objective:
    """Without the paper's 1/2, which halves the rate, as a study tunes no learning rate."""
    objective = _as_trained("lspp", seen, point)
    return objective._replace(loss=_twice(objective.loss))


@cache  # one function for every point and seed: one compiled step
def _twice(loss: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *given: 2 * loss(*given)


def _self_distillation(seen: Seen, point: Point) -> Objective:
    return self_distillation(
        seen.model.logits, point.strength or 0.0, temperature=point.sharpness or 1.0
    )


def _of_model(
    name: str, title: str, colour: str, rows: Callable[..., Rows], space: Callable[[int], Space]
) -> Entrant:
    return Entrant(name, title, colour, space, rows, needs=("first",))


def _trained(name: str, strength: Range, unmixed: bool = False) -> Entrant:
    arm, objective = ARM[name], partial(_as_trained, name)
    return Entrant(
        name, arm.title, arm.colour, space_of(strength), objective=objective, unmixed=unmixed
    )


TREE = ("superclasses",)
ENTRANTS = (
    Entrant("onehot", "one-hot labels", "#4c6a92", space_of(), objective=_onehot),
    Entrant("uniform", "uniform smoothing", "#c98b2b", space_of(STRENGTHS), rows.uniform),
    _of_model("patent", "clip, epsilon 1 (patent)", "#1f6f50", rows.clip, space_of(1.0)),
    _of_model("neighbours", "kernel's neighbours", "#2f8f6b", rows.neighbours, perplexities),
    _of_model(
        "neighbours-shuffled",
        "kernel's neighbours, shuffled",
        "#8fc4ae",
        rows.neighbours_shuffled,
        perplexities,
    ),
    _of_model(
        "predictions",
        "mean predictions",
        "#7a5195",
        rows.predictions,
        space_of(STRENGTHS, TEMPERATURES),
    ),
    _of_model(
        "predictions-shuffled",
        "mean predictions, shuffled",
        "#bda7cc",
        rows.predictions_shuffled,
        space_of(STRENGTHS, TEMPERATURES),
    ),
    Entrant(
        "self-distillation",
        "self-distillation",
        "#b5533c",
        space_of(WHOLE, TEMPERATURES),
        objective=_self_distillation,
        needs=("first",),
        unmixed=True,
    ),
    _of_model("clip", "clip", "#3f7f5f", rows.clip, space_of(WHOLE)),
    _of_model("shift", "shift", "#5f8f7f", rows.shift, space_of(STRENGTHS)),
    _of_model("softmax", "softmax of cosines", "#4f9f8f", rows.softmax, space_of(WHOLE, COSINES)),
    _of_model(
        "neighbours-permuted",
        "kernel's neighbours, permuted",
        "#a9d3c2",
        rows.neighbours_permuted,
        perplexities,
    ),
    _of_model(
        "neighbours-centred",
        "centred kernel's neighbours",
        "#2f6f8f",
        rows.neighbours_centred,
        perplexities,
    ),
    _of_model(
        "features-neighbours",
        "mean features' neighbours",
        "#6f8f2f",
        rows.neighbours_of_features,
        perplexities,
    ),
    _of_model(
        "predictions-neighbours",
        "mean predictions' neighbours",
        "#8f6f9f",
        rows.neighbours_of_predictions,
        perplexities,
    ),
    _of_model(
        "predictions-whole",
        "mean predictions, own included",
        "#9f5f8f",
        rows.predictions_whole,
        space_of(WHOLE, TEMPERATURES),
    ),
    _of_model(
        "ssa-ls", "SSA-LS, of centroids", "#7f7f4f", rows.centroids, space_of(STRENGTHS, DISTANCES)
    ),
    Entrant(
        "superclass",
        "superclass smoothing",
        "#9f7f3f",
        space_of(STRENGTHS),
        rows.superclass,
        needs=TREE,
    ),
    Entrant(
        "hierarchy",
        "hierarchy (Bertinetto)",
        "#7f5f3f",
        space_of(1.0, (3.0, 30.0)),
        rows.hierarchy,
        needs=TREE,
    ),
    _trained("ols", STRENGTHS, unmixed=True),
    _trained("online", STRENGTHS),
    _trained("maxsup", STRENGTHS),
    dataclasses.replace(
        _trained("lspp", (0.01, MOST_STRENGTH), unmixed=True),
        objective=_whole_label_smoothing_plus_plus,
    ),
    _trained("pskd", (0.0, 0.95), unmixed=True),
    _trained("zipf", WHOLE),
    _trained("mbls", WHOLE),
    _trained("acls", WHOLE),
    Entrant(
        "onehot-longer",
        "one-hot, both trainings' steps",
        "#7c93b2",
        space_of(),
        objective=_onehot,
        longer=2,
    ),
    Entrant(
        "onehot-least-risk",
        "one-hot, least risk (CRM)",
        "#9cb0c8",
        space_of(),
        objective=_onehot,
        needs=TREE,
        tuned_as="onehot",
        least_risk=True,
    ),
)
ENTRANT = {entrant.name: entrant for entrant in ENTRANTS}


def chosen(names: tuple[str, ...], has_superclasses: bool) -> tuple[Entrant, ...]:
    """The arms of these names, one-hot labels first; refuses those that cannot be."""
    for name in names:
        if name not in ENTRANT:
            raise InputError(
                "`arms`", "be of " + ", ".join(ENTRANT), repr(name), "See: docs/study.md"
            )
        if "superclasses" in ENTRANT[name].needs and not has_superclasses:
            must, then = "be given with superclasses", "Add `superclasses=FILE`."
            raise InputError(f"`arms` with {name}", must, "none", then)
    if "onehot" not in names or len(set(names)) < len(names) or len(names) < 2:
        raise InputError(
            "`arms`",
            "be onehot and others, each once",
            " ".join(names) or "none",
            "As in: onehot uniform neighbours predictions.",
        )
    return tuple(entrant for entrant in ENTRANTS if entrant.name in names)
