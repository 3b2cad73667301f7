"""Every type of JSON in every field of every file of metadata: read, or refused in one line."""

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hostile
import numpy as np
import pytest
from hostile import refusal

import simsmooth_jax as ss
from simsmooth_jax.config.training import ModelConfig, TrainingConfig
from simsmooth_jax.data.sources.tfds_files import refuse_hostile
from simsmooth_jax.formats.stores import class_names
from simsmooth_jax.formats.stores.opening import open_stored
from simsmooth_jax.study.empty_classes import counts_of_checkpoint
from simsmooth_jax.training import classifier
from simsmooth_jax.training.classifier import Classifier
from simsmooth_jax.training.saved import checkpoints

GONE = object()
VALUES: list[Any] = [GONE, None, True, 0, -1, 1.5, 10**30, float("nan"), float("inf"), "", "1"]
VALUES += ["\x1b[31m\n\u202e", "x" * 10**5, [], [1], ["a"], [["a"]], [None] * 4, {}, {"a": 1}]
EVERY = 29  # of the cases in CI


def changed(document: Any) -> Iterator[Any]:
    """The document with each of these values in each place of it."""
    for path in _paths(document, ()):
        for value in VALUES:
            other = copy.deepcopy(document)
            if not path:
                if value is not GONE:
                    yield value
                continue
            inside = other
            for part in path[:-1]:
                inside = inside[part]
            if value is GONE:
                del inside[path[-1]]
            else:
                inside[path[-1]] = value
            yield other


def _paths(document: Any, path: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    yield path
    items = enumerate(document) if isinstance(document, list) else ()
    for key, value in document.items() if isinstance(document, dict) else items:
        yield from _paths(value, (*path, key))


def all_of(path: Path) -> None:
    """What `labels` reads of a checkpoint and its notes."""
    stored = open_stored(path)
    assert isinstance(stored.is_label_table, bool)
    kernel = ss.restore_head_kernel(path)
    class_names.of_head(stored.metadata, kernel.shape[1], None)
    counts_of_checkpoint(stored.metadata, kernel.shape[1])


def beside(path: Path) -> None:
    all_of(path.parent / "w.safetensors")


NOTED = {"id2label": {"0": "a", "1": "b", "2": "c", "3": "d"}, "num_labels": 4}
FEATURE = {"pythonClassName": "tensorflow_datasets.core.features.Image", "image": {"shape": [1]}}
FILES: dict[str, tuple[str, Callable[[Path], Any], Any]] = {
    "tree": ("step/_METADATA", lambda path: all_of(path.parent), None),
    "note": ("step/_CHECKPOINT_METADATA", lambda path: all_of(path.parent), None),
    "zarr": ("step/head.kernel/.zarray", lambda path: all_of(path.parent.parent), None),
    "config": ("config.json", beside, NOTED),
    "features": ("set/features.json", lambda path: refuse_hostile(path.parent), FEATURE),
}


def tried(place: Path, name: str, every: int) -> int:
    where, read, document = FILES[name]
    path = place / where
    document = document or json.loads(path.read_text())
    count = 0
    for count, other in enumerate(changed(document), 1):
        if count % every == 0:
            path.write_text(json.dumps(other))
            refusal(lambda: read(path), place)
    print(f"{name}: {count // every} of {count // every} held")  # with `pytest -s`
    return count // every


@pytest.fixture
def place(tmp_path: Path) -> Path:
    hostile.orbax(tmp_path / "step")
    hostile.weights(tmp_path / "w.safetensors")
    (tmp_path / "set").mkdir()
    return tmp_path


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FILES)
def test_some_values_in_some_fields(place: Path, name: str) -> None:
    assert tried(place, name, EVERY) >= 3


@pytest.mark.heavy
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FILES)
def test_every_value_in_every_field(place: Path, name: str) -> None:
    assert tried(place, name, 1) >= 99


def noted() -> dict[str, Any]:
    """What a training of ours notes."""
    training = TrainingConfig(model=ModelConfig("linear"))
    statistics = [[0.3], [0.4]]
    return {
        "training": training.to_json(),
        "class_names": [str(k) for k in range(10)],
        "image_shape": [8, 8, 1],
        "image_statistics": statistics,
    }


def evaluated(place: Path, monkeypatch: pytest.MonkeyPatch, every: int) -> int:
    real, usual = classifier.load_dataset, TrainingConfig(model=ModelConfig("linear")).data
    digits = real(usual)  # once
    monkeypatch.setattr(
        classifier, "load_dataset", lambda config: digits if config == usual else real(config)
    )
    params = {"head": {"kernel": np.zeros((64, 10), "f"), "bias": np.zeros(10, "f")}}
    count = 0
    for count, other in enumerate(changed(noted()), 1):
        if count % every == 0 and isinstance(other, dict):
            read = {"params": params, "batch_stats": {}}, json.loads(json.dumps(other))
            monkeypatch.setattr(checkpoints, "read", lambda *_, read=read: read)
            refusal(lambda: Classifier.restore(place), place)
    print(f"training: {count // every} of {count // every} held")
    return count // every


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_some_notes_of_a_training(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert evaluated(place, monkeypatch, 4 * EVERY) >= 5


@pytest.mark.heavy
@pytest.mark.filterwarnings("ignore")
def test_every_note_of_a_training(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert evaluated(place, monkeypatch, 1) >= 500
