"""cosine_similarity: values, invariances, edges of float32, refusals."""

import re

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
import sklearn.metrics.pairwise
from compilations import count_compilations
from hypothesis import given
from hypothesis.extra.numpy import arrays

import simsmooth_jax as ss

pytestmark = pytest.mark.usefixtures("no_rank_promotion")

SHAPES = [(1, 2), (2, 3), (3, 3), (6, 4)]  # few, for every one is compiled
K = 4
# Zero, equal and opposite entries are likely; the tests of range go down to 1e-30 themselves.
ENTRIES = st.floats(-4, 4, width=16).map(lambda x: x if abs(x) > 1e-3 else 0.0)


def kernels(*shapes: tuple[int, int]) -> st.SearchStrategy[np.ndarray]:
    """Kernels without zero columns."""
    shape = st.sampled_from(shapes or SHAPES)
    return shape.flatmap(lambda s: arrays(np.float32, s, elements=ENTRIES)).filter(
        lambda kernel: bool(kernel.any(axis=0).all())
    )


def oracle(kernel: np.ndarray) -> np.ndarray:
    return sklearn.metrics.pairwise.cosine_similarity(kernel.astype(np.float64).T)


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@given(kernels())
def test_agrees_with_scikit_learn(kernel):
    np.testing.assert_allclose(ss.cosine_similarity(kernel), oracle(kernel), rtol=0, atol=1e-6)


def test_agrees_with_scikit_learn_on_a_real_size():
    kernel = normal(512, 100)
    np.testing.assert_allclose(ss.cosine_similarity(kernel), oracle(kernel), rtol=0, atol=1e-6)


def test_center_is_the_cosine_of_the_columns_less_their_mean():
    kernel = normal(64, 10) + 5
    kernel64 = kernel.astype(np.float64)
    expected = oracle(kernel64 - kernel64.mean(axis=1, keepdims=True))
    similarity = ss.cosine_similarity(kernel, center=True)
    np.testing.assert_allclose(similarity, expected, rtol=0, atol=1e-5)
    assert np.abs(similarity - ss.cosine_similarity(kernel)).max() > 0.5


@given(kernels(), st.booleans())
def test_is_exactly_symmetric_with_diagonal_1_within_bounds(kernel, center):
    similarity = np.asarray(jax.jit(ss.cosine_similarity, static_argnames="center")(kernel))
    assert similarity.dtype == np.float32
    np.testing.assert_array_equal(similarity, similarity.T)
    np.testing.assert_array_equal(np.diag(similarity), 1)
    assert np.abs(similarity).max() <= 1


def test_parallel_columns_stay_within_bounds():
    kernel = normal(64, 10)
    kernel[:, 5:] = kernel[:, :5] * [1, -1, 3, -3, 0.1]  # rounding takes some cosines beyond 1
    similarity = np.asarray(ss.cosine_similarity(kernel))
    assert np.abs(similarity).max() == 1
    np.testing.assert_allclose(similarity[range(5), range(5, 10)], [1, -1, 1, -1, 1], atol=1e-6)


@given(kernels())
def test_is_positive_semidefinite_within_rounding(kernel):
    least = np.linalg.eigvalsh(np.asarray(ss.cosine_similarity(kernel), np.float64))[0]
    assert least >= -1e-6


@given(kernels((6, K)), st.lists(st.integers(-90, 90), min_size=K, max_size=K))
def test_scaling_columns_by_powers_of_two_changes_no_bit(kernel, exponents):
    scaled = np.ldexp(kernel, np.array(exponents))
    np.testing.assert_array_equal(ss.cosine_similarity(scaled), ss.cosine_similarity(kernel))


@given(kernels((6, K)), st.lists(st.floats(-30, 30), min_size=K, max_size=K))
def test_scaling_columns_by_1e_minus_30_to_1e30_changes_nothing(kernel, exponents):
    scaled = (kernel * 10.0 ** np.array(exponents)).astype(np.float32)
    np.testing.assert_allclose(ss.cosine_similarity(scaled), oracle(kernel), rtol=0, atol=1e-6)


@given(kernels((6, K)), st.integers(0, K - 1))
def test_flipping_a_column_flips_its_row_and_column(kernel, column):
    flips = np.ones(K, np.float32)
    flips[column] = -1
    expected = np.asarray(ss.cosine_similarity(kernel)) * flips[:, None] * flips[None, :]
    np.testing.assert_array_equal(ss.cosine_similarity(kernel * flips[None, :]), expected)


