"""Cosine similarity -> inter-class relation labels, and the baselines' tables (claims 4, 5, 7)."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped

from simsmooth_jax.literals import Rule
from simsmooth_jax.machine.memory import refuse_dense_table
from simsmooth_jax.method.arrays import checks, meshes, operands
from simsmooth_jax.method.relations import rule_options, rules
from simsmooth_jax.method.relations.similarity import similarity_and_flaws


def relation_labels(
    similarity: Shaped[Array | np.ndarray, "classes classes"],
    rule: Rule = "clip",
    *,
    epsilon: operands.Number = 1.0,
    temperature: operands.Number | None = None,
    perplexity: operands.Number | None = None,
    top_k: int | None = None,
    include_self: bool = True,
) -> Float[Array, "classes classes"]:
    """Inter-class relation labels: row y is the soft label of every image of class y.

    | rule         | relation row `r_i`                                                       |
    | ------------ | ------------------------------------------------------------------------ |
    | `literal`    | `S_i / Σ_k S_ik`, claim 5 to the letter; refused if a cosine is negative |
    | `clip`       | `max(S_i, 0) / Σ_k max(S_ik, 0)`, equal to literal where that is legal   |
    | `shift`      | `(1 + S_i) / Σ_k (1 + S_ik)`, near uniform where K is large              |
    | `softmax`    | `softmax(S_i / temperature)`                                             |
    | `neighbours` | `softmax(β_i S_i)` over the other classes, with β_i such that            |
    |              | `exp(-Σ_k r_ik log r_ik)` is the perplexity                              |

    Then `top_k` keeps the own class and the `top_k - 1` largest others and normalises again, and
    `q_i = (1 - epsilon) e_i + epsilon r_i` mixes the hard label in.

    The row sums of literal tend to 0 as a classifier is trained: with a negative cosine its labels
    are negative or explode. Inside a transformation values cannot be looked at: the formula's
    values are returned, whatever they are.

    Under neighbours epsilon alone says how much goes to other classes, and perplexity to how many
    in effect, whatever K and the classifier are; with `top_k` it is that of the kept ones. It holds
    to 1e-4 of itself from 2 to 0.9 of their number. β_i is at most 1e6: a row with more equal
    cosines than that at its top is uniform over them, which `diagnose` counts. Derivatives are
    those of the solution itself.

    Args:
      similarity: `[K, K]` real, in [-1, 1], from `cosine_similarity`.
      rule: `"literal"`, `"clip"`, `"shift"`, `"softmax"` or `"neighbours"`.
      epsilon: weight of the relation row in [0, 1]; 1 is the patent's form. May be traced.
      temperature: of the softmax rule, above 0; no value suits every K, so it has no default. May
        be traced.
      perplexity: of the neighbours rule, at least 1 and below the number of the other classes in a
        row, K - 1 or `top_k` - 1. May be traced.
      top_k: number of classes kept in each row, 1 to K; ties go to the lower class index.
      include_self: whether the own class takes part in the relation row; under neighbours it never
        does.

    Returns:
      `[K, K]` float32; every row sums to 1, has no negative entry, and is largest at its own class.

    Raises:
      ValueError: an argument is out of range; a similarity is NaN, infinite or outside [-1, 1]; a
        cosine is negative under literal; a row has no positive entry left; or another class than
        the own one comes out on top. The first class concerned is named.

    Source: CN 112434722 A, claims 4 and 5; mixing as in [0065]. Perplexity as in t-SNE (van der
      Maaten and Hinton 2008).

    Example:
      >>> import jax.numpy as jnp
      >>> import numpy as np
      >>> import simsmooth_jax as ss
      >>> similarity = jnp.array([[1.0, 0.6, -0.2], [0.6, 1.0, 0.0], [-0.2, 0.0, 1.0]])
      >>> print(np.asarray(ss.relation_labels(similarity, "clip", epsilon=0.5)).round(3))
      [[0.812 0.188 0.   ]
       [0.188 0.812 0.   ]
       [0.    0.    1.   ]]
    """
    name = "relation_labels"
    similarity = operands.square(name, "similarity", similarity)
    static: dict[str, Any] = {"rule": rule, "top_k": top_k, "include_self": include_self}
    own = (epsilon, temperature, perplexity)
    numbers = rule_options.checked_options(name, len(similarity), *own, **static)
    return checks.run_checked(name, _relation_program, similarity, *numbers, **static)


def relation_labels_from_kernel(
    kernel: Shaped[Array | np.ndarray, "features classes"],
    rule: Rule = "clip",
    *,
    epsilon: operands.Number = 1.0,
    temperature: operands.Number | None = None,
    perplexity: operands.Number | None = None,
    top_k: int | None = None,
    include_self: bool = True,
    center: bool = False,
) -> Float[Array, "classes classes"]:
    """Relation labels straight from a classifier's final kernel, in one jitted program.

    `relation_labels(cosine_similarity(kernel, center=center), rule, …)` without keeping the
    similarity: see these two for the formulas, the caveats and the behaviour inside a
    transformation.

    Args:
      kernel: `[N, K]` real, features first, as in `flax.linen.Dense`.
      rule: `"literal"`, `"clip"`, `"shift"`, `"softmax"` or `"neighbours"`.
      epsilon: weight of the relation row in [0, 1]. May be traced.
      temperature: of the softmax rule, above 0. May be traced.
      perplexity: of the neighbours rule, from 1 to below the number of others. May be traced.
      top_k: number of classes kept in each row, 1 to K.
      include_self: whether the own class takes part in the relation row.
      center: subtract the mean column first.

    Returns:
      `[K, K]` float32; every row sums to 1, has no negative entry, and is largest at its own class.

    Raises:
      ValueError: whatever `cosine_similarity` and `relation_labels` refuse.

    Source: CN 112434722 A, claims 3 to 5.

    Example:
      >>> import jax.numpy as jnp
      >>> import numpy as np
      >>> import simsmooth_jax as ss
      >>> kernel = jnp.array([[1.0, 2.0, 0.0], [0.0, 2.0, 3.0]])  # 2 features, 3 classes
      >>> print(np.asarray(ss.relation_labels_from_kernel(kernel, "literal")).round(3))
      [[0.586 0.414 0.   ]
       [0.293 0.414 0.293]
       [0.    0.414 0.586]]
    """
    name = "relation_labels_from_kernel"
    kernel = operands.kernel(name, kernel, center)
    static: dict[str, Any] = {"rule": rule, "top_k": top_k, "include_self": include_self}
    own = (epsilon, temperature, perplexity)
    numbers = rule_options.checked_options(name, kernel.shape[1], *own, **static)
    refuse_dense_table(name, kernel.shape[1], kernel)
    program = partial(_kernel_program, center=bool(center), **static)
    return checks.run_checked(name, program, kernel, *numbers)


def onehot_labels(num_classes: int) -> Float[Array, "classes classes"]:
    """Hard labels as a table: row y is 1 at class y and 0 elsewhere.

    Args:
      num_classes: K, at least 2.

    Returns:
      `[K, K]` float32, the identity.

    Raises:
      ValueError: `num_classes` is not an integer >= 2, or `[K, K]` would not fit into memory.

    Source: CN 112434722 A, claim 1 (the first classifier's labels) and [0060].

    Example:
      >>> import simsmooth_jax as ss
      >>> print(ss.onehot_labels(2))
      [[1. 0.]
       [0. 1.]]
    """
    checks.class_count("onehot_labels", num_classes)
    refuse_dense_table("onehot_labels", num_classes)
    return jnp.eye(num_classes, dtype=jnp.float32)


def uniform_labels(num_classes: int, epsilon: operands.Number) -> Float[Array, "classes classes"]:
    """Uniform label smoothing as a table, the baseline: the same small weight on every class.

    `q_y(k) = (1 - epsilon) δ_{k,y} + epsilon / K`: epsilon is spread over all K classes, the own
    one included, as in optax, PyTorch and Keras (and not as epsilon / (K - 1) over the others).

    Args:
      num_classes: K, at least 2.
      epsilon: smoothing weight in [0, 1]. May be traced.

    Returns:
      `[K, K]` float32; every row sums to 1.

    Raises:
      ValueError: `num_classes` is not an integer >= 2, epsilon is outside [0, 1], or `[K, K]` would
        not fit into memory.

    Source: CN 112434722 A, [0065].

    Example:
      >>> import numpy as np
      >>> import simsmooth_jax as ss
      >>> print(np.asarray(ss.uniform_labels(4, 0.1)).round(3)[0])
      [0.925 0.025 0.025 0.025]
    """
    checks.class_count("uniform_labels", num_classes)
    refuse_dense_table("uniform_labels", num_classes)
    weight = jnp.asarray(operands.fraction("uniform_labels", "epsilon", epsilon), jnp.float32)
    return (1 - weight) * jnp.eye(num_classes, dtype=jnp.float32) + weight / num_classes


@partial(jax.jit, static_argnames=("rule", "top_k", "include_self"))
def _relation_program(
    similarity: Array, epsilon: Any, sharpness: Any, **static: Any
) -> tuple[Array, list[checks.Flaw]]:
    program = partial(rules.labels_and_flaws, **static)
    return meshes.by_class(program, similarity, epsilon, sharpness, class_axis=0)


@partial(jax.jit, static_argnames=("rule", "top_k", "include_self", "center"))
def _kernel_program(
    kernel: Array, epsilon: Any, sharpness: Any, *, center: bool, **static: Any
) -> tuple[Array, list[checks.Flaw]]:
    def program(kernel: Array, epsilon: Any, sharpness: Any) -> tuple[Array, list[checks.Flaw]]:
        similarity, vector_flaws = similarity_and_flaws(kernel, center)
        labels, row_flaws = rules.labels_and_flaws(similarity, epsilon, sharpness, **static)
        return labels, vector_flaws + row_flaws

    return meshes.by_class(program, kernel, epsilon, sharpness, class_axis=1)
