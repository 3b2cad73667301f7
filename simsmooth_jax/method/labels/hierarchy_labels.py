"""Labels from what is known of the classes: their superclasses, or distances between them."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Shaped

from simsmooth_jax.errors import InputError
from simsmooth_jax.machine.memory import refuse_dense_table
from simsmooth_jax.method.arrays import checks, meshes, operands
from simsmooth_jax.method.relations import rules
from simsmooth_jax.method.relations.rule_options import checked_options


def superclass_labels(
    superclasses: Int[Array | np.ndarray, " classes"], epsilon: operands.Number
) -> Float[Array, "classes classes"]:
    """Smoothing within superclasses: the same weight on every other class of one's own.

    `q_y = (1 - epsilon) e_y + epsilon r_y`, where `r_y` is uniform over the other classes of y's
    superclass. A class that is alone in its own has `r_y` uniform over all other classes.

    Args:
      superclasses: `[K]` integer, the superclass of each class, numbered anyhow.
      epsilon: smoothing weight in [0, 1], all of it on other classes. May be traced.

    Returns:
      `[K, K]` float32; every row sums to 1 and is largest at its own class.

    Raises:
      ValueError: superclasses are not integers `[K]` of two classes or more, epsilon is outside
        [0, 1] or so large that another class comes out on top, or `[K, K]` would not fit into
        memory.

    Source: CN 112434722 A, [0065], with a hierarchy in the place of claim 6's kernel.

    Example:
      >>> import numpy as np
      >>> import simsmooth_jax as ss
      >>> print(np.asarray(ss.superclass_labels(np.array([7, 7, 7, 2]), 0.3)).round(3))
      [[0.7  0.15 0.15 0.  ]
       [0.15 0.7  0.15 0.  ]
       [0.15 0.15 0.7  0.  ]
       [0.1  0.1  0.1  0.7 ]]
    """
    name, advice = "superclass_labels", "Give the superclass of each class, as [0, 0, 1, 1]."
    array = operands.integers(name, "superclasses", superclasses, advice)
    if array.ndim != 1 or len(array) < 2:
        raise InputError(f"{name}: superclasses", "have shape [K] with K >= 2", array.shape, advice)
    refuse_dense_table(name, len(array))
    if isinstance(array, np.ndarray):  # numbers of 64 bits, which JAX would cut, counted from 0
        array = np.unique(array, return_inverse=True)[1].astype(np.int32)
    weight = operands.fraction(name, "epsilon", epsilon)
    return checks.run_checked(name, _superclass_program, array, weight)


def distance_labels(
    distance: Shaped[Array | np.ndarray, "classes classes"],
    beta: operands.Number,
    *,
    epsilon: operands.Number = 1.0,
    top_k: int | None = None,
    include_self: bool = True,
) -> Float[Array, "classes classes"]:
    """Soft labels of distances between classes, as in a hierarchy or of class centroids.

    `r_i = softmax(-beta d_i / d_max)`, then top-k and epsilon as in `relation_labels`: it is the
    softmax rule of the similarity `-d / d_max` at temperature `1 / beta`. With the defaults, the
    soft labels of Bertinetto et al., own class included. `(1 - ε) e + ε softmax(-d / T)` over the k
    nearest others, sparse similarity-aware smoothing, is `distance_labels(d, d.max() / T,
    epsilon=ε, top_k=k + 1, include_self=False)`; its authors take T 1.2 and k 5.

    Args:
      distance: `[K, K]` real, at least 0, and 0 on the diagonal; row i has those of class i.
      beta: sharpness, above 0; 5 to 30 in the paper, where more is nearer to hard labels. May be
        traced.
      epsilon: weight of the row `r_i` in [0, 1]. May be traced.
      top_k: number of classes kept in each row, the own one counted, 1 to K.
      include_self: whether the own class takes part in `r_i`.

    Returns:
      `[K, K]` float32; every row sums to 1 and is largest at its own class.

    Raises:
      ValueError: distance is no square matrix, or one of them is negative, NaN or infinite, not 0
        on the diagonal, or 0 everywhere; an option is out of range, or another class than the own
        one comes out on top.

    Source: Bertinetto et al. 2020, arXiv:1912.09393.

    Example:
      >>> import numpy as np
      >>> import simsmooth_jax as ss
      >>> heights = np.array([[0, 1, 2], [1, 0, 2], [2, 2, 0]])  # of the lowest common ancestor
      >>> print(np.asarray(ss.distance_labels(heights, beta=4)).round(3))
      [[0.867 0.117 0.016]
       [0.117 0.867 0.016]
       [0.018 0.018 0.965]]
    """
    name = "distance_labels"
    distance = operands.square(name, "distance", distance)
    advice = "Larger is sharper; try 10."
    temperature = 1 / operands.positive(name, "beta", beta, advice)
    static: dict[str, Any] = {"rule": "softmax", "top_k": top_k, "include_self": include_self}
    numbers = checked_options(name, len(distance), epsilon, temperature, None, **static)
    program = partial(_distance_program, top_k=top_k, include_self=include_self)
    return checks.run_checked(name, program, distance, *numbers)


@jax.jit
def _superclass_program(superclasses: Array, epsilon: Any) -> tuple[Array, list[checks.Flaw]]:
    return meshes.by_class(_of_superclasses, superclasses, epsilon, class_axis=0)


def _of_superclasses(superclasses: Array, epsilon: Any) -> tuple[Array, list[checks.Flaw]]:
    own = jnp.eye(len(superclasses), dtype=bool)
    mates = (superclasses[:, None] == superclasses[None]) & ~own
    mass = jnp.where(mates.any(axis=1, keepdims=True), mates, ~own).astype(jnp.float32)
    relation = mass / mass.sum(axis=1, keepdims=True)
    labels = rules.mixed(own, relation, jnp.asarray(epsilon, jnp.float32))
    others = jnp.where(own, 0, labels).max(axis=1)
    return labels, [rules.off_top_flaw(jnp.diagonal(labels), others, "Use a smaller epsilon.")]


@partial(jax.jit, static_argnames=("top_k", "include_self"))
def _distance_program(
    distance: Array, epsilon: Any, temperature: Any, **static: Any
) -> tuple[Array, list[checks.Flaw]]:
    program = partial(_of_distances, **static)
    return meshes.by_class(program, distance, epsilon, temperature, class_axis=0)


def _of_distances(
    distance: Array, epsilon: Any, temperature: Any, **static: Any
) -> tuple[Array, list[checks.Flaw]]:
    distance = jnp.asarray(distance, jnp.float32)
    largest, own = distance.max(), jnp.diagonal(distance)
    similarity = -distance / largest
    labels, flaws = rules.labels_and_flaws(
        similarity, epsilon, temperature, rule="softmax", **static
    )
    odd = checks.Flaw.of(
        ~(jnp.isfinite(distance) & (distance >= 0)).all(axis=1),
        who="every distance",
        must="be finite and at least 0",
        got="another in row {i} (class {i})",
        then="A similarity goes to relation_labels.",
    )
    from_itself = checks.Flaw.of(
        jnp.abs(own) > rules.ROUNDING * largest,
        own,
        who="the distance of a class to itself",
        must="be 0",
        got="{:.4g} in row {i} (class {i})",
        then="A similarity goes to relation_labels.",
    )
    together = checks.Flaw.of(
        jnp.full(len(distance), largest == 0),
        who="distance",
        must="have classes that are apart",
        got="0 everywhere",
        then="Use uniform_labels.",
    )
    return labels, [odd, from_itself, together, *flaws]
