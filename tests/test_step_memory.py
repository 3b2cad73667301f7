"""A training that cannot fit into a device is refused by its sizes, before it is compiled."""

import time

import jax
import numpy as np
import pytest

import simsmooth_jax as ss
from simsmooth_jax.config.data import DataConfig
from simsmooth_jax.config.training import ModelConfig, TrainingConfig
from simsmooth_jax.data.load import load_dataset
from simsmooth_jax.method.objectives import label_table
from simsmooth_jax.training import step_memory
from simsmooth_jax.training.step import Trainer

pytestmark = pytest.mark.slow


def test_sizes_are_those_of_the_arrays() -> None:
    trainer = Trainer(TrainingConfig(model=ModelConfig("linear")), load_dataset(DataConfig()))
    sizes = [np.asarray(leaf).nbytes for leaf in jax.tree.leaves(trainer.init(0))]
    assert step_memory.nbytes(trainer.shapes) == sum(sizes)
    objective = label_table(ss.onehot_labels(10))
    whole = sum(sizes) + step_memory.nbytes(trainer.shapes.params) + 64_000 + 400
    step_memory.refuse_training(trainer.shapes, 64_000, objective, whole)
    with pytest.raises(ss.InputError) as caught:
        step_memory.refuse_training(trainer.shapes, 64_000, objective, whole - 1)
    text = str(caught.value)
    assert text.startswith("the training must fit into the memory of a device, 0.00 GiB, got 0.00 ")
    assert text.endswith("of training images, 0.00 of labels. Use `input=stream`.")
    with pytest.raises(ss.InputError, match=r"got 0\.00 GiB: .* Choose a smaller `width` or "):
        step_memory.refuse_training(trainer.shapes, 0, None, 100)


def test_a_model_that_is_too_large_is_refused_within_seconds() -> None:
    dataset, start = load_dataset(DataConfig()), time.process_time()
    with pytest.raises(
        ss.InputError, match=r"got [1-9]\d+\.\d\d GiB: .* of classifier, gradient a"
    ):
        Trainer(TrainingConfig(model=ModelConfig("resnet18", width=4096)), dataset)
    assert time.process_time() - start < 5
