"""The numbers of a diagnosis in one compiled program: exact sums, and a sample of the rows."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from simsmooth_jax.method.arrays import checks, meshes, strips
from simsmooth_jax.method.arrays.strips import STRIP_ENTRIES
from simsmooth_jax.method.relations.rules import ROUNDING, relation_rows
from simsmooth_jax.method.relations.similarity import (
    class_columns,
    products,
    unit_columns_and_flaws,
)

TILE = 1024  # classes: a tile of cosines that a cache holds
ANGLE_ROUNDING = 1e-3  # radians, of an angle by its float32 cosine
REACHED = 1e-3  # by how much a perplexity is missed in sums of a million, and no tie is broken
SAMPLED_ROWS = 1024  # where there are more: means of such a sample err by a percent or less


def sampled_rows(num_classes: int) -> Int[np.ndarray, " rows"]:
    """The classes whose rows stand for all: the same at every call, and all of them if few."""
    if num_classes <= SAMPLED_ROWS:
        return np.arange(num_classes)
    drawn = np.random.RandomState(0).permutation(num_classes)  # NumPy keeps this stream for ever
    return np.sort(drawn[:SAMPLED_ROWS])


@partial(jax.jit, static_argnames="center")
def diagnosis_program(
    kernel: Array, temperatures: tuple[Any, ...], perplexity: Any, *, center: bool
) -> tuple[dict[str, Any], list[checks.Flaw]]:
    """Scalars by name, and the flaws of the class vectors."""
    program = partial(_numbers, center=center)
    return meshes.by_class(program, kernel, temperatures, perplexity, class_axis=None)


def _numbers(
    kernel: Array, temperatures: tuple[Any, ...], perplexity: Any, *, center: bool
) -> tuple[dict[str, Any], list[checks.Flaw]]:
    unit, flaws = unit_columns_and_flaws(kernel, center)
    vectors, num_classes = unit.T, unit.shape[1]
    # The rows of the cosines sum to `S 1 = Ŵᵀ (Ŵ 1)`.
    row_sums = jnp.matmul(vectors, vectors.sum(axis=0), precision=jax.lax.Precision.HIGHEST)
    rows = _of_sampled_rows(vectors, temperatures, perplexity)
    share, share_error = _estimate(rows["negative"] / (num_classes - 1), num_classes)
    if num_classes > SAMPLED_ROWS:  # one negative cosine anywhere forbids literal
        share = jax.lax.cond(share == 0, negative_share, lambda _: share, vectors)
    # Literal is clip where it is legal, and has no perplexity elsewhere.
    own_masses = {"literal": 1 / row_sums, "shift": 2 / (num_classes + row_sums)} | rows["own_mass"]
    perplexities = {"literal": rows["perplexity"]["clip"]} | rows["perplexity"]
    return {
        "row_sum_min": row_sums.min(),
        "row_sum_max": row_sums.max(),
        "nonpositive_row_sums": (row_sums <= 0).sum(),
        "negative_row_sums": (row_sums < 0).sum(),
        "negative_cosine_share": (share, share_error),
        "unreachable_rows": rows["unreachable"].sum(),
        "column_sum_ratio": _column_sum_ratio(class_columns(kernel, center)),
        "own_mass": {name: _estimate(x, num_classes) for name, x in own_masses.items()},
        "perplexity": {name: _estimate(x, num_classes) for name, x in perplexities.items()},
    }, flaws


def _column_sum_ratio(columns: Float[Array, "features classes"]) -> Float[Array, ""]:
    columns /= jnp.abs(columns).max()  # so that no square overflows or vanishes
    return jnp.linalg.norm(columns.sum(axis=1)) / jnp.linalg.norm(columns, axis=0).mean()


def _of_sampled_rows(
    vectors: Float[Array, "classes features"], temperatures: tuple[Any, ...], perplexity: Any
) -> dict[str, Any]:
    """How many cosines of each row are negative; its own mass and perplexity under each rule.

    And whether it is too tied for the perplexity that is asked for.
    """
    num_classes = len(vectors)
    rows = jnp.asarray(sampled_rows(num_classes), jnp.int32)
    size = min(len(rows), max(1, STRIP_ENTRIES // num_classes))
    sample = vectors[rows]

    def strip(start: Array) -> dict[str, Any]:
        index = jax.lax.dynamic_slice_in_dim(rows, start, size)
        own = index[:, None] == jnp.arange(num_classes, dtype=jnp.int32)[None]
        cosines = products(jax.lax.dynamic_slice_in_dim(sample, start, size), vectors)
        similarity = jnp.where(own, 1, jnp.clip(cosines, -1, 1))
        clip, shift = (relation_rows(similarity, own, None, rule) for rule in ("clip", "shift"))
        own_mass = {"clip": _own_mass(clip, own)}
        spread = {"clip": _perplexity(clip), "shift": _perplexity(shift)}
        for number, tau in enumerate(temperatures):
            relation = relation_rows(similarity, own, tau, "softmax")
            own_mass[f"softmax {number}"] = mass = _own_mass(relation, own)
            # -log r_k is that of the own class and (1 - S_k) / tau: no logarithm of every entry.
            further = (relation * ((1 - similarity) / tau)).sum(axis=1)
            spread[f"softmax {number}"] = jnp.exp(further) / mass
        negative = (similarity < -ROUNDING).sum(axis=1, dtype=jnp.float32)
        unreachable = jnp.zeros_like(index)
        if perplexity is not None:
            found = _perplexity(relation_rows(similarity, own, perplexity, "neighbours"))
            own_mass["neighbours"], spread["neighbours"] = jnp.zeros_like(found), found
            unreachable = jnp.asarray(found > perplexity * (1 + REACHED), jnp.int32)
        rows_of = {"own_mass": own_mass, "perplexity": spread}
        return {"negative": negative, "unreachable": unreachable, **rows_of}

    return strips.assemble(strip, len(rows), size)


def _own_mass(
    relation: Float[Array, "rows classes"], own: Bool[Array, "rows classes"]
) -> Float[Array, " rows"]:
    return jnp.where(own, relation, 0).sum(axis=1)


def _perplexity(relation: Float[Array, "rows classes"]) -> Float[Array, " rows"]:
    information = jnp.where(relation == 0, 0, -relation * jnp.log(relation))
    return jnp.exp(information.sum(axis=1))


def _estimate(
    values: Float[Array, " rows"], num_classes: int
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """The mean and its standard error, which is 0 where the values are of every class."""
    of_mean = (1 - len(values) / num_classes) / len(values)  # drawn without replacement
    return values.mean(), values.std(ddof=1) * of_mean**0.5


def negative_share(vectors: Float[Array, "classes features"]) -> Float[Array, ""]:
    """Of all pairs of classes, each counted once, in tiles of those that could be negative.

    Two vectors whose angles to a third sum to at most 90 degrees have no negative cosine, so that
    in falling order of the angle to their sum most pairs need no product; nor do any of a kernel
    without negative entries.
    """
    num_classes = len(vectors)
    size = min(num_classes, TILE)
    num_tiles = -(-num_classes // size)
    total = vectors.sum(axis=0)
    along = jnp.matmul(vectors, total, precision=jax.lax.Precision.HIGHEST)
    along /= jnp.maximum(jnp.linalg.norm(total), checks.SMALLEST)
    angle = jnp.where(vectors.min() >= 0, 0, jnp.arccos(jnp.clip(along, -1, 1)))
    order = jnp.argsort(-angle)
    angle = angle[order]
    # Zeros after the last class: their cosines are not negative.
    padded = jnp.pad(vectors[order], ((0, num_tiles * size - num_classes), (0, 0)))
    index = jnp.arange(size, dtype=jnp.int32)

    def classes_of(tile: Array) -> Array:
        return jax.lax.dynamic_slice_in_dim(padded, tile * size, size)

    def row_of_tiles(t: Array, count: Array) -> Array:
        rows = classes_of(t)

        def tile(u: Array, count: Array) -> Array:
            cosines = products(rows, classes_of(u))
            is_later = u * size + index[None] > t * size + index[:, None]
            found = lambda: ((cosines < -ROUNDING) & is_later).sum(dtype=jnp.float32)  # noqa: E731
            return count + jax.lax.cond(cosines.min() < -ROUNDING, found, lambda: jnp.float32(0))

        could_be = (angle + angle[t * size] > np.pi / 2 - ANGLE_ROUNDING).sum(dtype=jnp.int32)
        count = jax.lax.fori_loop(t, -(-could_be // size), tile, count)
        strips.tell_watcher(num_tiles)
        return count

    count = jax.lax.fori_loop(0, num_tiles, row_of_tiles, jnp.float32(0))
    return count / (num_classes * (num_classes - 1) / 2)
