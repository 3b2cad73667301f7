"""The names of the classes in a file for `--similarity`, and a file that changes under a run."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from program import simsmooth

import simsmooth_jax as ss
from simsmooth_jax.config.commands import LabelsConfig
from simsmooth_jax.config.labels import RelationConfig
from simsmooth_jax.formats.label_files import load_table
from simsmooth_jax.formats.similarity_files import read_similarity
from simsmooth_jax.program.commands.labels_command import make_label_file
from simsmooth_jax.study.relations import file_identity

pytestmark = pytest.mark.slow

TABLE = np.eye(3, dtype=np.float32)
NAMES = ("ä", "b", "c")


@pytest.mark.parametrize("form", ["texts.npz", "bytes.npz", "metadata.safetensors"])
def test_names_are_known_in_every_form(tmp_path: Path, form: str) -> None:
    path = tmp_path / form
    if form == "metadata.safetensors":
        safetensors.numpy.save_file({"table": TABLE}, path, {"class_names": json.dumps(NAMES)})
    else:
        names = np.array(NAMES)
        stored = np.char.encode(names, "utf-8") if form == "bytes.npz" else names
        np.savez(path, table=TABLE, class_names=stored)
    assert read_similarity(f"table:{path}")[1] == NAMES
    config = RelationConfig(similarity=f"table:{path}").resolved()
    assert file_identity(config, NAMES).keys() == {"similarity_sha256"}
    with pytest.raises(ss.InputError, match="classes of the data in their order, got 3 that start"):
        file_identity(config, NAMES[::-1])


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (np.array(["a", "a (0)", "a"]), "class_names must differ, got 'a' for several classes, "),
        (np.array(["a", "b"]), "class_names must be 3, one for each row, got 2. Save a name"),
        (np.arange(3), r"class_names must be texts \[K\], got int64. Save them with"),
        (np.array("a"), r"class_names must be texts \[K\], got 'a'. Save a name for"),
        (
            np.array(["a", 1, None], object),
            r"class_names must be texts \[K\], got objects, which are a",
        ),
    ],
)
def test_refused_names(tmp_path: Path, names: np.ndarray, message: str) -> None:
    np.savez(tmp_path / "x.npz", table=TABLE, class_names=names)
    with pytest.raises(ss.InputError, match=f"^`similarity=table:{tmp_path}/x.npz`: {message}"):
        read_similarity(f"table:{tmp_path}/x.npz")


def test_numbers_beyond_float32_and_no_name(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", TABLE.astype(np.float64) * 1e300)
    with pytest.raises(ss.InputError, match="finite real numbers, got NaN or infinity as float32"):
        read_similarity(f"table:{tmp_path}/x.npy")
    with pytest.raises(ss.InputError, match="`similarity=table:FILE` must name an existing file"):
        read_similarity("table:")


def test_file_that_changes_under_a_run(tmp_path: Path) -> None:
    """A run that a kill stopped late must not pair new labels with a classifier of the old ones."""

    def run(**options: Any) -> str:
        similarity = ("--similarity", "table:x.npy", "--out", "run")
        tiny = ("--model", "mlp", "--width", 8, "--depth", 1, "--epochs", 1)
        return simsmooth("run", *similarity, *tiny, cwd=tmp_path, **options).stderr

    np.save(tmp_path / "x.npy", np.eye(10))
    run()
    (tmp_path / "run" / "report.json").unlink()
    np.save(tmp_path / "x.npy", np.full((10, 10), 0.1) + 0.9 * np.eye(10))
    message = run(status=2)
    assert (
        "--out run must hold no run of another configuration, got `similarity_sha256` " in message
    )
    assert (load_table(tmp_path / "run" / "labels.npz").table.to_dense() == np.eye(10)).all()
    np.save(tmp_path / "x.npy", np.eye(10))
    run()
    assert (tmp_path / "run" / "report.json").exists()


def test_options_of_a_kernel_are_not_passed_over(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", TABLE)
    relation = RelationConfig(similarity=f"table:{tmp_path}/x.npy").resolved()
    options: dict[str, Any] = {"head": "fc", "num_classes": 3, "layout": "features-classes"}
    options |= {"data": "digits", "data_dir": tmp_path}
    for name, value in options.items():
        config = LabelsConfig(out=tmp_path / "y.npz", relation=relation, **{name: value})
        with pytest.raises(ss.InputError, match=f"^`{name}` must be given with --similarity "):
            make_label_file(config)
    assert not (tmp_path / "y.npz").exists()
