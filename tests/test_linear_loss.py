"""Head and loss in one: values and gradients in blocks of classes, memory, refusals."""

import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

import simsmooth_jax as ss
from simsmooth_jax.method.losses import class_blocks

pytestmark = pytest.mark.usefixtures("no_rank_promotion")
fused: Any = ss.linear_cross_entropy_with_label_table


def problem(batch: int, num_features: int, num_classes: int, seed: int) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(batch, num_features)).astype(np.float32)
    kernel = rng.normal(size=(num_features, num_classes)).astype(np.float32)
    bias = rng.normal(size=num_classes).astype(np.float32)
    return features, kernel, bias, rng.integers(0, num_classes, batch)


def tables(num_classes: int, seed: int) -> dict[str, tuple[Any, np.ndarray]]:
    """Each form, and its rows as an array."""
    kernel = np.random.default_rng(seed).normal(size=(3, num_classes)).astype(np.float32)
    top_k = ss.top_k_labels(kernel, 2, "shift", epsilon=0.7)
    rows = np.zeros((num_classes, num_classes))
    np.put_along_axis(rows, np.asarray(top_k.indices), np.asarray(top_k.weights), 1)
    dense = np.asarray(ss.relation_labels_from_kernel(kernel, "shift", epsilon=0.4))
    factored = ss.factored_labels(kernel, "shift", epsilon=0.4)
    literal = ss.factored_labels(np.abs(kernel), "literal")
    literal_rows = np.asarray(ss.relation_labels_from_kernel(np.abs(kernel), "literal"))
    return {
        "dense": (dense, dense),
        "top-k": (top_k, rows),
        "shift": (factored, dense),
        "literal": (literal, literal_rows),
    }


@pytest.mark.parametrize("form", ["dense", "top-k", "shift", "literal"])
@pytest.mark.parametrize(
    ("batch", "num_features", "num_classes", "block"),
    [
        (3, 4, 23, 6),
        *(
            pytest.param(*sizes, marks=pytest.mark.heavy)
            for sizes in ((1, 1, 2, 1), (5, 2, 12, 12), (2, 6, 9, 10), (4, 3, 30, 7))
        ),
    ],
)
@pytest.mark.slow
def test_agrees_with_float64_in_every_form(batch, num_features, num_classes, block, form):
    """Each of the sizes compiles programs of its own."""
    features, kernel, bias, labels = problem(batch, num_features, num_classes, 0)
    table, rows = tables(num_classes, 0)[form]
    weights = np.arange(1.0, batch + 1).astype(np.float32)  # a gradient of its own for each example

    def total(features, kernel, bias):
        losses = fused(features, kernel, labels, table, bias)
        return (weights * losses).sum(), losses

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(class_blocks, "BLOCK", block)
        jax.clear_caches()
        gradients, losses = jax.grad(total, argnums=(0, 1, 2), has_aux=True)(features, kernel, bias)

    x, w = features.astype(np.float64), kernel.astype(np.float64)
    log_p = scipy.special.log_softmax(x @ w + bias, axis=1)
    np.testing.assert_allclose(losses, -(rows[labels] * log_p).sum(axis=1), rtol=1e-5, atol=1e-5)
    d_logits = weights[:, None] * (np.exp(log_p) - rows[labels])
    expected = (d_logits @ w.T, x.T @ d_logits, d_logits.sum(axis=0))
    for found, right in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(found, right, rtol=1e-4, atol=2e-5)


def test_large_logits_and_unknown_labels():
    features, kernel, bias, labels = problem(4, 3, 20, 0)
    labels[2] = 20
    found = fused(features, 1e4 * kernel, labels, np.eye(20, dtype=np.float32), bias)
    logits = 1e4 * features.astype(np.float64) @ kernel + bias
    expected = -scipy.special.log_softmax(logits, axis=1)[np.arange(4), np.minimum(labels, 19)]
    assert np.isnan(found[2])
    np.testing.assert_allclose(np.delete(found, 2), np.delete(expected, 2), rtol=1e-5)


