"""A model of a user's own, with first weights, in two real processes as in one."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from processes import OPTIONS, Processes, none_outlives, write_images
from test_processes import EPOCHS, assert_same_training

pytestmark = pytest.mark.slow

MODEL = """
from flax import linen as nn


class Net(nn.Module):
    num_classes: int

    @nn.compact
    def __call__(self, images, train):
        x = nn.Dense(8)(images.reshape(len(images), -1))
        x = nn.BatchNorm(use_running_average=not train, momentum=0.9)(x)
        x = nn.Dropout(0.2, deterministic=not train)(nn.gelu(x))
        return nn.Dense(self.num_classes, name="head")(x)


def net(num_classes):
    return Net(num_classes)
"""


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Callable[..., Processes]]:
    write_images(tmp_path)
    (tmp_path / "netof.py").write_text(MODEL)
    with none_outlives(tmp_path) as start:
        yield start


@pytest.mark.parametrize(
    "freeze", [(), pytest.param(("--freeze",), marks=pytest.mark.heavy)], ids=["all", "head"]
)
def test_own_model_and_first_weights_in_two_processes(
    tmp_path: Path, processes: Callable[..., Processes], freeze: tuple[str, ...]
) -> None:
    train = ("train", "--data", "npz:images.npz", "--model", "netof:net", *OPTIONS[8:])
    processes(*train, "--epochs", 1, "--labels", "onehot", "--out", "before", count=1).succeed()
    options = (*train, "--epochs", EPOCHS, "--labels", "uniform", "--init", "before", *freeze)
    processes(*options, "--out", "alone", count=1).succeed()
    pair = processes(*options, "--out", "two")
    pair.succeed()
    assert_same_training(tmp_path / "two", tmp_path / "alone")
    assert [pair.read(1, kind) for kind in ("out", "err")] == ["", ""]
    shutil.rmtree(tmp_path / "two")
    wrong = processes(*options, "--model", "netof:nothing", "--out", "two")
    assert wrong.statuses() == [2, 2]
    assert "netof:nothing" in wrong.read(0, "err")
    assert not (tmp_path / "two").exists()
