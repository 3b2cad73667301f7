"""How far off mistakes are in a hierarchy of the classes, and predictions that mind it."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Shaped

from simsmooth_jax.errors import InputError
from simsmooth_jax.method.arrays import checks, meshes, operands
from simsmooth_jax.metrics.arguments import distributions, mean, measured, sound_rows
from simsmooth_jax.metrics.scores import top_class


class HierarchicalDistance(NamedTuple):
    """Mean distance between predictions and labels: over all examples, and over the wrong ones.

    The second alone flatters a classifier that makes more, easy mistakes; it is NaN of none.
    """

    over_all: Float[Array, ""]
    over_mistakes: Float[Array, ""]


def hierarchical_distance(
    probabilities: Shaped[Array | np.ndarray, "examples classes"],
    labels: Int[Array | np.ndarray, " examples"],
    distance: Shaped[Array | np.ndarray, "classes classes"],
    *,
    where: Bool[Array | np.ndarray, " examples"] | None = None,
) -> HierarchicalDistance:
    """Mean distance in a hierarchy between the most probable class and the label.

    `mean_i D[y_i, argmax_k p_ik]`, where a right answer has distance 0; and the same mean over the
    mistakes alone.

    Args:
      probabilities: `[n, K]` real, as for `accuracy`; predictions of another kind go in as
        `jax.nn.one_hot(predictions, K)`.
      labels: `[n]` integer class indices from 0 to K - 1.
      distance: `[K, K]` real, true class first, predicted class second: at least 0, and 0 on the
        diagonal. Of two levels it is 1 in the same superclass and 2 elsewhere; of a tree, the
        height of the lowest common ancestor.
      where: `[n]` bool; examples with False are left out.

    Returns:
      A `HierarchicalDistance` of two float32, in units of `distance`; NaN under transformations
      where `accuracy` is.

    Raises:
      ValueError: distance is no `[K, K]` matrix of the probabilities' K, not finite, negative, or
        not 0 on the diagonal, and whatever `accuracy` refuses.

    Source: Bertinetto et al. 2020 (arXiv:1912.09393), mistake severity; over all examples as
      Karthik et al. 2021 (arXiv:2104.00795) ask.

    Example:
      >>> import jax.numpy as jnp
      >>> import simsmooth_jax as ss
      >>> superclass = jnp.array([0, 0, 1])  # two kinds of cat, and a lorry
      >>> distance = jnp.where(superclass[:, None] == superclass, 1, 2) * (1 - jnp.eye(3))
      >>> probabilities = jnp.array([[0.5, 0.3, 0.2], [0.1, 0.3, 0.6], [0.5, 0.3, 0.2]])
      >>> found = ss.metrics.hierarchical_distance(probabilities, jnp.array([0, 1, 1]), distance)
      >>> print(found.over_all, found.over_mistakes)
      1.0 1.5
    """
    function = "hierarchical_distance"
    probabilities = distributions(function, probabilities)
    distance = _distances(function, distance, probabilities.shape[1])
    return measured(function, _hierarchical_distance, probabilities, labels, where, distance)


def minimum_risk_predictions(
    probabilities: Shaped[Array | np.ndarray, "examples classes"],
    distance: Shaped[Array | np.ndarray, "classes classes"],
) -> Int[Array, " examples"]:
    """The class of least expected distance to the true one, in the place of the most probable.

    `argmin_j Σ_k p_k D[k, j]`, the first of equal ones: conditional risk minimisation. With
    distance 1 between every two classes it is `argmax_k p_k`.

    Args:
      probabilities: `[n, K]` real, as for `accuracy`.
      distance: `[K, K]` real, as for `hierarchical_distance`.

    Returns:
      `[n]` int32; under transformations -1 for a row with NaN.

    Raises:
      ValueError: a row is no distribution, or distance is one that `hierarchical_distance` refuses.

    Source: Karthik et al. 2021 (arXiv:2104.00795), CRM.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> import simsmooth_jax as ss
      >>> superclass = jnp.array([0, 0, 1])
      >>> distance = jnp.where(superclass[:, None] == superclass, 1, 2) * (1 - jnp.eye(3))
      >>> probabilities = jnp.array([[0.3, 0.3, 0.4]])
      >>> predictions = ss.metrics.minimum_risk_predictions(probabilities, distance)
      >>> print(predictions)  # expected distances 1.1, 1.1 and 1.2
      [0]
      >>> print(ss.metrics.accuracy(jax.nn.one_hot(predictions, 3), jnp.array([0])))
      1.0
    """
    function = "minimum_risk_predictions"
    probabilities = distributions(function, probabilities)
    distance = _distances(function, distance, probabilities.shape[1])
    return checks.run_checked(function, _least_risk, probabilities, distance)


def _hierarchical_distance(
    probabilities: Array, labels: Array, where: Array, distance: Array
) -> HierarchicalDistance:
    predicted = top_class(probabilities)
    mistakes = (predicted != labels) & where
    far = distance[labels, predicted]
    of_mistakes = jnp.where(mistakes.any(), mean(far, mistakes), jnp.nan)
    return HierarchicalDistance(mean(far, where), of_mistakes)


@jax.jit
def _least_risk(probabilities: Array, distance: Array) -> tuple[Array, list[checks.Flaw]]:
    return meshes.by_class(_risk_and_flaws, probabilities, distance, class_axis=0)


def _risk_and_flaws(probabilities: Array, distance: Array) -> tuple[Array, list[checks.Flaw]]:
    everything = jnp.ones(probabilities.shape[0], bool)
    safe, finite, flaws = sound_rows(probabilities, everything)
    risk = jnp.matmul(safe, distance, precision=jax.lax.Precision.HIGHEST)
    return jnp.where(finite, risk.argmin(axis=1).astype(jnp.int32), -1), flaws


def _distances(function: str, value: Any, num_classes: int) -> Array:
    """Distances as float32; traced ones pass."""
    distance = operands.real(function, "distance", value)
    if distance.shape != (num_classes, num_classes):
        must = f"have shape ({num_classes}, {num_classes}), as there are classes"
        advice = "Row k holds the distances of true class k to every prediction."
        raise InputError(f"{function}: distance", must, distance.shape, advice)
    return checks.run_checked(function, _distance_and_flaws, distance)


@jax.jit
def _distance_and_flaws(distance: Array) -> tuple[Array, list[checks.Flaw]]:
    distance = distance.astype(jnp.float32)
    return distance, meshes.on_auto_axes(_distance_flaws, distance, jax.P())(distance)


def _distance_flaws(distance: Array) -> list[checks.Flaw]:
    least = distance.min(axis=1)
    return [
        checks.Flaw.of(
            ~(jnp.isfinite(distance).all(axis=1) & (least >= 0)),
            who="every row of distance",
            must="be finite and at least 0",
            got="another in row {i}",
            then="Count the steps between two classes.",
        ),
        checks.Flaw.of(
            jnp.diagonal(distance) != 0,
            jnp.diagonal(distance),
            who="distance",
            must="be 0 on the diagonal",
            got="{:.4g} for class {i}",
            then="A right answer has no distance; give distances, not similarities.",
        ),
    ]
