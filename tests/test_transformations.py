"""Every array function gives the plain call's values under every transformation of JAX."""

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, PartitionSpec

import simsmooth_jax as ss

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_rank_promotion")]

D, N, K, B = 8, 6, 4, 5  # as many inputs as devices
RNG = np.random.default_rng(0)
KERNELS = RNG.normal(size=(D, N, K)).astype(np.float32)
# Scaled away from 1, so that finite differences stay within [-1, 1].
SIMILARITIES = 0.9 * np.stack([ss.cosine_similarity(kernel) for kernel in KERNELS])
LOGITS = RNG.normal(size=(D, B, K)).astype(np.float32)
LABELS = RNG.integers(0, K, B)
TABLES = RNG.dirichlet(np.ones(K), (D, K)).astype(np.float32)
INDICES = np.argsort(RNG.normal(size=(K, K)), axis=1)
EPSILONS = np.linspace(0.1, 0.8, D, dtype=np.float32)
soft = {"rule": "softmax", "temperature": 0.3, "epsilon": 0.5, "top_k": 3, "include_self": False}
cross_entropy = ss.softmax_cross_entropy_with_label_table

# name -> (function of one array, eight inputs)
FUNCTIONS: dict[str, tuple[Callable[[Any], jax.Array], np.ndarray]] = {
    "cosine": (ss.cosine_similarity, KERNELS),
    "labels": (partial(ss.relation_labels, **soft), SIMILARITIES),
    "from kernel": (partial(ss.relation_labels_from_kernel, top_k=2, center=True), KERNELS),
    "uniform": (partial(ss.uniform_labels, K), EPSILONS),
    "loss in logits": (lambda z: cross_entropy(z, LABELS, TABLES[0], where=LABELS > 1), LOGITS),
    "loss in table": (lambda t: cross_entropy(LOGITS[0], LABELS, t), TABLES),
    "rows, dense": (lambda t: ss.target_rows(t, LABELS), TABLES),
    "rows, top-k": (lambda w: ss.target_rows(ss.TopKLabels(INDICES, w), LABELS), TABLES),
    "rows, factored": (lambda w: ss.target_rows(ss.factored_labels(w), LABELS), KERNELS),
}


@pytest.fixture(params=FUNCTIONS)
def case(request) -> tuple[Callable[[Any], jax.Array], np.ndarray, np.ndarray]:
    """A function, eight inputs, and the plain call's eight outputs."""
    function, inputs = FUNCTIONS[request.param]
    return function, inputs, np.stack([function(x) for x in inputs])


