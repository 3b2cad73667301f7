"""`simsmooth inspect` and `simsmooth labels` on checkpoints of other programs."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import write_checkpoints as stored
from program import simsmooth
from write_checkpoints import KERNEL, N

import simsmooth_jax as ss
from simsmooth_jax.config.commands import InspectConfig, LabelsConfig
from simsmooth_jax.program.commands import inspect_command, labels_command

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def files(shared_directory: Path) -> Path:
    return stored.written(shared_directory)


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """`shown(path, **options)`: the lines of `simsmooth inspect` in a narrow terminal."""
    monkeypatch.setenv("COLUMNS", "80")

    def show(path: Path, **options: Any) -> list[str]:
        inspect_command.inspect(InspectConfig(path, **options))
        lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
        assert max(map(len, lines[1:-1])) <= 80
        return lines

    return show


def test_what_a_checkpoint_holds(files: Path, shown: Any) -> None:
    path = files / "manager_default" / "one" / "params"
    lines = shown(path)
    assert lines[0] == f"{path}: Orbax, step 9, item default, 4 arrays, 688 bytes"
    assert [line.split() for line in lines[4:-2]] == [
        ["body/bias", "[8]", "float32", "32", "bytes"],
        ["body/kernel", "[16,", "8]", "float32", "512", "bytes"],
        ["head/bias", "[4]", "float32", "16", "bytes"],
        ["head/kernel", "[8,", "4]", "float32", "128", "bytes"],
    ]
    taken = "head/kernel [8, 4] (features x classes), bias head/bias"
    assert lines[-1] == f"kernel that would be taken: {taken}"


def test_optimizer_state_is_counted_and_not_listed(files: Path, shown: Any) -> None:
    """Of Adam: a count, and the first and second moments of four arrays."""
    lines = shown(files / "pytree_files" / "one" / "train_state")
    assert ", 14 arrays, " in lines[0]
    assert sorted(line.split()[0] for line in lines[4:-3]) == [
        *("params/body/bias", "params/body/kernel", "params/head/bias", "params/head/kernel"),
        "step",
    ]
    assert lines[-3].strip() == "… 9 of an optimizer's state"


@pytest.mark.parametrize(
    ("path", "options", "taken"),
    [
        ("others/fc-float16.safetensors", {}, "fc.weight [8, 4] (features x classes), transposed"),
        ("flax/pmap-boxed.msgpack", {}, "params/head/kernel/value [8, 4] (features x classes), th"),
        ("pytree_files/sharded/params", {"head": "body"}, "body/kernel [16, 8] (features x cl"),
        (
            "others/bare.npy",
            {"layout": "features-classes"},
            "array [8, 4] (features x classes), no",
        ),
        ("others/bare.npy", {}, "none, because checkpoint "),
        ("v1/one/params", {"num_classes": 3}, "none, because checkpoint "),
    ],
)
def test_the_kernel_that_would_be_taken(
    files: Path, shown: Any, path: str, options: dict[str, Any], taken: str
) -> None:
    assert shown(files / path, **options)[-1].startswith(f"kernel that would be taken: {taken}")


def test_long_listings_keep_their_ends_and_the_kernel(tmp_path: Path, shown: Any) -> None:
    arrays: dict[str, Any] = {f"layer{i}/{'x' * 90}": np.ones(3) for i in range(100)}
    names = [*arrays]
    arrays = {name: arrays[name] for name in names[:50]} | {"head/kernel": KERNEL} | arrays
    np.savez(tmp_path / "many.npz", **arrays)
    lines = [line.strip() for line in shown(tmp_path / "many.npz")]
    assert "… 30 more" in lines
    assert "… 30 more" in lines[lines.index("… 30 more") + 1 :]
    rows = [line.split()[0] for line in lines if line.split()[2:4] == ["float64", "24"]]
    assert len(rows) == 40
    assert any(line.startswith("head/kernel ") for line in lines)
    assert lines[-1].endswith("head/kernel [8, 4] (features x classes), no bias")


def test_what_cannot_be_listed_is_an_error(tmp_path: Path, shown: Any) -> None:
    with pytest.raises(ss.InputError, match="must be an existing directory or file, got"):
        shown(tmp_path / "none")


def test_as_a_user_does(files: Path, tmp_path: Path) -> None:
    """From PyTorch's weights to labels, with names: the table of the kernel that was written."""
    os.symlink(files / "others" / "fc-float32.safetensors", tmp_path / "model.safetensors")
    output = simsmooth("inspect", "model.safetensors", cwd=tmp_path)
    assert output.stdout.endswith(
        "fc.weight [8, 4] (features x classes), transposed, bias fc.bias\n"
    )
    assert output.stderr == ""
    (tmp_path / "names.txt").write_text("cat\ndög\nant\nbee\n", encoding="utf-8")
    simsmooth("labels", "model.safetensors", "--class-names", "names.txt", cwd=tmp_path)
    table = np.load(tmp_path / "labels.npz")
    assert table["class_names"].tolist() == ["cat", "dög", "ant", "bee"]
    unit = KERNEL.astype(np.float64) / np.linalg.norm(KERNEL, axis=0)
    cosines = np.maximum(unit.T @ unit, 0)
    expected = cosines / cosines.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(table["table"], expected, atol=1e-6)
    error = simsmooth("inspect", "names.txt", cwd=tmp_path, status=2).stderr
    assert error.startswith(
        "simsmooth: checkpoint names.txt: it must be of a kind that can be read"
    )


