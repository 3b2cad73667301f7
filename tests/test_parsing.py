"""What is typed wrongly is said in one line, all mistakes of a kind together."""

import os

import pytest

from simsmooth_jax.errors import InputError
from simsmooth_jax.program.parsing import COMMANDS, parse
from simsmooth_jax.program.wording import as_options

ALL = "run, train, study, labels, inspect, evaluate, data"


def refused(*words: str) -> str:
    with pytest.raises(InputError) as caught:
        parse(words)
    text = str(caught.value)
    assert "\n" not in text
    assert as_options(text) == text
    return text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", f"simsmooth must be given one of {ALL} first, got nothing. See simsmooth --help."),
        ("runn", f"one of {ALL} first, got 'runn'. Did you mean simsmooth run?"),
        ("--epochs 3 run", f"one of {ALL} first, got '--epochs'. See simsmooth --help."),
        (
            "run --rul clip --epoch 3 --epoch 4",
            "simsmooth run must be given options that it has, got --rul, --epoch. Did you mean "
            "--rule, --epochs? See simsmooth run --help.",
        ),
        ("run --EPOCHS=3", "options that it has, got --EPOCHS. Did you mean --epochs? See simsm"),
        ("run --bogus", "options that it has, got --bogus. See simsmooth run --help."),
        ("run --labels x", "options that it has, got --labels. simsmooth train has it."),
        ("run --labels x --reorder", "got --labels, --reorder. simsmooth train has them."),
        ("run --include-self", "got --include-self. Did you mean --no-include-self? See simsmooth"),
        ("run -x", "simsmooth run must be given options that it has, got -x. See"),
        ("labels -x", "simsmooth labels must be given options that it has, got -x. See"),
        ("inspect -x -x --layout y", "simsmooth inspect must be given options that it has, got -x"),
        ("run --tune True", "values only where it takes them, got 'True' after --tune. See"),
        ("run --tune=True", "values only where it takes them, got 'True' after --tune. See"),
        ("run -- x", "values only where it takes them, got 'x'. See"),
        (
            "evaluate a b",
            "simsmooth evaluate must be given values only where it takes them, got 'b'",
        ),
        ("inspect", "CHECKPOINT must be given, got nothing. See simsmooth inspect --help."),
        ("run --epochs", "--epochs must have a value, got nothing. See simsmooth run --help."),
        (
            "train --labels -x",
            "--labels must have a value, got '-x'. For a value that begins with a dash: "
            "--labels=-x. See simsmooth train --help.",
        ),
        (
            "run --rule x",
            "--rule must be one of literal, clip, shift, softmax, neighbours, mean, g",
        ),
        ("run --rule CLIP", "got 'CLIP'. Did you mean clip? See simsmooth run --help."),
        ("run --epochs 1e3", "--epochs must be a whole number, got '1e3'. See simsmooth run --hel"),
        ("run --top-k 1.5", "--top-k must be a whole number, got '1.5'. See simsmooth run --help."),
        ("run --epsilon=", "--epsilon must be a number, got ''. See simsmooth run --help."),
        (
            "run --seed " + "9" * 5000,
            "--seed must be a whole number, got one of thousands of digit",
        ),
        ("run --profile \udcff", "--profile must be a text in UTF-8, got b'\\xff'. Rename what it"),
        ("run --out=a\0b", "a value must be a text in UTF-8, got b'--out=a\\x00b'. Rename what"),
    ],
)
@pytest.mark.parametrize("columns", ["", "1", "abc", "80"])
def test_a_mistake(
    arguments: str, message: str, columns: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert message in refused(*arguments.split())


def test_a_value_keeps_its_spaces_in_one_line() -> None:
    assert "got 'a b'. See" in refused("run", "--rule", "a\nb")
    assert "got '3 4'. See" in refused("run", "--epochs", "3 4")
    assert "got nothing. See" in refused("run", "")


def test_what_is_right() -> None:
    assert parse(["run", "--epochs", "3", "--uniform_epsilon=.5"]).uniform_epsilon == 0.5
    assert parse(["run", "--epochs", "3", "--epochs", "4"]).training.optimizer.epochs == 4
    assert parse(["train", "--labels=-x"]).labels == "-x"
    assert {
        type(parse([name, "x"][: 1 + (name in ("inspect", "evaluate"))])) for name in COMMANDS
    } == {*COMMANDS.values()}


def test_help_ends_on_the_narrowest_screen(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "1")
    with pytest.raises(SystemExit):
        parse(["--help"])
    assert "simsmooth" in capsys.readouterr().out
    assert os.environ["COLUMNS"] == "1"
