"""The snippets of label_files.md for PyTorch, Keras and optax, and our loss against PyTorch's."""

import os
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from pages import DOCS, blocks

import simsmooth_jax as ss
from simsmooth_jax.formats.label_files import TableFile

pytestmark = pytest.mark.slow

SNIPPETS = dict(
    zip(("torch", "keras", "optax"), blocks(DOCS / "label_files.md", "python"), strict=True)
)
NAMES = ["cat", "dög", "鳥"]
K, D = 3, 5
RANDOM = np.random.RandomState(0)
LABELS = RANDOM.randint(0, K, 60)
IMAGES = (RANDOM.randn(K, D)[LABELS] * 3 + RANDOM.randn(60, D)).astype(np.float32)


@pytest.fixture(autouse=True)
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """Both files in the working directory."""
    monkeypatch.chdir(tmp_path)
    table = np.asarray(ss.relation_labels_from_kernel(RANDOM.randn(D, K), epsilon=0.6))
    for suffix in ("npz", "safetensors"):
        file = TableFile(table, tuple(NAMES), "clip", {"epsilon": 0.6}, "kernel", "0")
        file.save(Path(f"labels.{suffix}"))
    return table


def expected_loss(logits: Any, table: np.ndarray) -> float:
    """In float64, from the definition of cross-entropy."""
    logits = np.asarray(logits, np.float64)
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_probabilities = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return float(-(table[LABELS] * log_probabilities).sum(axis=1).mean())


def test_pytorch_trains_on_the_labels(table: np.ndarray) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    model = torch.nn.Linear(D, K)
    names = {"model": model, "class_names": NAMES}
    names |= {"images": torch.tensor(IMAGES), "labels": torch.tensor(LABELS)}
    exec(SNIPPETS["torch"], names)
    logits = model(names["images"]).detach().numpy()
    assert float(names["loss"].detach()) == pytest.approx(expected_loss(logits, table), rel=1e-5)
    assert model.weight.grad.abs().max() > 0
    with pytest.raises(AssertionError):
        exec(SNIPPETS["torch"], names | {"class_names": NAMES[::-1]})


def test_keras_trains_on_the_labels(table: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "KERAS_BACKEND", "jax")
    keras = pytest.importorskip("keras", reason="Keras is not installed")
    model = keras.Sequential([keras.layers.Input((D,)), keras.layers.Dense(K)])
    names = {"model": model, "class_names": NAMES, "images": IMAGES, "labels": LABELS}
    before = expected_loss(model(IMAGES), table)
    exec(SNIPPETS["keras"], names)
    assert model.evaluate(IMAGES, table[LABELS], verbose=0) == pytest.approx(
        expected_loss(model(IMAGES), table), rel=1e-5
    )
    for _ in range(5):
        model.fit(IMAGES, table[LABELS], verbose=0)
    assert expected_loss(model(IMAGES), table) < before
    with pytest.raises(AssertionError):
        exec(SNIPPETS["keras"], names | {"class_names": NAMES[::-1]})


def test_optax_trains_on_the_labels(table: np.ndarray) -> None:
    class Model:
        @staticmethod
        def apply(params: Any, images: Any) -> Any:
            return images @ params

    names: dict[str, Any] = {"model": Model, "class_names": NAMES}
    exec(SNIPPETS["optax"], names)
    params = jnp.asarray(RANDOM.randn(D, K), jnp.float32)
    loss, gradient = jax.value_and_grad(names["mean_loss"])(params, IMAGES, jnp.asarray(LABELS))
    assert float(loss) == pytest.approx(expected_loss(IMAGES @ params, table), rel=1e-5)
    assert np.abs(gradient).max() > 0
    with pytest.raises(AssertionError):
        exec(SNIPPETS["optax"], names | {"class_names": NAMES[::-1]})


@pytest.mark.parametrize(("num_classes", "scale"), [(2, 1), (10, 1), (1000, 1), (10, 1e3)])
def test_loss_and_gradient_are_pytorchs(num_classes: int, scale: float) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    logits = (scale * RANDOM.randn(64, num_classes)).astype(np.float32)
    labels = RANDOM.randint(0, num_classes, 64)
    table = ss.relation_labels_from_kernel(
        RANDOM.randn(32, num_classes), "softmax", temperature=0.3
    )

    def mean_loss(logits: Any) -> Any:
        return ss.softmax_cross_entropy_with_label_table(logits, jnp.asarray(labels), table).mean()

    loss, gradient = jax.value_and_grad(mean_loss)(jnp.asarray(logits))
    theirs = torch.tensor(logits, dtype=torch.float64, requires_grad=True)
    targets = torch.tensor(np.asarray(table, np.float64))[torch.tensor(labels)]
    expected = torch.nn.CrossEntropyLoss()(theirs, targets)
    expected.backward()
    np.testing.assert_allclose(loss, expected.item(), rtol=1e-6)
    np.testing.assert_allclose(gradient, theirs.grad.numpy(), atol=1e-6)
    assert optax.softmax_cross_entropy(logits, np.asarray(table)[labels]).mean() == pytest.approx(
        expected.item(), rel=1e-6
    )
