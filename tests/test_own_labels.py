"""A user's own table: saved, loaded, trained on, and put into the order of the data."""

import json
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from program import simsmooth

import simsmooth_jax as ss
from simsmooth_jax.formats.label_files import TableFile, table_sha256
from simsmooth_jax.formats.matching import labels_for

NAMES = ("cat", "dög", "crane (2)", "crane (3)")
COUNTS = np.array([[5, 4, 1, 0], [6, 3, 0, 1], [0, 0, 9, 1], [0, 1, 2, 7]])
PEOPLE = COUNTS / COUNTS.sum(axis=1, keepdims=True)  # of a dog, more say cat
ORDER = [2, 0, 3, 1]  # of another file: its first class is our third
TOP_K = ss.TopKLabels(
    np.array([[0, 1], [1, 3], [2, 0], [3, 2]], np.int32),
    np.array([[0.7, 0.3], [0.6, 0.4], [1, 0], [0.9, 0.1]], np.float32),
)
# What `save_labels` does not take, below.
save_labels: Any = ss.save_labels


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
@pytest.mark.parametrize("names", [NAMES, None, ("\udcff", *NAMES[1:])])
def test_saved_and_loaded_again(suffix: str, names: Any, tmp_path: Path) -> None:
    path = tmp_path / f"labels.{suffix}"
    for table in (PEOPLE, TOP_K):
        ss.save_labels(str(path), table, names)
        loaded, found = ss.load_labels(str(path))
        assert found == names
        assert table_sha256(loaded) == table_sha256(table)
        assert isinstance(loaded, ss.TopKLabels if table is TOP_K else np.ndarray)
    read = np.load if suffix == "npz" else safetensors.numpy.load_file
    ss.save_labels(path, PEOPLE, names and list(names))
    np.testing.assert_array_equal(read(path)["table"], PEOPLE.astype(np.float32))


