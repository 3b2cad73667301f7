"""A user's own table of labels in a file, for `simsmooth train --labels` and other programs."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from simsmooth_jax.errors import InputError
from simsmooth_jax.formats.label_files import SUFFIXES, TableFile, load_table
from simsmooth_jax.formats.stores.class_names import called_by_name, told_apart
from simsmooth_jax.machine.files.reading import found_at
from simsmooth_jax.method.tables.factored import FactoredLabels
from simsmooth_jax.method.tables.forms import LabelTable, opened_table, trainable_table
from simsmooth_jax.method.tables.top_k import TopKLabels


class SavedLabels(NamedTuple):
    """A table of labels, and the names of its rows and columns if the file has them."""

    table: Float[np.ndarray, "classes classes"] | TopKLabels
    class_names: tuple[str, ...] | None


def save_labels(
    path: str | os.PathLike[str], table: LabelTable, class_names: Sequence[str] | None = None
) -> None:
    """Writes a table of soft labels to a file that `simsmooth train --labels` trains on.

    Row y is the target of every image of class y: `table[y, k] >= 0`, `Σ_k table[y, k] = 1`. It may
    be anything, as how often people took class y for class k; its own class need not be on top.

    Args:
      path: a file that ends with .npz, for plain `numpy.load`, or .safetensors; one that is there
        is replaced.
      table: `[K, K]` real, or what `top_k_labels` gives, and is kept as float32.
      class_names: K texts in the order of rows and columns, which are compared with those of the
        data at each training. Two classes of one name are told apart by their numbers.

    Returns:
      Nothing.

    Raises:
      ValueError: the path has another ending, or its directory is not there; the table is not
        `[K, K]`, or in the factored form; a row has a negative entry or a sum that is not 1; the
        names are no K texts.

    Source: the targets of CN 112434722 A, [0058].

    Example:
      >>> import pathlib, tempfile
      >>> import numpy as np
      >>> import simsmooth_jax as ss
      >>> confusions = np.array([[8, 2], [5, 5]])  # people said: row 0 is class 0, 8 times of 10
      >>> path = pathlib.Path(tempfile.mkdtemp()) / "people.npz"
      >>> ss.save_labels(path, confusions / confusions.sum(axis=1, keepdims=True), ["cat", "lynx"])
      >>> ss.load_labels(path).class_names
      ('cat', 'lynx')
    """
    path, function = Path(path), "save_labels"
    if path.suffix not in SUFFIXES:
        raise InputError(f"{function}: path", f"end with {' or '.join(SUFFIXES)}", path, "Add one.")
    if not os.path.isdir(path.absolute().parent):
        must = "be a file in an existing directory"
        raise InputError(f"{function}: path", must, path, "Make it first.")
    labels = opened_table(function, table)
    if isinstance(labels, FactoredLabels):
        raise InputError(
            f"{function}: table",
            "be [K, K] or of top_k_labels",
            "the factored form",
            "Save table.to_dense().",
        )
    names = None if class_names is None else _names(function, class_names, labels)
    with called_by_name(names or ()):
        trainable_table(function, labels, labels.num_classes)
    TableFile(labels, names).save(path)


def load_labels(path: str | os.PathLike[str]) -> SavedLabels:
    """Reads a table of labels that `save_labels`, `simsmooth labels` or anyone else wrote.

    Of an .npz or .safetensors file it is the array `table`, or the only matrix; of an .npy file the
    matrix. Nothing is ever unpickled.

    Args:
      path: the file.

    Returns:
      `(table, class_names)`: `[K, K]` float32 or `TopKLabels`, and K names or None. It goes into
      `softmax_cross_entropy_with_label_table`, `target_rows` and `objectives.label_table`.

    Raises:
      ValueError: there is no such file, or it is damaged, pickled, or no table whose rows are
        distributions.

    Source: the targets of CN 112434722 A, [0058].

    Example:
      >>> import pathlib, tempfile
      >>> import simsmooth_jax as ss
      >>> path = pathlib.Path(tempfile.mkdtemp()) / "labels.safetensors"
      >>> ss.save_labels(path, ss.uniform_labels(2, 0.5))
      >>> table, class_names = ss.load_labels(path)
      >>> print(table)
      [[0.75 0.25]
       [0.25 0.75]]
    """
    path = Path(path)
    if not os.path.isfile(path):  # it says no to every odd name
        raise InputError(
            "load_labels: path", "be an existing file", found_at(path), "See save_labels."
        )
    file = load_table(path)
    with called_by_name(file.class_names or ()):
        trainable_table(f"load_labels: {path}", file.table, file.table.num_classes)
    table: Any = file.table
    table = table if isinstance(table, TopKLabels) else np.asarray(table.table)
    return SavedLabels(table, file.class_names)


def _names(function: str, class_names: Sequence[str], table: Any) -> tuple[str, ...]:
    texts = isinstance(class_names, Sequence | np.ndarray) and not isinstance(class_names, str)
    if not texts or {type(name) for name in class_names} - {str, np.str_}:
        raise InputError(
            f"{function}: class_names", "be texts", f"{class_names!r:.40}", "Give a list of str."
        )
    if len(class_names) != table.num_classes:
        raise InputError(
            f"{function}: class_names",
            f"be {table.num_classes}, one for each row",
            len(class_names),
            "Name each class.",
        )
    return told_apart(f"{function}: class_names", tuple(map(str, class_names)))
