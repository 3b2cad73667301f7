"""Examples by their confidence, those of the same confidence as one group."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from simsmooth_jax.metrics.scores import top_class


class Ranking(NamedTuple):
    """Examples from the most confident to the least; those that do not count come last.

    Of examples with the same confidence none is before another: each has the group's mean error,
    which is what a random order would give it.
    """

    confidence: Float[Array, " examples"]
    error: Float[Array, " examples"]  # mean of the group, in [0, 1]
    errors: Float[Array, " examples"]  # expected, among this one and those before it
    counts: Bool[Array, " examples"]
    number: Int[Array, ""]  # of those that count


def top_prediction(
    probabilities: Float[Array, "examples classes"], labels: Int[Array, " examples"]
) -> tuple[Float[Array, " examples"], Bool[Array, " examples"]]:
    """Confidence, the largest probability, and whether its class is the label."""
    return probabilities.max(axis=1), top_class(probabilities) == labels


def ranking(
    probabilities: Float[Array, "examples classes"],
    labels: Int[Array, " examples"],
    where: Bool[Array, " examples"],
) -> Ranking:
    """Sorts the examples; errors are counted in whole numbers, so that many lose no digits."""
    confidence, correct = top_prediction(probabilities, labels)
    wrong = (~correct & where).astype(jnp.int32)
    keys, wrong = jax.lax.sort((jnp.where(where, -confidence, jnp.inf), wrong), num_keys=1)
    index = jnp.arange(len(keys), dtype=jnp.int32)
    changes = keys[1:] != keys[:-1]
    edge = jnp.ones_like(keys[:1], dtype=bool)
    is_first, is_last = jnp.concatenate([edge, changes]), jnp.concatenate([changes, edge])
    first = jax.lax.cummax(jnp.where(is_first, index, 0))
    last = jax.lax.cummin(jnp.where(is_last, index, len(keys) - 1), reverse=True)
    up_to = jnp.cumsum(wrong, dtype=jnp.int32)
    before = up_to[first] - wrong[first]
    inside = (up_to[last] - before).astype(jnp.float32)
    size = (last - first + 1).astype(jnp.float32)
    share = (index - first + 1).astype(jnp.float32) / size  # 1 for the last, so exact there
    errors = before.astype(jnp.float32) + inside * share
    number = where.sum(dtype=jnp.int32)
    counts = index < number
    confidence = jnp.where(counts, -keys, 0)
    return Ranking(confidence, inside / size, errors, counts, number)
