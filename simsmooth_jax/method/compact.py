"""Relation labels that keep the k most related classes of each, without a `[K, K]` table."""

from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Shaped

from simsmooth_jax.errors import InputError
from simsmooth_jax.literals import Rule
from simsmooth_jax.method import checks, rules
from simsmooth_jax.method.similarity import products, unit_columns_and_flaws
from simsmooth_jax.method.strips import STRIP_ENTRIES, assemble
from simsmooth_jax.method.tables import FactoredLabels, TopKLabels

TOP_K_STRIP_ENTRIES = 2**23  # similarities at a time: 32 MiB


def top_k_labels(
    kernel: Shaped[Array | np.ndarray, "features classes"],
    k: int,
    rule: Rule = "clip",
    *,
    epsilon: float | Float[Array, ""] = 1.0,
    temperature: float | Float[Array, ""] | None = None,
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
      rule: `"literal"`, `"clip"`, `"shift"` or `"softmax"`: see `relation_labels`.
      epsilon: weight of the relation row in [0, 1]. May be traced.
      temperature: of the softmax rule, above 0. May be traced.
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
    checks.real_matrix(name, "kernel", kernel, "[N, K]")
    options: dict[str, Any] = {"rule": rule, "include_self": include_self}
    num_classes = np.shape(kernel)[1]
    rules.refuse_options(name, num_classes, epsilon, temperature, top_k=None, **options)
    rules.refuse_top_k(name, "k", k, num_classes, include_self, "Try 32.")

    operands = (kernel, epsilon, temperature)
    return checks.run_checked(name, _top_k_program, *operands, k=int(k), center=center, **options)


@partial(jax.jit, static_argnames=("k", "rule", "include_self", "center"))
def _top_k_program(
    kernel: Array,
    epsilon: Any,
    temperature: Any,
    *,
    k: int,
    rule: Rule,
    include_self: bool,
    center: bool,
) -> tuple[TopKLabels, list[checks.Flaw]]:
    unit, flaws = unit_columns_and_flaws(kernel, center)
    num_classes = unit.shape[1]
    size = min(num_classes, max(1, TOP_K_STRIP_ENTRIES // num_classes))
    vectors = jnp.pad(unit, ((0, 0), (0, -num_classes % group_size(num_classes, k)))).T
    weight = jnp.asarray(epsilon, jnp.float32)
    is_own = jnp.arange(k)[None] == 0

    def strip(start: Array) -> dict[str, Array]:
        similarity = products(jax.lax.dynamic_slice_in_dim(vectors, start, size), vectors)
        least = similarity[:, :num_classes].min(axis=1)
        own = (start + jnp.arange(size))[:, None]
        above = similarity.at[jnp.arange(size)[:, None], own].set(jnp.inf)
        kept, indices = largest(above, k, num_classes)
        kept = jnp.where(is_own, 1, jnp.clip(kept, -1, 1))
        relation = rules.relation_rows(
            kept, jnp.broadcast_to(is_own, kept.shape), temperature, rule, include_self
        )
        weights = (1 - weight) * is_own + weight * relation
        return {
            "indices": indices,
            "weights": weights,
            # Only the literal rule asks for the least cosine, of all classes.
            "least": least if rule == "literal" else jnp.zeros(size),
            "largest": jnp.ones(size),
            "is_label": jnp.isfinite(weights).all(axis=1),
            "own_label": weights[:, 0],
            "other_label": jnp.where(is_own, -jnp.inf, weights).max(axis=1),
        }

    rows = assemble(strip, num_classes, size)
    table = TopKLabels(rows.pop("indices"), rows.pop("weights"))
    return table, flaws + rules.flaws_of(rows, rule)


def largest(
    values: Float[Array, "rows columns"], k: int, num_columns: int
) -> tuple[Float[Array, "rows k"], Int[Array, "rows k"]]:
    """`jax.lax.top_k` of the first columns: they all lie in the k groups of the largest maxima.

    The columns must fill the groups: XLA then reads them where they lie, in a third of the time
    that groups of a slice or of a padded copy take.
    """
    group = group_size(num_columns, k)
    num_rows = len(values)
    groups = values.reshape(num_rows, -1, group)
    num_groups = groups.shape[1]
    is_column = jnp.arange((num_groups - 1) * group, num_groups * group)[None] < num_columns
    last = jnp.where(is_column, groups[:, -1], -jnp.inf)
    maxima = groups.max(axis=2).at[:, -1].set(last.max(axis=1))
    chosen = jnp.sort(jax.lax.top_k(maxima, min(k, num_groups))[1], axis=1)  # for equal values
    candidates = jnp.take_along_axis(groups, chosen[:, :, None], axis=1)
    columns = chosen[:, :, None] * group + jnp.arange(group)[None, None]
    candidates = jnp.where(columns < num_columns, candidates, -jnp.inf)
    kept, place = jax.lax.top_k(candidates.reshape(num_rows, -1), k)
    return kept, jnp.take_along_axis(columns.reshape(num_rows, -1), place, axis=1)


def group_size(num_columns: int, k: int) -> int:
    """Columns in a group: as many groups as there are candidates in k of them."""
    return max(1, round((num_columns / k) ** 0.5))


def factored_labels(
    kernel: Shaped[Array | np.ndarray, "features classes"],
    rule: Literal["literal", "shift"] = "shift",
    *,
    epsilon: float | Float[Array, ""] = 1.0,
    center: bool = False,
) -> FactoredLabels:
    """Relation labels under the two rules that factor, exactly and without any table.

    With `u_k` the unit columns: literal is `u_y · u_k / d_y`, and shift `(1 + u_y · u_k) / (K +
    d_y)`, where `d_y = u_y · Σ_k u_k`. A loss needs `Σ_k u_k z_k` alone: `O(N K)` memory.

    Args:
      kernel: `[N, K]` real, features first, as in `flax.linen.Dense`.
      rule: `"literal"`, legal where no cosine is negative, which is looked for a strip at a time,
        or `"shift"`, always legal.
      epsilon: weight of the relation row in [0, 1]. May be traced.
      center: subtract the mean column first.

    Returns:
      `FactoredLabels` with `kernel` `[N, K]` float32, the unit columns, and `row_sums` `[K]`. It
      goes where a dense table goes.

    Raises:
      ValueError: the rule is another one, and whatever `relation_labels_from_kernel` refuses.

    Source: CN 112434722 A, claims 3 to 5.

    Example:
      >>> import jax.numpy as jnp
      >>> import simsmooth_jax as ss
      >>> kernel = jnp.array([[1.0, 2.0, 0.0], [0.0, 2.0, 3.0]])  # 2 features, 3 classes
      >>> table = ss.factored_labels(kernel, "literal")
      >>> print(table.row_sums.round(3))
      [1.707 2.414 1.707]
    """
    name = "factored_labels"
    checks.real_matrix(name, "kernel", kernel, "[N, K]")
    if rule not in ("literal", "shift"):
        raise InputError(
            f"{name}: rule must be 'literal' or 'shift', got {rule!r}. The others do not factor: "
            "use top_k_labels."
        )
    checks.fraction(name, "epsilon", epsilon)

    operands = (kernel, epsilon)
    return checks.run_checked(name, _factored_program, *operands, rule=rule, center=center)


@partial(jax.jit, static_argnames=("rule", "center"))
def _factored_program(
    kernel: Array, epsilon: Any, *, rule: Literal["literal", "shift"], center: bool
) -> tuple[FactoredLabels, list[checks.Flaw]]:
    unit, flaws = unit_columns_and_flaws(kernel, center)
    vectors = unit.T
    num_classes = len(vectors)
    row_sums = jnp.matmul(vectors, vectors.sum(axis=0), precision=jax.lax.Precision.HIGHEST)
    if rule == "literal":
        size = min(num_classes, max(1, STRIP_ENTRIES // num_classes))

        def strip(start: Array) -> dict[str, Array]:
            some = jax.lax.dynamic_slice_in_dim(vectors, start, size)
            return {"least": products(some, vectors).min(axis=1)}

        flaws += [rules.negative_flaw(assemble(strip, num_classes, size)["least"])]
    return FactoredLabels(unit, row_sums, jnp.asarray(epsilon, jnp.float32), rule), flaws
