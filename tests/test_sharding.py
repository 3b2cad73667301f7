"""Global arrays that are sharded over a mesh of eight devices: same values, same refusals."""

import contextlib
import dataclasses
import re
from typing import Any

import jax
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import simsmooth_jax as ss

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_rank_promotion")]

B, N, K = 16, 12, 8
RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(B, K)).astype(np.float32)
LABELS = RNG.integers(0, K, B)
TABLE = RNG.dirichlet(np.ones(K), K).astype(np.float32)
KERNEL = RNG.normal(size=(N, K)).astype(np.float32)


@pytest.fixture(scope="module", params=[AxisType.Auto, AxisType.Explicit], ids=str)
def mesh(request, devices) -> jax.sharding.Mesh:
    axes = (request.param, request.param)
    return jax.make_mesh((4, 2), ("data", "classes"), axis_types=axes, devices=devices)


def entered(mesh: jax.sharding.Mesh, enter: bool) -> Any:
    return jax.set_mesh(mesh) if enter else contextlib.nullcontext()


def put(value: np.ndarray, mesh: jax.sharding.Mesh, spec: P) -> jax.Array:
    return jax.device_put(value, NamedSharding(mesh, spec))


def assert_close(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(np.asarray(found), np.asarray(expected), rtol=0, atol=1e-6)


def loss_and_gradients(logits: Any, labels: Any, table: Any, where: Any) -> Any:
    def total(logits, table):
        losses = ss.softmax_cross_entropy_with_label_table(logits, labels, table, where=where)
        return losses.sum(), losses

    return jax.grad(total, argnums=(0, 1), has_aux=True)(logits, table)


@pytest.mark.parametrize(
    ("logits_spec", "table_spec", "enter"),
    [
        (P("data"), P(), False),  # data parallel
        (P("data"), P(), True),
        (P(None, "classes"), P(None, "classes"), True),
        (P("data", "classes"), P("classes"), False),
    ],
    ids=str,
)
def test_loss_and_gradients_of_a_sharded_batch(mesh, logits_spec, table_spec, enter):
    where = np.arange(B) % 5 != 0
    expected = loss_and_gradients(LOGITS, LABELS, TABLE, where)
    with entered(mesh, enter):
        logits, table = put(LOGITS, mesh, logits_spec), put(TABLE, mesh, table_spec)
        labels, where = (put(x, mesh, P(*logits_spec[:1])) for x in (LABELS, where))
        assert len(logits.sharding.device_set) == 8
        found = jax.jit(loss_and_gradients)(logits, labels, table, where)
    jax.tree.map(assert_close, found, expected)


def test_loss_outside_of_jit(mesh):
    loss = ss.softmax_cross_entropy_with_label_table
    logits, labels = put(LOGITS, mesh, P("data")), put(LABELS, mesh, P("data"))
    assert_close(loss(logits, labels, ss.onehot_labels(K)), loss(LOGITS, LABELS, np.eye(K)))
    assert np.isnan(loss(logits, labels + K, ss.onehot_labels(K))).all()


@pytest.mark.parametrize(
    ("form", "table_spec"),
    [
        ("dense", P()),
        ("dense", P("data", "classes")),
        ("dense", P("classes")),
        ("top-k", P("classes")),
        ("factored", P()),
        ("factored", P(None, "classes")),
    ],
    ids=str,
)
@pytest.mark.parametrize("labels_spec", [P("data"), P(("data", "classes")), P()], ids=str)
def test_rows_lie_where_their_labels_do(mesh, form, table_spec, labels_spec):
    tables = {"dense": TABLE, "top-k": ss.top_k_labels(KERNEL, 3)}
    table: Any = (tables | {"factored": ss.factored_labels(KERNEL)})[form]
    expected = ss.target_rows(table, LABELS)
    placed = jax.tree.map(lambda x: put(x, mesh, P(*table_spec[: np.ndim(x)])), table)
    labels = put(LABELS, mesh, labels_spec)
    found: list[Any] = [f(placed, labels) for f in (ss.target_rows, jax.jit(ss.target_rows))]
    for rows in found:
        assert_close(rows, expected)
        if mesh.axis_types[0] == AxisType.Explicit:  # on Auto axes it is for XLA to say
            assert rows.sharding.spec[0] == [*labels_spec, None][0]
    assert_close(ss.target_rows(placed, LABELS), expected)  # the mesh is the table's alone
    assert_close(ss.target_rows(table, labels), expected)


def test_gradient_in_a_sharded_table_of_which_rows_are_taken(mesh):
    def total(table, labels):
        return (ss.target_rows(table, labels) ** 2).sum()

    expected = jax.grad(total)(TABLE, LABELS)
    with entered(mesh, True):
        table, labels = put(TABLE, mesh, P(None, "classes")), put(LABELS, mesh, P("data"))
        assert_close(jax.jit(jax.grad(total))(table, labels), expected)


FUNCTIONS = {
    "cosine": (lambda kernel: ss.cosine_similarity(kernel, center=True), KERNEL),
    "labels": (
        lambda similarity: ss.relation_labels(similarity, "shift", top_k=3, epsilon=0.5),
        np.asarray(ss.cosine_similarity(KERNEL)),
    ),
    "from kernel": (
        lambda kernel: ss.relation_labels_from_kernel(
            kernel, "softmax", temperature=0.2, epsilon=0.3, include_self=False
        ),
        KERNEL,
    ),
    "neighbours": (
        lambda kernel: ss.relation_labels_from_kernel(
            kernel, "neighbours", perplexity=2.5, epsilon=0.3, top_k=5
        ),
        KERNEL,
    ),
    "diagnosis": (lambda kernel: [ss.diagnose(kernel, temperature=0.1).row_sum_min], KERNEL),
}


@pytest.mark.parametrize(
    ("name", "spec", "enter"),
    [
        ("cosine", P("data"), False),
        ("labels", P("data", "classes"), True),
        ("from kernel", P(), False),
        ("from kernel", P(None, "classes"), True),
        ("neighbours", P(None, "classes"), True),
        ("diagnosis", P(None, "classes"), False),
    ],
    ids=str,
)
def test_values_of_a_sharded_matrix(mesh, name, spec, enter):
    function, argument = FUNCTIONS[name]
    expected = function(argument)
    with entered(mesh, enter):
        found = function(put(argument, mesh, spec))
    assert_close(found, expected)


def test_diagnosis_of_many_sharded_classes(mesh):
    """A sample of the rows, and then all of them, as it holds no negative cosine."""
    kernel = np.random.default_rng(0).uniform(0.1, 1, (8, 1104)).astype(np.float32)

    def numbers(kernel: Any) -> list[Any]:
        return jax.tree.leaves(dataclasses.asdict(ss.diagnose(kernel, temperature=0.1)))

    expected = numbers(kernel)
    found = numbers(put(kernel, mesh, P("data", "classes")))
    for one, other in zip(found, expected, strict=True):
        assert one == (other if isinstance(other, str) else pytest.approx(other, rel=2e-4))
    kernel[0, 3] = -9
    sharded = ss.diagnose(put(kernel, mesh, P("data", "classes")), temperature=0.1)
    assert not sharded.rules[0].well_posed


def test_gradient_of_a_sharded_kernel(mesh):
    @jax.jit
    def gradient(kernel):
        return jax.grad(lambda kernel: (ss.relation_labels_from_kernel(kernel) ** 2).sum())(kernel)

    assert_close(gradient(put(KERNEL, mesh, P("data", "classes"))), gradient(KERNEL))


def test_refusals_of_a_sharded_kernel_name_the_same_class(mesh):
    def sharded(kernel: np.ndarray) -> jax.Array:
        return put(kernel, mesh, P("data", "classes"))

    kernel = KERNEL.copy()
    kernel[:, 5:] = 0
    with pytest.raises(ValueError, match=re.escape("got zeros in kernel[:, 5] (class 5)")):
        ss.cosine_similarity(sharded(kernel))
    kernel[0, 6] = np.nan
    with pytest.raises(ValueError, match=re.escape("NaN or infinity in kernel[:, 6] (class 6)")):
        ss.cosine_similarity(sharded(kernel))
    kernel = np.eye(N, K, dtype=np.float32)
    kernel[4, 7] = -1
    with pytest.raises(
        ValueError, match=r"'literal' must have .* got -0\.7071 in row 4 \(class 4\)"
    ):
        ss.relation_labels_from_kernel(sharded(kernel), "literal")
