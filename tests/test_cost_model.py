"""The costs on paper are those of compiled programs, where these are small enough to look at."""

import re
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from program import REPOSITORY

import simsmooth_jax as ss

pytestmark = pytest.mark.slow


@pytest.fixture
def step_type(monkeypatch) -> Any:
    monkeypatch.syspath_prepend(str(REPOSITORY / "experiments"))
    import cost_model  # pyright: ignore[reportMissingImports]

    yield cost_model.Step
    sys.modules.pop("cost_model")


def all_reduced_bytes(program: str) -> int:
    """Bytes of all float32 results of all-reduces."""
    total = 0
    for line in program.splitlines():
        found = re.match(r".* = (.*) all-reduce\(", line)
        if found:
            for shape in re.findall(r"f32\[([\d,]*)\]", found.group(1)):
                total += 4 * int(np.prod([int(n) for n in shape.split(",") if n]))
    return total


@pytest.mark.parametrize(("data", "classes"), [(1, 8), (2, 4), (8, 1)])
def test_bytes_between_the_chips(devices, step_type, data, classes):
    batch, num_features, num_classes = 32, 16, 64
    mesh = jax.make_mesh(
        (data, classes), ("data", "classes"), axis_types=(AxisType.Explicit,) * 2, devices=devices
    )

    def put(array: Any, *spec: str | None) -> jax.Array:
        return jax.device_put(array, NamedSharding(mesh, P(*spec)))

    table = ss.TopKLabels(jnp.zeros((num_classes, 2), int), jnp.ones((num_classes, 2)))
    arguments = (
        put(np.ones((batch, num_features), np.float32), "data"),
        put(np.ones((num_features, num_classes), np.float32), None, "classes"),
        put(np.zeros(batch, np.int32), "data"),
        jax.tree.map(put, table),
    )

    def gradients(features, kernel, labels, table):
        def total(features, kernel):
            return ss.linear_cross_entropy_with_label_table(features, kernel, labels, table).sum()

        return jax.value_and_grad(total, argnums=(0, 1))(features, kernel)

    program = str(jax.jit(gradients).lower(*arguments).compile().as_text())
    paper = step_type(
        batch, num_features, num_classes, data=data, classes=classes, backbone_parameters=0
    )
    mean = 4 if data > 1 else 0  # the sum of the losses
    assert all_reduced_bytes(program) == paper.class_bytes + paper.data_bytes + mean
