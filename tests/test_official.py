"""Fashion-MNIST and CIFAR out of official archives, in the form that any program reads by TFDS."""

import hashlib
import io
import json
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shared_images import ARCHIVES, needs_images, prepared_fashion_mnist
from tensorflow_datasets.image_classification import cifar, mnist

import simsmooth_jax as ss
from simsmooth_jax.config.data import SourceConfig
from simsmooth_jax.data.load import open_source
from simsmooth_jax.machine.borrowed import tfds_cifar_layout

pytestmark = pytest.mark.slow

READ_BY_TFDS = """
import hashlib, sys
import tensorflow_datasets as tfds
source = tfds.data_source("fashion_mnist", split="test", data_dir=sys.argv[1])
for record in source:
    print("test", record["label"], hashlib.md5(record["image"].tobytes()).hexdigest())
assert not {"tensorflow", "simsmooth_jax"} & set(sys.modules)
"""


@pytest.fixture(scope="module")
def fashion_mnist(shared_directory: Path) -> Path:
    return prepared_fashion_mnist(shared_directory)


def raw_fashion_mnist() -> list[str]:
    """A line for every image of the official files, by the description of their format."""
    import gzip

    lines = []
    for name, part in (("train", "train"), ("test", "t10k")):
        images = gzip.decompress((ARCHIVES / f"{part}-images-idx3-ubyte.gz").read_bytes())[16:]
        labels = gzip.decompress((ARCHIVES / f"{part}-labels-idx1-ubyte.gz").read_bytes())[8:]
        for i, label in enumerate(labels):
            pixels = images[784 * i : 784 * (i + 1)]
            lines.append(f"{name} {label} {hashlib.md5(pixels).hexdigest()}")
    return sorted(lines)


@pytest.mark.heavy
@needs_images
def test_any_program_reads_it_without_tensorflow(fashion_mnist: Path) -> None:
    command = [sys.executable, "-c", READ_BY_TFDS, str(fashion_mnist)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert sorted(shown.splitlines()) == [x for x in raw_fashion_mnist() if x.startswith("test")]


@pytest.mark.heavy
@needs_images
def test_every_image_is_that_of_the_archives(fashion_mnist: Path) -> None:
    source = open_source("fashion_mnist", SourceConfig(data_dir=fashion_mnist))
    assert source.name == "fashion_mnist"
    assert source.class_names[:3] == ("T-shirt/top", "Trouser", "Pullover")
    assert source.class_names[-1] == "Ankle boot"
    found = []
    for name, split in source.splits.items():
        images, labels = split.take(np.arange(len(split)))
        assert (labels == split.all_labels()).all()
        for image, label in zip(images, labels, strict=True):
            found.append(f"{name} {label} {hashlib.md5(image.tobytes()).hexdigest()}")
    assert sorted(found) == raw_fashion_mnist()
    assert len(found) == 70_000


def cifar_archive(builder: Any, manual: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """An archive of the official layout with few images; gives what is in it."""
    layout, random = tfds_cifar_layout(builder), np.random.RandomState(0)
    manual.mkdir(parents=True)
    parts: dict[str, list[Any]] = {"train": [], "test": []}
    keys = layout.label_keys
    with tarfile.open(manual / Path(layout.url).name, "w:gz") as archive:

        def add(name: str, content: bytes) -> None:
            member = tarfile.TarInfo(layout.prefix + name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))

        for split, files in (("train", layout.train_files), ("test", layout.test_files)):
            for name in files:
                images = random.randint(0, 256, (7, 3, 32, 32)).astype(np.uint8)
                labels = random.randint(0, 10, (7, len(keys))).astype(np.uint8)
                add(name, np.hstack([labels, images.reshape(7, -1)]).tobytes())
                parts[split].append((images.transpose(0, 2, 3, 1), labels[:, -1]))
        for key, name in zip(keys, layout.label_files, strict=True):
            count = builder.info.features[key].num_classes
            add(name, "".join(f"{key}_{k}\n" for k in range(count)).encode())
    joined = {}
    for split, pieces in parts.items():
        images, labels = zip(*pieces, strict=True)
        joined[split] = np.concatenate(images), np.concatenate(labels)
    return joined


@pytest.mark.parametrize(
    ("name", "official"), [("cifar10", cifar.Cifar10), ("cifar100", cifar.Cifar100)]
)
def test_cifar_is_prepared_from_its_binary_archive(
    name: str, official: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    builder = official(data_dir=tmp_path)
    expected = cifar_archive(builder, tmp_path / "downloads" / "manual")
    monkeypatch.setattr(
        "simsmooth_jax.data.sources.official._refuse_other_content", lambda *_: None
    )
    for _ in range(2):  # prepared, then read as prepared
        source = open_source(name, SourceConfig(data_dir=tmp_path))
        assert source.class_names[-1] == f"label_{len(source.class_names) - 1}"
        assert len(source.class_names) == int(name.removeprefix("cifar"))
        for split, (images, labels) in expected.items():
            found = source.splits[split].take(np.arange(len(labels)))
            pairs = zip(*found, strict=True), zip(images, labels, strict=True)
            ours, theirs = (sorted((i.tobytes(), int(y)) for i, y in pair) for pair in pairs)
            assert ours == theirs


PREPARE = """
import sys
from pathlib import Path
from simsmooth_jax.data.conversion import Conversion
from simsmooth_jax.data.sources.official import open_official
source = open_official("fashion_mnist", Path(sys.argv[1]), Conversion())
print(sum(map(len, source.splits.values())))
"""


@pytest.mark.heavy
@needs_images
def test_kill_in_the_midst_leaves_nothing_prepared_and_others_wait(tmp_path: Path) -> None:
    """One process is killed while it writes; of two that follow at once, one prepares for both."""
    manual = tmp_path / "downloads" / "manual"
    manual.mkdir(parents=True)
    for path in ARCHIVES.iterdir():
        (manual / path.name).symlink_to(path)
    command = [sys.executable, "-c", PREPARE, str(tmp_path)]
    killed = subprocess.Popen(command)
    while not list(tmp_path.glob("fashion_mnist/incomplete*")):
        assert killed.poll() is None
        time.sleep(0.05)
    time.sleep(0.5)
    killed.kill()
    killed.wait()
    assert not Path(mnist.FashionMNIST(data_dir=tmp_path).data_path).exists()
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate(timeout=120)[0] for process in both] == ["70000\n"] * 2


def test_damaged_official_set_is_named(tmp_path: Path) -> None:
    prepared = tmp_path / "fashion_mnist" / "3.0.1"
    prepared.mkdir(parents=True)
    info = {"name": "fashion_mnist", "version": "3.0.1", "fileFormat": "array_record"}
    for text in (json.dumps(info), "{"):
        (prepared / "dataset_info.json").write_text(text)
        (prepared / "features.json").write_text("{}")
        message = f"fashion_mnist.* in {tmp_path}: it must be a whole prepared set of TFDS, got one"
        with pytest.raises(ss.InputError, match=message) as no:
            open_source("fashion_mnist", SourceConfig(data_dir=tmp_path))
        assert "\n" not in str(no.value)
