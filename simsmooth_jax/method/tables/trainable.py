"""Which rows of labels a classifier should be trained on."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from simsmooth_jax.errors import InputError
from simsmooth_jax.method.arrays import checks


def sum_flaw(sums: Float[Array, " classes"], dtype: Any) -> checks.Flaw:
    """The first row whose sum is not 1, to within the rounding of its entries."""
    rounding = float(jnp.finfo(dtype).eps) if jnp.issubdtype(dtype, jnp.floating) else 0
    return checks.Flaw.of(
        ~(jnp.abs(sums - 1) <= max(1e-4, rounding)),  # and NaN
        sums,
        who="every row of table",
        must="sum to 1",
        got="{:.6g} in row {i}",
        then="A similarity goes to relation_labels; weights of classes go onto the losses.",
    )


def refuse_rows(function: str, weights: Any) -> None:
    """Refuses a row that is no distribution: a weight below 0, or a sum that is not 1."""
    weights = np.asarray(weights, np.float64)
    wrong = ~((weights >= 0).all(axis=1) & (np.abs(weights.sum(axis=1) - 1) < 1e-4))
    if wrong.any():
        row = int(wrong.argmax())
        raise InputError(
            f"{function}: every row of table",
            "be a distribution",
            f"sum {weights[row].sum():.6g} and least entry {weights[row].min():.4g} in row {row}",
            "Divide each row by its sum; relation_labels does so under rule 'clip', 'shift' or "
            "'softmax'.",
        )
