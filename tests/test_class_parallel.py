"""A head whose classes lie on several devices: the numbers of one device, and smaller arrays."""

import re
from typing import Any

import jax
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import simsmooth_jax as ss

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_rank_promotion")]

B, N, K = 16, 6, 48
RNG = np.random.default_rng(0)
FEATURES = RNG.normal(size=(B, N)).astype(np.float32)
KERNEL = RNG.normal(size=(N, K)).astype(np.float32)
BIAS = RNG.normal(size=K).astype(np.float32)
LABELS = RNG.integers(0, K, B).astype(np.int32)
OTHER = RNG.normal(size=(5, K)).astype(np.float32)
TABLES: dict[str, tuple[Any, Any]] = {
    "dense": (ss.relation_labels_from_kernel(OTHER, epsilon=0.5), P("classes")),
    "top-k": (ss.top_k_labels(OTHER, 4), P("classes")),
    "factored": (ss.factored_labels(OTHER, epsilon=0.5), P()),
}
plain: Any = ss.softmax_cross_entropy_with_label_table
fused: Any = ss.linear_cross_entropy_with_label_table


@pytest.fixture(scope="module", params=[AxisType.Auto, AxisType.Explicit], ids=str)
def mesh(request, devices) -> jax.sharding.Mesh:
    axes = (request.param, request.param)
    return jax.make_mesh((2, 4), ("data", "classes"), axis_types=axes, devices=devices)


def put(tree: Any, mesh: jax.sharding.Mesh, spec: P) -> Any:
    return jax.tree.map(
        lambda x: jax.device_put(x, NamedSharding(mesh, P(*spec[: np.ndim(x)]))), tree
    )


