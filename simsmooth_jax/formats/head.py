"""The head of a trained classifier out of any checkpoint, of which little else is read."""

import dataclasses
import os
from typing import NamedTuple, get_args

import numpy as np
from jaxtyping import Float

from simsmooth_jax.errors import InputError
from simsmooth_jax.formats import kernels
from simsmooth_jax.formats.kernels import StoredKernel
from simsmooth_jax.formats.stores.arrays import Name, StoredArrays
from simsmooth_jax.formats.stores.foreign_files import pickled
from simsmooth_jax.formats.stores.opening import open_stored
from simsmooth_jax.literals import Layout
from simsmooth_jax.method.arrays import checks
from simsmooth_jax.method.heads.head_search import find_kernel

FLOATS = ("float16", "bfloat16", "float32", "float64")


class Head(NamedTuple):
    """A classifier's final layer, in the dtype that it is stored in.

    `kernel` is `[N, K]`, `bias` is `[K]` or None where there is none beside it, and `path` says
    where in the checkpoint the kernel was.
    """

    kernel: Float[np.ndarray, "features classes"]
    bias: Float[np.ndarray, " classes"] | None
    path: str


def restore_head(
    path: str | os.PathLike[str],
    head: str | None = None,
    num_classes: int | None = None,
    layout: Layout | None = None,
    verify: bool = True,
) -> Head:
    """The final layer of a trained classifier, read from a checkpoint of any of these programs.

    Orbax (v0 and v1: a root of steps, a step, an item), Flax msgpack, safetensors as of PyTorch and
    timm, `.npz` and `.npy`. The kernel is found as by `head_kernel`, by its name or by the number
    of classes, which names of classes beside the arrays tell as well. A leaf named `kernel` (or
    Haiku's `w`) is `[N, K]`, and PyTorch's `weight` is `[K, N]` and transposed; another array's
    axes are told apart by the length of its bias, else by `num_classes`. Pickles are refused.

    Args:
      path: the checkpoint, a file or a directory; of Orbax also gs://… and s3://….
      head: whole, contiguous parts of the kernel's path, as `"params/classifier"` or
        `"fc.weight"`.
      num_classes: K, to find a kernel by its size, or to check it.
      layout: `"features-classes"` for `[N, K]` or `"classes-features"` for `[K, N]`, where the name
        does not say it or says it wrongly.
      verify: compare every file of a checkpoint that this program has trained with its SHA-256;
        without it little else than the head is read.

    Returns:
      The kernel `[N, K]`, the bias `[K]` or None, both in the dtype they are stored in, and the
      kernel's path.

    Raises:
      ValueError: nothing is there, it is damaged, a pickle or of another kind; no kernel or several
        fit; its axes cannot be told apart, or contradict its bias or `num_classes`; an argument is
        of another type.

    Source: CN 112434722 A, claim 6.

    Example:
      >>> import pathlib, tempfile
      >>> import numpy as np
      >>> import simsmooth_jax as ss
      >>> file = pathlib.Path(tempfile.mkdtemp(), "head.npz")
      >>> np.savez(file, weight=np.ones((3, 5)), bias=np.zeros(3))
      >>> ss.restore_head(file).kernel.shape
      (5, 3)
    """
    if not isinstance(verify, bool):
        must, then = "be True or False", "Leave it out to have the files compared."
        raise InputError("restore_head: verify", must, f"{verify!r}", then)
    stored = open_stored(path, verify)
    return read_head(stored, find_head(stored, head, num_classes, layout))