def test_low_precision_keeps_its_dtypes_and_sums_in_float32():
    features, kernel, bias, labels = problem(4, 3, 20, 1)
    low = [jnp.asarray(x, jnp.bfloat16) for x in (features, kernel, bias)]
    table = ss.onehot_labels(20)
    total, gradients = jax.value_and_grad(
        lambda x, w, b: fused(x, w, labels, table, b).sum(), argnums=(0, 1, 2)
    )(*low)
    assert total.dtype == jnp.float32
    assert {gradient.dtype for gradient in gradients} == {jnp.dtype("bfloat16")}
    x, w, b = (np.asarray(value, np.float32) for value in low)
    np.testing.assert_allclose(total, fused(x, w, labels, table, b).sum(), rtol=1e-2)


@pytest.mark.parametrize("form", ["top-k", "shift"])
def test_no_logits_and_no_table_are_held(equations, form):
    batch, num_classes = 24, 40_000
    features, kernel = jnp.ones((batch, 2)), jnp.ones((2, num_classes))
    table = ss.factored_labels(kernel)
    if form == "top-k":
        table = ss.TopKLabels(jnp.arange(num_classes)[:, None], jnp.ones((num_classes, 1)))
    labels = jnp.zeros(batch, jnp.int32)

    def gradients(features, kernel, table):
        return jax.value_and_grad(lambda x, w: fused(x, w, labels, table).sum(), argnums=(0, 1))(
            features, kernel
        )

    found = equations(gradients, features, kernel, table)
    sizes = {int(np.prod(v.aval.shape)) for equation in found for v in equation.outvars}
    assert max(sizes) < batch * num_classes / 4  # blocks of [B, 8192], and nothing of [K, K]
    assert batch * class_blocks.BLOCK in sizes


def test_trains_a_head_under_vmap_and_second_derivatives():
    features, kernel, _, labels = problem(4, 3, 20, 2)
    table, _ = tables(20, 0)["top-k"]
    many = jax.vmap(lambda x: fused(x, kernel, labels, table))(jnp.stack([features, 2 * features]))
    np.testing.assert_allclose(many[1], fused(2 * features, kernel, labels, table), rtol=1e-6)
    plain: Any = ss.softmax_cross_entropy_with_label_table
    curvatures = [
        jax.jvp(jax.grad(lambda w, f=f: f(w).sum()), (kernel,), (np.ones_like(kernel),))[1]
        for f in (
            lambda w: fused(features, w, labels, table),
            lambda w: plain(features @ w, labels, table),
        )
    ]
    np.testing.assert_allclose(*curvatures, rtol=1e-4, atol=1e-5)


FEATURES, KERNEL, BIAS, LABELS = problem(4, 3, 20, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            (FEATURES[:, 1:], KERNEL, LABELS),
            "features must be floating point [..., 3], got float32[4, 2]",
        ),
        ((FEATURES, KERNEL, LABELS[1:]), "labels must be integers of shape (4,), got int64[3]"),
        ((FEATURES, KERNEL, LABELS * 1.0), "labels must be integer class indices, got dtype fl"),
        ((FEATURES, KERNEL[:, 1:], LABELS), "for each of the 19 logits, got (20, 20)"),
    ],
)
def test_refuses(arguments, message):
    with pytest.raises(ss.InputError, match=re.escape(message)):
        fused(*arguments, np.eye(20))


def test_refuses_a_bias_of_other_classes_and_a_gradient_in_the_table():
    with pytest.raises(ss.InputError, match=re.escape("bias must have shape (20,), got (19,)")):
        fused(FEATURES, KERNEL, LABELS, np.eye(20), BIAS[1:])
    with pytest.raises(ss.InputError, match="table must not be differentiated, got a gradient"):
        jax.grad(lambda table: fused(FEATURES, KERNEL, LABELS, table).sum())(jnp.eye(20))
