"""softmax_cross_entropy_with_label_table: values, gradients, masks, edges, memory, refusals."""

from typing import Any

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.special
from hypothesis import given
from hypothesis.extra.numpy import arrays

import simsmooth_jax as ss

pytestmark = pytest.mark.usefixtures("no_rank_promotion")

K, B = 11, 7  # different, so that a second [K, K] array cannot hide behind [B, K]
RNG = np.random.default_rng(0)
LOGITS = (3 * RNG.normal(size=(B, K))).astype(np.float32)
LABELS = RNG.integers(0, K, B)
TABLE = RNG.dirichlet(np.ones(K), K).astype(np.float32)
IDENTITY = np.eye(K, dtype=np.float32)
loss: Any = ss.softmax_cross_entropy_with_label_table  # NumPy arguments are as good as JAX's


def oracle(logits: np.ndarray, labels: np.ndarray, table: np.ndarray) -> np.ndarray:
    log_probabilities = scipy.special.log_softmax(logits.astype(np.float64), axis=-1)
    return -(table.astype(np.float64)[labels] * log_probabilities).sum(axis=-1)


@given(
    arrays(np.float32, (B, K), elements=st.floats(-1e4, 1e4, width=32)),
    arrays(np.int32, B, elements=st.integers(0, K - 1)),
)
def test_agrees_with_float64_and_stays_finite_at_large_logits(logits, labels):
    losses = loss(logits, labels, TABLE)
    assert losses.dtype == jnp.float32
    np.testing.assert_allclose(losses, oracle(logits, labels, TABLE), rtol=1e-5, atol=1e-5)
    gradient = jax.grad(lambda logits: loss(logits, labels, TABLE).sum())(logits)
    expected = scipy.special.softmax(logits.astype(np.float64), axis=-1) - TABLE[labels]
    np.testing.assert_allclose(gradient, expected, rtol=0, atol=2e-6)
    np.testing.assert_allclose(np.asarray(gradient).sum(axis=-1), 0, rtol=0, atol=1e-5)


def test_identity_table_is_the_integer_label_loss_of_optax():
    expected = optax.softmax_cross_entropy_with_integer_labels(LOGITS, LABELS)
    np.testing.assert_allclose(loss(LOGITS, LABELS, ss.onehot_labels(K)), expected, rtol=1e-6)


def test_uniform_table_is_the_label_smoothing_of_optax():
    smoothed = optax.smooth_labels(jax.nn.one_hot(LABELS, K), 0.1)
    expected = optax.softmax_cross_entropy(LOGITS, smoothed)
    np.testing.assert_allclose(loss(LOGITS, LABELS, ss.uniform_labels(K, 0.1)), expected, rtol=1e-6)


