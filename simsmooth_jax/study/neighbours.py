"""The classes that are shown with their nearest ones: those most related to another."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from simsmooth_jax.method.relations.similarity import products, unit_columns_and_flaws
from simsmooth_jax.method.tables.top_k import TopKLabels


class Neighbours(NamedTuple):
    """Some classes, and the cosines of each of them to all."""

    classes: Int[np.ndarray, " rows"]
    similarity: Float[np.ndarray, "rows classes"]


def of_similarity(similarity: Any, count: int) -> Neighbours:
    """Of a whole similarity `[K, K]`."""
    classes = _most_related(_nearest(similarity), count)
    return Neighbours(classes, np.asarray(similarity[classes]))


def of_top_k(vectors: Any, table: TopKLabels, center: bool, count: int) -> Neighbours:
    """Of class vectors `[D, K]` and of what the table keeps: the own class, then the nearest."""
    unit = unit_columns_and_flaws(vectors, center)[0].T
    nearest = (unit * unit[table.indices[:, 1]]).sum(axis=1)
    classes = _most_related(nearest, count)
    return Neighbours(classes, np.asarray(jnp.clip(products(unit[classes], unit), -1, 1)))


@jax.jit
def _nearest(similarity: Float[Array, "classes classes"]) -> Float[Array, " classes"]:
    index = jnp.arange(len(similarity), dtype=jnp.int32)
    return jnp.where(index[:, None] == index[None], -jnp.inf, similarity).max(axis=1)


def _most_related(nearest: Any, count: int) -> Int[np.ndarray, " rows"]:
    """By falling cosine to the nearest class; in their own order if all are shown."""
    nearest = np.asarray(nearest)
    if len(nearest) <= count:
        return np.arange(len(nearest))
    return np.argsort(-nearest, kind="stable")[:count]