def test_the_form_of_anyones_file(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", PEOPLE)
    np.savez(tmp_path / "b.npz", anything=PEOPLE, vector=np.ones(3))
    np.savez(tmp_path / "c.npz", table=PEOPLE, other=COUNTS, class_names=np.array(NAMES))
    np.savez(tmp_path / "d.npz", table=np.eye(4, dtype=int), rule="mine")
    texts = {"class_names": json.dumps(NAMES)}
    safetensors.numpy.save_file({"x": PEOPLE}, tmp_path / "e.safetensors", texts)
    for name, expected in (("a.npy", None), ("b.npz", None), ("c.npz", NAMES), ("d.npz", None)):
        table, names = ss.load_labels(tmp_path / name)
        assert isinstance(table, np.ndarray)
        assert names == expected
        np.testing.assert_allclose(table, np.eye(4) if name == "d.npz" else PEOPLE, atol=1e-7)
    assert ss.load_labels(tmp_path / "e.safetensors").class_names == NAMES


@pytest.mark.parametrize(
    ("path", "arguments", "message"),
    [
        ("x.npy", (PEOPLE,), "path must end with .npz or .safetensors, got "),
        ("x.npz", (COUNTS, NAMES), "row of table must be a distribution, got sum 10 and least ent"),
        ("x.npz", (COUNTS, NAMES), "in row 0 'cat'. Divide each row by its sum; "),
        ("x.npz", (PEOPLE[:3],), "save_labels: table must have shape [K, K], got (3, 4)."),
        ("x.npz", (PEOPLE[:3], NAMES), "save_labels: table must have shape [K, K], got (3, 4)."),
        ("x.npz", ([[1.0, 0.0], [1.0]],), "save_labels: table must be an array, got list ("),
        ("x.npz", (PEOPLE, NAMES[1:]), "class_names must be 4, one for each row, got 3. Name"),
        ("x.npz", (PEOPLE, "abcd"), "class_names must be texts, got 'abcd'. Give a list of str."),
        (
            "nodir/x.npz",
            (PEOPLE,),
            "save_labels: path must be a file in an existing directory, got",
        ),
        ("x.npz", (PEOPLE, range(4)), "class_names must be texts, got range(0, 4)."),
        (
            "x.npz",
            (ss.factored_labels(np.eye(4, dtype=np.float32), "shift"),),
            "table must be [K, K] or of top_k_labels, got the factored form. Save table.to_dense()",
        ),
    ],
)
def test_refuses_to_save(tmp_path: Path, path: str, arguments: Any, message: str) -> None:
    with pytest.raises(ss.InputError) as refused:
        save_labels(tmp_path / path, *arguments)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_refuses_to_load(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    with pytest.raises(ss.InputError, match="load_labels: path must be an existing file, got"):
        ss.load_labels(path)
    with pytest.raises(ss.InputError, match="load_labels: path must be an existing file, got xxx"):
        ss.load_labels("x" * 5000)
    np.savez(path, table=COUNTS, class_names=np.array(NAMES))
    with pytest.raises(ss.InputError, match="a distribution, got sum 10 .* in row 0 'cat'. Divide"):
        ss.load_labels(path)
    touched = tmp_path / "touched"
    for content in (np.array([Bomb(touched)], object), {"table": Bomb(touched)}):
        with path.open("wb") as file:
            if isinstance(content, dict):
                pickle.dump(content, file)
            else:
                np.savez(file, table=content[:, None])
        with pytest.raises(ss.InputError, match="x.npz: it must be a table of labels, got one"):
            ss.load_labels(path)
    assert not touched.exists()


class Bomb:
    """Unpickled, it would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("table", [PEOPLE, TOP_K], ids=["dense", "top-k"])
def test_another_order_is_mended_on_request_alone(tmp_path: Path, table: Any) -> None:
    """Written in the order of the data, the file's rows are found by the names of both."""
    path = tmp_path / "x.npz"
    dense = np.asarray(table.to_dense() if table is TOP_K else table)
    theirs = tuple(NAMES[k] for k in ORDER)
    shuffled: Any = dense[np.ix_(ORDER, ORDER)]
    if table is TOP_K:
        indices = np.argsort(ORDER)[TOP_K.indices[ORDER]]
        shuffled = ss.TopKLabels(indices.astype(np.int32), TOP_K.weights[ORDER])
        np.testing.assert_array_equal(shuffled.to_dense(), dense[np.ix_(ORDER, ORDER)])
    TableFile(shuffled, theirs, "clip" if table is TOP_K else "").save(path)
    message = "got 'crane (2)' in row 0 where the data have 'cat'. They are the same names: "
    with pytest.raises(ss.InputError, match=re.escape(message + "`reorder` puts rows and colum")):
        labels_for(path, NAMES)
    if table is TOP_K:
        found = labels_for(path, NAMES, reorder=True)
    else:
        warning = "1 of 4 rows are not largest at their own class, as 0.3 there and 0.6 at class 0 "
        with pytest.warns(UserWarning, match=f"{warning}'cat' in row 1 'dög'"):
            found = labels_for(path, NAMES, reorder=True)
    np.testing.assert_allclose(found.table.to_dense(), dense, atol=1e-7)
    assert found.class_names == NAMES
    message = "got 'crane (2)' in row 0 where the data have 'cat', and no 'ant'. Make the table"
    with pytest.raises(ss.InputError, match=re.escape(message)):
        labels_for(path, ("cat", "ant", *NAMES[2:]), reorder=True)
    ss.save_labels(path, np.eye(4))
    assert labels_for(path, NAMES).class_names is None
    with pytest.raises(ss.InputError, match="`reorder` must be given with a table that has class"):
        labels_for(path, NAMES, reorder=True)


def test_two_cranes_are_told_apart_and_never_matched_by_their_numbers(tmp_path: Path) -> None:
    """A number says where a class stands, and so nothing where the order is another one."""
    path, names = tmp_path / "x.npz", ["cat", "crane", "dog", "crane"]
    with pytest.warns(UserWarning, match=r"'crane' is the name of several classes, now 'crane \(1"):
        ss.save_labels(path, np.eye(4), names)
    told = ("cat", "crane (1)", "dog", "crane (3)")
    assert ss.load_labels(path).class_names == told
    assert labels_for(path, told).class_names == told
    swapped = ("dog", "crane (1)", "cat", "crane (3)")  # which crane is which?
    message = "names in another order must be each class's own, got 'crane (1)', which is its num"
    with pytest.raises(ss.InputError, match=re.escape(message)):
        labels_for(path, swapped, reorder=True)
    written = ("crane (3)", "crane (1)", "dog", "cat")  # by hand, after the file's
    assert labels_for(path, written, reorder=True).class_names == written
    three = ["crane", "crane", "owl", "owl"]
    with pytest.warns(UserWarning, match=r"'crane' \(and 1 more\) is the name of several classes"):
        ss.save_labels(path, np.eye(4), three)


@pytest.mark.slow
def test_people_are_trained_on(tmp_path: Path) -> None:
    """ImageNet's way: two classes of one name in the data, and a table of people's confusions."""
    labels = np.arange(40).astype(np.int32) % 4
    images = (labels[:, None, None] * 60 + np.arange(16).reshape(4, 4)).astype(np.uint8)
    arrays = {"train_images": images, "train_labels": labels, "test_images": images}
    names = np.array(["cat", "dög", "crane", "crane"])
    np.savez(tmp_path / "zoo.npz", **arrays, test_labels=labels, class_names=names)
    np.save(tmp_path / "people.npy", PEOPLE)
    tiny = ("--model", "mlp", "--width", 4, "--depth", 1, "--epochs", 1, "--batch-size", 8)
    train = ("train", "--data", "npz:zoo.npz", *tiny, "--labels")
    done = simsmooth(*train, "people.npy", "--out", "people", cwd=tmp_path)
    told = "'crane' is the name of several classes, now 'crane (2)', 'crane (3)'"
    assert f"warning: data zoo: class_names: {told}" in done.stderr
    warning = "warning: --labels people.npy: 1 of 4 rows are not largest at their own class, as 0.3"
    assert f"{warning} there and 0.6 at class 0 'cat' in row 1 'dög'\n" in done.stderr
    ss.save_labels(tmp_path / "other.npz", PEOPLE[::-1, ::-1], NAMES[::-1])
    error = simsmooth(*train, "other.npz", cwd=tmp_path, status=2).stderr.splitlines()[-1]
    assert "They are the same names: --reorder puts rows and columns into the order" in error
    error = simsmooth("train", "--reorder", *tiny, cwd=tmp_path, status=2).stderr
    assert error == (
        "simsmooth: --reorder must be given with a file of labels, got labels onehot. Leave it out."
        "\n"
    )
