"""Sets of TFDS that somebody has prepared as array_record, and all that is none."""

import pickle
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

import simsmooth_jax as ss
from simsmooth_jax.config.data import DataConfig, SourceConfig
from simsmooth_jax.data.load import load_dataset, open_source

pytestmark = pytest.mark.slow


def picture(seed: int, height: int = 5, width: int = 4) -> np.ndarray:
    return np.random.RandomState(seed).randint(0, 256, (height, width, 3)).astype(np.uint8)


class Written(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """What the sets below share."""

    VERSION = tfds.core.Version("1.0.0")
    names = ("cat", "dog")
    shape: tuple[Any, ...] = (5, 4, 3)

    def _features(self) -> dict[str, Any]:
        return {
            "image": tfds.features.Image(shape=self.shape),
            "label": tfds.features.ClassLabel(names=self.names),
        }

    def _info(self) -> Any:
        features = tfds.features.FeaturesDict(self._features())
        return tfds.core.DatasetInfo(builder=self, description="", features=features)

    def _record(self, i: int) -> dict[str, Any]:
        return {"image": Image.fromarray(picture(i)), "label": i % 2}

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        return {"train": self._examples(0, 30), "test": self._examples(30, 40)}

    def _examples(self, start: int, stop: int) -> Iterator[Any]:
        for i in range(start, stop):
            yield i, self._record(i)

    _generate_examples = _examples


class Plain(Written, skip_registration=True):
    name = "plain"


class ManySizes(Written, skip_registration=True):
    name = "many_sizes"
    shape = (None, None, 3)

    def _record(self, i: int) -> dict[str, Any]:
        return {"image": Image.fromarray(picture(i, 5 + i % 3)), "label": i % 2}


class Unlabelled(Written, skip_registration=True):
    name = "unlabelled"

    def _record(self, i: int) -> dict[str, Any]:
        return {"image": Image.fromarray(picture(i)), "label": -1 if i >= 30 else i % 2}


class TwoImages(Written, skip_registration=True):
    name = "two_images"

    def _features(self) -> dict[str, Any]:
        return super()._features() | {"mask": tfds.features.Image(shape=self.shape)}

    def _record(self, i: int) -> dict[str, Any]:
        return super()._record(i) | {"mask": Image.fromarray(picture(i))}


@pytest.fixture(scope="module", name="sets")
def prepared_sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("tensorflow_datasets")
    tfds.disable_progress_bar()
    for builder in (Plain, ManySizes, Unlabelled, TwoImages):
        builder(data_dir=directory, file_format="array_record").download_and_prepare()
    tfds.enable_progress_bar()
    return directory


def load(name: str, directory: Path, **options: Any) -> Any:
    source = SourceConfig(data_dir=directory, **options)
    return load_dataset(DataConfig(f"tfds:{name}", source))


@pytest.mark.parametrize("name", ["plain", "plain:1.0.0"])
def test_every_record_is_read(sets: Path, name: str) -> None:
    source = open_source(f"tfds:{name}", SourceConfig(data_dir=sets))
    assert source.class_names == ("cat", "dog")
    for split, numbers in (("train", range(30)), ("test", range(30, 40))):
        examples = pickle.loads(pickle.dumps(source.splits[split]))
        images, labels = examples.take(np.arange(len(examples)))
        found = sorted((im.tobytes(), int(y)) for im, y in zip(images, labels, strict=True))
        assert found == sorted((picture(i).tobytes(), i % 2) for i in numbers)
        assert (examples.all_labels() == labels).all()
        chosen = examples.select(np.array([4, 1]))
        assert (chosen.take(np.array([1]))[0][0] == images[1]).all()
        assert (chosen.all_labels() == labels[[4, 1]]).all()


def test_slices_are_those_of_tfds(sets: Path) -> None:
    ours = load("plain", sets, train_split="train[:40%]", validation_split="train[40%:]").train
    builder: Any = tfds.builder_from_directory(sets / "plain" / "1.0.0")
    theirs = builder.as_data_source("train[:40%]")
    assert len(ours) == len(theirs) == 12
    images, _ = ours.take(np.arange(12))
    for image, record in zip(images, theirs, strict=True):
        assert (image == record["image"]).all()


def test_sizes_that_differ_are_refused_by_record_or_converted(sets: Path) -> None:
    message = "many_sizes .*, record .*: it must have the height, width and channels .* Declare one"
    with pytest.raises(ss.InputError, match=message):
        load("many_sizes", sets)
    assert load("many_sizes", sets, image_size="4").image_shape == (4, 4, 3)


def test_images_without_a_label_are_refused(sets: Path) -> None:
    with pytest.raises(ss.InputError, match="unlabelled test must hold labels from 0 to 1, got -1"):
        load("unlabelled", sets)
    parts = {"train_split": "train[:80%]", "test_split": "train[80%:]"}
    assert len(load("unlabelled", sets, **parts).test) == 6


def refuses(name: str, directory: Path, message: str) -> None:
    with pytest.raises(ss.InputError) as refused:
        load(name, directory)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_refused_sets(sets: Path) -> None:
    refuses(
        "two_images",
        sets,
        "one image and one class label in each record, got image Image, label ClassL",
    )
    refuses(
        "mnits", sets, "`data=tfds:NAME` must be a set of TFDS, got 'mnits'. Did you mean mnist?"
    )
    refuses(
        "qqqqqqq", sets, f"'qqqqqqq'. A set of your own must be prepared in `data_dir`, now {sets}."
    )
    refuses("MNIST", sets, "must be a set of TFDS, got 'MNIST'. Did you mean mnist?")
    refuses(
        "mnist", sets, f"must be prepared in {sets}, got no mnist there. Prepare it with Tensor"
    )
    command = f"tfds build mnist --file_format=array_record --data_dir={sets}"
    refuses("mnist", sets, f"pip install 'simsmooth_jax[tf]' && {command}")
    refuses("plain:2.0.0", sets, f"must be prepared in {sets}, got plain/1.0.0 there. Name one of")
    refuses("plain/odd", sets, "got plain/1.0.0 there.")
    for name in ("../plain", "plain/../plain", "/etc", "a b", "plain:", "plain:1.0", "plain/.."):
        form = "tfds:NAME[/CONFIG][:VERSION]"
        refuses(name, sets, f"must name a set of TFDS as {form}, got {name!r}. Write tfds:mnist")


def test_labels_are_read_in_small_pieces(sets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record comes with its encoded image: those of a large set would not fit into memory."""
    monkeypatch.setattr("simsmooth_jax.data.sources.tfds_sets.LABELS_AT_ONCE", 7)
    train: Any = open_source("tfds:plain", SourceConfig(data_dir=sets)).splits["train"]
    _, labels = train.take(np.arange(30))
    asked: list[int] = []
    read = type(train.source).__getitems__

    def counted(source: Any, keys: list[int]) -> Any:
        asked.append(len(keys))
        return read(source, keys)

    monkeypatch.setattr(type(train.source), "__getitems__", counted)
    assert (train.all_labels() == labels).all()
    assert asked == [7, 7, 7, 7, 2]


def test_threads_read_at_once(sets: Path) -> None:
    pieces = np.split(np.tile(np.arange(30), 8), 60)
    train = open_source("tfds:plain", SourceConfig(data_dir=sets)).splits["train"]
    with ThreadPoolExecutor(16) as threads:
        found = list(threads.map(train.take, pieces))
    images = np.concatenate([images for images, _ in found]).reshape(8, 30, 5, 4, 3)
    assert sorted(image.tobytes() for image in images[0]) == sorted(
        picture(i).tobytes() for i in range(30)
    )
    assert (images == images[0]).all()
