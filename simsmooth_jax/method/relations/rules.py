"""The rules that turn a row of cosines into a label, and what each of them refuses."""

from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from simsmooth_jax.errors import InputError
from simsmooth_jax.literals import Rule
from simsmooth_jax.method.arrays import checks, operands
from simsmooth_jax.method.arrays.strips import in_strips

RULES: tuple[Rule, ...] = get_args(Rule)
ROUNDING = 1e-6  # of a cosine or a label in float32: orthogonal columns are not negative ones


def labels_and_flaws(
    similarity: Float[Array, "classes classes"],
    epsilon: Any,
    temperature: Any,
    *,
    rule: Rule,
    top_k: int | None,
    include_self: bool,
) -> tuple[Float[Array, "classes classes"], list[checks.Flaw]]:
    """Rule, then top-k, then epsilon; with the scalars that decide whether the labels are sound."""
    similarity = jnp.asarray(similarity, jnp.float32)

    def label(rows: Array, index: Array) -> tuple[Array, dict[str, Array]]:
        own = index[:, None] == jnp.arange(similarity.shape[1], dtype=jnp.int32)[None]
        relation = relation_rows(rows, own, temperature, rule, include_self)
        if top_k is not None and top_k < similarity.shape[1]:
            relation = _keep_largest(relation, rows, own, top_k)
        weight = jnp.asarray(epsilon, jnp.float32)
        # Not `mixed`, which rounds otherwise: a table keeps its bits, and runs know it by its hash.
        labels = jnp.where(own, (1 - weight) + weight * relation, weight * relation)
        return labels, _extremes(rows, labels, own)

    labels, extremes = in_strips(label, similarity)
    return labels, flaws_of(extremes, rule)


def not_below_zero(similarity: Any) -> Any:
    """Cosines that rounding alone made negative as 0; others are for the literal rule to refuse."""
    return jnp.where((similarity < 0) & (similarity >= -ROUNDING), 0, similarity)


def mixed(own: Any, relation: Any, epsilon: Any) -> Any:
    """`(1 - epsilon) e_y + epsilon r_y`: what the hard label keeps, and the rest by relation."""
    return (1 - epsilon) * jnp.asarray(own, jnp.float32) + epsilon * relation


def relation_rows(
    similarity: Float[Array, "rows classes"],
    own: Bool[Array, "rows classes"],
    temperature: Any,
    rule: Rule,
    include_self: bool = True,
) -> Float[Array, "rows classes"]:
    """Row i is the relation of class i to every class, normalised to sum 1 (claim 5)."""
    if rule == "softmax":
        scaled = similarity / jnp.asarray(temperature, jnp.float32)
        return jax.nn.softmax(scaled if include_self else jnp.where(own, -jnp.inf, scaled), axis=1)
    mass = {
        "literal": not_below_zero(similarity),
        "clip": jnp.maximum(similarity, 0),
        "shift": 1 + similarity,
    }[rule]
    if not include_self:
        mass = jnp.where(own, 0, mass)
    return mass / mass.sum(axis=1, keepdims=True)


def _keep_largest(
    relation: Float[Array, "rows classes"],
    similarity: Float[Array, "rows classes"],
    own: Bool[Array, "rows classes"],
    top_k: int,
) -> Float[Array, "rows classes"]:
    # By the cosines: rounding makes relations equal that are not, and clip all below 0.
    _, columns = jax.lax.top_k(jnp.where(own, jnp.inf, similarity), top_k)
    rows = jnp.arange(relation.shape[0], dtype=jnp.int32)[:, None]
    kept = jnp.where(jnp.zeros_like(own).at[rows, columns].set(True), relation, 0)
    return kept / kept.sum(axis=1, keepdims=True)


def _extremes(
    similarity: Float[Array, "rows classes"],
    labels: Float[Array, "rows classes"],
    own: Bool[Array, "rows classes"],
) -> dict[str, Array]:
    """What decides whether a row is sound; NaN and infinity show in sums and extremes."""
    return {
        "least": similarity.min(axis=1),
        "largest": similarity.max(axis=1),
        "is_label": jnp.isfinite(labels).all(axis=1),
        "own_label": jnp.where(own, labels, 0).sum(axis=1),
        "other_label": jnp.where(own, -jnp.inf, labels).max(axis=1),
    }


