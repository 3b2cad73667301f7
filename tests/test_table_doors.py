"""What a table may hold: looked at where it is known, NaN where it is traced, in both losses."""

import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

import simsmooth_jax as ss

N, K, B = 4, 6, 5
RNG = np.random.default_rng(0)
KERNEL = RNG.normal(size=(N, K)).astype(np.float32)
FEATURES = RNG.normal(size=(B, N)).astype(np.float32)
LOGITS = FEATURES @ KERNEL
LABELS = np.array([0, 1, 2, 3, 0], np.int32)
TOP: Any = ss.top_k_labels(KERNEL, 3)
plain: Any = ss.softmax_cross_entropy_with_label_table
fused: Any = ss.linear_cross_entropy_with_label_table


def both(table: Any) -> tuple[Any, Any]:
    return plain(LOGITS, LABELS, table), fused(FEATURES, KERNEL, LABELS, table)


def with_index(index: int) -> Any:
    indices = np.asarray(TOP.indices).astype(np.int64)
    indices[0, 2] = index
    return ss.TopKLabels(indices, TOP.weights)


@pytest.mark.parametrize("index", [-1, K, 2**32, -(2**31)])
def test_an_index_that_is_no_class(index):
    table = with_index(index)
    message = (
        f"every index of a top-k table must be a class from 0 to {K - 1}, got another in row 0"
    )
    for call in (lambda: both(table), lambda: ss.target_rows(table, LABELS)):
        with pytest.raises(ss.InputError, match=re.escape(message)):
            call()
    with jax.enable_x64(True):  # where an index of 64 bits can be traced
        losses = jax.jit(both)(table)
    for found, right in zip(losses, both(TOP), strict=True):
        np.testing.assert_array_equal(np.isnan(found), LABELS == 0)
        np.testing.assert_allclose(found[1:4], right[1:4], rtol=1e-6)


RAW: Any = ss.factored_labels(KERNEL)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (ss.cosine_similarity(KERNEL), "every row of table must sum to 1, got "),
        (np.full((K, K), np.nan), "every row of table must sum to 1, got nan in row 0."),
        (2 * np.eye(K), "every row of table must sum to 1, got 2 in row 0. A similarity goes to"),
        (np.eye(K) + 0j, "table must hold real numbers, got dtype complex128."),
        (
            ss.TopKLabels(TOP.indices, TOP.weights[:, :1]),
            "of one shape [K, k], got int32[6, 3] and",
        ),
        (ss.TopKLabels(TOP.indices[:, 0], TOP.weights[:, 0]), "one shape [K, k], got int32[6] and"),
        (ss.TopKLabels(TOP.indices, 2 * TOP.weights), "every row of table must sum to 1, got 2 in"),
        (
            ss.FactoredLabels(KERNEL, RAW.row_sums, RAW.epsilon, "shift"),
            "every column of a factored table must have length 1 and its own row sum, got another",
        ),
        (
            ss.FactoredLabels(RAW.kernel, RAW.row_sums + 1, RAW.epsilon, "shift"),
            "every column of a factored table must have length 1 and its own row sum, got another",
        ),
        (
            ss.FactoredLabels(RAW.kernel, RAW.row_sums[1:], RAW.epsilon, "shift"),
            "row_sums must be a number for each of 6 columns, got [5].",
        ),
    ],
)
def test_what_is_no_table_of_labels(table, message):
    for loss in (
        lambda: plain(LOGITS, LABELS, table),
        lambda: fused(FEATURES, KERNEL, LABELS, table),
        lambda: ss.objectives.label_table(table),
        lambda: ss.target_rows(table, LABELS),
    ):
        with pytest.raises(ss.InputError, match=re.escape(message)):
            loss()


def test_a_table_closed_over_by_a_program_is_looked_at_as_well():
    similarity = ss.cosine_similarity(KERNEL)
    with pytest.raises(ss.InputError, match="every row of table must sum to 1"):
        jax.jit(lambda z: plain(z, LABELS, similarity))(LOGITS)


def test_rows_in_low_precision_sum_to_1_within_it():
    for dtype in (jnp.bfloat16, jnp.float16):
        table = jnp.asarray(ss.uniform_labels(K, 0.37), dtype)
        assert np.isfinite(plain(LOGITS, LABELS, table)).all()


def test_a_bias_is_real():
    with pytest.raises(ss.InputError, match="bias must hold real numbers, got dtype complex64"):
        fused(FEATURES, KERNEL, LABELS, TOP, np.ones(K, np.complex64))


@pytest.mark.parametrize("rule", ["literal", "shift"])
@pytest.mark.parametrize("epsilon", [0.0, 0.5, 1.0])
def test_an_impossible_class_is_the_same_in_the_factored_and_in_the_dense_form(rule, epsilon):
    kernel = np.array([[1, 0, 0], [0, 1, 1], [0, 1, 0]], np.float32)
    logits, labels = np.array([[-np.inf, 0, 0], [0, -np.inf, 0]], np.float32), np.array([1, 1])
    tables = (
        ss.factored_labels(kernel, rule, epsilon=epsilon),
        ss.relation_labels_from_kernel(kernel, rule, epsilon=epsilon),
    )
    program = jax.value_and_grad(lambda z, t: plain(z, labels, t)[0])
    (some, gradient), (right, expected) = (program(logits, table) for table in tables)
    np.testing.assert_allclose(some, right, rtol=1e-6)
    np.testing.assert_allclose(gradient, expected, atol=1e-6)
    assert np.isinf(plain(logits, labels, tables[0])[1])  # the own class
    if rule == "literal":
        np.testing.assert_allclose(some, np.log(2), rtol=1e-6)


