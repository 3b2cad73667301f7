"""Relation labels under the two rules whose rows need no table at all."""

from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped

from simsmooth_jax import checks, rules
from simsmooth_jax.errors import InputError
from simsmooth_jax.similarity import products, refuse_class_vectors, unit_columns_and_flaws
from simsmooth_jax.strips import STRIP_ENTRIES, assemble
from simsmooth_jax.tables import FactoredLabels


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

    def refuse(flaws: dict[str, Any]) -> None:
        refuse_class_vectors(name, center, flaws)
        rules.refuse_rows(name, rule, flaws)

    operands = (kernel, epsilon)
    return checks.run_checked(_factored_program, refuse, *operands, rule=rule, center=center)


@partial(jax.jit, static_argnames=("rule", "center"))
def _factored_program(
    kernel: Array, epsilon: Any, *, rule: Literal["literal", "shift"], center: bool
) -> tuple[FactoredLabels, dict[str, Array]]:
    unit, flaws = unit_columns_and_flaws(kernel, center)
    vectors = unit.T
    num_classes = len(vectors)
    row_sums = jnp.matmul(vectors, vectors.sum(axis=0), precision=jax.lax.Precision.HIGHEST)
    if rule == "literal":
        size = min(num_classes, max(1, STRIP_ENTRIES // num_classes))

        def strip(start: Array) -> dict[str, Array]:
            some = jax.lax.dynamic_slice_in_dim(vectors, start, size)
            return {"least": products(some, vectors).min(axis=1)}

        flaws |= rules.negative_flaws(assemble(strip, num_classes, size)["least"])
    return FactoredLabels(unit, row_sums, jnp.asarray(epsilon, jnp.float32), rule), flaws
