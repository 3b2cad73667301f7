"""Every public array function as a function of one array, and eight inputs: one for a device."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import simsmooth_jax as ss

D, N, K, B = 8, 8, 16, 8  # as many inputs as devices
RNG = np.random.default_rng(0)
KERNELS = RNG.normal(size=(D, N, K)).astype(np.float32)
SIMILARITIES = np.stack([ss.cosine_similarity(kernel) for kernel in KERNELS])
LOGITS = RNG.normal(size=(D, B, K)).astype(np.float32)
FEATURES = RNG.normal(size=(D, B, N)).astype(np.float32)
EXAMPLES = RNG.normal(size=(D, 2 * K, N)).astype(np.float32)
PROBABILITIES = RNG.dirichlet(np.ones(K), (D, 2 * K)).astype(np.float32)
EPSILONS = np.linspace(0.1, 0.8, D, dtype=np.float32)
LABELS, WHERE = RNG.integers(0, K, B).astype(np.int32), np.arange(B) % 3 != 1
CLASSES = np.tile(np.arange(K, dtype=np.int32), 2)
COUNTED = np.arange(2 * K) % 5 != 2
DISTANCE = np.abs(np.subtract.outer(np.arange(K), np.arange(K))).astype(np.float32)
OTHER = RNG.normal(size=(N, K)).astype(np.float32)
TABLES = {
    "dense": ss.relation_labels_from_kernel(OTHER, epsilon=0.5),
    "top-k": ss.top_k_labels(OTHER, 4, epsilon=0.5),
    "factored": ss.factored_labels(OTHER, epsilon=0.5),
}
plain: Any = ss.softmax_cross_entropy_with_label_table
fused: Any = ss.linear_cross_entropy_with_label_table
SOFT: Any = {"rule": "softmax", "temperature": 0.3, "epsilon": 0.5, "include_self": False}
NEAR: Any = {"rule": "neighbours", "perplexity": 4.0, "epsilon": 0.3}
BATCH = ss.objectives.Batch(
    labels=jnp.asarray(LABELS), step=jnp.asarray(3), examples=jnp.arange(B, dtype=jnp.int32)
)
ROWS = np.stack([ss.relation_labels_from_kernel(kernel, epsilon=0.5) for kernel in KERNELS])
DISTANCES = 1 - SIMILARITIES
DISTANCES[:, np.arange(K), np.arange(K)] = 0
SUPERCLASSES = np.arange(K) % 2


def objective_loss(objective: Any, logits: Any) -> Any:
    return objective.loss(objective.data, objective.init(), logits, BATCH)


def linear_gradients(table: Any, features: Any) -> Any:
    loss = lambda x, w: fused(x, w, LABELS, table, where=WHERE).sum()  # noqa: E731
    # A kernel that differs as the features do: of a shared one a shard_map sums the gradients.
    return jax.grad(loss, argnums=(0, 1))(features, OTHER + 0 * features.sum())


def scores(p: Any) -> list[Any]:
    of = ss.metrics.accuracy, ss.metrics.top_k_accuracy, ss.metrics.negative_log_likelihood
    return [metric(p, CLASSES, where=COUNTED) for metric in (*of, ss.metrics.brier_score)]


def calibration(p: Any) -> list[Any]:
    of = ss.metrics.expected_calibration_error, ss.metrics.adaptive_calibration_error
    classwise = ss.metrics.classwise_calibration_error
    return [metric(p, CLASSES, 4, where=COUNTED) for metric in (*of, classwise)]


def selective(p: Any) -> list[Any]:
    areas = [
        metric(p, CLASSES, where=COUNTED) for metric in (ss.metrics.aurc, ss.metrics.excess_aurc)
    ]
    return [*areas, ss.metrics.coverage_at_risk(p, CLASSES, 1.0, where=COUNTED)]


def severity(p: Any) -> list[Any]:
    far = ss.metrics.hierarchical_distance(p, CLASSES, DISTANCE, where=COUNTED)
    return [*far, ss.metrics.minimum_risk_predictions(p, DISTANCE)]


# name -> (function of one array, eight inputs)
FUNCTIONS: dict[str, tuple[Callable[[Any], Any], np.ndarray]] = {
    "cosine_similarity": (partial(ss.cosine_similarity, center=True), KERNELS),
    "relation_labels": (partial(ss.relation_labels, top_k=5, **SOFT), SIMILARITIES),
    "relation_labels_from_kernel": (partial(ss.relation_labels_from_kernel, **SOFT), KERNELS),
    "relation_labels, neighbours": (partial(ss.relation_labels, top_k=9, **NEAR), SIMILARITIES),
    "relation_labels_from_kernel, neighbours": (
        partial(ss.relation_labels_from_kernel, **NEAR),
        KERNELS,
    ),
    "top_k_labels, neighbours": (lambda w: ss.top_k_labels(w, 9, **NEAR), KERNELS),
    "uniform_labels": (partial(ss.uniform_labels, K), EPSILONS),
    "superclass_labels": (partial(ss.superclass_labels, SUPERCLASSES), EPSILONS),
    "distance_labels": (partial(ss.distance_labels, beta=5.0, epsilon=0.5, top_k=4), DISTANCES),
    "shuffled_labels": (partial(ss.shuffled_labels, key=jax.random.key(0)), ROWS),
    "permuted_labels": (partial(ss.permuted_labels, key=jax.random.key(0)), ROWS),
    "top_k_labels": (lambda w: ss.top_k_labels(w, 4, **SOFT), KERNELS),
    "factored_labels": (lambda w: ss.factored_labels(w, "shift", epsilon=0.5), KERNELS),
    "factored_labels, literal": (lambda w: ss.factored_labels(abs(w), "literal"), KERNELS),
    "class_means": (lambda x: ss.class_means(x, CLASSES, K), EXAMPLES),
    "mean_predictions": (lambda p: ss.mean_predictions(p, CLASSES), PROBABILITIES),
    "diagnose": (lambda w: ss.diagnose(w, temperature=0.2).row_sum_max, KERNELS),
    "head_kernel": (lambda w: ss.head_kernel({"head": {"kernel": w}}), KERNELS),
    **{
        f"softmax loss, {form}": (partial(lambda t, z: plain(z, LABELS, t, where=WHERE), t), LOGITS)
        for form, t in TABLES.items()
    },
    **{
        f"linear loss, {form}": (
            partial(lambda t, x: fused(x, OTHER, LABELS, t, where=WHERE), t),
            FEATURES,
        )
        for form, t in TABLES.items()
    },
    **{
        f"its gradients, {form}": (partial(linear_gradients, t), FEATURES)
        for form, t in TABLES.items()
    },
    "target_rows, dense": (lambda t: ss.target_rows(t, LABELS), np.stack([TABLES["dense"]] * D)),
    "target_rows, top-k": (
        lambda w: ss.target_rows(ss.TopKLabels(TABLES["top-k"].indices, w), LABELS),
        np.stack([TABLES["top-k"].weights] * D),
    ),
    "target_rows, factored": (lambda w: ss.target_rows(ss.factored_labels(w), LABELS), KERNELS),
    "max_suppression": (partial(objective_loss, ss.objectives.max_suppression()), LOGITS),
    "zipf_smoothing": (partial(objective_loss, ss.objectives.zipf_smoothing()), LOGITS),
    "margin_smoothing": (
        partial(objective_loss, ss.objectives.margin_smoothing(margin=1.0)),
        LOGITS,
    ),
    "conditional_smoothing": (
        partial(objective_loss, ss.objectives.conditional_smoothing(margin=0.5)),
        LOGITS,
    ),
    "label_smoothing_plus_plus": (
        partial(objective_loss, ss.objectives.label_smoothing_plus_plus(K)),
        LOGITS,
    ),
    "self_distillation": (
        partial(objective_loss, ss.objectives.self_distillation(LOGITS[0])),
        LOGITS,
    ),
    "progressive_self_distillation": (
        partial(
            objective_loss,
            ss.objectives.progressive_self_distillation(B, K, steps_per_epoch=1, epochs=5),
        ),
        LOGITS,
    ),
    "online_label_smoothing": (
        partial(objective_loss, ss.objectives.online_label_smoothing(K)),
        LOGITS,
    ),
    "online_relation_labels": (
        partial(objective_loss, ss.objectives.online_relation_labels(K, warmup_steps=0)),
        LOGITS,
    ),
    "metrics, scores": (scores, PROBABILITIES),
    "metrics, calibration": (calibration, PROBABILITIES),
    "metrics, selective": (selective, PROBABILITIES),
    "metrics, severity": (severity, PROBABILITIES),
    "metrics.batch_values": (
        lambda z: ss.metrics.batch_values(z, LABELS, where=WHERE),
        LOGITS,
    ),
}
