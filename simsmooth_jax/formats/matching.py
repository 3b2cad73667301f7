"""A file of labels for the classes of some data: their names, their order, their own weight."""

import dataclasses
from pathlib import Path
from typing import get_args

import numpy as np

from simsmooth_jax.errors import InputError
from simsmooth_jax.formats.label_files import TableFile, load_table
from simsmooth_jax.formats.stores.class_names import called_by_name, numbered, order_of
from simsmooth_jax.literals import LabelRule
from simsmooth_jax.machine.terminal import warn
from simsmooth_jax.method.tables.forms import trainable_table
from simsmooth_jax.method.tables.placement import placed


def labels_for(path: Path, class_names: tuple[str, ...], reorder: bool = False) -> TableFile:
    """Reads a table to train on, and refuses one of other classes or of another order.

    Args:
      path: what simsmooth labels or `ss.save_labels` wrote, or anyone's matrix `[K, K]`; without
        names it counts as in the order of the data.
      class_names: those of the data.
      reorder: put rows and columns into the order of the data, by their names.

    Raises:
      ValueError: the classes are others, or in another order without `reorder`; a row is no
        distribution; or a row of a rule's labels, which has its own class on top, has not. Of a
        user's own table that is a warning.
    """
    file, where = load_table(path), f"`labels={path}`"
    names = file.class_names
    with called_by_name(names or class_names):
        trainable_table(where, file.table, len(class_names))
    if names is None:
        if reorder:
            raise InputError(
                "`reorder`",
                "be given with a table that has class_names",
                f"{path}, which has none",
                "Save them: ss.save_labels(path, table, class_names).",
            )
    elif names != class_names:
        file = _in_order(file, names, where, class_names, reorder)
    _compare_own(file, class_names, where)
    return file


def _in_order(
    file: TableFile,
    names: tuple[str, ...],
    where: str,
    class_names: tuple[str, ...],
    reorder: bool,
) -> TableFile:
    """The table in the order of the data, where it is of the same classes."""
    if len(names) != len(class_names):
        raise InputError(
            f"{where}: class_names",
            f"be the {len(class_names)} of the data",
            len(names),
            "Make the table from a classifier of these data.",
        )
    row = next(k for k, (a, b) in enumerate(zip(names, class_names, strict=True)) if a != b)
    differing = f"{names[row]!r} in row {row} where the data have {class_names[row]!r}"
    if unknown := sorted({*class_names} - {*names}):
        raise InputError(
            f"{where}: class_names",
            "be those of the data in the same order",
            f"{differing}, and no {unknown[0]!r}",
            "Make the table from a classifier of these data.",
        )
    if not reorder:
        raise InputError(
            f"{where}: class_names",
            "be those of the data in the same order",
            differing,
            "They are the same names: `reorder` puts rows and columns into the order of the data.",
        )
    try:
        order = order_of(class_names, names)
    except InputError as error:
        raise error.under(where) from error
    table = placed(file.table, np.array(order), len(class_names))
    return dataclasses.replace(file, table=table, class_names=class_names)


def _compare_own(file: TableFile, names: tuple[str, ...], where: str) -> None:
    """Refuses a rule's label, or warns of a user's own, that is largest at another class."""
    arrays, own = file.table.arrays(), file.table.own_weights()
    weights = arrays["weights" if "weights" in arrays else "table"]
    below = own < weights.max(axis=1) - 1e-6
    if not below.any():
        return
    row = int(below.argmax())
    best = int(weights[row].argmax())
    best = int(arrays["indices"][row, best]) if "indices" in arrays else best
    at = f"class {numbered(best, names)} in row {numbered(row, names)}"
    got = f"{own[row]:.4g} there and {weights[row].max():.4g} at {at}"
    if file.rule in get_args(LabelRule):
        raise InputError(
            f"{where}: every row of table",
            "be largest at its own class",
            got,
            "Rows and columns count from 0, in the order of the class names.",
        )
    rows = f"{below.sum()} of {len(own)} rows are not largest at their own class"
    warn(f"{where}: {rows}, as {got}", stacklevel=3)
