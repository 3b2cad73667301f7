"""Labels from other sources than a kernel, through the command line."""

import json
from pathlib import Path
from typing import Any

import jax
import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
from program import simsmooth
from sklearn.metrics.pairwise import cosine_similarity

import simsmooth_jax as ss
from simsmooth_jax.config.commands import LabelsConfig, RunConfig
from simsmooth_jax.config.labels import RelationConfig
from simsmooth_jax.formats.label_files import load_table
from simsmooth_jax.program.commands import labels_command
from simsmooth_jax.study.relations import file_identity
from simsmooth_jax.training.classifier import Classifier
from simsmooth_jax.training.models.built_in import build_model, normalise_images

pytestmark = pytest.mark.slow

TINY = ("--model", "mlp", "--width", 16, "--depth", 1, "--epochs", 3)
EMBEDDINGS = np.random.RandomState(0).rand(10, 7)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose labels are made of the classes' mean features."""
    folder = tmp_path_factory.mktemp("relations")
    simsmooth("run", *TINY, "--similarity", "features", "--out", "run", cwd=folder)
    return folder


def outputs(classifier: Classifier) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features and probabilities of all training images, by Flax's own means, and their labels."""
    model: Any = build_model(classifier.config.model, 10)
    images, labels = classifier.dataset.train.take(np.arange(1000))
    inputs = normalise_images(jax.numpy.asarray(images), *classifier.image_statistics)
    logits, kept = model.apply(
        {"params": classifier.params}, inputs, train=False, capture_intermediates=True
    )
    hidden = np.maximum(kept["intermediates"]["Dense_0"]["__call__"][0], 0)
    return hidden, np.asarray(jax.nn.softmax(logits)), labels


def make(folder: Path, out: str, **options: Any) -> Any:
    relation = RelationConfig(similarity=options.pop("similarity"), rule="clip")
    config = LabelsConfig(out=folder / out, relation=relation, **options)
    labels_command.make_label_file(config)
    return load_table(config.out)


def test_features_and_predictions_are_averaged_over_the_training_images(
    folder: Path, tmp_path: Path
) -> None:
    classifier = Classifier.restore(folder / "run" / "first")
    features, probabilities, labels = outputs(classifier)
    for similarity, rows in (("features", features), ("predictions", probabilities)):
        means = np.stack([rows[labels == k].astype(float).mean(axis=0) for k in range(10)])
        expected = ss.relation_labels(cosine_similarity(means))
        path = f"{similarity}.npz"
        found = make(tmp_path, path, similarity=similarity, checkpoint=folder / "run" / "first")
        np.testing.assert_allclose(found.table.to_dense(), expected, atol=1e-5)
        assert (found.source, found.class_names) == (similarity, tuple("0123456789"))
    arrays: dict[str, Any] = {}
    for part in ("train", "validation", "test"):
        split: Any = getattr(classifier.dataset, part)
        arrays |= {f"{part}_images": split.images, f"{part}_labels": split.labels}
    np.savez(tmp_path / "moved.npz", **arrays)
    data = f"npz:{tmp_path}/moved.npz"
    checkpoint = folder / "run" / "first"
    moved = make(tmp_path, "x.npz", similarity="features", checkpoint=checkpoint, data=data)
    np.testing.assert_allclose(
        moved.table.to_dense(),
        load_table(folder / "run" / "labels.npz").table.to_dense(),
        atol=1e-5,
    )


def test_run_is_trained_on_them(folder: Path, tmp_path: Path) -> None:
    made = make(tmp_path, "x.npz", similarity="features", checkpoint=folder / "run" / "first")
    for suffix in ("npz", "safetensors"):
        trained_on = load_table(folder / "run" / f"labels.{suffix}")
        np.testing.assert_allclose(trained_on.table.to_dense(), made.table.to_dense(), atol=1e-6)
        assert trained_on.source == "features"


def test_vectors_of_a_file(tmp_path: Path) -> None:
    np.save(tmp_path / "embeddings.npy", EMBEDDINGS)
    found = make(tmp_path, "a.npz", similarity=f"vectors:{tmp_path}/embeddings.npy")
    expected = ss.relation_labels(cosine_similarity(EMBEDDINGS))
    np.testing.assert_allclose(found.table.to_dense(), expected, atol=1e-6)
    names = np.array([f"class {k}" for k in range(10)])
    np.savez(tmp_path / "named.npz", vectors=EMBEDDINGS, other=np.eye(3), class_names=names)
    named = make(tmp_path, "b.npz", similarity=f"vectors:{tmp_path}/named.npz")
    assert named.class_names == tuple(names)
    assert (named.table.to_dense() == found.table.to_dense()).all()