def negative_flaw(least: Float[Array, " classes"]) -> checks.Flaw:
    """The first row with a negative cosine, which the literal rule refuses."""
    return checks.Flaw.of(
        least < -ROUNDING,
        least,
        who="rule 'literal'",
        must="have every cosine >= 0",
        got="{:.4g} in row {i} (class {i})",
        then="Use rule 'clip', 'shift' or 'softmax'.",
    )


def off_top_flaw(
    own_label: Float[Array, " classes"], other_label: Float[Array, " classes"], advice: str
) -> checks.Flaw:
    """The first row whose own class is not on top, given that weight and the largest other one."""
    return checks.Flaw.of(
        own_label < other_label - ROUNDING,
        own_label,
        other_label,
        who="every label",
        must="be largest at its own class",
        got="{:.4g} there and {:.4g} at another in row {i} (class {i})",
        then=advice,
    )


def flaws_of(extremes: dict[str, Array], rule: Rule) -> list[checks.Flaw]:
    """The first row that breaks each condition, and by how much."""
    least, largest = extremes["least"], extremes["largest"]
    own_label, other_label = extremes["own_label"], extremes["other_label"]
    nonfinite = checks.Flaw.of(
        ~(jnp.isfinite(least) & jnp.isfinite(largest)),
        who="every similarity",
        must="be finite",
        got="NaN or infinity in row {i} (class {i})",
        then="Look at the kernel's column {i}.",
    )
    outside = checks.Flaw.of(
        jnp.maximum(-least, largest) > 1 + 10 * ROUNDING,
        jnp.where(-least > largest, least, largest),
        who="every similarity",
        must="be in [-1, 1]",
        got="{:.4g} in row {i} (class {i})",
        then="Pass cosine_similarity(kernel); a kernel itself goes to relation_labels_from_kernel.",
    )
    empty = checks.Flaw.of(
        ~extremes["is_label"],
        who=f"rule {rule!r}",
        must="have a class of positive relation in every row",
        got="none in row {i} (class {i})",
        then="Set include_self=True, or use rule 'shift' or 'softmax'.",
    )
    advice = "Set include_self=True (rule 'clip', 'shift' or 'softmax') or a smaller epsilon."
    off_top = off_top_flaw(own_label, other_label, advice)
    negative = [negative_flaw(least)] if rule == "literal" else []
    return [nonfinite, outside, *negative, empty, off_top]


def checked_options(
    function: str,
    num_classes: int,
    epsilon: Any,
    temperature: Any,
    *,
    rule: Rule,
    top_k: int | None,
    include_self: bool,
) -> tuple[Any, Any]:
    """Epsilon and temperature as programs take them; raises for an option out of range."""
    if rule not in RULES:
        raise InputError(
            f"{function}: rule",
            f"be one of {', '.join(map(repr, RULES))}",
            f"{rule!r}",
            "See the table in the documentation of relation_labels.",
        )
    epsilon = operands.fraction(function, "epsilon", epsilon)
    if (temperature is not None) != (rule == "softmax"):
        raise InputError(
            f"{function}: temperature",
            "be given with rule 'softmax' and with no other",
            f"temperature={temperature} with rule {rule!r}",
            "Set both, as 'softmax' with 0.2 for 10 classes or 0.1 for 100, or neither.",
        )
    if temperature is not None:
        temperature = operands.positive(function, "temperature", temperature)
    if not isinstance(include_self, bool):
        raise InputError(
            f"{function}: include_self",
            "be True or False",
            f"{include_self!r}",
            "It is part of the program, not an array.",
        )
    if top_k is not None:
        advice = "Leave it out to keep every class."
        refuse_top_k(function, "top_k", top_k, num_classes, include_self, advice)
    return epsilon, temperature


def refuse_top_k(
    function: str, argument: str, value: Any, num_classes: int, include_self: bool, advice: str
) -> None:
    """Raises for a number of kept classes that is no integer, or out of range."""
    least = 1 if include_self else 2
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or not least <= value <= num_classes:
        raise InputError(
            f"{function}: {argument}",
            f"be an integer from {least} to {num_classes} (the number of classes)",
            f"{value!r}",
            advice,
        )
