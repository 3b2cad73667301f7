"""Every command that writes a file, one after the other in one process.

`python every_command.py DIRECTORY` does it there in a process of its own.
"""

import contextlib
import io
import sys
from pathlib import Path

import conftest  # noqa: F401  (the devices of the tests)

from simsmooth_jax.program import cli

TRAINING = ("--image-size", "4", "--model", "mlp", "--width", "4", "--depth", "1", "--epochs", "3")
TRAINING += ("--learning-rate", "0.1", "--warmup-epochs", "1", "--batch-size")
STUDY = (*TRAINING, "40", "--images-per-class", "12", "--seeds", "2", "--tuning-seeds", "1")
STUDY += ("--points", "2", "--arms", "onehot", "uniform", "predictions")
LABELS = ("labels", "run/first", "--rule", "softmax", "--temperature", "0.5")
COMMANDS = (
    ("run", *TRAINING, "496", "--checkpoint-every", "1", "--out", "run"),
    ("train", *TRAINING, "496", "--labels", "ols", "--out", "train"),
    ("study", *STUDY, "--out", "study"),
    (*LABELS, "--out", "dense.npz"),
    (*LABELS, "--out", "dense.safetensors"),
    (*LABELS, "--top-k", "3", "--out", "top.npz"),
    (*LABELS, "--top-k", "3", "--out", "top.safetensors"),
    ("labels", "run/first", "--similarity", "predictions", "--out", "predictions.npz"),
    (*LABELS, "--similarity", "features", "--center", "--out", "features.npz"),
    ("labels", "--similarity", "table:run/similarity.npz", "--out", "table.safetensors"),
    ("inspect", "run/second"),
    ("evaluate", "run/second"),
    ("evaluate", "train", "--split", "validation", "--json"),
    ("data", "digits", "--out", "samples.png"),
    ("run", *TRAINING, "496", "--checkpoint-every", "1", "--out", "run"),  # finished before
)


def write_all(directory: Path) -> str:
    """What all of them print; their files are in the directory."""
    directory.mkdir(parents=True)
    shown = io.StringIO()
    with contextlib.chdir(directory), contextlib.redirect_stdout(shown):
        for command in COMMANDS:
            assert cli.main(command) == 0, command
    return shown.getvalue()


if __name__ == "__main__":
    sys.stdout.write(write_all(Path(sys.argv[1])))
