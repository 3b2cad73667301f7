"""An error's line: who must what, what was given, what to do next; and who speaks of options."""

import ast
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from program import REPOSITORY

import simsmooth_jax as ss
from simsmooth_jax.errors import first_line
from simsmooth_jax.program.wording import as_options
from simsmooth_jax.study.pipeline import IllPosedError

PACKAGE = REPOSITORY / "simsmooth_jax"
FILES = sorted(PACKAGE.rglob("*.py"))
# A whole command is a next step to be copied.
COMMANDS = re.compile(
    r"(simsmooth (train|labels|data)|tfds (build|convert_format)|xprof|aws s3|gcloud) [^.;]*"
)
OTHERS = {("devices.py", "--xla_gpu_deterministic_ops")}
ERROR = ss.InputError("f: kernel", "have shape [N, K]", (3,), "Pass one matrix.")


def test_four_parts_are_one_line() -> None:
    assert str(ERROR) == "f: kernel must have shape [N, K], got (3,). Pass one matrix."
    assert (ERROR.who, ERROR.must) == ("f: kernel", "have shape [N, K]")
    assert (ERROR.got, ERROR.then) == ("(3,)", "Pass one matrix.")
    assert isinstance(ERROR, ValueError)
    missing: Any = ss.InputError
    with pytest.raises(TypeError):
        missing("f: kernel must have shape [N, K], got (3,). Pass one matrix.")


def test_an_error_goes_from_process_to_process() -> None:
    """Images are read in other processes; what they refuse is raised in the training's."""
    array = ss.InputError("f: x", "be positive", np.zeros(2), "Try 1.")
    for error in (ERROR, array, IllPosedError(*ERROR.args)):
        found = pickle.loads(pickle.dumps(error))
        assert (type(found), str(found), found.args) == (type(error), str(error), error.args)
        assert found.args == (error.who, error.must, error.got, error.then)


def test_an_error_under_another_name() -> None:
    assert str(ERROR.under("`similarity=vectors:x.npy`")) == (
        "`similarity=vectors:x.npy`: f: kernel must have shape [N, K], got (3,). Pass one matrix."
    )
    assert str(ERROR).startswith("f: kernel")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError("torn.\nand more"), "torn"),
        (KeyError("a"), "'a'"),
        (EOFError(), "EOFError"),
        (ValueError("\n  "), "ValueError"),
    ],
)
def test_first_line_of_an_error(error: Exception, expected: str) -> None:
    assert first_line(error) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("`epochs` must be", "--epochs must be"),
        ("lower `learning_rate`.", "lower --learning-rate."),
        ("Name one with `head=PATH`.", "Name one with --head PATH."),
        ("Try `head='fc.weight'`.", "Try --head fc.weight."),
        ("Try `head='a b'`, or `num_classes=4`", "Try --head 'a b', or --num-classes 4"),
        ("Try `center=False` or `center=True`.", "Try --no-center or --center."),
        ("Try `train_split=train[:80%]`", "Try --train-split 'train[:80%]'"),
        ("`data=npz:a b.npz` must", "--data 'npz:a b.npz' must"),
        ("`checkpoint` must be", "CHECKPOINT must be"),
        ("`kernel` and `K=3` and `` stay", "`kernel` and `K=3` and `` stay"),
        ("f: epochs must be", "f: epochs must be"),
    ],
)
def test_the_program_shows_arguments_as_options(text: str, expected: str) -> None:
    assert as_options(text) == expected


def errors_of(path: Path) -> list[ast.Call]:
    """Where a module makes an error of an input."""
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    return [call for call in calls if ast.unparse(call.func).split(".")[-1] == "InputError"]


def test_every_error_is_made_of_four_parts() -> None:
    calls = [(path.name, call) for path in FILES for call in errors_of(path)]
    assert len(calls) > 150
    for name, call in calls:
        assert (len(call.args), call.keywords) == (4, []), (name, call.lineno)
        assert not any(isinstance(part, ast.Starred) for part in call.args), (name, call.lineno)
        texts = [part.value for part in call.args if isinstance(part, ast.Constant)]
        assert all(texts), (name, call.lineno)
        assert ", got " not in ast.unparse(call.args[1]), (name, call.lineno)


def without_words_for_readers(path: Path) -> str:
    """A module's source, a statement in a line, without comments and docstrings."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(
            node
        ):
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


def test_the_library_does_not_speak_of_flags() -> None:
    """It names arguments; what they are called on a command line is for the program to say."""
    found = {
        (path.name, flag)
        for path in FILES
        if path.parent.name not in ("program", "commands", "html", "config")
        for line in without_words_for_readers(path).splitlines()
        for flag in re.findall(r"(?<![\w-])--[a-z][\w-]*", COMMANDS.sub("", line))
    }
    assert found == OTHERS
