"""Tables travel: Flax's bytes, exported programs, Orbax checkpoints; all of them comes back."""

from pathlib import Path
from typing import Any

import flax.serialization
import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as orbax
import pytest

import simsmooth_jax as ss
from simsmooth_jax.method.tables.forms import as_table

N, K, B = 4, 6, 5
RNG = np.random.default_rng(0)
KERNEL = np.abs(RNG.normal(size=(N, K))).astype(np.float32)
LOGITS = RNG.normal(size=(B, K)).astype(np.float32)
LABELS = RNG.integers(0, K, B).astype(np.int32)
TABLES: dict[str, Any] = {
    "dense": as_table(ss.relation_labels_from_kernel(KERNEL)),
    "top-k": ss.top_k_labels(KERNEL, 3),
    "literal": ss.factored_labels(KERNEL, "literal", epsilon=0.5),
    "shift": ss.factored_labels(KERNEL, "shift", epsilon=0.5),
}
loss: Any = ss.softmax_cross_entropy_with_label_table


@pytest.fixture(params=TABLES)
def table(request) -> Any:
    return TABLES[request.param]


def assert_same(found: Any, table: Any) -> None:
    assert type(found) is type(table)
    np.testing.assert_array_equal(loss(LOGITS, LABELS, found), loss(LOGITS, LABELS, table))


def test_flax_s_bytes(table):
    empty = jax.tree.map(jnp.zeros_like, table)
    data = flax.serialization.to_bytes({"table": table})
    assert_same(flax.serialization.from_bytes({"table": empty}, data)["table"], table)


def test_exported_programs(table):
    program = jax.export.export(jax.jit(lambda z, t: loss(z, LABELS, t)))(LOGITS, table)
    again = jax.export.deserialize(program.serialize())
    np.testing.assert_array_equal(again.call(LOGITS, table), loss(LOGITS, LABELS, table))


def test_orbax_with_and_without_a_tree_to_restore_into(tmp_path: Path, table):
    with orbax.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "table", {"table": table})
        checkpointer.wait_until_finished()
        other = {"table": jax.tree.map(jnp.zeros_like, table)}
        assert_same(checkpointer.restore(tmp_path / "table", other)["table"], table)
        fields = checkpointer.restore(tmp_path / "table")["table"]
    assert_same(type(table)(**fields), table)


def test_a_rule_that_does_not_factor_is_no_offset():
    good = TABLES["shift"]
    for offset, message in (
        ("clip", "'literal' or 'shift', got 'clip'"),
        (2.0, "in .0, 1., got 2"),
    ):
        given: Any = offset
        table = ss.FactoredLabels(good.kernel, good.row_sums, good.epsilon, given)
        with pytest.raises(ss.InputError, match=f"offset must be {message}"):
            loss(LOGITS, LABELS, table)
