"""The name of a user's own module: where it leads, and when it is imported."""

import shutil
import sys
from pathlib import Path

import pytest
from program import REPOSITORY, simsmooth
from test_own_models import refused


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with modules in it; a program that is installed does not look here."""
    files = {
        "own_needs": "import of_nobody\n",
        "own_syntax": "def vit(:\n",
        "own_script": "import sys\nsys.exit('usage')\n",
        "own_right": "from pathlib import Path\nPath('imported').touch()\nvit = size = print\n",
    }
    for name, code in files.items():
        (tmp_path / f"{name}.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [part for part in sys.path if part])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    for name in files:
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "vit9",
            "`model` must be cnn, linear, mlp, resnet, resnet18 or MODULE:FUNCTION, got 'vit9'",
        ),
        ("own_right.py:vit", "got own_right.py:vit. Try `model=own_right:vit`."),
        ("./my-own/models.py:vit", "Try `model=my_own.models:vit`."),
        ("own_right:", "`model` must be MODULE:FUNCTION, as Python imports them, got own_right:. "),
        (":vit", "got :vit. Try `model=mymodels:vit`."),
        ("of_nobody:vit", "name a module that can be imported, got of_nobody:vit, and no module"),
        ("own_right.vit:vit", "got own_right.vit:vit, and no module own_right.vit in "),
        ("own_needs:vit", "got ModuleNotFoundError: No module named 'of_nobody' ({here}/own_needs"),
        ("own_syntax:vit", "without an error, got SyntaxError: invalid syntax ({here}/own_syntax"),
        ("own_script:vit", "got SystemExit: usage ({here}/own_script.py, line 2). Mend it there."),
        (
            "own_right:vitt",
            "got own_right:vitt, which it has not. Did you mean `model=own_right:vit",
        ),
        ("own_right:zzz", "name a function in {here}/own_right.py, got own_right:zzz, which it ha"),
    ],
)
def test_a_name_that_leads_to_no_function(here: Path, name: str, message: str) -> None:
    assert message.format(here=here) in refused(name)


def test_sizes_of_our_models_are_left_out_with_an_own_one(here: Path) -> None:
    for option, value in (("width", 3), ("depth", 2), ("dtype", "bfloat16")):
        text = refused("own_right:vit", **{option: value})
        assert f"`{option}` must be left out for own_right:vit, got {value}. Set it in" in text
    assert not (here / "imported").exists()


def test_what_is_frozen_must_come_from_somewhere() -> None:
    assert "`freeze` must be given with `init`, got none, and so a model" in refused(
        "cnn", freeze=True
    )


TINY = ("--epochs", 1, "--batch-size", 500, "--optimizer", "adamw", "--learning-rate", 0.01)


@pytest.mark.slow
def test_a_file_that_names_a_module_imports_none(tmp_path: Path) -> None:
    """The installed program, which does not look in the current directory of its own."""
    code = (REPOSITORY / "tests" / "small_vit.py").read_text()
    (tmp_path / "mine.py").write_text("from pathlib import Path\nPath('imported').touch()\n" + code)
    own = ("--model", "mine:vit")
    assert "a: finished" in simsmooth("train", *own, *TINY, "--out", "a", cwd=tmp_path).stdout
    (tmp_path / "imported").unlink()
    error = simsmooth("evaluate", "a", cwd=tmp_path, status=2).stderr
    assert error == (
        "simsmooth: --model must be given again for a, got none: it was trained with mine:vit, "
        "which no file may have imported. Add --model mine:vit.\n"
    )
    features = ("labels", "a", "--similarity", "features")
    assert "Add --model mine:vit." in simsmooth(*features, cwd=tmp_path, status=2).stderr
    simsmooth("inspect", "a", cwd=tmp_path)
    assert not (tmp_path / "imported").exists()
    shown = simsmooth("evaluate", "a", *own, cwd=tmp_path).stdout
    assert "test split, 500 images" in shown
    assert (tmp_path / "imported").exists()
    shutil.move(tmp_path / "mine.py", tmp_path / "moved.py")
    assert simsmooth("evaluate", "a", "--model", "moved:vit", cwd=tmp_path).stdout == shown
    other = code.replace("nn.Dense(8)", "nn.Dense(9)")
    (tmp_path / "mine.py").write_text(other)
    error = simsmooth("evaluate", "a", *own, cwd=tmp_path, status=2).stderr
    assert error.startswith(
        "simsmooth: --model mine:vit: params/Block_0/Dense_0/bias must be float32[8] as in a, got "
        "float32[9]. Name the model"
    )
    assert "--model cnn: batch_stats/BatchNorm_0/mean must be float32[4] as in a, got nothing" in (
        simsmooth("evaluate", "a", "--model", "cnn", cwd=tmp_path, status=2).stderr
    )
