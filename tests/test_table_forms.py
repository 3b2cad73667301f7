"""The loss and the training step take a table in every form; long rows of dense ones."""

import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.special
from test_compact_labels import cosines, kernel_of, relation, top

import simsmooth_jax as ss
from simsmooth_jax.config.data import DataConfig
from simsmooth_jax.config.training import ModelConfig, TrainingConfig
from simsmooth_jax.data.load import load_dataset
from simsmooth_jax.method.objectives import label_table
from simsmooth_jax.method.tables.targets import LONG_ROW
from simsmooth_jax.training.step import Trainer

pytestmark = pytest.mark.usefixtures("no_rank_promotion")

BATCH, CLASSES = 9, 33
LOGITS = (4 * np.random.default_rng(2).normal(size=(BATCH, CLASSES))).astype(np.float32)
LABELS = np.random.default_rng(3).integers(0, CLASSES, BATCH)
POSITIVE = np.abs(kernel_of(7, CLASSES))
SOME = kernel_of(7, CLASSES)


def mixed(rows: np.ndarray, epsilon: float) -> np.ndarray:
    return (1 - epsilon) * np.eye(CLASSES) + epsilon * rows


FORMS: dict[str, tuple[Any, np.ndarray]] = {
    "top-k": (
        ss.top_k_labels(SOME, 5, epsilon=0.7),
        mixed(top(relation(cosines(SOME), "clip"), 5), 0.7),
    ),
    "literal": (ss.factored_labels(POSITIVE, "literal"), relation(cosines(POSITIVE), "literal")),
    "shift": (
        ss.factored_labels(SOME, "shift", epsilon=0.4),
        mixed(relation(cosines(SOME), "shift"), 0.4),
    ),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("scale", [1, 1000])
def test_the_loss_takes_every_form(form, scale):
    table, rows = FORMS[form]
    logits = scale * LOGITS
    log_p = (
        logits.astype(np.float64) - np.logaddexp.reduce(logits.astype(np.float64), axis=1)[:, None]
    )
    loss: Any = ss.softmax_cross_entropy_with_label_table
    value, gradient = jax.jit(jax.value_and_grad(lambda z, t: loss(z, LABELS, t).sum()))(
        logits, table
    )
    np.testing.assert_allclose(
        loss(logits, LABELS, table), -(rows[LABELS] * log_p).sum(1), rtol=1e-5
    )
    np.testing.assert_allclose(value, -(rows[LABELS] * log_p).sum(), rtol=1e-5)
    np.testing.assert_allclose(gradient, np.exp(log_p) - rows[LABELS], rtol=0, atol=1e-5)


@pytest.mark.parametrize("form", FORMS)
def test_masked_and_unknown_labels_in_every_form(form):
    table, _ = FORMS[form]
    loss: Any = ss.softmax_cross_entropy_with_label_table
    labels, where = LABELS.copy(), np.arange(BATCH) != 3
    labels[[3, 4]] = [CLASSES, -1]
    found = loss(LOGITS, labels, table, where=where)
    assert found[3] == 0
    assert np.isnan(found[4])
    np.testing.assert_array_equal(found[5:], loss(LOGITS, LABELS, table)[5:])


def test_an_impossible_class_outside_of_the_kept_ones_contributes_nothing():
    table, rows = FORMS["top-k"]
    logits = LOGITS.copy()
    logits[0, rows[LABELS[0]] == 0] = -np.inf
    loss: Any = ss.softmax_cross_entropy_with_label_table
    assert np.isfinite(loss(logits, LABELS, table)).all()
    assert np.isfinite(jax.grad(lambda z: loss(z, LABELS, table).sum())(logits)).all()


@pytest.mark.parametrize(
    ("form", "shown"), [("top-k", "top-k [33, 5]"), ("shift", "factored [7, 33]")]
)
def test_refuses_a_table_of_other_classes(form, shown):
    message = f"one row and column for each of the 32 logits, got {shown}."
    with pytest.raises(ss.InputError, match=re.escape(message)):
        ss.softmax_cross_entropy_with_label_table(LOGITS[:, 1:], LABELS, FORMS[form][0])


def test_long_rows_agree_with_float64_in_value_and_both_gradients():
    rng = np.random.default_rng(5)
    logits = rng.normal(size=(6, LONG_ROW)).astype(np.float32)
    table = rng.dirichlet(np.full(LONG_ROW, 0.01), LONG_ROW).astype(np.float32)
    labels = rng.integers(0, LONG_ROW, 6)
    weights = np.arange(1.0, 7).astype(np.float32)
    loss: Any = ss.softmax_cross_entropy_with_label_table

    @jax.jit
    def gradients(logits, table):
        return jax.grad(lambda z, t: (weights * loss(z, labels, t)).sum(), (0, 1))(logits, table)

    log_p = scipy.special.log_softmax(logits.astype(np.float64), axis=1)
    rows = table[labels].astype(np.float64)
    np.testing.assert_allclose(loss(logits, labels, table), -(rows * log_p).sum(1), rtol=1e-5)
    d_logits, d_table = gradients(logits, table)
    expected = weights[:, None] * (rows.sum(axis=1, keepdims=True) * np.exp(log_p) - rows)
    np.testing.assert_allclose(d_logits, expected, rtol=1e-4, atol=1e-6)
    expected = np.zeros(table.shape)
    np.add.at(expected, labels, -weights[:, None] * log_p)
    np.testing.assert_allclose(d_table, expected, rtol=1e-5, atol=1e-5)


def test_long_rows_need_no_second_array_of_the_size_of_the_logits():
    batch, num_classes = 64, 2 * LONG_ROW
    shapes = [
        jax.ShapeDtypeStruct((batch, num_classes), jnp.float32),
        jax.ShapeDtypeStruct((batch,), jnp.int32),
        jax.ShapeDtypeStruct((num_classes, num_classes), jnp.float32),
    ]

    def arrays(loss: Any) -> float:
        """What the loss and its gradient take besides operands and results, in arrays [B, K]."""
        program = jax.jit(jax.value_and_grad(lambda logits, *other: loss(logits, *other).mean()))
        analysis: Any = program.lower(*shapes).compile().memory_analysis()
        return analysis.temp_size_in_bytes / (4 * batch * num_classes)

    assert arrays(ss.softmax_cross_entropy_with_label_table) < 0.05
    assert arrays(lambda z, y, table: optax.softmax_cross_entropy(z, table[y])) > 1


@pytest.mark.slow
def test_a_table_of_any_form_goes_into_the_training_step():
    config = TrainingConfig(model=ModelConfig("mlp", width=8, depth=1))
    trainer = Trainer(config, load_dataset(DataConfig()), jax.devices()[:1])

    def one_step(table: Any) -> Any:
        objective = trainer.place(label_table(table))
        inputs = next(trainer.inputs.from_step(0, 0, trainer.total_steps))
        return trainer.step(trainer.init(0), inputs, objective, trainer.key(0))

    kernel = kernel_of(5, 10)
    pairs = [
        (ss.top_k_labels(kernel, 4), ss.relation_labels_from_kernel(kernel, top_k=4)),
        (ss.factored_labels(kernel), ss.relation_labels_from_kernel(kernel, "shift")),
    ]
    with jax.numpy_rank_promotion("allow"):  # in Flax's layers
        steps = [[jax.tree.leaves(one_step(table)) for table in pair] for pair in pairs]
    for compact, dense in steps:
        for found, right in zip(compact, dense, strict=True):
            np.testing.assert_allclose(found, right, rtol=1e-4, atol=1e-6)