def assert_close(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    assert np.abs(expected).max() > 0.1


def test_jit(case):
    function, inputs, expected = case
    assert_close(jax.jit(function)(inputs[0]), expected[0])


def test_vmap(case):
    function, inputs, expected = case
    assert_close(jax.vmap(function)(inputs), expected)


def test_scan(case):
    function, inputs, expected = case
    assert_close(jax.lax.scan(lambda carry, x: (carry, function(x)), 0, inputs)[1], expected)


def test_pmap(case, devices):
    function, inputs, expected = case
    assert_close(jax.pmap(function, devices=devices)(inputs), expected)


def test_shard_map(case, devices):
    function, inputs, expected = case
    mesh = jax.make_mesh((D,), ("data",), axis_types=(AxisType.Auto,), devices=devices)
    spec = PartitionSpec("data")
    mapped = jax.shard_map(lambda x: function(x[0])[None], mesh=mesh, in_specs=spec, out_specs=spec)
    assert_close(jax.jit(mapped)(inputs), expected)


def test_grad_and_jvp(case):
    function, inputs, expected = case
    directions, cotangents = RNG.normal(size=inputs[0].shape), RNG.normal(size=expected[0].shape)

    @jax.jit
    def derivatives(x, direction, cotangent):
        _, tangent = jax.jvp(function, (x,), (direction,))
        value, pullback = jax.vjp(function, x)
        return value, tangent, pullback(cotangent)[0]

    value, tangent, gradient = derivatives(
        inputs[0], np.float32(directions), np.float32(cotangents)
    )
    assert_close(value, expected[0])
    step = 1e-2 * np.float32(directions)
    formula = jax.jit(function)  # a table that is moved has other sums, which are refused outside
    difference = np.subtract(formula(inputs[0] + step), formula(inputs[0] - step)) / 2e-2
    largest = np.abs(difference).max()
    assert largest > 0.01
    np.testing.assert_allclose(tangent, difference, rtol=0.02, atol=0.01 * largest)
    # Both modes are the same linear map.
    assert np.vdot(gradient, directions) == pytest.approx(np.vdot(cotangents, tangent), abs=1e-4)


def test_rematerialisation_changes_no_gradient():
    def total(kernel):
        return (ss.relation_labels_from_kernel(kernel, "softmax", temperature=0.5) ** 2).sum()

    gradient = jax.jit(jax.grad(total))(KERNELS[0])
    assert_close(jax.jit(jax.grad(jax.checkpoint(total)))(KERNELS[0]), gradient)


def test_epsilon_and_temperature_may_be_mapped_together():
    def labels(value):
        return ss.relation_labels(
            SIMILARITIES[0], "softmax", epsilon=value, temperature=value, include_self=False
        )

    expected = np.stack([labels(float(value)) for value in EPSILONS[:3]])
    assert_close(jax.jit(jax.vmap(labels))(EPSILONS[:3]), expected)


ZERO = KERNELS[0] * (np.arange(K) != 2)[None, :]
NEGATIVE = np.array([[1, -0.5], [-0.5, 1]])
TRANSFORMATIONS: dict[str, Callable[[Callable[[Any], Any]], Any]] = {
    "jit": lambda f: jax.jit(f)(0.0),
    "vmap": lambda f: jax.vmap(f)(jnp.zeros(2)),
    "grad": lambda f: jax.grad(lambda x: f(x).sum())(0.0),
    "scan": lambda f: jax.lax.scan(lambda carry, x: (carry, f(x)), 0, jnp.zeros(2)),
    "pmap": lambda f: jax.pmap(f)(jnp.zeros(2)),
    "cond": lambda f: jax.lax.cond(True, f, lambda x: jnp.zeros(()) + x, 0.0),
}


@pytest.mark.parametrize("transform", TRANSFORMATIONS.values(), ids=TRANSFORMATIONS)
def test_constants_inside_a_transformation_are_still_checked(transform):
    message = re.escape("got zeros in kernel[:, 2] (class 2)")
    with pytest.raises(ValueError, match=message):
        transform(lambda x: x + ss.cosine_similarity(ZERO).sum())
    with pytest.raises(ValueError, match="'literal' must have every cosine >= 0"):
        transform(lambda x: x + ss.relation_labels(NEGATIVE, "literal").sum())
    with pytest.raises(ValueError, match=re.escape("epsilon must be in [0, 1], got 2.")):
        transform(lambda x: x + ss.relation_labels(NEGATIVE, epsilon=2).sum())


def test_constants_inside_a_transformation_give_the_plain_call_s_values():
    expected = ss.relation_labels_from_kernel(KERNELS[0], "shift")
    found = jax.jit(lambda x: x * ss.relation_labels_from_kernel(KERNELS[0], "shift"))(1.0)
    assert_close(found, expected)


def test_traced_values_are_not_checked_and_give_the_formula():
    found = jax.jit(ss.relation_labels, static_argnums=1)(NEGATIVE, "literal")
    np.testing.assert_allclose(found, [[2, -1], [-1, 2]], rtol=1e-6)
    found = jax.jit(lambda s, e: ss.relation_labels(s, epsilon=e))(NEGATIVE, 2.0)
    np.testing.assert_allclose(found, np.eye(2), rtol=1e-6)
    assert np.isfinite(jax.jit(ss.relation_labels_from_kernel)(ZERO)).all()
    # Shapes are known under a transformation, and refused as ever.
    with pytest.raises(
        ValueError, match=re.escape("similarity must have shape [K, K], got (1, 2)")
    ):
        jax.jit(ss.relation_labels)(NEGATIVE[:1])
