"""Streamed training: the same bits as in memory, bounded memory, any process's share, any start."""

import dataclasses
import threading
import time
import tracemalloc
from typing import Any

import jax
import numpy as np
import pytest

import simsmooth_jax as ss
from simsmooth_jax.config.data import DataConfig
from simsmooth_jax.config.training import ModelConfig, OptimizerConfig, TrainingConfig
from simsmooth_jax.data.dataset import Split
from simsmooth_jax.data.load import load_dataset
from simsmooth_jax.data.streaming import (
    EvaluationBatches,
    TrainingBatches,
    epoch_order,
    evaluation_batches,
    read_ahead,
)
from simsmooth_jax.method.objectives import label_table
from simsmooth_jax.training.evaluation import Evaluator
from simsmooth_jax.training.loop import train
from simsmooth_jax.training.step import Trainer

pytestmark = pytest.mark.slow

DIGITS = load_dataset(DataConfig())


@dataclasses.dataclass(frozen=True)
class OnDisk:
    """The digits as examples that are read when they are asked for."""

    split: Any
    image_shape: tuple[int, int, int] = (8, 8, 1)
    dtype = np.dtype(np.uint8)

    def __len__(self) -> int:
        return len(self.split)

    def take(self, indices: Any) -> tuple[np.ndarray, np.ndarray]:
        return self.split.take(indices)

    def select(self, indices: Any) -> Any:
        return OnDisk(self.split.select(indices))

    def all_labels(self) -> np.ndarray:
        return self.split.labels

    def identity(self) -> Any:
        return self.split.identity()


class FailingError(Exception):
    pass


@dataclasses.dataclass(frozen=True)
class Failing(OnDisk):
    """Cannot be read after some images."""

    def take(self, indices: Any) -> tuple[np.ndarray, np.ndarray]:
        raise FailingError("image 7 is broken")


def training(data: DataConfig) -> TrainingConfig:
    model, optimizer = ModelConfig("mlp", 8, 1), OptimizerConfig(epochs=3, batch_size=64)
    return TrainingConfig(data=data, model=model, optimizer=optimizer)


@pytest.mark.parametrize(("workers", "num_devices"), [(0, 1), (0, 8), (2, 1)])
def test_streamed_training_has_the_bits_of_the_one_in_memory(
    workers: int, num_devices: int, devices: list[Any]
) -> None:
    states = []
    for streamed in (False, True):
        dataset = dataclasses.replace(DIGITS, streamed=streamed)
        trainer = Trainer(training(DataConfig(workers=workers)), dataset, devices[:num_devices])
        states.append(train(trainer, label_table(ss.uniform_labels(10, 0.1)), seed=5))
    for a, b in zip(*map(jax.tree.leaves, states), strict=True):
        assert (np.asarray(a) == np.asarray(b)).all()


def test_option_decides_and_size_where_it_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not DIGITS.streamed
    assert load_dataset(DataConfig(input="stream")).streamed
    size = 1797 * 64
    for memory, streamed in ((4 * size, False), (4 * size - 1, True)):
        monkeypatch.setattr("simsmooth_jax.data.load.available_memory", lambda m=memory: m)
        assert load_dataset(DataConfig()).streamed is streamed
        assert not load_dataset(DataConfig(input="memory")).streamed
    monkeypatch.setattr("simsmooth_jax.data.load.available_memory", lambda: size - 1)
    message = "`input=memory` must fit into the memory of 0.0 GiB, got 0.0 GiB of images in digits"
    with pytest.raises(ss.InputError, match=message):
        load_dataset(DataConfig(input="memory"))


def test_processes_share_each_batch() -> None:
    batches = [TrainingBatches(DIGITS.train, 3, 48, 100, p, 4) for p in range(4)]
    for step in (0, 19, 20, 57):  # 20 steps an epoch
        epoch, position = divmod(step, 20)
        expected = epoch_order(3, epoch, 1000)[48 * position : 48 * (position + 1)]
        shares = [share[step] for share in batches]
        assert [len(labels) for _, labels, _ in shares] == [12] * 4
        images, labels, indices = (np.concatenate(parts) for parts in zip(*shares, strict=True))
        assert (indices == expected).all()
        assert (images == DIGITS.train.take(expected)[0]).all()
        assert (labels == DIGITS.train.take(expected)[1]).all()


