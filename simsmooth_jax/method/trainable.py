"""Which rows of labels a classifier should be trained on."""

from typing import Any

import numpy as np

from simsmooth_jax.errors import InputError


def refuse_rows(function: str, weights: Any, own: np.ndarray, classes: np.ndarray) -> None:
    """Refuses what is no distribution with the own class on top.

    `weights[y, j]` is of class `classes[y, j]`, and `own[y]` of y itself; a single row of `classes`
    is for all y.
    """
    weights = np.asarray(weights, np.float64)
    wrong = ~((weights >= 0).all(axis=1) & (np.abs(weights.sum(axis=1) - 1) < 1e-4))
    if wrong.any():
        row = int(wrong.argmax())
        raise InputError(
            f"{function}: every row of table",
            "be a distribution",
            f"sum {weights[row].sum():.6g} and least entry {weights[row].min():.4g} in row {row}",
            "Make it with relation_labels under rule 'clip', 'shift' or 'softmax'.",
        )
    below = own < weights.max(axis=1) - 1e-6
    if below.any():
        row = int(below.argmax())
        best = int(weights[row].argmax())
        raise InputError(
            f"{function}: every row of table",
            "be largest at its own class",
            f"{own[row]:.4g} there and {weights[row, best]:.4g} at class "
            f"{classes[row % len(classes), best]} in row {row}",
            "Rows and columns count from 0, in the order of the class names.",
        )
