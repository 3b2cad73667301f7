"""The first model of each seed, and what labels are made from: kept in a file, and made once."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import filelock
import flax.linen as nn
import numpy as np
from jaxtyping import Float, Int

from simsmooth_jax.data.dataset import Split
from simsmooth_jax.errors import InputError, first_line
from simsmooth_jax.formats.label_files import SHA256, content_sha256
from simsmooth_jax.machine.files.disks import make_directory, writing
from simsmooth_jax.machine.files.ledger import claim
from simsmooth_jax.machine.files.writing import write_atomically
from simsmooth_jax.machine.signals import held
from simsmooth_jax.method.heads.head_kernel import head_kernel
from simsmooth_jax.method.relations.class_vectors import class_means
from simsmooth_jax.training.evaluation import Evaluator
from simsmooth_jax.training.models.head_module import head_module
from simsmooth_jax.training.step import TrainState


class FirstModel(NamedTuple):
    """A classifier that was trained on hard labels, as far as labels are made from it.

    `logits` are of its own training images, which have `labels`, wrong ones included.
    """

    kernel: Float[np.ndarray, "features classes"]
    features: Float[np.ndarray, "features classes"]  # the mean of what goes into the head, by class
    logits: Float[np.ndarray, "examples classes"]
    labels: Int[np.ndarray, " examples"]


class Reader:
    """Reads first models off trained states, with two compiled programs."""

    def __init__(self, new: Callable[[], Evaluator], num_classes: int) -> None:
        """One evaluation is traced as it is, one with a head that passes on what it is given."""
        self._logits, self._features, self._num_classes = new(), new(), num_classes

    def __call__(self, state: TrainState, train: Split) -> FirstModel:
        """What labels are made from, of a state and the images that it has seen."""
        given = state.params, state.batch_stats, train
        logits = self._logits.logits(*given)
        with nn.intercept_methods(_what_goes_into(head_module(state.params))):
            features = self._features.logits(*given)
        means = np.asarray(class_means(features, train.labels, self._num_classes))
        return FirstModel(np.asarray(head_kernel(state.params)), means, logits, train.labels)


def _what_goes_into(head: tuple[str, ...]) -> Callable[..., Any]:
    def pass_on(layer: Any, arguments: Any, named: Any, context: Any) -> Any:
        is_head = context.module.path == head and context.method_name == "__call__"
        return arguments[0] if is_head else layer(*arguments, **named)

    return pass_on


def kept(path: Path, make: Callable[[], FirstModel], made_from: dict[str, str]) -> FirstModel:
    """The first model in a file, which one of several shards makes where it is not there.

    Raises:
      InputError: the file is damaged, or was made from something else.
    """
    make_directory(path.parent)
    lock = f".lock-{path.stem}"
    claim(path.parent.parent, *(f"{path.parent.name}/{name}" for name in (lock, path.name)))
    with writing(path.parent / lock, 0):
        alone = filelock.FileLock(path.parent / lock).acquire()
    with alone, held():
        if not path.exists():
            write_atomically(path, _npz(make(), made_from))
    try:
        # Opened here: NumPy leaves it open where it is no archive.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            found = dict(arrays)
        digest = found.pop(SHA256, None)  # which those of before have not
        if digest is not None and str(digest) != content_sha256(found, made_from, None):
            raise ValueError("one that was changed, or another training's, by its SHA-256")
        return FirstModel(**found)
    except (ValueError, TypeError, RuntimeError, KeyError, EOFError, zipfile.BadZipFile) as error:
        then = "Delete it: it is made again."
        raise InputError(f"{path}: it", "be a first model", first_line(error), then) from error


def _npz(found: FirstModel, made_from: dict[str, str]) -> bytes:
    file, arrays = io.BytesIO(), found._asdict()
    arrays |= {SHA256: np.asarray(content_sha256(arrays, made_from, None))}
    np.savez(file, **arrays)
    return file.getvalue()
