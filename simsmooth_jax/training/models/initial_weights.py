"""The weights that a training starts from, out of anyone's checkpoint: those that fit its model."""

import dataclasses
import hashlib
import os
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any

import jax
import numpy as np

from simsmooth_jax.errors import InputError
from simsmooth_jax.formats.head import FLOATS
from simsmooth_jax.formats.label_files import array_sha256
from simsmooth_jax.formats.stores.arrays import Name, StoredArrays
from simsmooth_jax.formats.stores.opening import open_stored
from simsmooth_jax.method.heads.candidates import parts_of
from simsmooth_jax.method.heads.optimizer_state import is_optimizer_state
from simsmooth_jax.training.models.head_module import head_module

LISTED = 6  # arrays that a line names
FLAX = "Flax's own trees fit, of the same module; PyTorch's weights are not converted."


@dataclasses.dataclass(frozen=True)
class InitialWeights:
    """Arrays by their names in a model's variables, and what is to be said of the others."""

    arrays: Mapping[Name, np.ndarray]
    report: str

    @property
    def sha256(self) -> str:
        """What says that they are still the same."""
        names = sorted(self.arrays)
        digests = " ".join(f"{'/'.join(n)} {array_sha256(self.arrays[n])}" for n in names)
        return hashlib.sha256(digests.encode()).hexdigest()

    def into(self, state: Any, place: Any) -> Any:
        """A training's state that starts from them."""
        parts = ("params", "batch_stats")
        return state.replace(
            **{part: self.put(part, getattr(state, part), place) for part in parts}
        )

    def put(self, collection: str, tree: Any, place: Any) -> Any:
        """The tree of one collection with these in the place of its own, put there by `place`."""

        def choose(keys: Any, leaf: Any) -> Any:
            array = self.arrays.get((collection, *_name(keys)))
            return leaf if array is None else place(array)

        return jax.tree_util.tree_map_with_path(choose, tree)


def open_initial(path: Path) -> StoredArrays:
    """Lists a checkpoint of weights to start from."""
    try:
        return open_stored(os.path.expanduser(path))
    except InputError as error:
        who = "`init`" if error.who == "`checkpoint`" else f"`init`: {error.who}"
        of_others = "head.npz" in error.then or "state_dict" in error.then
        raise InputError(who, error.must, error.got, FLAX if of_others else error.then) from error


def read_initial(path: Path, variables: Mapping[str, Any], freeze: bool) -> InitialWeights:
    """Reads the arrays of a checkpoint that have names and shapes of a model's variables.

    Args:
      path: an Orbax or Flax checkpoint, or a file of such a tree with flat names, as
        `params/head/kernel`; a tree of variables, of a training's state, or bare parameters.
      variables: what the model's `init` gives, arrays or their shapes.
      freeze: whether all but the head must be there.

    Returns:
      The arrays in the model's dtypes, and a report that counts them and names the others.

    Raises:
      InputError: there is no such checkpoint, nothing but the head fits, not all does that is to
        stay as it is, or a number is not finite.
    """
    stored = open_initial(path)
    found, wanted = _variables_of(stored), _leaves(variables)
    head = ("params", *head_module(variables["params"]))
    fitting = {
        name: found[name]
        for name in wanted
        if name in found
        and stored.arrays[found[name]].shape == wanted[name].shape
        # Integers would be taken for weights, and some floats have no NumPy type.
        and stored.arrays[found[name]].dtype in FLOATS
    }
    _refuse_too_little(stored, found, wanted, fitting.keys(), head, freeze)
    values = stored.read(list(fitting.values()))
    arrays = {name: values[there].astype(wanted[name].dtype) for name, there in fitting.items()}
    for name, array in arrays.items():
        if not np.isfinite(array.astype(np.float32)).all():
            raise InputError(
                f"`init={path}`: {'/'.join(name)}",
                "be finite",
                "NaN or infinity",
                "Take a checkpoint from before it.",
            )
    return InitialWeights(arrays, _report(stored, found, wanted, fitting.keys(), head))


