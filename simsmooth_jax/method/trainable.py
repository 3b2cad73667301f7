"""Which tables of labels a classifier should be trained on, in any form."""

from typing import Any

import numpy as np

from simsmooth_jax.errors import InputError
from simsmooth_jax.method import checks
from simsmooth_jax.method.tables import FactoredLabels, TopKLabels


def refuse_labels(function: str, table: Any, num_classes: int) -> None:
    """Refuses a table that no classifier of `num_classes` classes should be trained on."""
    if isinstance(table, FactoredLabels):
        _refuse_other_classes(function, table.kernel.shape[1], num_classes)
        return  # its rows are distributions by their formula
    if isinstance(table, TopKLabels):
        _refuse_top_k(function, table, num_classes)
        return
    checks.square_matrix(function, "table", table)
    values = np.asarray(table, np.float64)
    _refuse_other_classes(function, len(values), num_classes)
    _refuse_improper_rows(function, values)
    _refuse_others_on_top(function, values, np.diagonal(values), np.arange(num_classes)[None])


def _refuse_top_k(function: str, table: TopKLabels, num_classes: int) -> None:
    indices, weights = np.asarray(table.indices), np.asarray(table.weights, np.float64)
    whole = np.issubdtype(indices.dtype, np.integer)
    if not whole or indices.ndim != 2 or indices.shape != weights.shape or not indices.size:
        raise InputError(
            f"{function}: indices and weights must be integers and floats of one shape [K, k], got "
            f"{indices.dtype}{list(indices.shape)} and {list(weights.shape)}. Make them with "
            "top_k_labels."
        )
    _refuse_other_classes(function, len(indices), num_classes)
    in_order = np.sort(indices, axis=1)
    wrong = (in_order[:, 0] < 0) | (in_order[:, -1] >= num_classes)
    wrong |= (np.diff(in_order, axis=1) == 0).any(axis=1)
    if wrong.any():
        row = int(wrong.argmax())
        raise InputError(
            f"{function}: every row of indices must be different classes from 0 to "
            f"{num_classes - 1}, got {indices[row].tolist()} in row {row}. Make them with "
            "top_k_labels."
        )
    _refuse_improper_rows(function, weights)
    own = np.where(indices == np.arange(num_classes)[:, None], weights, 0).sum(axis=1)
    _refuse_others_on_top(function, weights, own, indices)


def _refuse_other_classes(function: str, found: int, num_classes: int) -> None:
    if found != num_classes:
        raise InputError(
            f"{function}: table must have a row for each of the {num_classes} classes of the data, "
            f"got {found}. It was made for another set of classes."
        )


def _refuse_improper_rows(function: str, weights: np.ndarray) -> None:
    wrong = ~((weights >= 0).all(axis=1) & (np.abs(weights.sum(axis=1) - 1) < 1e-4))
    if wrong.any():
        row = int(wrong.argmax())
        raise InputError(
            f"{function}: every row of table must be a distribution, got sum "
            f"{weights[row].sum():.6g} and least entry {weights[row].min():.4g} in row {row}. "
            "Make it with relation_labels under rule 'clip', 'shift' or 'softmax'."
        )


def _refuse_others_on_top(
    function: str, weights: np.ndarray, own: np.ndarray, classes: np.ndarray
) -> None:
    """`weights[y, j]` is of class `classes[y, j]`, and `own[y]` of y itself."""
    below = own < weights.max(axis=1) - 1e-6
    if below.any():
        row = int(below.argmax())
        best = int(weights[row].argmax())
        raise InputError(
            f"{function}: every row of table must be largest at its own class, got "
            f"{own[row]:.4g} there and {weights[row, best]:.4g} at class "
            f"{classes[row % len(classes), best]} in row {row}. Rows and columns count from 0, in "
            "the order of the class names."
        )
