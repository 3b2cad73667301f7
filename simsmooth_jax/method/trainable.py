"""Which rows of labels a classifier should be trained on."""

from typing import Any

import numpy as np

from simsmooth_jax.errors import InputError


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
