"""Kernel -> relation labels that keep the k nearest classes of each (claims 3 to 5)."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float, Shaped

from simsmooth_jax.literals import Rule
from simsmooth_jax.machine.memory import refuse_compact_table
from simsmooth_jax.method.arrays import checks, meshes, operands
from simsmooth_jax.method.relations import rule_options, rules
from simsmooth_jax.method.relations.nearest import Nearest, nearest_classes
from simsmooth_jax.method.relations.similarity import unit_columns_and_flaws
from simsmooth_jax.method.tables.top_k import TopKLabels


def top_k_labels(
    kernel: Shaped[Array | np.ndarray, "features classes"],
    k: int,
    rule: Rule = "clip",
    *,
    epsilon: operands.Number = 1.0,
    temperature: operands.Number | None = None,
    perplexity: operands.Number | None = None,
    include_self: bool = True,
    center: bool = False,
) -> TopKLabels:
    """Relation labels that keep the k most related classes of each, built a strip at a time.

    The rows of `relation_labels_from_kernel(kernel, rule, top_k=k, …)` in `O(K k)` memory: the own
    class and the k-1 largest others, normalised. At a million classes and k = 32 they are 256 MB,
    where a dense table would be 4 TB.

    Args:
      kernel: `[N, K]` real, features first, as in `flax.linen.Dense`.
      k: number of classes kept in each row, 1 to K (2 at least without the own class).
      rule: `"literal"`, `"clip"`, `"shift"`, `"softmax"` or `"neighbours"`: see `relation_labels`.
      epsilon: weight of the relation row in [0, 1]. May be traced.
      temperature: of the softmax rule, above 0. May be traced.
      perplexity: of the neighbours rule over the k - 1 others that are kept, from 1 to below k - 1.
        May be traced.
      include_self: whether the own class takes part in the relation row.
      center: subtract the mean column first.

    Returns:
      `TopKLabels` with `indices` `[K, k]` int32, the own class first and the others by falling
      similarity, the lower class index first where they are equal, and `weights` `[K, k]` float32,
      whose rows sum to 1. It goes where a dense table goes.

    Raises:
      ValueError: whatever `relation_labels_from_kernel` refuses.

    Source: CN 112434722 A, claims 3 to 5.

    Example:
      >>> import jax.numpy as jnp
      >>> import numpy as np
      >>> import simsmooth_jax as ss
      >>> kernel = jnp.array([[1.0, 2.0, 0.0], [0.0, 2.0, 3.0]])  # 2 features, 3 classes
      >>> table = ss.top_k_labels(kernel, 2)
      >>> print(table.indices)
      [[0 1]
       [1 0]
       [2 1]]
      >>> print(np.asarray(table.weights).round(3))
      [[0.586 0.414]
       [0.586 0.414]
       [0.586 0.414]]
    """
    name = "top_k_labels"
    kernel = operands.kernel(name, kernel, center)
    options: dict[str, Any] = {"rule": rule, "include_self": include_self}
    num_classes = kernel.shape[1]
    rule_options.refuse_top_k(name, "k", k, num_classes, include_self, "Try 32.")
    own = (epsilon, temperature, perplexity)
    numbers = rule_options.checked_options(name, num_classes, *own, top_k=k, **options)
    refuse_compact_table(name, num_classes, int(k))
    program = partial(_top_k_program, k=int(k), center=bool(center), **options)
    return checks.run_checked(name, program, kernel, *numbers)


@partial(jax.jit, static_argnames=("k", "rule", "include_self", "center"))
def _top_k_program(
    kernel: Array,
    epsilon: Any,
    sharpness: Any,
    *,
    k: int,
    rule: Rule,
    include_self: bool,
    center: bool,
) -> tuple[TopKLabels, list[checks.Flaw]]:
    spec = jax.typeof(kernel).sharding.spec
    columns = partial(unit_columns_and_flaws, center=center)
    unit, flaws = meshes.on_auto_axes(columns, kernel, (P(*spec), P()))(kernel)
    weigh = partial(_weights_and_flaws, rule=rule, include_self=include_self)
    found = nearest_classes(unit, k)
    by_row = P(*jax.typeof(found.least).sharding.spec)
    weigh = meshes.on_auto_axes(weigh, found.least, (by_row, P()))
    weights, row_flaws = weigh(found, epsilon, sharpness)
    return TopKLabels(found.index, weights), flaws + row_flaws


def _weights_and_flaws(
    found: Nearest, epsilon: Any, sharpness: Any, *, rule: Rule, include_self: bool
) -> tuple[Float[Array, "classes k"], list[checks.Flaw]]:
    is_own = jnp.broadcast_to(
        jnp.arange(found.index.shape[1], dtype=jnp.int32)[None] == 0, found.index.shape
    )
    kept = jnp.where(is_own, 1, jnp.clip(found.similarity, -1, 1))
    relation = rules.relation_rows(kept, is_own, sharpness, rule, include_self)
    weights = rules.mixed(is_own, relation, jnp.asarray(epsilon, jnp.float32))
    extremes = {
        # Only the literal rule asks for the least cosine, of all classes.
        "least": found.least if rule == "literal" else jnp.zeros_like(found.least),
        "largest": jnp.ones_like(found.least),
        "is_label": jnp.isfinite(weights).all(axis=1),
        "own_label": weights[:, 0],
        "other_label": jnp.where(is_own, -jnp.inf, weights).max(axis=1),
    }
    return weights, rules.flaws_of(extremes, rule)
