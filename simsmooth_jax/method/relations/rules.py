"""The rules that turn a row of cosines into a label, and what each of them refuses."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from simsmooth_jax.literals import Rule
from simsmooth_jax.method.arrays import checks
from simsmooth_jax.method.arrays.strips import in_strips
from simsmooth_jax.method.relations.perplexity import neighbour_rows

ROUNDING = 1e-6  # of a cosine or a label in float32: orthogonal columns are not negative ones


def labels_and_flaws(
    similarity: Float[Array, "classes classes"],
    epsilon: Any,
    sharpness: Any,
    *,
    rule: Rule,
    top_k: int | None,
    include_self: bool,
) -> tuple[Float[Array, "classes classes"], list[checks.Flaw]]:
    """Rule, then top-k, then epsilon; with the scalars that decide whether the labels are sound.

    `sharpness` is the number that a rule takes: a temperature, a perplexity or None.
    """
    similarity = jnp.asarray(similarity, jnp.float32)

    def label(rows: Array, index: Array) -> tuple[Array, dict[str, Array]]:
        own = index[:, None] == jnp.arange(similarity.shape[1], dtype=jnp.int32)[None]
        kept = None
        if top_k is not None and top_k < similarity.shape[1]:
            kept = _largest(rows, own, top_k)
        if rule == "neighbours" and kept is not None:  # among the kept ones are its neighbours
            relation = neighbour_rows(rows, kept & ~own, sharpness)
        else:
            relation = relation_rows(rows, own, sharpness, rule, include_self)
            if kept is not None:
                relation = jnp.where(kept, relation, 0)
                relation /= relation.sum(axis=1, keepdims=True)
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
    sharpness: Any,
    rule: Rule,
    include_self: bool = True,
) -> Float[Array, "rows classes"]:
    """Row i is the relation of class i to every class, normalised to sum 1 (claim 5)."""
    if rule == "neighbours":
        return neighbour_rows(similarity, ~own, sharpness)
    if rule == "softmax":
        scaled = similarity / jnp.asarray(sharpness, jnp.float32)
        return jax.nn.softmax(scaled if include_self else jnp.where(own, -jnp.inf, scaled), axis=1)
    mass = {
        "literal": not_below_zero(similarity),
        "clip": jnp.maximum(similarity, 0),
        "shift": 1 + similarity,
    }[rule]
    if not include_self:
        mass = jnp.where(own, 0, mass)
    return mass / mass.sum(axis=1, keepdims=True)


def _largest(
    similarity: Float[Array, "rows classes"], own: Bool[Array, "rows classes"], top_k: int
) -> Bool[Array, "rows classes"]:
    """The own class and the most similar others."""
    # By the cosines: rounding makes relations equal that are not, and clip all below 0.
    _, columns = jax.lax.top_k(jnp.where(own, jnp.inf, similarity), top_k)
    rows = jnp.arange(similarity.shape[0], dtype=jnp.int32)[:, None]
    return jnp.zeros_like(own).at[rows, columns].set(True)


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
    if rule == "neighbours":
        advice = "Set a smaller epsilon, as 0.3: a row of this rule has no own class."
    off_top = off_top_flaw(own_label, other_label, advice)
    negative = [negative_flaw(least)] if rule == "literal" else []
    return [nonfinite, outside, *negative, empty, off_top]
