"""`simsmooth study` refuses wrong input in one line, before anything is written."""

from pathlib import Path

import pytest

from simsmooth_jax.program import cli

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--arms onehot clap", "--arms must be of onehot, uniform, patent, neighbours, "),
        ("--arms onehot superclass", "--arms with superclass must be given with superclasses, got"),
        ("--seeds 1", "--seeds must be from 2 to 10000, got 1. Try 20."),
        ("--seed 3", "--seed must be left out: the seeds of a study are counted from 0, got 3. Ch"),
        (
            "--weight-decay 0.1",
            "--weight-decay must be left out where a study tunes it for each arm, got 0.1. To keep "
            "it: --no-tune-weight-decay.",
        ),
        ("--label-noise 1", "--label-noise must be at least 0 and below 1, got 1.0. Try 0.2."),
        ("--images-per-class 200", "--images-per-class must be at most 87, what class '7' has to"),
        (
            "--label-noise 0.9",
            "--label-noise must be below 0.9, where each wrong label is as likely as",
        ),
        ("--shard 3/2", "--shard must be from 1/2 to 2/2, got '3/2'. Number the parts from 1."),
        ("--shard 1/2 --overwrite", "--overwrite must not be given with --shard, got both. Delet"),
        ("--contrasts uniform", "--contrasts must be two of the arms, as predictions:uniform, got"),
        ("--noise superclass --label-noise .1", "--noise superclass must be given with superclas"),
        ("--superclasses none.npy", "--superclasses none.npy must be an .npy or .npz file, got"),
        (
            "--arms onehot self-distillation --mixup 0.2",
            "--mixup must be 0 with the predictions of single images, of which self-distillation "
            "makes labels, got 0.2. Leave it out, or take other --arms.",
        ),
        (
            "--arms onehot ols online lspp pskd maxsup --cutmix 1",
            "--cutmix must be 0 with the predictions of single images, of which ols, lspp, pskd "
            "make labels, got 1.0. Leave it out, or take other --arms.",
        ),
        ("--images-per-class 5", "--batch-size must be from 1 to the 50 training images, got 64."),
    ],
)
def test_wrong_input(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: str,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli, "enable_compilation_cache", lambda: None)
    monkeypatch.setattr(cli, "_silence_orbax", lambda: None)
    assert cli.main(["study", "--model", "linear", *arguments.split()]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"simsmooth: {message}")
    assert error.count("\n") == 1
    assert not any(tmp_path.rglob("*"))
