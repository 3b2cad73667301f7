"""Wrong input on the command line: one line, status 2, no traceback, no file left behind."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from orbax.checkpoint import v1 as ocp
from program import simsmooth

from simsmooth_jax.formats.label_files import TableFile
from simsmooth_jax.program import cli

Fails = Callable[..., str]


@pytest.fixture
def fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Fails:
    """Runs a command that must fail without a trace, and gives its one line."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli, "enable_compilation_cache", lambda: None)
    monkeypatch.setattr(cli, "_silence_orbax", lambda: None)  # pytest has its own hooks

    def run(*arguments: str) -> str:
        before = sorted(tmp_path.rglob("*"))
        try:
            status = cli.main(arguments)
        except SystemExit as stop:
            status = stop.code
        assert status == 2
        error = capsys.readouterr().err
        assert error.startswith("simsmooth: ")
        assert error.count("\n") == 1
        assert error.endswith("\n")
        assert sorted(tmp_path.rglob("*")) == before
        return error

    return run


@pytest.fixture
def checkpoint(tmp_path: Path) -> str:
    """Another program's checkpoint: two kernels, none of them named head."""
    kernels = {"body": {"kernel": np.ones((3, 4))}, "top": {"kernel": np.ones((4, 4))}}
    ocp.save(str(tmp_path / "mine"), {"params": kernels})
    return "mine"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("train --rule x", "--rule must be one of literal, clip, shift, softmax, neighbours, got "),
        ("study --select x", "--select must be one of accuracy, nll, got 'x'. See simsmooth study"),
        ("labels", "CHECKPOINT must be given with --similarity kernel, got none. A run's"),
        ("labels x --similarity kernal", "--similarity must be kernel, features, predictions, v"),
        (
            "labels x --similarity vectors:none.npy",
            "--similarity vectors:FILE must name an existing f",
        ),
        ("labels none --out labels.pt", "--out must end with .npz or .safetensors, got labels.pt."),
        (
            "run --similarity table:none.npz",
            "--similarity table:FILE must name an existing file, got table:none.npz",
        ),
        ("run --data cifar", "--data must be digits, fashion_mnist, cifar10, cifar100, tfds:NAME["),
        ("run --data folder:none", "--data folder:PATH must be an existing folder, got none."),
        ("data npz:none.npz", "--data npz:PATH must be an existing file, got none.npz."),
        ("data npz:.", "--data npz:PATH must be an existing file, got ., a directory. Name it"),
        ("data folder:/dev/null", "must be an existing folder, got /dev/null, a device. It holds"),
        ("train --labels /", "existing .npz, .npy or .safetensors file, got /, a directory. Make"),
        ("data tfds:mnits", "--data tfds:NAME must be a set of TFDS, got 'mnits'. Did you mean mn"),
        ("data tfds:../mnist", "[:VERSION], got '../mnist'. Write tfds:mnist or"),
        ("data --image-size 0", "--image-size must be HEIGHTxWIDTH or one number, from 1 to 4096"),
        ("data --out x.pdf", "--out must end with .png, got x.pdf. The picture is a PNG file."),
        ("data --out none/x.png", "--out must be a file in an existing directory, got none/x.png."),
        ("data --out /proc/x.png", "--out must be a file that can be written, got /proc/x.png: "),
        ("run --train-split train[:10] --test-split train", "must share no image of digits, got"),
        ("run --crop 9", "--crop must be from 0 to 7 pixels, less than the images' 8, got 9."),
        ("run --mixup -1", "--mixup must be from 0 to 100, got -1.0. Try 1; 0 is off."),
        ("run --workers -1", "--workers must be from 0 to 256, got -1. Try 0: threads read."),
        ("run --checkpoint-steps 0", "--checkpoint-steps must be at least 1, got 0. Try 1000."),
        ("run --epsilon 2", "--epsilon must be from 0 to 1, got 2.0. 0 is the hard label, 1"),
        ("run --rule softmax", "with others, got temperature=None with rule 'softmax'. Set both"),
        ("run --rule clip --temperature 1", "got temperature=1.0 with rule 'clip'."),
        (
            "run --rule softmax --temperature 0",
            "--temperature must be a finite number above 0, got 0.0.",
        ),
        ("run --rule clip --top-k 11", "--top-k must be an integer from 1 to 10 (the number of c"),
        ("run --top-k 1 --no-include-self --epsilon 0.5", "--top-k must be an integer from 2 to"),
        (
            "run --rule neighbours --perplexity 3 --epsilon 1",
            "--epsilon must be below 0.9 where the relation r",
        ),
        ("run --uniform-epsilon -1", "--uniform-epsilon must be from 0 to 1, got -1.0."),
        ("run --batch-size 1001", "--batch-size must be from 1 to the 1000 training images"),
        ("run --seed -1", "--seed must be from 0 to 2147483647, got -1."),
        ("run --seed 99999999999999999999", "got 99999999999999999999."),
        ("run --learning-rate nan", "--learning-rate must be above 0 and at most 1e+38, got nan."),
        ("run --learning-rate -1", "--learning-rate must be above 0 and at most 1e+38, got -1.0."),
        ("run --momentum 2", "--momentum must be at least 0 and below 1, got 2.0. Try 0.9."),
        ("run --weight-decay -1", "--weight-decay must be from 0 to 1e+38, got -1.0."),
        ("run --warmup-epochs -3", "--warmup-epochs must be from 0 to 1000000, got -3.0."),
        ("run --warmup-epochs 1e308", "--warmup-epochs must be from 0 to 1000000, got 1e+308."),
        (
            "run --warmup-epochs 9 --epochs 8",
            "--warmup-epochs must be at most --epochs 8, got 9.0.",
        ),
        (
            "run --num-processes 2 --process-id 0",
            "--coordinator must be given with --num-processes",
        ),
        (
            "run --coordinator h:1 --process-id 0",
            "--num-processes must be given with --coordinator",
        ),
        ("train --coordinator h:1 --num-processes 2", "--process-id must be given with --coordin"),
        (
            "run --distributed --process-id 1",
            "must be given without --process-id, got --process-id",
        ),
        (
            "run --coordinator h --num-processes 2 --process-id 0",
            "--coordinator must be HOST:PORT with a port from 1 to 65535, got h. Try 127.",
        ),
        ("run --coordinator h:65536 --num-processes 2 --process-id 0", "to 65535, got h:65536."),
        ("run --coordinator :80 --num-processes 2 --process-id 0", "to 65535, got :80."),
        ("run --coordinator h:1 --num-processes 0 --process-id 0", "must be at least 1, got 0."),
        (
            "train --coordinator h:1 --num-processes 2 --process-id 2",
            "--process-id must be from 0 to 1, less than --num-processes, got 2. They count",
        ),
        (
            "run --coordinator h:1 --num-processes 2 --process-id -1",
            "--process-id must be at least 0",
        ),
        (
            "run --coordinator no.invalid:80 --num-processes 2 --process-id 1",
            "--coordinator must name a host that can be found from the machine of process 1, got",
        ),
        ("run --epsilon nan", "--epsilon must be from 0 to 1, got nan."),
        ("run --epochs 0", "--epochs must be from 1 to 1000000, got 0."),
        ("run --checkpoint-every 0", "--checkpoint-every must be at least 1, got 0."),
        ("run --model resnet --depth 9", "--depth must be 6n + 2 for a resnet"),
        ("run --out /proc/none", "--out must be a directory that can be written, got /proc/none"),
        (
            "train --labels none.npz",
            "existing .npz, .npy or .safetensors file, got none.npz. Make one",
        ),
        ("train --uniform-epsilon 9", "--uniform-epsilon must be from 0 to 1, got 9.0."),
        ("labels none", "CHECKPOINT must be an existing directory or file, got none."),
        ("evaluate none", "CHECKPOINT must be an existing directory, got none."),
        ("labels none --out no/labels.npz", "must be a file in an existing directory, got no/l"),
    ],
)
def test_wrong_argument(fails: Fails, arguments: str, message: str) -> None:
    assert message in fails(*arguments.split())