def test_the_only_matrix_is_taken_where_the_number_of_classes_is_known(
    tmp_path: Path, shown: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """And it is said aloud; a name for each class tells the number as well."""
    file, names = tmp_path / "lite.safetensors", tmp_path / "names.txt"
    weights = {"_conv_head.weight": np.ones((N, 3, 1, 1)), "_fc.weight": KERNEL.T.copy()}
    safetensors.numpy.save_file(weights, file)
    assert shown(file)[-1].endswith(
        "got none of: _fc.weight [4, 8], _conv_head.weight [8, 3, 1, 1]. "
        "Try --head _fc.weight, or --num-classes 4 if these are your classes."
    )
    taken = "_fc.weight [8, 4] (features x classes), transposed, no bias"
    for head in ("_fc.weight", "_fc/weight", "_fc"):
        assert shown(file, head=head)[-1].endswith(f": {taken}")
    assert shown(file, num_classes=4)[-1].endswith(f"{taken}, the only matrix of 4 classes")
    assert "fit num_classes=5, got none of: _fc.weight [4, 8], " in shown(file, num_classes=5)[-1]
    names.write_text("a\nb\nc\nd\n")
    for options in ({"num_classes": 4}, {"class_names": names}):
        labels(tmp_path, file, **options)
        said = f"kernel: _fc.weight of {file} (safetensors), the only matrix of 4 classes\n"
        assert said in capsys.readouterr().out
        (tmp_path / "labels.npz").unlink()


def labels(tmp_path: Path, checkpoint: Path, **options: Any) -> list[str]:
    out = tmp_path / "labels.npz"
    labels_command.make_label_file(LabelsConfig(checkpoint, out=out, **options))
    return np.load(out)["class_names"].tolist()


def test_class_names_of_the_checkpoint(files: Path, tmp_path: Path) -> None:
    checkpoint = files / "v1_training" / "eight" / "train_state"
    assert labels(tmp_path, checkpoint) == list("abcd")
    (tmp_path / "labels.npz").unlink()
    warning = "names 4 classes, and the kernel has 8 columns: they are called 0 to 7"
    with pytest.warns(UserWarning, match=warning):
        assert labels(tmp_path, checkpoint, head="body") == [str(i) for i in range(N)]


def test_class_names_in_an_archive_beside_the_head(tmp_path: Path) -> None:
    for names in (np.array(["a", "bö", "c", "d"]), np.array([b"a", "bö".encode(), b"c", b"d"])):
        np.savez(tmp_path / "head.npz", kernel=KERNEL, class_names=names)
        assert labels(tmp_path, tmp_path / "head.npz") == ["a", "bö", "c", "d"]
        (tmp_path / "labels.npz").unlink()
    np.savez(tmp_path / "head.npz", kernel=KERNEL, class_names=np.array(list("abca")))
    with pytest.warns(UserWarning, match="`checkpoint`: class_names: 'a' is the name of several"):
        assert labels(tmp_path, tmp_path / "head.npz") == ["a (0)", "b", "c", "a (3)"]
    (tmp_path / "labels.npz").unlink()
    np.savez(tmp_path / "head.npz", kernel=KERNEL, class_names=np.array([b"\xff"] * 4))
    with pytest.raises(
        ss.InputError, match=r"head.npz: it must be whole, got a damaged one \('utf-8"
    ):
        labels(tmp_path, tmp_path / "head.npz")
    assert not (tmp_path / "labels.npz").exists()


def test_class_names_of_a_config_beside_the_weights(tmp_path: Path) -> None:
    """As Hugging Face's: they also tell how many classes there are."""
    file, config = tmp_path / "model.safetensors", tmp_path / "config.json"
    safetensors.numpy.save_file({"_fc.weight": KERNEL.T.copy()}, file)
    config.write_text(json.dumps({"id2label": {"2": "c", "0": "crane", "1": "crane", "3": "d"}}))
    for path in (file, tmp_path):
        with pytest.warns(UserWarning, match="'crane' is the name of several classes, now 'crane "):
            assert labels(tmp_path, path) == ["crane (0)", "crane (1)", "c", "d"]
        (tmp_path / "labels.npz").unlink()
    config.write_text(json.dumps({"id2label": {"0": "a", "1": "b"}}))
    with pytest.warns(UserWarning, match="names 2 classes, and the kernel has 4 columns"):
        assert labels(tmp_path, file, head="_fc") == list("0123")
    (tmp_path / "labels.npz").unlink()
    config.write_text(json.dumps({"id2label": {"1": "a", "2": "b", "3": "c", "4": "d"}}))
    with pytest.warns(UserWarning, match="the keys of id2label are not 0 to 3: its names are"):
        assert labels(tmp_path, file, head="_fc") == list("0123")
    for text in ('{"id2label": {"0": "LABEL_0", "1": "LABEL_1"}}', "[", '{"a": 1}', "[1]"):
        (tmp_path / "labels.npz").unlink()
        config.write_text(text)
        assert labels(tmp_path, file, head="_fc") == list("0123")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "`class_names` must be an existing text file, got "),
        (b"a\nb\nc\n", "must have 4 lines, one for each column of the kernel, got 3. Write a"),
        (b"a\nb\na\na (2)", "names.txt` must differ, got 'a' for several c"),
        (b"a\n\nc\nd", "every line must be a name, got an empty one in line 2. Name each class."),
        (b"a\nb\n\xff\nd", "must be text in UTF-8, got byte 4 of another kind. Save it as UTF-8."),
    ],
)
def test_wrong_class_names(
    files: Path, tmp_path: Path, content: bytes | None, message: str
) -> None:
    names = tmp_path / "names.txt"
    if content is not None:
        names.write_bytes(content)
    with pytest.raises(ss.InputError) as error:
        labels(tmp_path, files / "v1" / "one" / "params", class_names=names)
    assert message in str(error.value)
    assert str(names) in str(error.value)
    assert not (tmp_path / "labels.npz").exists()
