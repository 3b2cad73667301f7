"""What is borrowed from inside of other libraries is there, and does what is needed."""

import ast
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grain
import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image
from program import REPOSITORY
from tensorflow_datasets.image_classification import cifar, mnist

from simsmooth_jax.machine import borrowed

ALONE = """
import jax, socket
from simsmooth_jax.machine.borrowed import jax_service
assert jax_service() == (None, 0)
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
jax.distributed.initialize(f"127.0.0.1:{port}", 1, 0)
client, process = jax_service()
client.key_value_set("simsmooth/a/0", "1")
client.key_value_set("simsmooth/a/0", "2", allow_overwrite=True)
assert client.blocking_key_value_get("simsmooth/a/0", 1000) == "2"
assert client.key_value_dir_get("simsmooth/a/") == [("simsmooth/a/0", "2")]
client.wait_at_barrier("simsmooth/b", 1000)
try:
    client.blocking_key_value_get("simsmooth/nothing", 10)
except jax.errors.JaxRuntimeError:
    print("process", process)
"""


@contextmanager
def needed_for(what: str) -> Iterator[None]:
    """Says what breaks with this version of the library."""
    try:
        yield
    except (ImportError, AttributeError, TypeError, AssertionError) as error:
        raise AssertionError(f"without it {what}: {error}") from error


def test_jax_service_holds_values_and_barriers_with_a_limit() -> None:
    command = [sys.executable, "-c", ALONE]
    shown = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    with needed_for("several processes cannot agree, nor end together"):
        assert shown.stdout == "process 0\n", shown.stderr


def test_grain_reads_ahead_in_a_thread_in_order() -> None:
    with needed_for("batches are not placed on the devices beside the training"):
        dataset = grain.MapDataset.source(range(5)).to_iter_dataset()
        assert list(borrowed.prefetched(dataset, 2)) == [0, 1, 2, 3, 4]


def test_grain_finds_its_options_parsed() -> None:
    program = (
        "import grain; from absl import flags\n"
        "from simsmooth_jax.machine.borrowed import allow_grain_workers\n"
        "before = flags.FLAGS.is_parsed(); allow_grain_workers(); allow_grain_workers()\n"
        "print(before, flags.FLAGS.is_parsed(), flags.FLAGS.grain_py_debug_mode)"
    )
    command = [sys.executable, "-c", program]
    shown = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    with needed_for("`workers` fails in every program but absl's own"):
        assert shown == "False True False\n"


def test_tfds_has_a_directory_that_the_environment_chooses(tmp_path: Path) -> None:
    program = "from simsmooth_jax.machine.borrowed import tfds_directory; print(tfds_directory())"
    command = [sys.executable, "-c", program]
    home = {"HOME": str(tmp_path), "PYTHONPATH": str(REPOSITORY)}
    for chosen, expected in (
        ({}, tmp_path / "tensorflow_datasets"),
        ({"TFDS_DATA_DIR": "~/sets"}, tmp_path / "sets"),
    ):
        shown = subprocess.run(
            command, capture_output=True, text=True, check=False, env=home | chosen
        )
        with needed_for("sets of TFDS are not found without `data_dir`"):
            assert shown.stdout == f"{expected}\n", shown.stderr


def test_tfds_writes_other_records_under_the_official_name(tmp_path: Path) -> None:
    """As for fashion_mnist, with three images; then they are opened by the name alone."""
    images = np.random.RandomState(0).randint(0, 256, (3, 28, 28)).astype(np.uint8)
    records = [(i, {"image": Image.fromarray(images[i]), "label": i}) for i in range(3)]
    official: Any = mnist.FashionMNIST
    with needed_for("fashion_mnist and cifar cannot be prepared without TensorFlow"):
        builder = borrowed.tfds_with_splits(official, lambda self, manager: {"train": records})
        assert tfds.builder_cls("fashion_mnist") is official
        builder(data_dir=tmp_path, file_format="array_record").download_and_prepare()
    with needed_for("no set of TFDS can be opened"):
        source = borrowed.tfds_prepared("fashion_mnist", tmp_path).as_data_source("train")
        labels = [int(record["label"]) for record in source]
        assert sorted(labels) == [0, 1, 2]
        for record in source:
            np.testing.assert_array_equal(record["image"][..., 0], images[record["label"]])
        with pytest.raises(tfds.core.DatasetNotFoundError):
            borrowed.tfds_prepared("mnist", tmp_path)


@pytest.mark.parametrize(
    ("official", "keys"),
    [(cifar.Cifar10, ["label"]), (cifar.Cifar100, ["coarse_label", "label"])],
)
def test_tfds_knows_the_layout_of_cifar(official: Any, keys: list[str], tmp_path: Path) -> None:
    with needed_for("the official archives of CIFAR cannot be read"):
        layout = borrowed.tfds_cifar_layout(official(data_dir=tmp_path))
        assert list(layout.label_keys) == keys
        assert len(layout.label_files) == len(keys)
        assert layout.url.endswith("-binary.tar.gz")
        assert layout.prefix.endswith("/")
        assert all(name.endswith(".bin") for name in (*layout.train_files, *layout.test_files))


PUBLIC = {"_asdict", "_exit", "_replace"}  # of os and of named tuples, by their documentation


def test_zip_says_how_long_its_list_of_members_is(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for number in range(100):
            archive.writestr(f"{number:02d}", b"content")
    with needed_for("a list of any length is read"), (tmp_path / "a.zip").open("rb") as file:
        assert borrowed.zip_directory_size(file) == 100 * (46 + 2)
    (tmp_path / "b.zip").write_bytes(b"none")
    with (tmp_path / "b.zip").open("rb") as file:
        assert borrowed.zip_directory_size(file) == 0


def test_nothing_is_borrowed_elsewhere() -> None:
    """Private modules and names of other libraries, in imports and after a point."""
    private = re.compile(r"(^|\.)(_[a-z]\w*|experimental)(\.|$)|^tensorflow_datasets\.core")
    found: dict[str, set[str]] = {}
    for path in (REPOSITORY / "simsmooth_jax").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names: list[str] = []
            if isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.Attribute) and ast.unparse(node.value) not in ("self", "cls"):
                names = [node.attr]
            borrowed_names = {name for name in names if private.search(name)} - PUBLIC
            if borrowed_names:
                found.setdefault(path.name, set()).update(borrowed_names)
    assert found == {
        "borrowed.py": {
            "jax._src.distributed.global_state",
            "grain.experimental.ThreadPrefetchIterDataset",
            "tensorflow_datasets.core.constants",
            "tensorflow_datasets.core.read_only_builder",
            "_cifar_info",
        }
    }
