"""The rows of a table, and what its three forms have in common, against NumPy in float64."""

import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_compact_labels import cosines, kernel_of, relation, top

import simsmooth_jax as ss
from simsmooth_jax.machine import memory
from simsmooth_jax.method.tables.forms import as_table

pytestmark = pytest.mark.usefixtures("no_rank_promotion")

K, EPSILON = 21, 0.6
SOME = kernel_of(6, K)
POSITIVE = np.abs(SOME)
LABELS = np.array([3, 0, K - 1, 3])
target_rows: Any = ss.target_rows


def mixed(rows: np.ndarray) -> np.ndarray:
    return (1 - EPSILON) * np.eye(K) + EPSILON * rows


def case(function: Any, kernel: np.ndarray, *rule: Any, k: int | None = None) -> Any:
    """A table, and its rows again."""
    temperature = 0.4 if "softmax" in rule else None
    options: dict[str, Any] = {"epsilon": EPSILON}
    options |= {"temperature": temperature} if temperature else {}
    rows = relation(cosines(kernel), rule[-1], temperature)
    return function(kernel, *rule, **options), mixed(top(rows, k) if k else rows)


FORMS: dict[str, tuple[Any, np.ndarray]] = {
    "one-hot": (ss.onehot_labels(K), np.eye(K)),
    "uniform": (ss.uniform_labels(K, EPSILON), mixed(np.full((K, K), 1 / K))),
    "dense literal": case(ss.relation_labels_from_kernel, POSITIVE, "literal"),
    "dense clip": case(ss.relation_labels_from_kernel, SOME, "clip"),
    "dense shift": case(ss.relation_labels_from_kernel, SOME, "shift"),
    "dense softmax": case(ss.relation_labels_from_kernel, SOME, "softmax"),
    "top-k literal": case(ss.top_k_labels, POSITIVE, 4, "literal", k=4),
    "top-k clip": case(ss.top_k_labels, SOME, 4, "clip", k=4),
    "top-k shift": case(ss.top_k_labels, SOME, 4, "shift", k=4),
    "top-k softmax": case(ss.top_k_labels, SOME, 4, "softmax", k=4),
    "factored literal": case(ss.factored_labels, POSITIVE, "literal"),
    "factored shift": case(ss.factored_labels, SOME, "shift"),
}
ONE_OF_EACH = [FORMS[name] for name in ("dense clip", "top-k clip", "factored shift")]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_and_rule_agrees_with_float64(form):
    given, rows = FORMS[form]
    table = as_table(given)
    for labels in (LABELS, jnp.asarray(LABELS), LABELS.astype(np.uint8)):
        found = target_rows(given, labels)
        assert found.dtype == jnp.float32
        np.testing.assert_allclose(found, rows[LABELS], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(table.to_dense(), rows, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(table.own_weights(), np.diagonal(rows), rtol=1e-5)
    assert table.num_classes == K


@pytest.mark.parametrize("batch", [(), (0,), (2, 3), (2, 1, 3)])
@pytest.mark.parametrize(("table", "rows"), ONE_OF_EACH)
def test_takes_any_leading_dimensions(table, rows, batch):
    labels = np.random.default_rng(0).integers(0, K, batch)
    found = jax.jit(target_rows)(table, labels)
    np.testing.assert_allclose(found, rows[labels], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("table", "rows"), ONE_OF_EACH)
@pytest.mark.parametrize(
    ("label", "dtype"),
    [(-1, np.int8), (K, np.int32), (2**32 + 1, np.int64), (2**64 - 1, np.uint64)],
)
def test_a_label_out_of_range_gives_a_row_of_nan_and_leaves_the_others_alone(
    table, rows, label, dtype
):
    labels = LABELS.astype(dtype)
    labels[2] = label
    found = np.asarray(target_rows(table, labels))
    np.testing.assert_array_equal(np.isnan(found), (np.arange(4) == 2)[:, None] & (rows[0] < 2))
    np.testing.assert_allclose(found[[0, 1, 3]], rows[LABELS[[0, 1, 3]]], rtol=1e-5, atol=1e-6)


def test_labels_of_64_bits_on_the_device_are_not_cut():
    with jax.enable_x64(True):
        labels = jnp.asarray([1, 2**32 + 1], jnp.int64)
        rows = np.asarray(target_rows(ss.onehot_labels(K), labels))
        losses = ss.softmax_cross_entropy_with_label_table(
            jnp.zeros((2, K), jnp.float32), labels, ss.onehot_labels(K)
        )
    np.testing.assert_array_equal(np.isnan(rows).all(axis=1), [False, True])
    np.testing.assert_array_equal(np.isnan(losses), [False, True])


def test_focal_and_mixed_losses_of_a_user_s_own_are_those_of_the_formula():
    """The loss that needs no rows is the oracle of what is made from rows."""
    logits = np.random.default_rng(1).normal(size=(4, K)).astype(np.float32)
    for table, _ in ONE_OF_EACH:
        loss = ss.softmax_cross_entropy_with_label_table
        other = LABELS[::-1].copy()
        targets = 0.3 * target_rows(table, LABELS) + 0.7 * target_rows(table, other)
        found = -(targets * jax.nn.log_softmax(logits)).sum(axis=-1)
        expected: Any = 0.3 * loss(logits, LABELS, table) + 0.7 * loss(logits, other, table)
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_gradient_in_a_dense_table_is_counted_by_label():
    weights = np.arange(4 * K, dtype=np.float32).reshape(4, K)
    found = jax.grad(lambda table: (weights * target_rows(table, LABELS)).sum())(jnp.eye(K))
    expected = np.zeros((K, K))
    np.add.at(expected, LABELS, weights)
    np.testing.assert_array_equal(found, expected)


def test_no_table_is_built_and_none_is_copied(equations):
    batch, num_classes = 8, 4000
    kernel, labels = jnp.ones((2, num_classes)), jnp.zeros(batch, jnp.int32)
    tables = [ss.factored_labels(kernel), ss.top_k_labels(kernel, 3)]
    for table in tables:
        found = equations(target_rows, table, labels)
        sizes = [np.prod(v.aval.shape) for equation in found for v in equation.outvars]
        assert max(sizes) == batch * num_classes
    dense = jax.ShapeDtypeStruct((num_classes, num_classes), jnp.float32)
    analysis: Any = jax.jit(target_rows).lower(dense, labels).compile().memory_analysis()
    assert analysis.temp_size_in_bytes < 4 * batch * num_classes


def test_a_dense_form_that_does_not_fit_is_refused_with_its_size(monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: 4 * K**2 - 1)
    for table, name in ((ONE_OF_EACH[1][0], "TopKLabels"), (ONE_OF_EACH[2][0], "FactoredLabels")):
        message = (
            f"{name}.to_dense: a table [K, K] must fit into the memory of 0.0 GiB, got 0.0 GiB for "
            f"K = {K} classes. Use target_rows(table, labels) for the rows of a batch."
        )
        with pytest.raises(ss.InputError, match=re.escape(message)):
            table.to_dense()


@pytest.mark.parametrize("index", range(3))
def test_a_table_is_equal_to_itself_alone_and_compiled_once_for_its_form(index):
    table = as_table(ONE_OF_EACH[index][0])
    again = jax.tree.map(lambda leaf: 1 * leaf, table)
    assert table == table
    assert table != again
    assert len({table, again, table}) == 2
    program: Any = jax.jit(lambda table, labels: ss.target_rows(table, labels))
    for each in (table, again):
        program(each, LABELS)
    assert program._cache_size() == 1


def test_both_rules_of_the_factored_form_are_one_program():
    program: Any = jax.jit(lambda table: ss.target_rows(table, LABELS))
    for rule in ("literal", "shift"):
        table, rows = FORMS[f"factored {rule}"]
        np.testing.assert_allclose(program(table), rows[LABELS], rtol=1e-5, atol=1e-6)
    assert program._cache_size() == 1


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            ss.TopKLabels(np.zeros((K, 2)), np.zeros((K, 2))),
            f"float64[{K}, 2] and [{K}, 2]. Make them with top_k_labels.",
        ),
        (ss.TopKLabels(np.zeros((K, 2), int), np.zeros((K, 3))), f"int64[{K}, 2] and [{K}, 3]."),
        (ss.TopKLabels(np.zeros((K, 0), int), np.zeros((K, 0))), f"int64[{K}, 0] and [{K}, 0]."),
        (ss.TopKLabels(np.zeros(K, int), np.zeros(K)), f"int64[{K}] and [{K}]."),
    ],
)
def test_top_k_labels_that_are_none(table, message):
    expected = f"indices and weights must be integers and floats of one shape [K, k], got {message}"
    with pytest.raises(ss.InputError, match=re.escape(expected)):
        target_rows(table, LABELS)
    with pytest.raises(ss.InputError, match=re.escape(expected)):
        ss.softmax_cross_entropy_with_label_table(np.zeros((4, K), np.float32), LABELS, table)
