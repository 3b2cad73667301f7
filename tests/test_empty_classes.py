"""Classes without a training image: refused by name, or hard and in no other class's label."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from program import simsmooth

import simsmooth_jax as ss
from simsmooth_jax.config.labels import RelationConfig
from simsmooth_jax.data.dataset import Dataset, Split
from simsmooth_jax.formats.label_files import load_table
from simsmooth_jax.method.tables.forms import as_table
from simsmooth_jax.method.tables.placement import placed
from simsmooth_jax.study import arms, empty_classes, relations

K, EMPTY = 6, (0, 3)
NAMES = ("ant", "bee", "cat", "dog", "elk", "fox")
COUNTS = [0, 4, 1, 0, 9, 2]
KERNEL = np.random.RandomState(0).randn(5, K).astype(np.float32)


def by_hand(rule: str, top_k: int | None = None, epsilon: float = 0.5) -> np.ndarray:
    """In float64: every row is made of the classes with images alone."""
    unit = KERNEL.astype(np.float64) / np.linalg.norm(KERNEL.astype(np.float64), axis=0)
    labels = np.eye(K)
    kept = [k for k in range(K) if COUNTS[k]]
    for i in kept:
        values = {k: float(unit[:, i] @ unit[:, k]) for k in kept}
        values |= {i: 1.0}
        row = {k: max(v, 0) if rule == "clip" else np.exp(v / 0.3) for k, v in values.items()}
        if top_k is not None:
            row = dict(sorted(row.items(), key=lambda item: -item[1])[:top_k])
        total = sum(row.values())
        labels[i] = (1 - epsilon) * np.eye(K)[i]
        for k, value in row.items():
            labels[i, k] += epsilon * value / total
    return labels


def found(config: RelationConfig, kernel: Any = KERNEL, counts: Any = COUNTS) -> Any:
    config = config.resolved()
    kept = empty_classes.kept_classes(config, counts, NAMES, "data zoo")
    return relations.of_vectors(kernel, config, kept)


@pytest.mark.parametrize(
    ("rule", "top_k", "many"),
    [("clip", None, False), ("softmax", 3, False), ("clip", 3, True), ("softmax", 3, True)],
)
def test_left_out_before_normalising(
    rule: Any, top_k: int | None, many: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if many:  # then top-k labels are made without a dense table
        monkeypatch.setattr(arms, "MANY_CLASSES", 2)
    temperature = 0.3 if rule == "softmax" else None
    config = RelationConfig(
        rule=rule, epsilon=0.5, temperature=temperature, top_k=top_k, empty_classes="hard"
    )
    made = found(config)
    table = as_table(made.labels())
    assert table.form.startswith("top-k") is (many and top_k is not None)
    table.refuse_untrainable("here")
    np.testing.assert_allclose(table.to_dense(), by_hand(rule, top_k), atol=1e-6)
    similarity = np.asarray(made.similarity)
    for k in EMPTY:
        np.testing.assert_array_equal(similarity[k], np.eye(K)[k])
        np.testing.assert_array_equal(similarity[:, k], np.eye(K)[k])
    for count in (1, 4, 20):
        shown = made.neighbours(count)
        assert not set(shown.classes) & set(EMPTY)
        for row, cosines in zip(shown.classes, shown.similarity, strict=True):
            np.testing.assert_allclose(cosines, similarity[row], atol=1e-6)


def test_nothing_changes_where_every_class_has_images() -> None:
    ones = np.ones(K)
    plain = np.asarray(ss.relation_labels_from_kernel(KERNEL))
    for how in ("refuse", "hard"):
        made = found(RelationConfig(empty_classes=how), counts=ones)
        np.testing.assert_allclose(made.labels(), plain, atol=1e-6)


def test_an_untrained_column_of_zeros_is_no_class_vector() -> None:
    kernel = KERNEL.copy()
    kernel[:, 3] = 0
    with pytest.raises(ss.InputError, match=r"zeros in kernel\[:, 3\] \(class 3\)"):
        found(RelationConfig(), kernel, None)
    config = RelationConfig(epsilon=0.5, empty_classes="hard")
    table = as_table(found(config, kernel).labels()).to_dense()
    np.testing.assert_allclose(table, by_hand("clip"), atol=1e-6)


def test_refused_by_name() -> None:
    def refuses(message: str, counts: Any = COUNTS, **options: Any) -> None:
        with pytest.raises(ss.InputError) as refused:
            found(RelationConfig(**options), counts=counts)
        assert message in str(refused.value)

    refuses("data zoo: every class must be learned from images, as its relations are those of its ")
    refuses("got ant, dog, which have no training image. Give images or leave the class out; or")
    refuses("got elk, which has no training image.", [1, 1, 1, 1, 0, 1])
    refuses("`empty_classes=hard` must be given where the", None, empty_classes="hard")
    few = [0, 1, 0, 0, 0, 0]
    refuses("two classes or more must have a training", few, empty_classes="hard")
    refuses("from 1 to 4 (the number of classes), got 5", empty_classes="hard", top_k=5)
    of_file = RelationConfig(similarity="vectors:x.npy").resolved()  # it knows what has no images
    assert empty_classes.kept_classes(of_file, COUNTS, NAMES, "").is_all


def test_factored_labels_leave_no_class_out() -> None:
    factored = ss.factored_labels(KERNEL[:, :4], "shift")
    with pytest.raises(ss.InputError, match="must be a table, dense or top-k, got the factored"):
        placed(factored, np.arange(1, 5), K)


def test_counts_of_checkpoints() -> None:
    counts = empty_classes.counts_of_checkpoint
    assert counts({"class_counts": COUNTS}, K) == COUNTS
    odd: list[Any] = [None, COUNTS[1:], "000000", [*COUNTS[1:], None], [*COUNTS[1:], 0.5]]
    for value in [*odd, {}]:
        assert counts({"class_counts": value}, K) is None
    assert counts({}, K) is None


def test_online_labels_are_refused() -> None:
    split = Split(np.zeros((4, 2, 2, 1), np.uint8), np.array([0, 0, 2, 2], np.int32))
    dataset = Dataset("zoo", NAMES[:3], split, split, split)
    np.testing.assert_array_equal(np.asarray(dataset.train_counts()), [2, 0, 2])
    with pytest.raises(ss.InputError, match="`labels=online`, got bee, which has no training im"):
        empty_classes.refuse_for_online(dataset)


@pytest.mark.slow
def test_run_and_labels(tmp_path: Path) -> None:
    """A class may be empty in the training split alone."""
    labels = np.arange(60).astype(np.int32) % 3
    images = (labels[:, None, None] * 80 + np.arange(16).reshape(4, 4)).astype(np.uint8)
    some = labels != 1
    arrays = {"train_images": images[some], "train_labels": labels[some]}
    arrays |= {"test_images": images, "test_labels": labels, "class_names": np.array(NAMES[:3])}
    np.savez(tmp_path / "zoo.npz", **arrays)
    tiny = ("--model", "mlp", "--width", 4, "--depth", 1, "--epochs", 1, "--batch-size", 8)
    run = ("run", "--data", "npz:zoo.npz", *tiny, "--out", "run")
    refused = simsmooth(*run, cwd=tmp_path, status=2).stderr.splitlines()[-1]
    assert "data zoo: every class must be learned from images" in refused
    assert "got bee, which has no training image. " in refused
    assert "or use --empty-classes hard: its" in refused
    assert not (tmp_path / "run").exists()
    done = simsmooth(*run, "--empty-classes", "hard", cwd=tmp_path)
    assert "Without training images, and so with one-hot labels: bee." in done.stdout
    file = load_table(tmp_path / "run" / "labels.npz")
    assert file.parameters["hard_classes"] == ["bee"]
    table = np.asarray(file.table.to_dense())
    assert (table[1] == [0, 1, 0]).all()
    assert (table[:, 1] == [0, 1, 0]).all()
    assert json.loads((tmp_path / "run/config.json").read_text())["relation"]["empty_classes"]
    make = ("labels", "run/first", "--out", "labels.npz")
    error = simsmooth(*make, cwd=tmp_path, status=2).stderr
    assert "checkpoint run/first: every class must be learned from images" in error
    simsmooth(*make, "--rule", "mean", "--empty-classes", "hard", cwd=tmp_path)
    again = load_table(tmp_path / "labels.npz").table.to_dense()
    np.testing.assert_allclose(again, table, atol=1e-6)