def _refuse_too_little(
    stored: StoredArrays,
    found: Mapping[Name, Name],
    wanted: Mapping[Name, Any],
    fitting: Set[Name],
    head: Name,
    freeze: bool,
) -> None:
    """Refuses a checkpoint of which nothing fits but a head, or not all that is to be frozen."""
    path = stored.path
    body = [name for name in wanted if name[: len(head)] != head] or list(wanted)
    if not fitting & set(body):
        names = [_shown(name, stored.arrays[at]) for name, at in found.items()]
        raise InputError(
            f"`init={path}`: it",
            f"hold arrays of the model's names and shapes, as {_shown(body[0], wanted[body[0]])}",
            f"none among {_some(names)}",
            FLAX,
        )
    if freeze and (absent := [_shown(n, wanted[n]) for n in body if n not in fitting]):
        raise InputError(
            "`freeze`",
            "be given with weights for all but the head",
            f"`init={path}` without {_some(absent)}",
            "What is frozen would stay random: leave it out, or take the model's own checkpoint.",
        )


def _report(
    stored: StoredArrays,
    found: Mapping[Name, Name],
    wanted: Mapping[Name, Any],
    fitting: Set[Name],
    head: Name,
) -> str:
    """How many arrays fit, and the names of those that do not, on either side."""
    lines = [f"{stored.path}: {len(fitting)} of the model's {len(wanted)} arrays ({stored.format})"]
    missing = [name for name in wanted if name not in fitting]
    if new := [f"{_shown(n, wanted[n])}{_there(stored, found.get(n))}" for n in missing]:
        lines.append(f"new, as without it: {_some(new)}")
    before = stored.arrays.get(found.get((*head, "kernel"), ()))
    columns = wanted[*head, "kernel"].shape[-1]
    if before is not None and before.shape[-1:] not in ((), (columns,)):
        lines.append(f"its head has {before.shape[-1]} classes, and a new one has {columns}")
    if unused := [_shown(n, stored.arrays[at]) for n, at in found.items() if n not in wanted]:
        lines.append(f"not used of it: {_some(unused)}")
    return "\n  ".join(lines)


def _variables_of(stored: StoredArrays) -> dict[Name, Name]:
    """Where the arrays of `params` and `batch_stats` are, by their names in a model's variables."""
    names = {name: parts_of(name) for name in stored.arrays}
    names = {name: parts for name, parts in names.items() if not is_optimizer_state(parts)}
    roots = {parts[: parts.index("params")] for parts in names.values() if "params" in parts}
    if not roots:
        return {("params", *parts): name for name, parts in names.items()}
    if len(roots) > 1:
        raise InputError(
            f"`init={stored.path}`: it",
            "hold one tree named params",
            " and ".join(sorted("/".join((*root, "params")) for root in roots)),
            "Save the one that is meant.",
        )
    (root,) = roots
    found = {
        parts[len(root) :]: name for name, parts in names.items() if parts[: len(root)] == root
    }
    return {p: name for p, name in found.items() if p[0] in ("params", "batch_stats")}


def _leaves(variables: Mapping[str, Any]) -> dict[Name, Any]:
    return {
        (collection, *_name(keys)): leaf
        for collection in ("params", "batch_stats")
        for keys, leaf in jax.tree_util.tree_leaves_with_path(variables.get(collection, {}))
    }


def _name(keys: Any) -> Name:
    return parts_of(tuple(jax.tree_util.keystr((key,), simple=True) for key in keys))


def _there(stored: StoredArrays, name: Name | None) -> str:
    if name is None:
        return ""
    info = stored.arrays[name]
    kind = "" if info.dtype in FLOATS else f" of {info.dtype}"
    return f" (there {list(info.shape)}{kind})"


def _shown(name: Name, info: Any) -> str:
    return f"{'/'.join(name)} {list(info.shape)}"


def _some(names: list[str]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more