def test_gradient_of_rows_that_do_not_sum_to_1_is_the_documented_one():
    gradient = jax.jit(jax.grad(lambda z, t: loss(z, LABELS, t).sum()))(LOGITS, 2 * TABLE)
    expected = 2 * (scipy.special.softmax(LOGITS.astype(np.float64), axis=-1) - TABLE[LABELS])
    np.testing.assert_allclose(gradient, expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("table", [TABLE, IDENTITY], ids=["dense", "with zeros"])
def test_gradient_in_the_table_is_minus_the_log_probabilities_summed_by_label(table):
    gradient = jax.grad(lambda table: loss(LOGITS, LABELS, table).sum())(table)
    expected = np.zeros((K, K))
    np.add.at(expected, LABELS, -scipy.special.log_softmax(LOGITS.astype(np.float64), axis=-1))
    np.testing.assert_allclose(gradient, expected, rtol=1e-5)


def test_impossible_class_without_weight_in_the_label_contributes_nothing():
    logits, table = LOGITS.copy(), TABLE.copy()
    logits[:, 4], table[:, 4] = -np.inf, 0
    table /= table.sum(axis=1, keepdims=True)
    rest = [k for k in range(K) if k != 4]
    value, gradient = jax.value_and_grad(lambda z: loss(z, LABELS, table).sum())(logits)
    log_probabilities = scipy.special.log_softmax(logits[:, rest].astype(np.float64), axis=-1)
    np.testing.assert_allclose(value, -(table[LABELS][:, rest] * log_probabilities).sum(), 1e-5)
    assert np.isfinite(gradient).all()
    np.testing.assert_array_equal(gradient[:, 4], 0)
    in_table = jax.grad(lambda table: loss(logits, LABELS, table).sum())(table)
    assert np.isfinite(in_table).all()
    assert np.isinf(loss(logits, LABELS, TABLE)).all()  # with weight it is infinitely wrong


def test_masked_examples_have_loss_0_and_gradient_0_whatever_they_hold():
    mask = np.arange(B) % 3 != 1
    logits, labels = LOGITS.copy(), LABELS.copy()
    logits[1], logits[4], labels[1], labels[4] = np.nan, np.inf, -1, K

    def total(logits, labels, table, where=None):
        losses = loss(logits, labels, table, where=where)
        return losses.sum(), losses

    arguments = (mask[:, None] * LOGITS, LABELS, TABLE)
    gradient = jax.grad(total, argnums=(0, 2), has_aux=True)
    (in_logits, in_table), losses = gradient(logits, labels, TABLE, mask)
    (expected, _), _ = gradient(*arguments)
    np.testing.assert_array_equal(losses == 0, ~mask)
    np.testing.assert_allclose(losses[mask], oracle(*arguments)[mask], rtol=1e-5)
    np.testing.assert_allclose(in_logits, mask[:, None] * expected, rtol=0, atol=1e-6)
    assert np.isfinite(in_table).all()


@pytest.mark.parametrize(
    ("label", "dtype"),
    [
        *[(label, np.int32) for label in (-1, -K, K, 2**31 - 1)],
        *[
            (-1, np.int8),
            (K, np.uint8),
            (255, np.uint8),
            (2**32 - 1, np.uint32),
            (2**32 + 1, np.int64),
            (2**64 - 1, np.uint64),
        ],
    ],
)
def test_label_out_of_range_gives_nan_and_leaves_the_others_alone(label, dtype):
    labels = LABELS.astype(dtype)
    labels[2] = label
    losses = np.asarray(loss(LOGITS, labels, TABLE))
    np.testing.assert_array_equal(np.isnan(losses), np.arange(B) == 2)
    others = np.arange(B) != 2
    np.testing.assert_allclose(losses[others], oracle(LOGITS, LABELS, TABLE)[others], rtol=1e-5)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_low_precision_logits_are_computed_in_float32(dtype):
    logits = jnp.asarray(LOGITS, dtype)
    losses = loss(logits, LABELS.astype(np.uint8), jnp.asarray(TABLE, dtype))
    assert losses.dtype == jnp.float32
    expected = oracle(np.asarray(logits), LABELS, np.asarray(jnp.asarray(TABLE, dtype)))
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    gradient = jax.grad(lambda logits: loss(logits, LABELS, TABLE).sum())(logits)
    assert gradient.dtype == dtype


@pytest.mark.parametrize("batch", [(), (0,), (5,), (2, 3), (2, 1, 3)])
def test_takes_any_leading_dimensions(batch):
    rng = np.random.default_rng(1)
    logits, labels = rng.normal(size=(*batch, K)), rng.integers(0, K, batch)
    losses = jax.jit(loss)(logits.astype(np.float32), labels, TABLE, where=np.ones(batch, bool))
    assert losses.shape == batch
    np.testing.assert_allclose(losses, oracle(logits, labels, TABLE), rtol=1e-5)


def one_hots_and_tables(found: list[Any]) -> list[str]:
    """Equations that compare with a counter, as one-hot does, or give an array `[K, K]`."""
    shapes = [(str(e.primitive), out.aval.shape) for e in found for out in e.outvars]
    return [name for name, shape in shapes if name == "iota" or shape == (K, K)]


def test_builds_no_one_hot_and_no_second_table(equations):
    mask = np.ones(B, bool)

    def total(logits, where=None):
        return loss(logits, LABELS, jnp.asarray(TABLE), where=where).sum()

    for program in (total, jax.grad(total), jax.jit(jax.value_and_grad(total))):
        assert one_hots_and_tables(equations(program, LOGITS)) == []
        assert one_hots_and_tables(equations(program, LOGITS, mask)) == []


def test_finds_the_one_hot_and_the_second_table_of_a_loss_that_builds_them(equations):
    def dense(logits):
        smoothed = 0.9 * jax.nn.one_hot(LABELS, K) @ jnp.asarray(TABLE)
        return optax.softmax_cross_entropy(logits, smoothed).sum()

    assert "iota" in one_hots_and_tables(equations(dense, LOGITS))
    found = equations(lambda table: loss(LOGITS, LABELS, 0.9 * table), TABLE)
    assert one_hots_and_tables(found) == ["mul"]
