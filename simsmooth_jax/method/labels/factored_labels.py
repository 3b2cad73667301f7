"""Relation labels without a table, under the rules that factor."""

from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Shaped

from simsmooth_jax.errors import InputError
from simsmooth_jax.method.arrays import checks, meshes, operands
from simsmooth_jax.method.arrays.strips import STRIP_ENTRIES, assemble
from simsmooth_jax.method.relations import rules
from simsmooth_jax.method.relations.similarity import products, unit_columns_and_flaws
from simsmooth_jax.method.tables.factored import OFFSETS, FactoredLabels


def factored_labels(
    kernel: Shaped[Array | np.ndarray, "features classes"],
    rule: Literal["literal", "shift"] = "shift",
    *,
    epsilon: operands.Number = 1.0,
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
    kernel = operands.kernel(name, kernel, center)
    if rule not in OFFSETS:
        raise InputError(
            f"{name}: rule",
            "be 'literal' or 'shift'",
            repr(rule),
            "The others do not factor: use top_k_labels.",
        )
    epsilon = operands.fraction(name, "epsilon", epsilon)
    program = partial(_factored_program, rule=rule, center=bool(center))
    return checks.run_checked(name, program, kernel, epsilon)


@partial(jax.jit, static_argnames=("rule", "center"))
def _factored_program(
    kernel: Array, epsilon: Any, *, rule: Literal["literal", "shift"], center: bool
) -> tuple[FactoredLabels, list[checks.Flaw]]:
    program = partial(_table_and_flaws, rule=rule, center=center)
    spec = jax.typeof(kernel).sharding.spec
    as_it_lies: Any = FactoredLabels
    specs = as_it_lies(P(*spec), P(*spec[1:]), P(), P())
    return meshes.on_auto_axes(program, kernel, (specs, P()))(kernel, epsilon)


def _table_and_flaws(
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

        flaws += [rules.negative_flaw(assemble(strip, num_classes, size, vectors)["least"])]
    numbers = (jnp.asarray(x, jnp.float32) for x in (epsilon, OFFSETS[rule]))
    return FactoredLabels(unit, row_sums, *numbers), flaws