def assert_close(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(np.asarray(found), np.asarray(expected), rtol=1e-5, atol=1e-5)


def logits_loss(features, kernel, bias, labels, table):
    return plain(features @ kernel + jax.numpy.broadcast_to(bias, (B, K)), labels, table).mean()


def fused_loss(features, kernel, bias, labels, table):
    return fused(features, kernel, labels, table, bias).mean()


@pytest.mark.parametrize("form", TABLES)
@pytest.mark.parametrize("loss", [logits_loss, fused_loss])
def test_a_class_parallel_head_trains_as_on_one_device(mesh, form, loss):
    table, spec = TABLES[form]
    program = jax.jit(jax.value_and_grad(loss, argnums=(0, 1, 2)))
    expected = program(FEATURES, KERNEL, BIAS, LABELS, table)
    arguments = (
        put(FEATURES, mesh, P("data")),
        put(KERNEL, mesh, P(None, "classes")),
        put(BIAS, mesh, P("classes")),
        put(LABELS, mesh, P("data")),
        put(table, mesh, spec),
    )
    if loss is logits_loss and mesh.axis_types[0] == AxisType.Explicit:
        with jax.set_mesh(mesh):
            bias = put(np.broadcast_to(BIAS, (B, K)), mesh, P("data", "classes"))
            found = jax.jit(
                jax.value_and_grad(
                    lambda x, w: plain(x @ w + bias, arguments[3], arguments[4]).mean(), (0, 1)
                )
            )(*arguments[:2])
        expected = (expected[0], expected[1][:2])
    else:
        found = program(*arguments)
    jax.tree.map(assert_close, found, expected)
    assert found[1][1].sharding.spec[1] == "classes"


def largest_array(program: str) -> int:
    """Entries of the largest array in a compiled program, as one device sees it."""
    shapes = re.findall(r"= [a-z]+\d+\[([\d,]+)\]", program)
    return max(int(np.prod([int(n) for n in shape.split(",")])) for shape in shapes)


AUTO, EXPLICIT = AxisType.Auto, AxisType.Explicit


@pytest.mark.parametrize(
    ("function", "axis"),  # on Auto axes the loss in blocks gathers the kernel
    [
        ("labels", AUTO),
        ("labels", EXPLICIT),
        ("logits", AUTO),
        ("logits", EXPLICIT),
        ("fused", EXPLICIT),
    ],
    ids=str,
)
def test_the_largest_array_of_a_device_shrinks_with_the_classes_axis(devices, axis, function):
    features, labels = np.ones((64, 8), np.float32), np.zeros(64, np.int32)
    kernel = np.ones((8, 512), np.float32)
    logits = np.ones((64, 512), np.float32)
    table = ss.TopKLabels(jax.numpy.zeros((512, 2), int), jax.numpy.ones((512, 2)))
    programs: dict[str, Any] = {
        "labels": lambda x, w, z, y, t: ss.relation_labels_from_kernel(w),
        "logits": jax.grad(lambda x, w, z, y, t: plain(z, y, t).sum(), 2),
        "fused": jax.grad(lambda x, w, z, y, t: fused(x, w, y, t).sum(), 1),
    }
    sizes = []
    for parts in (1, 2, 8):
        mesh = jax.make_mesh((parts,), ("classes",), axis_types=(axis,), devices=devices[:parts])
        arguments = (
            put(features, mesh, P()),
            put(kernel, mesh, P(None, "classes")),
            put(logits, mesh, P(None, "classes")),
            put(labels, mesh, P()),
            put(table, mesh, P()),
        )
        compiled = jax.jit(programs[function]).lower(*arguments).compile()
        sizes.append(largest_array(str(compiled.as_text())))
    assert sizes[1] <= 0.6 * sizes[0]
    assert sizes[2] <= 0.2 * sizes[0]


def largest_exchange(program: str) -> int:
    """Entries of the largest array that goes between devices in a compiled program."""
    kinds = "all-gather|all-reduce|reduce-scatter|all-to-all|collective-permute"
    exchanged = re.findall(rf"= (\S.*?) (?:{kinds})(?:-start)?\(", program)
    shapes = [shape for line in exchanged for shape in re.findall(r"\[([\d,]*)\]", line)]
    return max(int(np.prod([int(n) for n in shape.split(",") if n])) for shape in shapes)


@pytest.mark.parametrize(
    ("form", "spec", "most"),
    [
        ("dense", P(), 64 * 4),
        ("dense", P("classes"), 64 * 512),
        ("dense", P(None, "classes"), 64 * 4),
        ("top-k", P("classes"), 64 * 4),
        ("factored", P(), 64 * 4),
    ],
    ids=str,
)
@pytest.mark.parametrize("loss", ["fused", "plain"])
def test_no_table_goes_between_devices(devices, form, spec, most, loss):
    """Of 64 examples, 4 features and 512 classes; [B, K], [B, k] and [B, N] at most."""
    mesh = jax.make_mesh((8,), ("classes",), devices=devices)
    kernel = np.random.default_rng(1).normal(size=(4, 512)).astype(np.float32)
    tables: dict[str, Any] = {
        "dense": np.eye(512, dtype=np.float32),
        "top-k": ss.TopKLabels(np.arange(512 * 4).reshape(512, 4) % 512, np.ones((512, 4)) / 4),
        "factored": ss.factored_labels(kernel),
    }
    arguments = (
        put(np.ones((64, 4), np.float32), mesh, P()),
        put(kernel, mesh, P(None, "classes")),
        put(np.ones((64, 512), np.float32), mesh, P(None, "classes")),
        put(np.zeros(64, np.int32), mesh, P()),
        put(tables[form], mesh, spec),
    )

    def total(x, w, z, y, t):
        return fused(x, w, y, t).sum() if loss == "fused" else plain(z, y, t).sum()

    program = jax.jit(jax.value_and_grad(total, argnums=(0, 1, 2)))
    assert largest_exchange(str(program.lower(*arguments).compile().as_text())) <= most


def test_top_k_of_classes_that_several_devices_hold_goes_around_a_ring(devices):
    """A block of columns at a time: no device ever has them all."""
    mesh = jax.make_mesh((8,), ("classes",), devices=devices)
    kernel = np.random.default_rng(1).normal(size=(4, 512)).astype(np.float32)
    build = jax.jit(lambda w: ss.top_k_labels(w, 5, "softmax", temperature=0.2))
    split = put(kernel, mesh, P(None, "classes"))
    found, expected = build(split), ss.top_k_labels(kernel, 5, "softmax", temperature=0.2)
    np.testing.assert_array_equal(found.indices, expected.indices)
    assert_close(found.weights, expected.weights)
    assert found.indices.sharding.spec[0] == "classes"
    assert largest_exchange(str(build.lower(split).compile().as_text())) <= 4 * 512 / 8
