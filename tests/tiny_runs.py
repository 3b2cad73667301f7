"""Commands of a second or two, in this process: a run and a training of four units a layer."""

import contextlib
import dataclasses
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from simsmooth_jax.config.commands import RunConfig, TrainConfig
from simsmooth_jax.config.data import DataConfig, SourceConfig
from simsmooth_jax.config.training import ModelConfig, OptimizerConfig, SavingConfig, TrainingConfig
from simsmooth_jax.program.commands import run_command, train_command
from simsmooth_jax.program.run_directory import open_directory

TRAINING = TrainingConfig(
    DataConfig(source=SourceConfig(image_size="4")),
    model=ModelConfig("mlp", 4, 1),
    optimizer=OptimizerConfig(epochs=3, batch_size=496, learning_rate=0.1, warmup_epochs=1.0),
)
SAVING = SavingConfig(checkpoint_every=1)
LAST, SPARE = "6", "4"  # the two steps that stay
RUN = RunConfig(TRAINING, saving=SAVING)
TRAIN = TrainConfig(training=TRAINING, saving=SAVING)


def run(out: Path, overwrite: bool = False) -> None:
    run_command.run(dataclasses.replace(RUN, out=out, overwrite=overwrite))


@contextlib.contextmanager
def opened(out: Path, configuration: dict[str, Any]) -> Iterator[None]:
    """The directory of a finished run as the same command opens it."""
    with open_directory(out, configuration, False, makes=run_command.MAKES):
        yield


def train(out: Path, overwrite: bool = False, labels: str = "onehot") -> None:
    train_command.train(dataclasses.replace(TRAIN, out=out, overwrite=overwrite, labels=labels))


def copied(finished: Path, place: Path) -> Path:
    """A copy of a finished directory, to be damaged."""
    return Path(shutil.copytree(finished, place))


def files_of(directory: Path) -> list[Path]:
    """Those that hold something: a lock does not."""
    found = (path for path in sorted(directory.rglob("*")) if path.is_file())
    return [path for path in found if path.stat().st_size]


def flips(directory: Path, count: int, seed: int) -> Iterator[tuple[Path, int]]:
    """Files and bits of them: every file in turn, anywhere in it."""
    chosen, files = random.Random(seed), files_of(directory)
    chosen.shuffle(files)
    for number in range(count):
        file = files[number % len(files)]
        yield file, chosen.randrange(8 * file.stat().st_size)


def flip(file: Path, bit: int) -> None:
    content = bytearray(file.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    file.write_bytes(bytes(content))


def snapshot(directory: Path) -> dict[str, bytes]:
    """All files by name, but for locks."""
    found = {p.relative_to(directory).as_posix(): p for p in directory.rglob("*") if p.is_file()}
    return {name: p.read_bytes() for name, p in found.items() if not p.name.startswith(".lock")}