@given(kernels((6, K)), st.permutations(range(K)))
def test_permuting_the_classes_permutes_rows_and_columns(kernel, order):
    expected = np.asarray(ss.cosine_similarity(kernel))[np.ix_(order, order)]
    np.testing.assert_allclose(ss.cosine_similarity(kernel[:, order]), expected, rtol=0, atol=1e-6)


@given(kernels((6, K)), st.integers(0, 99))
def test_rotating_the_features_changes_nothing(kernel, seed):
    rotation = scipy.stats.ortho_group.rvs(6, random_state=seed)
    rotated = (rotation @ kernel).astype(np.float32)
    np.testing.assert_allclose(
        ss.cosine_similarity(rotated), ss.cosine_similarity(kernel), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize(
    "dtype", [jnp.bfloat16, np.float16, np.float64, np.int8, np.int32, np.uint8]
)
def test_takes_any_real_dtype_and_gives_float32(dtype):
    kernel = np.abs(4 * normal(6, K) + 1).astype(dtype)
    similarity = ss.cosine_similarity(kernel)
    assert similarity.dtype == jnp.float32
    np.testing.assert_allclose(similarity, oracle(kernel), rtol=0, atol=1e-6)


@pytest.mark.parametrize("scale", [1e-30, 1e-15, 1.0, 1e15, 1e30])
def test_gradient_is_finite_and_inverse_to_the_length_of_the_columns(scale):
    weights, kernel = jnp.asarray(normal(K, K)), jnp.asarray(normal(6, K))

    @jax.jit
    def gradient(kernel):
        return jax.grad(lambda kernel: (weights * ss.cosine_similarity(kernel)).sum())(kernel)

    found = np.asarray(gradient(kernel * scale), np.float64) * scale
    np.testing.assert_allclose(found, gradient(kernel), rtol=1e-4, atol=1e-5)
    assert np.abs(found).max() > 0.1


def test_zero_column_inside_a_transformation_has_cosine_0_and_gradient_0():
    kernel = jnp.asarray(normal(6, K)).at[:, 1].set(0)
    similarity, pullback = jax.vjp(ss.cosine_similarity, kernel)
    np.testing.assert_array_equal(similarity[1], [0, 1, 0, 0])
    (gradient,) = pullback(jnp.asarray(normal(K, K)))
    assert np.isfinite(gradient).all()
    np.testing.assert_array_equal(gradient[:, 1], 0)
    assert np.abs(gradient[:, 0]).max() > 0.01
    tangent = jax.jvp(ss.cosine_similarity, (kernel,), (jnp.ones_like(kernel),))[1]
    assert np.isfinite(tangent).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_propagates_to_its_class_inside_a_transformation(bad):
    kernel = normal(6, K)
    kernel[2, 1] = bad
    expected = np.zeros((K, K), bool)
    expected[1, :] = expected[:, 1] = True
    np.testing.assert_array_equal(np.isnan(jax.jit(ss.cosine_similarity)(kernel)), expected)


def test_product_has_full_precision_on_every_backend(equations):
    highest = (jax.lax.Precision.HIGHEST, jax.lax.Precision.HIGHEST)
    products = [
        e for e in equations(ss.cosine_similarity, normal(6, K)) if "dot" in str(e.primitive)
    ]
    assert [product.params["precision"] for product in products] == [highest]


def test_a_call_compiles_one_program_and_the_next_none():
    kernel = normal(7, 9)  # a shape of its own
    with count_compilations("") as programs:
        ss.cosine_similarity(kernel)
        ss.cosine_similarity(kernel + 1)
    assert len(programs) == 1, programs


@pytest.mark.parametrize("columns", [3, 4])
def test_refuses_a_column_at_the_mean_under_center(columns):
    """Its centred direction is that of rounding errors alone."""
    kernel = 1000 * normal(8, columns)
    kernel[:, -1] = kernel[:, :-1].mean(axis=1)
    message = re.escape(f"got zeros in centred kernel[:, {columns - 1}] (class {columns - 1})")
    with pytest.raises(ValueError, match=message):
        ss.cosine_similarity(kernel, center=True)