def restore_head_kernel(
    path: str | os.PathLike[str],
    head: str | None = None,
    num_classes: int | None = None,
    layout: Layout | None = None,
    verify: bool = True,
) -> Float[np.ndarray, "features classes"]:
    """The kernel `[N, K]` of `restore_head`.

    Args:
      path: the checkpoint, a file or a directory; of Orbax also gs://… and s3://….
      head: whole, contiguous parts of the kernel's path.
      num_classes: K, to find a kernel by its size, or to check it.
      layout: `"features-classes"` or `"classes-features"`, as for `restore_head`.
      verify: compare the files with their SHA-256, as for `restore_head`.

    Returns:
      The kernel, features first, classes second.

    Raises:
      ValueError: as for `restore_head`.

    Source: CN 112434722 A, claim 6.

    Example:
      >>> import pathlib, tempfile
      >>> import numpy as np
      >>> import simsmooth_jax as ss
      >>> file = pathlib.Path(tempfile.mkdtemp(), "head.npy")
      >>> np.save(file, np.eye(3, 5))
      >>> ss.restore_head_kernel(file, num_classes=5).shape
      (3, 5)
    """
    return restore_head(path, head, num_classes, layout, verify).kernel


def find_head(
    stored: StoredArrays,
    head: str | None,
    num_classes: int | None,
    layout: Layout | None,
    named_classes: int | None = None,
) -> StoredKernel:
    """Which kernel `read_head` would read, and how; nothing is read for it."""
    where = f"checkpoint {stored.path}"
    if layout is not None and layout not in get_args(Layout):
        raise InputError(
            f"{where}: `layout`",
            f"be {' or '.join(get_args(Layout))}",
            f"{layout!r}",
            "Leave it out to have it found.",
        )
    if num_classes is not None:
        checks.class_count(where, num_classes)
    if not isinstance(head, str | None):
        raise InputError(f"{where}: `head`", "be a text", f"{head!r}", "Write the kernel's path.")
    if stored.is_label_table:
        raise InputError(
            "`checkpoint`",
            "be a trained classifier",
            f"{stored.path}, a table of simsmooth",
            (
                f"Labels are trained on: simsmooth train --labels {stored.path}; of a similarity "
                f"they are made: simsmooth labels --similarity table:{stored.path}"
            ),
        )
    found = kernels.find(stored, layout)
    if not found:
        raise InputError(
            f"{where}: it",
            "hold an array named kernel, weight or w with two dimensions",
            f"none among {len(stored.arrays)} arrays",
            f"List them with: simsmooth inspect {stored.path}",
        )
    names = stored.metadata.get("class_names")
    known = named_classes or (len(names) if isinstance(names, list) else None)
    name, because = find_kernel(where, found, head, num_classes, known)
    _refuse_dtype(stored, name)
    kernel = kernels.describe(where, stored, name, num_classes, layout)
    kernel = dataclasses.replace(kernel, because=because)
    if kernel.bias is not None:
        _refuse_dtype(stored, kernel.bias)
    return kernel


def _refuse_dtype(stored: StoredArrays, name: Name) -> None:
    dtype, shown = stored.arrays[name].dtype, "/".join(name)
    if dtype == "object":
        raise pickled(stored.path, f"{shown} as an array of objects, a pickle")
    if dtype not in FLOATS:
        hint = "NumPy's files lose bfloat16: save" if dtype == "void16" else "Save"
        raise InputError(
            f"checkpoint {stored.path}: {shown}",
            "hold floating-point numbers",
            dtype,
            f"{hint} it as float32.",
        )


def read_head(stored: StoredArrays, found: StoredKernel) -> Head:
    """The head out of an open checkpoint; what is read is the kernel and its bias."""
    names = [found.name] if found.bias is None else [found.name, found.bias]
    values = stored.read(names)
    if found.copies is not None:
        values = {name: _one_copy(stored, name, values[name]) for name in names}
    n, k = found.shape
    kernel = values[found.name]
    kernel = (
        kernel.reshape((n, k)) if found.layout == "features-classes" else kernel.reshape((k, n)).T
    )
    bias = None if found.bias is None else values[found.bias]
    return Head(kernel, bias, "/".join(found.name))


def _one_copy(stored: StoredArrays, name: tuple[str, ...], copies: np.ndarray) -> np.ndarray:
    """The first device's copy, if all devices have the same, bit for bit."""
    different = [copy.tobytes() != copies[0].tobytes() for copy in copies]
    if any(different):
        raise InputError(
            f"checkpoint {stored.path}: the {len(copies)} copies of {'/'.join(name)}",
            "be equal",
            f"another in copy {different.index(True)}",
            "Save the one that is meant.",
        )
    return copies[0]
