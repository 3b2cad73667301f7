"""Whether relations are the same from seed to seed, and what superclasses and people say."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Real
from scipy import stats

from simsmooth_jax.errors import InputError, first_line
from simsmooth_jax.formats.stores.numpy_files import ONLY, open_file

Similarity = Float[np.ndarray, "classes classes"]


class Stability(NamedTuple):
    """Similarities over seeds: their mean, the deviation of each pair, and one number."""

    mean: Similarity
    deviation: Similarity | None  # None of one seed
    correlation: float | None  # mean over pairs of seeds, of the classes' pairs


class SuperclassAgreement(NamedTuple):
    """The share of classes whose nearest one is of their superclass, and that of a chance one."""

    nearest: float
    chance: float


def upper(classes: int) -> Bool[np.ndarray, "classes classes"]:
    """Every pair of two classes once."""
    return np.triu(np.ones((classes, classes), bool), 1)


def stability(similarities: Sequence[Similarity]) -> Stability:
    """Of similarities `[K, K]`, one a seed; deviations have n - 1 in the denominator."""
    stacked = np.stack(similarities).astype(np.float64)
    if len(stacked) == 1:
        return Stability(stacked[0], None, None)
    pairs = stacked[:, upper(stacked.shape[1])]
    correlation = None
    if pairs.shape[1] > 1 and (np.ptp(pairs, axis=1) > 0).all():
        correlation = float(np.asarray(np.corrcoef(pairs))[upper(len(pairs))].mean())
    return Stability(stacked.mean(axis=0), stacked.std(axis=0, ddof=1), correlation)


def superclass_agreement(
    similarity: Similarity, superclasses: Int[np.ndarray, " classes"]
) -> SuperclassAgreement:
    """Nearest classes against a hierarchy."""
    same = superclasses[:, None] == superclasses[None]
    others = np.where(np.eye(len(similarity), dtype=bool), -np.inf, similarity)
    nearest = same[np.arange(len(same)), others.argmax(axis=1)]
    chance = (same.sum(axis=1) - 1) / (len(same) - 1)
    return SuperclassAgreement(float(nearest.mean()), float(chance.mean()))


def human_agreement(
    similarity: Similarity, confusions: Real[np.ndarray, "classes classes"]
) -> float:
    """Spearman's rank correlation of similarity and how often people take one for the other.

    A pair's confusion is the mean of the shares of both directions.
    """
    share = confusions / np.maximum(confusions.sum(axis=1, keepdims=True), 1)
    pairs = upper(len(similarity))
    found = stats.spearmanr(similarity[pairs], (share + share.T)[pairs])
    return float(found.statistic)  # type: ignore[attr-defined]


def read_confusions(path: Path | None, classes: int) -> Real[np.ndarray, "classes classes"] | None:
    """Counts `[K, K]` in a file .npy: of each true class, what people have answered."""
    if path is None:
        return None
    who, then = f"`confusions={path}`", "Save an array .npy with numpy.save."
    try:
        stored = open_file(path)
    except (OSError, InputError) as error:
        raise InputError(who, "be an .npy file", first_line(error), then) from error
    must = f"hold counts [{classes}, {classes}], each 0 or more"
    if ONLY not in stored.arrays:
        raise InputError(who, must, "an archive", then)
    info = stored.arrays[ONLY]
    if info.shape != (classes, classes):  # before it is read
        raise InputError(who, must, f"{info.dtype}{list(info.shape)}", then)
    found = stored.read([ONLY])[ONLY]
    if found.dtype.kind not in "iuf":
        raise InputError(who, must, found.dtype, then)
    if not (np.isfinite(found).all() and (found >= 0).all()):
        raise InputError(who, must, "a negative or infinite one", then)
    return found
