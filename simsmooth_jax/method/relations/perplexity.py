"""Relation rows of a given perplexity: each row's temperature is solved, all rows at once."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from simsmooth_jax.method.arrays import meshes

MOST_INVERSE_TEMPERATURE = 1e6  # beyond it a row would tell the roundings of its cosines apart
TOLERANCE = 1e-5  # of a row's entropy, which is the relative error of its perplexity
MAX_STEPS = 64  # some 5 are needed, and 25 where cosines are nearly equal
LEAST_DISTANCE = 1e-6  # of an entropy from that of a uniform row, as a part of it: roundings
LEFT_OUT = -1e18  # far below every cosine: its weight is exactly 0, and so is that times its square


def neighbour_rows(
    similarity: Float[Array, "rows classes"], is_other: Bool[Array, "rows classes"], perplexity: Any
) -> Float[Array, "rows classes"]:
    """`softmax(β_i S_i)` over the others, with β_i such that `exp(H(r_i))` is the perplexity.

    A row whose n largest cosines are equal has no perplexity below n: β_i is then the largest there
    is, and the row nearly uniform over those. A perplexity that is not below the number of others,
    which only a traced one can be, gives a uniform row.
    """
    largest = jnp.where(is_other, similarity, -jnp.inf).max(axis=1, keepdims=True)
    gaps = jnp.where(is_other, similarity - jax.lax.stop_gradient(largest), LEFT_OUT)
    target = jnp.asarray(perplexity, jnp.float32)
    return _weights(gaps, _inverse_temperature(gaps, target))


def _weights(
    gaps: Float[Array, "rows classes"], inverse_temperature: Float[Array, " rows"]
) -> Float[Array, "rows classes"]:
    return jax.nn.softmax(inverse_temperature[:, None] * gaps, axis=1)


class _Search(NamedTuple):
    """The inverse temperatures tried next, and what is known to be too soft and too sharp."""

    tried: Float[Array, " rows"]
    soft: Float[Array, " rows"]
    sharp: Float[Array, " rows"]
    is_done: Bool[Array, " rows"]
    step: Any


@jax.custom_jvp
def _inverse_temperature(
    gaps: Float[Array, "rows classes"], perplexity: Float[Array, ""]
) -> Float[Array, " rows"]:
    """β of each row, `H(softmax(β gaps)) = log perplexity`, by safeguarded Newton steps.

    They are of `sqrt(log n - H)`, which is nearly linear in β: exactly so where β is small, and
    where cosines are normal. A step out of the bracket is its geometric mean.
    """
    is_other = gaps > LEFT_OUT / 2
    count = is_other.sum(axis=1, dtype=jnp.float32)
    uniform = jnp.log(count)
    target = jnp.minimum(jnp.log(perplexity), uniform * (1 - LEAST_DISTANCE))
    distance = jnp.sqrt(uniform - target)
    among = jnp.where(is_other, gaps, 0)  # which adds nothing to a sum
    mean = among.sum(axis=1) / count
    variance = jnp.square(jnp.where(is_other, gaps - mean[:, None], 0)).sum(axis=1) / count
    # No row of this range is nearer to uniform: a variance is at most a quarter of its square.
    soft = jnp.minimum(8**0.5 * distance / jnp.abs(among.min(axis=1)), MOST_INVERSE_TEMPERATURE)
    tried = jnp.clip(2**0.5 * distance / jnp.sqrt(variance), soft, MOST_INVERSE_TEMPERATURE)

    def unfinished(search: _Search) -> Array:
        return ~search.is_done.all() & (search.step < MAX_STEPS)

    def refine(search: _Search) -> _Search:
        beta = search.tried
        entropy, variance = _entropy_and_variance(gaps, beta)
        soft = jnp.where(entropy > target, beta, search.soft)
        sharp = jnp.where(entropy > target, search.sharp, beta)
        is_done = search.is_done | ~(jnp.abs(entropy - target) > TOLERANCE)  # so is NaN
        is_done |= (soft >= MOST_INVERSE_TEMPERATURE) | (sharp <= soft * (1 + 1e-6))
        found = jnp.sqrt(jnp.maximum(uniform - entropy, 0))
        newton = beta + (distance - found) * 2 * found / (beta * variance)
        inside = (newton > soft) & (newton < sharp)
        following = jnp.where(inside, newton, jnp.sqrt(soft * sharp))
        following = jnp.minimum(following, MOST_INVERSE_TEMPERATURE)
        last = jnp.where(jnp.abs(newton - beta) < 0.01 * beta, newton, beta)
        following = jnp.where(search.is_done, beta, jnp.where(is_done, last, following))
        return _Search(following, soft, sharp, is_done, search.step + 1)

    nothing = jnp.full_like(tried, jnp.inf), jnp.zeros_like(tried, bool)
    start = _Search(tried, soft, *nothing, jnp.int32(0))
    axes = meshes.varying_axes(gaps, perplexity)
    return jax.lax.while_loop(unfinished, refine, meshes.varying(start, axes)).tried


@_inverse_temperature.defjvp
def _implicit_derivative(
    primals: tuple[Array, Array], tangents: tuple[Array, Array]
) -> tuple[Array, Array]:
    """Of `H(β, gaps) = log perplexity`: `-(β Cov(gaps, change) + d log P / β) / Var(gaps)`.

    A row that cannot have the perplexity keeps its β.
    """
    gaps, perplexity = primals
    change, of_perplexity = tangents
    beta = _inverse_temperature(gaps, perplexity)
    weights = _weights(gaps, beta)
    off_mean = gaps - (weights * gaps).sum(axis=1, keepdims=True)
    variance = (weights * jnp.square(off_mean)).sum(axis=1)
    covariance = (weights * off_mean * change).sum(axis=1)
    moves = (beta < MOST_INVERSE_TEMPERATURE) & (variance > 0)
    step = beta * covariance + of_perplexity / (perplexity * beta)
    return beta, jnp.where(moves, -step / jnp.where(moves, variance, 1), 0)


def _entropy_and_variance(
    gaps: Float[Array, "rows classes"], beta: Float[Array, " rows"]
) -> tuple[Float[Array, " rows"], Float[Array, " rows"]]:
    """Of the softmax at β; the largest gap is 0, so that no exponential overflows."""
    mass = jnp.exp(beta[:, None] * gaps)
    total = mass.sum(axis=1)
    mean = (mass * gaps).sum(axis=1) / total
    square = (mass * gaps * gaps).sum(axis=1) / total
    return jnp.log(total) - beta * mean, square - mean * mean