def test_table_of_a_run_or_of_a_file(folder: Path, tmp_path: Path) -> None:
    """Also a hierarchy's: 1 within a group of classes, 0.5 within half of them, 0 else."""
    again = make(tmp_path, "a.npz", similarity=f"table:{folder}/run/similarity.npz")
    np.testing.assert_allclose(
        again.table.to_dense(), load_table(folder / "run" / "labels.npz").table.to_dense()
    )
    tree = np.kron(np.eye(2), np.full((2, 2), 0.5)) + np.eye(4) / 2
    np.save(tmp_path / "tree.npy", tree)
    found = make(tmp_path, "b.safetensors", similarity=f"table:{tmp_path}/tree.npy")
    np.testing.assert_allclose(found.table.to_dense(), tree / 1.5, atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        ("table", EMBEDDINGS, "it must hold a table [K, K], got [10, 7]. Vectors of the classes"),
        (
            "table",
            np.eye(3) * 2,
            "a similarity must be 1 on the diagonal, got one that differs by 1.",
        ),
        ("table", np.eye(3) + np.eye(3, k=1) / 2, "a similarity must be symmetric, got one that d"),
        (
            "table",
            3 * np.ones((3, 3)) - 2 * np.eye(3),
            "must be in [-1, 1], got one that differs by 2",
        ),
        (
            "vectors",
            np.ones((2, 3, 4)),
            "it must hold one matrix, or one named vectors, got array.",
        ),
        ("vectors", np.eye(3) * np.nan, "it must hold finite real numbers, got NaN or infinity as"),
        ("vectors", np.eye(3) > 0, "it must hold finite real numbers, got bool."),
        ("vectors", np.full((3, 2), None), "real numbers, got objects, which are a pickle. Save"),
        ("table", np.ones((0, 0)), "must hold a row for each of two classes or more, got [0, 0]."),
        ("vectors", np.ones((1, 7)), "of two classes or more, got [1, 7]. Save vectors [K, D]."),
        ("vectors", np.diag([1, 0, 1]), "x.npy`: diagnose: every class vector"),
        ("vectors", np.diag([1, 0, 1]), "got zeros in kernel[:, 1] (class 1)."),
    ],
)
def test_refused_files(tmp_path: Path, kind: str, values: np.ndarray, message: str) -> None:
    np.save(tmp_path / "x.npy", values)
    with pytest.raises(ss.InputError) as refused:
        make(tmp_path, "labels.npz", similarity=f"{kind}:{tmp_path}/x.npy")
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "labels.npz").exists()


def test_embeddings_in_bfloat16(tmp_path: Path) -> None:
    rounded = EMBEDDINGS.astype(ml_dtypes.bfloat16)
    safetensors.numpy.save_file({"vectors": rounded}, tmp_path / "x.safetensors")
    found = make(tmp_path, "labels.npz", similarity=f"vectors:{tmp_path}/x.safetensors")
    expected = ss.relation_labels(cosine_similarity(rounded.astype(np.float64)))
    np.testing.assert_allclose(found.table.to_dense(), expected, atol=1e-6)


def test_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("1,2,3")
    other = "x.csv`: checkpoint .*: it must be of a kind that can be read, got a file"
    with pytest.raises(ss.InputError, match=f"^`similarity=vectors:{tmp_path}/{other}"):
        make(tmp_path, "labels.npz", similarity=f"vectors:{tmp_path}/x.csv")
    with pytest.raises(ss.InputError, match="`similarity=vectors:FILE` must name an existing file"):
        make(tmp_path, "labels.npz", similarity=f"vectors:{tmp_path}/none.npy")


def test_file_of_other_classes_is_refused_before_training(tmp_path: Path) -> None:
    names = tuple("0123456789")
    np.save(tmp_path / "x.npy", EMBEDDINGS[:9])
    np.savez(tmp_path / "y.npz", vectors=EMBEDDINGS, class_names=np.array(names[::-1]))
    for file, got in (
        ("x.npy", "got 9. See"),
        ("y.npz", "got 10 that start with ('9', '8', '7')."),
    ):
        config = RelationConfig(similarity=f"vectors:{tmp_path}/{file}").resolved()
        with pytest.raises(ss.InputError, match="must be of the 10 classes of the data in their"):
            file_identity(config, names)
        try:
            file_identity(config, names)
        except ss.InputError as error:
            assert got in str(error)  # noqa: PT017
    center = RelationConfig(similarity=f"table:{tmp_path}/x.npy", center=True).resolved()
    with pytest.raises(ss.InputError, match="`center` must be given with class vectors, got"):
        file_identity(center, names)
    assert file_identity(RunConfig().relation.resolved("mean"), names) == {}


def test_labels_can_be_trained_on_elsewhere_only_in_their_order(folder: Path) -> None:
    np.savez(folder / "y.npz", vectors=EMBEDDINGS, class_names=np.array(list("1023456789")))
    simsmooth("labels", "--similarity", "vectors:y.npz", "--out", "y-labels.npz", cwd=folder)
    failed = simsmooth("train", "--labels", "y-labels.npz", *TINY, cwd=folder, status=2)
    assert "got '1' in row 0 where the data have '0'." in failed.stderr
    report = json.loads((folder / "run" / "report.json").read_text())
    assert report["diagnosis"]["num_features"] == 16