def test_wrong_checkpoint(fails: Fails, checkpoint: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    (tmp_path / "file.npz").write_text("")
    (tmp_path / "run" / "first").mkdir(parents=True)
    assert "got empty, an empty directory. A run's classifiers are in" in fails("labels", "empty")
    assert "that simsmooth trained in, got the file file." in fails("evaluate", "file")
    assert "got run, which holds first." in fails("labels", "run")
    table = TableFile(np.eye(2, dtype=np.float32), ("a", "b"), "clip", {}, "kernel", "")
    table.save(tmp_path / "run" / "labels.safetensors")
    assert "got run, which holds first, labels.safetensors." in fails("labels", "run")
    assert (
        "must be a trained classifier, got run/labels.safetensors, a table of simsmooth."
        in fails("labels", "run/labels.safetensors")
    )
    assert "out must be a new file, got file.npz, which exists" in fails(
        "labels", checkpoint, "--out", "file.npz"
    )


def test_checkpoint_of_another_program(fails: Fails, checkpoint: str) -> None:
    candidates = "params/top/kernel [4, 4], params/body/kernel [3, 4]. Try --head params/top"
    assert f"got none of: {candidates}" in fails("labels", checkpoint)
    assert f"got 2: {candidates}" in fails("labels", checkpoint, "--num-classes", "4")
    assert "got none of: params/top" in fails("labels", checkpoint, "--head", "to")
    assert "must hold params, batch_stats, got params." in fails("evaluate", checkpoint)
    ocp.save(os.path.abspath("state"), {"params": {}, "batch_stats": {}, "step": np.ones(1)})
    assert "which does not say its model and data" in fails("evaluate", "state")


def test_zero_class_vector_is_named(fails: Fails) -> None:
    kernel = np.eye(4, 3)
    kernel[:, 1] = 0
    ocp.save(os.path.abspath("zero"), {"params": {"head": {"kernel": kernel}}})
    assert "got zeros in kernel[:, 1] (class 1)." in fails("labels", "zero")


def test_out_that_is_not_ours(fails: Fails, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "main.tex").write_text("years")
    for command in ("run", "train"):
        error = fails(command, "--out", "thesis", "--overwrite")
        assert "--out must be a new, an empty or a run's directory, got thesis" in error


def test_help_can_be_copied(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["train", "--help"])
    shown = capsys.readouterr().out
    assert "'train[:80%]'" in shown
    assert "%%" not in shown


def test_help_is_quick_and_teaches(tmp_path: Path) -> None:
    """Nothing heavy may be imported for it: that is what keeps it under half a second."""
    program = (
        "import sys; from simsmooth_jax.program.cli import main\n"
        "try: main(['run', '--help'])\n"
        "except SystemExit: print([m for m in ('jax', 'numpy', 'flax') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert shown.stdout.endswith("[]\n")
    assert "--rule {None,literal,clip,shift,softmax,neighbours,mean}" in shown.stdout
    assert "(default: 64)" in shown.stdout
    for command in ("run", "train", "study", "labels", "inspect", "evaluate", "data"):
        assert f"• {command} " in simsmooth("--help", cwd=tmp_path).stdout


def test_port_of_the_coordinator_is_in_use(fails: Fails) -> None:
    with socket.create_server(("", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        named = ("--coordinator", address, "--num-processes", "2", "--process-id", "0")
        error = fails("train", *named)
    assert "must name a port that is free on the machine of process 0, got 127.0.0.1:" in error
    assert "Address already in use. Give all processes another one." in error


def test_no_cluster_names_the_processes(tmp_path: Path) -> None:
    error = simsmooth("train", "--distributed", cwd=tmp_path, status=2).stderr
    assert error.count("\n") == 1
    assert error.startswith(
        "simsmooth: --distributed must be given where a TPU pod, Slurm, Open MPI"
    )
    assert error.endswith("--coordinator HOST:PORT --num-processes N --process-id I\n")
