"""The rules neighbours and mean through the command line, and options that do not go together."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
from program import simsmooth
from test_relations import TINY, outputs

import simsmooth_jax as ss
from simsmooth_jax.config.labels import RelationConfig
from simsmooth_jax.formats.label_files import load_table
from simsmooth_jax.study.relations import refuse_relation
from simsmooth_jax.training.classifier import Classifier

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier that is not at all sure of itself."""
    folder = tmp_path_factory.mktemp("rules")
    simsmooth("train", *TINY, "--out", "first", cwd=folder)
    return folder


def expected_means(folder: Path, temperature: float) -> np.ndarray:
    """Row i is the mean softened prediction of class i."""
    _, probabilities, labels = outputs(Classifier.restore(folder / "first"))
    softened = probabilities.astype(float) ** (1 / temperature)
    softened /= softened.sum(axis=1, keepdims=True)
    return np.stack([softened[labels == k].mean(axis=0) for k in range(10)])


def test_mean_softened_predictions_are_relation_rows_themselves(folder: Path) -> None:
    means = expected_means(folder, 6)
    mean = ("labels", "first", "--rule", "mean")
    simsmooth(*mean, "--epsilon", 1, "--out", "mean.npz", cwd=folder)
    np.testing.assert_allclose(load_table(folder / "mean.npz").table.to_dense(), means, atol=1e-5)
    options = ("--top-k", 6, "--epsilon", 0.3, "--out", "others.npz")
    simsmooth(*mean, *options, cwd=folder)
    others = np.where(np.eye(10) > 0, 0, means)
    others[others < np.sort(others, axis=1)[:, -5:-4]] = 0
    others /= others.sum(axis=1, keepdims=True)
    found = load_table(folder / "others.npz")
    np.testing.assert_allclose(
        found.table.to_dense(), 0.7 * np.eye(10) + 0.3 * others, rtol=1e-3, atol=1e-5
    )
    assert (found.rule, found.parameters["temperature"], found.source) == ("mean", 6, "predictions")


def test_mean_rows_that_are_no_labels_are_named(folder: Path) -> None:
    options = ("--rule", "mean", "--epsilon", 0.89)
    failed = simsmooth(
        "labels", "first", "--similarity", "predictions", *options, cwd=folder, status=2
    )
    message = (
        "--epsilon must leave each class on top of its own label, got 0.89 and so 0.11 there and"
    )
    assert message in failed.stderr
    assert failed.stderr.endswith(". Try 0.2.\n")
    assert failed.stdout == ""


@pytest.mark.parametrize(
    ("given", "usual", "expected"),
    [
        ({}, "mean", ("predictions", "mean", 0.2, 6.0, False)),
        ({}, "clip", ("kernel", "clip", 1.0, None, True)),
        ({"rule": "clip"}, "mean", ("kernel", "clip", 1.0, None, True)),
        ({"rule": "literal", "epsilon": 0.3}, "mean", ("kernel", "literal", 0.3, None, True)),
        ({"rule": "neighbours"}, "mean", ("kernel", "neighbours", 0.2, None, True)),
        ({"rule": "mean", "epsilon": 1.0}, "clip", ("predictions", "mean", 1.0, 6.0, True)),
        ({"similarity": "predictions"}, "clip", ("predictions", "mean", 0.2, 6.0, False)),
        ({"similarity": "features"}, "mean", ("features", "clip", 1.0, None, True)),
        ({"epsilon": 0.2, "temperature": 2.0}, "mean", ("predictions", "mean", 0.2, 2.0, False)),
    ],
)
def test_what_is_left_out(given: Any, usual: Any, expected: tuple[Any, ...]) -> None:
    found = RelationConfig(**given).resolved(usual)
    names = ("similarity", "rule", "epsilon", "temperature", "include_self")
    assert tuple(getattr(found, name) for name in names) == expected
    assert found.resolved(usual) == found


def test_neighbours_of_a_perplexity(folder: Path) -> None:
    done = simsmooth(
        *("labels", "first", "--rule", "neighbours", "--perplexity", 4, "--epsilon", 0.3),
        *("--out", "neighbours.npz"),
        cwd=folder,
    )
    table = load_table(folder / "neighbours.npz")
    rows = table.table.to_dense() - 0.7 * np.eye(10)
    perplexity = np.exp(scipy.stats.entropy(np.where(np.eye(10) > 0, 0, rows), axis=1))
    np.testing.assert_allclose(perplexity, 4, rtol=1e-5)
    assert (table.rule, table.parameters["perplexity"]) == ("neighbours", 4)
    assert "neighbours            0.000        4.00          10   own class nearly" in done.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"rule": "softmax"},
            "`temperature` must be given with `rule=softmax`, may be with `rule=mean`, and not "
            "with others, got temperature=None with rule 'softmax'. Set both, as softmax with 0.2",
        ),
        ({"temperature": 2.0}, "not with others, got temperature=2.0 with rule 'clip'."),
        (
            {"rule": "mean", "similarity": "kernel"},
            "`similarity` must be predictions with `rule=mean`, got kernel. Choose another `ru",
        ),
        (
            {"rule": "mean", "temperature": 3.0, "center": True, "similarity": "predictions"},
            "`center` must be given with a rule of cosines, got rule 'mean'. Choose another ",
        ),
        (
            {"rule": "mean", "temperature": 3.0, "perplexity": 2.0, "similarity": "predictions"},
            "`perplexity` must be given with `rule=neighbours` and with no other, got perplexity=2",
        ),
        (
            {"include_self": False},
            "`epsilon` must be below 0.9 where the relation row has no own class, got 1.0. Try",
        ),
        ({"rule": "neighbours", "perplexity": 9.0, "epsilon": 0.1}, "from 1 to below 9 (the othe"),
    ],
)
def test_options_that_do_not_go_together(options: Any, message: str) -> None:
    with pytest.raises(ss.InputError) as refused:
        refuse_relation(RelationConfig(**options).resolved(), 10)
    assert message in str(refused.value)
