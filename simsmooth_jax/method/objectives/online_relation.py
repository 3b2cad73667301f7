"""Online relation labels: the method in one training, its labels made anew as the head changes."""

import dataclasses
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from simsmooth_jax.errors import InputError
from simsmooth_jax.machine.memory import refuse_dense_table
from simsmooth_jax.method.arrays import checks, operands
from simsmooth_jax.method.heads.head_kernel import head_kernel
from simsmooth_jax.method.losses.softmax_loss import softmax_cross_entropy_with_label_table
from simsmooth_jax.method.objectives.objective import Batch, Objective, refuse_steps
from simsmooth_jax.method.relations import rule_options, rules
from simsmooth_jax.method.relations.similarity import similarity_and_flaws


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class _Data:
    epsilon: Float[Array, ""] | Any  # as JAX fills its nodes
    sharpness: Float[Array, ""] | Any  # temperature or perplexity, or None
    warmup_steps: Int[Array, ""] | Any
    rule: Literal["clip", "shift", "softmax", "neighbours"] = dataclasses.field(
        metadata={"static": True}
    )
    head: str | None = dataclasses.field(metadata={"static": True})


def online_relation_labels(
    num_classes: int,
    rule: Literal["clip", "shift", "softmax", "neighbours"] = "clip",
    *,
    warmup_steps: int,
    epsilon: operands.Number = 1.0,
    temperature: operands.Number | None = None,
    perplexity: operands.Number | None = None,
    refresh_steps: int | None = None,
    head: str | None = None,
) -> Objective:
    """Relation labels of the classifier that is being trained: one training instead of two.

    `loss = -Σ_k t_k log softmax(z)_k` with `t = T[label]`. T is the identity through the warm-up;
    at every refresh after it, it is `relation_labels_from_kernel` of the head as it is then. A row
    that is not finite, as of a head that diverges, or not largest at its own class, as under
    neighbours where epsilon is large, is the hard label.

    Args:
      num_classes: K, at least 2.
      rule: `"clip"`, `"shift"` or `"softmax"`, always with the own class, or `"neighbours"`, always
        without. `"literal"` is refused: cosines of a head in training become negative.
      warmup_steps: refreshes before this step leave the labels hard, until the head means
        something.
      epsilon: weight of the relation row in [0, 1]. May be traced.
      temperature: of the softmax rule, above 0. May be traced.
      perplexity: of the neighbours rule, from 1 to below K - 1. May be traced.
      refresh_steps: steps between refreshes; None is the end of each epoch.
      head: which kernel of `params` is the head's, as in `head_kernel`.

    Returns:
      An `Objective` whose state is a table `[K, K]` float32.

    Raises:
      ValueError: an argument is out of range, the rule is literal, or the state would not fit into
        memory; `refresh` is given params whose head is not found, or not of K classes.

    Source: CN 112434722 A, claims 3 to 5, with the kernel of the training itself.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> import simsmooth_jax as ss
      >>> images, labels = jnp.eye(4).at[1, 0].set(1), jnp.array([0, 1, 2, 2])  # 1 is like 0
      >>> objective = ss.objectives.online_relation_labels(3, epsilon=0.5, warmup_steps=20)
      >>> @jax.jit
      ... def step(params, state, number):
      ...     batch = ss.objectives.Batch(labels, number)
      ...     def loss(params):
      ...         logits = images @ params["head"]["kernel"]
      ...         return objective.loss(objective.data, state, logits, batch).mean()
      ...     return jax.tree.map(lambda w, g: w - g, params, jax.grad(loss)(params))
      >>> params, state = {"head": {"kernel": jnp.zeros((4, 3))}}, objective.init()
      >>> for number in range(1, 41):
      ...     params = step(params, state, number)
      ...     state = objective.refresh(objective.data, state, params, number)
      >>> print(state.shape, state.sum(axis=1).round(3))
      (3, 3) [1. 1. 1.]
    """
    name = "online_relation_labels"
    checks.class_count(name, num_classes)
    if rule == "literal":
        raise InputError(
            f"{name}: rule",
            "be well-posed for every head",
            "'literal', which a negative cosine breaks in the midst of a training",
            "Use rule 'clip', 'shift', 'softmax' or 'neighbours'.",
        )
    options: dict[str, Any] = {"rule": rule, "top_k": None, "include_self": True}
    own = (epsilon, temperature, perplexity)
    epsilon, sharpness = rule_options.checked_options(name, num_classes, *own, **options)
    if rule == "neighbours" and not checks.is_traced(epsilon) and epsilon == 1:
        raise InputError(
            f"{name}: epsilon",
            "be below 1 with rule 'neighbours', which leaves the own class out",
            "1",
            "Try 0.1.",
        )
    refuse_steps(name, warmup_steps, refresh_steps)
    advice = "Train against a constant table: top_k_labels takes [K, k]."
    refuse_dense_table(name, num_classes, advice=advice)
    data = _Data(
        jnp.asarray(epsilon, jnp.float32),
        None if sharpness is None else jnp.asarray(sharpness, jnp.float32),
        jnp.asarray(warmup_steps, jnp.int32),
        rule,
        head,
    )
    init = partial(jnp.eye, num_classes, dtype=jnp.float32)
    return Objective(data, init, _loss, refresh=_refresh, refresh_steps=refresh_steps)


def _loss(
    data: _Data,
    table: Float[Array, "classes classes"],
    logits: Float[Array | np.ndarray, "batch classes"],
    batch: Batch,
) -> Float[Array, " batch"]:
    return softmax_cross_entropy_with_label_table(logits, batch.labels, table)


def _refresh(
    data: _Data, table: Float[Array, "classes classes"], params: Any, step: Int[Array, ""] | int
) -> Float[Array, "classes classes"]:
    found = head_kernel(params, data.head, num_classes=len(table))
    kernel = jnp.asarray(operands.matrix("online_relation_labels", "kernel", found, "[N, K]"))
    similarity, _ = similarity_and_flaws(kernel, center=False)
    labels, _ = rules.labels_and_flaws(
        similarity, data.epsilon, data.sharpness, rule=data.rule, top_k=None, include_self=True
    )
    is_sound = jnp.isfinite(labels).all(axis=1) & (step >= data.warmup_steps)
    is_sound &= jnp.diagonal(labels) >= labels.max(axis=1) - rules.ROUNDING
    return jnp.where(is_sound[:, None], labels, jnp.eye(len(table), dtype=jnp.float32))