@pytest.mark.parametrize("workers", [0, 2])
def test_reading_starts_anywhere(workers: int) -> None:
    batches = TrainingBatches(DIGITS.train, 0, 100, 30)
    for start in (7,) if workers else (0, 7, 29, 30):
        found = [labels for _, labels, _ in read_ahead(batches, start=start, workers=workers)]
        assert len(found) == 30 - start
        for step, labels in enumerate(found, start):
            assert (labels == batches[step][1]).all()


def test_reading_ahead_is_bounded_and_ends_with_its_iterator() -> None:
    read: list[int] = []

    class Counting:
        def __len__(self) -> int:
            return 10_000

        def __getitem__(self, index: int) -> Any:
            read.append(index)
            return np.zeros(3), np.zeros(3)

    threads = threading.active_count()
    batches = read_ahead(Counting(), place=lambda batch: batch)
    for _ in range(5):
        next(batches)
    time.sleep(0.5)
    assert 5 < len(read) < 60
    batches.close()  # type: ignore[attr-defined]
    stopped = len(read)
    time.sleep(0.3)
    assert len(read) <= stopped + 1
    assert threading.active_count() <= threads + 1


@pytest.mark.parametrize("size", [1, 7, 499, 500, 501])
def test_evaluation_sees_every_example_once(size: int) -> None:
    batches = EvaluationBatches(DIGITS.test, size)
    labels = np.concatenate([batches[i][1] for i in range(len(batches))])
    assert len(labels) == -(-500 // size) * size
    assert (labels[:500] == DIGITS.test.all_labels()).all()
    streamed = list(evaluation_batches(OnDisk(DIGITS.test), size))
    assert (np.concatenate([labels for _, labels in streamed]) == labels).all()
    assert all(images.shape == (size, 8, 8, 1) for images, _ in streamed)


def test_streamed_evaluation_is_the_one_in_memory() -> None:
    trainer = Trainer(training(DataConfig()), DIGITS, jax.devices()[:1])
    state = trainer.init(0)
    evaluator = Evaluator(trainer.model, trainer.image_statistics, batch_size=16)
    found = [evaluator(state.params, {}, part) for part in (DIGITS.test, OnDisk(DIGITS.test))]
    assert found[0] == found[1]
    assert found[0]["count"] == 500


@pytest.mark.parametrize("workers", [0, 1])
def test_error_of_a_reader_reaches_the_training(workers: int) -> None:
    dataset = dataclasses.replace(DIGITS, train=Failing(DIGITS.train), streamed=True)
    batches = TrainingBatches(dataset.train, 0, 100, 30)
    with pytest.raises(FailingError, match="image 7 is broken"):
        next(read_ahead(batches, workers=workers))


@pytest.mark.parametrize("sample", [10_000, 150])
def test_statistics_are_those_of_one_sample(sample: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simsmooth_jax.data.dataset.STATISTICS_IMAGES", sample)
    dataset = dataclasses.replace(DIGITS, train=OnDisk(DIGITS.train))
    assert dataset.channel_statistics() == DIGITS.channel_statistics()
    assert isinstance(DIGITS.train, Split)
    images = DIGITS.train.images[np.random.RandomState(0).permutation(1000)[:sample]] / 255
    (mean,), (deviation,) = DIGITS.channel_statistics()
    assert mean == pytest.approx(images.mean(), rel=1e-9)
    assert deviation == pytest.approx(images.std(), rel=1e-9)


def test_statistics_take_little_memory() -> None:
    images = np.random.RandomState(0).randint(0, 256, (10_000, 60, 60, 1), np.uint8)  # 34 MiB
    split = Split(images, np.arange(10_000, dtype=np.int32) % 10)
    dataset = dataclasses.replace(DIGITS, train=split, validation=split, test=split)
    tracemalloc.start()
    dataset.channel_statistics()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6e6