def test_the_factored_loss_takes_the_memory_of_a_loss_of_integers():
    batch, num_classes = 1024, 10_000
    logits = jax.ShapeDtypeStruct((batch, num_classes), jnp.float32)
    labels = jax.ShapeDtypeStruct((batch,), jnp.int32)
    table = ss.factored_labels(RNG.normal(size=(64, num_classes)).astype(np.float32))
    program = jax.jit(jax.value_and_grad(lambda z, y, t: plain(z, y, t).mean()))
    analysis: Any = program.lower(logits, labels, table).compile().memory_analysis()
    of_integers = 2 * 4 * batch * num_classes  # logits and their gradient, as optax takes
    own = 4 * batch * num_classes + analysis.output_size_in_bytes + analysis.temp_size_in_bytes
    assert own <= 1.1 * of_integers


def test_ties_go_to_the_lower_class_in_every_form():
    """Of small integers; what differs by rounding alone may go either way, in both forms alike."""
    for seed in range(60):
        kernel = np.random.RandomState(seed).randint(-2, 3, (3, K)).astype(np.float32)
        kernel[0, ~kernel.any(axis=0)] = 1
        unit = kernel.astype(np.float64) / np.linalg.norm(kernel.astype(np.float64), axis=0)
        above = np.where(np.eye(K, dtype=bool), 9, unit.T @ unit)
        options: Any = {"rule": "softmax", "temperature": 0.5}
        table = ss.top_k_labels(kernel, 3, **options)
        dense = ss.relation_labels_from_kernel(kernel, top_k=3, **options)
        np.testing.assert_allclose(table.to_dense(), dense, atol=1e-6)
        kept = np.take_along_axis(above, np.asarray(table.indices), 1)
        np.testing.assert_allclose(kept, -np.sort(-above, axis=1)[:, :3], atol=1e-6)
    equal = np.ones((2, K), np.float32)  # all columns, exactly
    np.testing.assert_array_equal(
        ss.top_k_labels(equal, 3).indices, [[0, 1, 2], [1, 0, 2], *[[k, 0, 1] for k in range(2, K)]]
    )


@pytest.mark.parametrize("lead", [(), (2, 3), (2, 1, 3)])
def test_the_fused_loss_takes_any_leading_axes(lead):
    x = RNG.normal(size=(*lead, N)).astype(np.float32)
    labels, where = RNG.integers(0, K, lead), RNG.random(lead) < 0.6
    found = fused(x, KERNEL, labels, TOP, where=where)
    np.testing.assert_allclose(found, plain(x @ KERNEL, labels, TOP, where=where), atol=1e-5)
    assert found.shape == lead


def test_leading_axes_on_explicit_mesh_axes(devices):
    mesh = jax.make_mesh((2, 4), ("data", "time"), devices=devices)
    x = RNG.normal(size=(4, 8, N)).astype(np.float32)
    labels = RNG.integers(0, K, (4, 8)).astype(np.int32)
    program = jax.jit(jax.value_and_grad(lambda x, y: fused(x, KERNEL, y, TOP).sum()))
    expected = program(x, labels)
    for spec in (P("data"), P("data", "time"), P(None, "time")):
        given = (jax.device_put(a, NamedSharding(mesh, spec)) for a in (x, labels))
        for some, right in zip(program(*given), expected, strict=True):
            np.testing.assert_allclose(np.asarray(some), np.asarray(right), rtol=1e-5, atol=1e-5)


def test_masked_features_reach_no_gradient():
    x, where = FEATURES.copy(), np.arange(B) != 2
    x[2] = np.nan
    losses, gradients = jax.value_and_grad(
        lambda x, w: fused(x, w, LABELS, TOP, where=where).sum(), argnums=(0, 1)
    )(x, KERNEL)
    rest = np.arange(B) != 2
    right, expected = jax.value_and_grad(
        lambda x, w: fused(x, w, LABELS[rest], TOP).sum(), argnums=(0, 1)
    )(x[rest], KERNEL)
    np.testing.assert_allclose(losses, right, rtol=1e-6)
    np.testing.assert_allclose(gradients[0][rest], expected[0], atol=1e-6)
    assert not gradients[0][2].any()
    np.testing.assert_allclose(gradients[1], expected[1], atol=1e-6)


def test_a_shared_kernel_gets_the_gradients_of_all_devices_in_a_shard_map(devices):
    mesh = jax.make_mesh((8,), ("data",), devices=devices)
    x = RNG.normal(size=(16, N)).astype(np.float32)
    labels = RNG.integers(0, K, 16).astype(np.int32)

    def gradient(x, y, w):
        return jax.grad(lambda w: jax.lax.psum(fused(x, w, y, TOP).sum(), "data"))(w)

    mapped = jax.shard_map(gradient, mesh=mesh, in_specs=(P("data"), P("data"), P()), out_specs=P())
    put = [jax.device_put(a, NamedSharding(mesh, P("data"))) for a in (x, labels)]
    found = jax.jit(mapped)(*put, jax.device_put(KERNEL, NamedSharding(mesh, P())))
    expected = jax.grad(lambda w: fused(x, w, labels, TOP).sum())(KERNEL)
    np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-5, atol=1e-5)
