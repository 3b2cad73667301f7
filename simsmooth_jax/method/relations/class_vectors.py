"""Other class vectors than a kernel's columns: mean features, mean predictions."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Shaped

from simsmooth_jax.errors import InputError
from simsmooth_jax.machine import memory
from simsmooth_jax.method.arrays import checks, meshes, operands

LARGE = 2**26  # bytes


def class_means(
    features: Shaped[Array | np.ndarray, "examples features"],
    labels: Int[Array | np.ndarray, " examples"],
    num_classes: int,
) -> Float[Array, "features classes"]:
    """Mean feature vector of every class: class vectors for `cosine_similarity` like a kernel's.

    `m_k = Σ_{i: y_i = k} f_i / n_k`, column k of the result.

    Inside a transformation values cannot be looked at: labels out of range are then left out, and a
    class without examples has the vector 0.

    Args:
      features: `[n, D]` real, one row an example, as of a classifier's penultimate layer.
      labels: `[n]` integer class indices from 0 to K - 1.
      num_classes: K, at least 2.

    Returns:
      `[D, K]` float32, features first, classes second.

    Raises:
      ValueError: features is no finite real matrix, labels are no class indices or of another
        number, or a class has no example. The first row or class concerned is named.

    Source: CN 112434722 A, in the place of claim 6's kernel; the means of a nearest-class-mean
      classifier (Mensink et al. 2013).

    Example:
      >>> import jax.numpy as jnp
      >>> import numpy as np
      >>> import simsmooth_jax as ss
      >>> features = jnp.array([[1.0, 0.0], [3.0, 0.0], [1.0, 1.0]])
      >>> means = ss.class_means(features, jnp.array([0, 0, 1]), num_classes=2)
      >>> print(np.asarray(means))
      [[2. 1.]
       [0. 1.]]
      >>> print(f"{ss.cosine_similarity(means)[0, 1]:.3f}")
      0.707
    """
    return _checked_means("class_means", "features", features, labels, num_classes)


def mean_predictions(
    probabilities: Shaped[Array | np.ndarray, "examples classes"],
    labels: Int[Array | np.ndarray, " examples"],
) -> Float[Array, "classes classes"]:
    """Mean predicted distribution of every class: the columns of a soft confusion matrix.

    `m_k = Σ_{i: y_i = k} p_i / n_k`, column k of the result: what a classifier takes images of
    class k for. Classes that are taken for the same ones have similar columns, so that it goes into
    `cosine_similarity` like a kernel.

    Args:
      probabilities: `[n, K]` real, one distribution an example, as softmax of a classifier's
        logits.
      labels: `[n]` integer class indices from 0 to K - 1.

    Returns:
      `[K, K]` float32: predicted class first, true class second; every column sums to 1.

    Raises:
      ValueError: a row is negative or does not sum to 1, and whatever `class_means` refuses.

    Source: CN 112434722 A, in the place of claim 6's kernel; the means of online label smoothing
      (Zhang et al. 2021, arXiv:2011.12562), of all images instead of those predicted rightly.

    Example:
      >>> import jax.numpy as jnp
      >>> import numpy as np
      >>> import simsmooth_jax as ss
      >>> probabilities = jnp.array([[1.0, 0.0], [0.5, 0.5], [0.5, 0.5]])
      >>> print(np.asarray(ss.mean_predictions(probabilities, jnp.array([0, 0, 1]))))
      [[0.75 0.5 ]
       [0.25 0.5 ]]
    """
    function, argument = "mean_predictions", "probabilities"
    probabilities = operands.matrix(function, argument, probabilities, "[n, K]")
    num_classes = probabilities.shape[1]
    return _checked_means(function, argument, probabilities, labels, num_classes, sum_to_one=True)


def class_sums(
    features: Shaped[Array, "examples features"],
    labels: Int[Array, " examples"],
    num_classes: int,
) -> tuple[Float[Array, "features classes"], Float[Array, " classes"]]:
    """Sums of a batch's features, and counts, by class: what means of many batches are made of.

    Rows whose label is out of range, as -1 for padding, are left out.
    """
    rows = jnp.asarray(features, jnp.float32)
    valid = (labels >= 0) & (labels < num_classes)
    segments = jnp.where(valid, labels, num_classes)  # beyond the last: dropped
    sums = jax.ops.segment_sum(rows, segments, num_classes)
    return sums.T, jax.ops.segment_sum(valid.astype(jnp.float32), segments, num_classes)


@partial(jax.jit, static_argnames=("argument", "num_classes", "sum_to_one"))
def _means_program(
    features: Array, labels: Array, *, argument: str, num_classes: int, sum_to_one: bool
) -> tuple[Array, list[checks.Flaw]]:
    program = partial(
        _means_and_flaws, argument=argument, num_classes=num_classes, sum_to_one=sum_to_one
    )
    return meshes.by_class(program, features, labels, class_axis=None)


def _means_and_flaws(
    features: Array, labels: Array, *, argument: str, num_classes: int, sum_to_one: bool
) -> tuple[Array, list[checks.Flaw]]:
    rounding = checks.sum_rounding(features.dtype)
    features = jnp.asarray(features, jnp.float32)
    labels = jnp.asarray(labels, jnp.int32)
    common = features.mean(axis=0)  # without it, sums of many examples would lose digits
    sums, counts = class_sums(features - common[None], labels, num_classes)
    means = common[:, None] + sums / jnp.maximum(counts, 1)[None]
    nonfinite = checks.Flaw.of(
        ~jnp.isfinite(features).all(axis=1),
        who=f"every row of {argument}",
        must="be finite",
        got="NaN or infinity in row {i}",
        then="Leave that example out.",
    )
    odd_row = checks.Flaw.of(
        (features < 0).any(axis=1) | (jnp.abs(features.sum(axis=1) - 1) > rounding),
        who=f"every row of {argument}",
        must="be a distribution",
        got="another in row {i}",
        then="Take softmax of the logits.",
    )
    odd_label = checks.Flaw.of(
        (labels < 0) | (labels >= num_classes),
        who="labels",
        must=f"be from 0 to {num_classes - 1}",
        got="another in row {i}",
        then="Labels count from 0.",
    )
    empty = checks.Flaw.of(
        counts == 0,
        who="every class",
        must="have an example",
        got="none of class {i}",
        then="Give more examples, or leave the class out.",
    )
    flaws = [nonfinite, *([odd_row] if sum_to_one else []), odd_label, empty]
    return jnp.where(counts[None] > 0, means, 0), flaws


def _refuse_empty(function: str, features: Any, labels: Any, num_classes: int) -> None:
    """Of far more classes than examples no means are made, only to say that some have none."""
    memory.refuse_means(function, features.shape[1], num_classes, "Give the number of classes.")
    if (
        num_classes > len(labels)
        and memory.means_bytes(features.shape[1], num_classes) > LARGE
        and not checks.is_traced(features, labels)
    ):
        known = set(np.asarray(labels).tolist())
        first = next(k for k in range(num_classes) if k not in known)
        got, then = f"none of class {first}", "Give more examples, or leave the class out."
        raise InputError(f"{function}: every class", "have an example", got, then)


def _checked_means(
    function: str,
    argument: str,
    features: Any,
    labels: Any,
    num_classes: int,
    sum_to_one: bool = False,
) -> Array:
    features = operands.real(function, argument, features)
    advice = f"Give one for each row of {argument}."
    labels = operands.integers(function, "labels", labels, advice)
    checks.class_count(function, num_classes)
    if features.ndim != 2:
        raise InputError(
            f"{function}: {argument}",
            "be real numbers [n, D]",
            f"{features.dtype}{list(features.shape)}",
            "Flatten what follows the first axis.",
        )
    if labels.shape != features.shape[:1]:
        raise InputError(
            f"{function}: labels",
            f"be integer class indices of shape ({features.shape[0]},)",
            f"{labels.dtype}{list(labels.shape)}",
            advice,
        )
    labels = operands.in_32_bits(labels, num_classes)
    _refuse_empty(function, features, labels, num_classes)
    static = {"argument": argument, "num_classes": num_classes, "sum_to_one": sum_to_one}
    return checks.run_checked(function, _means_program, features, labels, **static)
