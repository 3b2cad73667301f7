"""One program on 1, 2, 4 or 8 devices: what it sends between them, and that they agree."""

import math
import re
from typing import Any

import jax
import numpy as np
import pytest

import simsmooth_jax as ss
from simsmooth_jax.config.data import DataConfig
from simsmooth_jax.config.training import ModelConfig, OptimizerConfig, TrainingConfig
from simsmooth_jax.data.dataset import Split
from simsmooth_jax.data.load import load_dataset
from simsmooth_jax.method.objectives import label_table
from simsmooth_jax.training.evaluation import Evaluator
from simsmooth_jax.training.step import Trainer

pytestmark = pytest.mark.slow

DIGITS = load_dataset(DataConfig())
MLP, CNN = ModelConfig("mlp", width=8, depth=1), ModelConfig("cnn", width=4)
COLLECTIVES = "all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute"


def make_trainer(devices: list[Any], model: ModelConfig = MLP, **options: Any) -> Trainer:
    return Trainer(
        TrainingConfig(model=model, optimizer=OptimizerConfig(**options)), DIGITS, devices
    )


def arguments(trainer: Trainer, state: Any) -> tuple[Any, ...]:
    inputs = next(trainer.inputs.from_step(0, int(state.step), trainer.total_steps))
    return state, inputs, trainer.place(label_table(ss.uniform_labels(10, 0.1))), trainer.key(0)


def lowered(trainer: Trainer, state: Any) -> Any:
    """The program of a step."""
    state, inputs, objective, key = arguments(trainer, state)
    return trainer._step.lower(state, inputs, *trainer._arguments(objective, key))


def collectives(compiled: Any) -> list[tuple[str, list[int]]]:
    """Kind and bytes of every array of each collective operation of a compiled program."""
    found = re.findall(rf"= (.*?) ({COLLECTIVES})(?:-start)?\(", compiled.as_text())
    sizes = {"f32": 4, "s32": 4, "u8": 1, "pred": 1}
    return [
        (
            kind,
            [
                sizes[dtype] * math.prod(int(n) for n in shape.split(",") if n)
                for dtype, shape in re.findall(r"(\w+)\[([\d,]*)\]", types)
            ],
        )
        for types, kind in found
    ]


@pytest.mark.parametrize("model", [MLP, CNN], ids=["mlp", "cnn"])
def test_a_step_sends_its_gradient_and_two_metrics_once(
    model: ModelConfig, devices: list[Any]
) -> None:
    """One all-reduce for each device that takes part, of all leaves together.

    Each leaf of the gradient is a sum over the batch, which is split over the devices, and so are
    the loss and the accuracy; none of these sums is needed for another, so that XLA's combiner
    makes one operation of them. Nothing else is split, so that nothing else is sent: above all no
    image. (BatchNorm would add the statistics of each of its layers.)
    """
    for count in (2, 8) if model is MLP else (8,):
        trainer = make_trainer(devices[:count], model)
        state = trainer.init(0)
        program = lowered(trainer, state).compile()
        ((kind, sizes),) = collectives(program)
        assert kind == "all-reduce"
        leaves = jax.tree.leaves(state.params)
        assert len(sizes) == len(leaves) + 2
        assert sum(sizes) == sum(leaf.nbytes for leaf in leaves) + 2 * 4


def test_one_device_sends_nothing(devices: list[Any]) -> None:
    trainer = make_trainer(devices[:1])
    program = lowered(trainer, trainer.init(0)).compile()
    assert collectives(program) == []


@pytest.mark.parametrize("model", [MLP, CNN], ids=["mlp", "cnn"])
def test_any_number_of_devices_agrees(model: ModelConfig, devices: list[Any]) -> None:
    losses, counts = {}, {}
    numbers = (1, 2, 4, 8) if model is MLP else (1, 8)
    for count in numbers:
        trainer, losses[count] = make_trainer(devices[:count], model, learning_rate=0.1), []
        state = trainer.init(0)
        for _ in range(20):
            state, metrics = trainer.step(*arguments(trainer, state))
            losses[count].append(float(metrics["loss"]))
        evaluator = Evaluator(trainer.model, trainer.image_statistics, 64, devices[:count])
        found = evaluator(state.params, state.batch_stats, DIGITS.test)
        counts[count] = [found["count"], found["correct"], *found["bins"]["correct_sum"]]
        counts[count] += found["bins"]["count"]
    assert losses[1][-1] < 0.95 * losses[1][0]
    for count in numbers[1:]:
        np.testing.assert_allclose(losses[count], losses[1], rtol=1e-5)
        assert counts[count] == counts[1]


def test_batch_norm_sees_the_global_batch_on_eight_devices(devices: list[Any]) -> None:
    model = ModelConfig("resnet", width=2, depth=8)
    found = {}
    for count in (1, 8):
        trainer = make_trainer(devices[:count], model, batch_size=16)
        state = trainer.init(0)
        before = jax.tree.map(np.asarray, state.batch_stats)
        for _ in range(2):
            state, metrics = trainer.step(*arguments(trainer, state))
        changed = jax.tree.map(lambda a, b: (a != np.asarray(b)).any(), before, state.batch_stats)
        assert all(jax.tree.leaves(changed))
        found[count] = (float(metrics["loss"]), jax.tree.map(np.asarray, state.batch_stats))
    assert found[8][0] == pytest.approx(found[1][0], rel=1e-4)
    pairs = zip(jax.tree.leaves(found[8][1]), jax.tree.leaves(found[1][1]), strict=True)
    for eight, one in pairs:
        np.testing.assert_allclose(eight, one, rtol=1e-3, atol=1e-5)


def test_order_of_the_devices_is_that_of_their_processes(devices: list[Any]) -> None:
    """Rows of a batch are read by one process where they are needed, however JAX lists devices."""
    mesh = make_trainer(devices[::-1]).batch_sharded.mesh
    assert np.asarray(mesh.devices).tolist() == devices


@pytest.mark.parametrize("count", [1, 7, 8, 9, 65])
@pytest.mark.parametrize("batch_size", [1, 12, 64])
def test_evaluation_pads_and_counts_each_image_once(
    count: int, batch_size: int, devices: list[Any]
) -> None:
    trainer = make_trainer(devices[:1])
    params = trainer.init(0).params
    assert isinstance(DIGITS.test, Split)
    split = DIGITS.test.select(np.arange(count))
    found = Evaluator(trainer.model, trainer.image_statistics, batch_size)(params, {}, split)
    whole = Evaluator(trainer.model, trainer.image_statistics, count, devices[:1])
    expected = whole(params, {}, split)
    assert found["count"] == count == sum(found["bins"]["count"])
    assert found["correct"] == expected["correct"]
    assert found["nll"] == pytest.approx(expected["nll"], rel=1e-6)


def test_each_device_evaluates_its_rows_alone(devices: list[Any]) -> None:
    trainer = make_trainer(devices)
    state = trainer.init(0)
    evaluator = Evaluator(trainer.model, trainer.image_statistics, 250)
    assert evaluator.batch_size == 256  # 32 rows for each of 8
    images = jax.device_put(np.zeros((256, 8, 8, 1), np.uint8), evaluator._batch_sharded)
    labels = jax.device_put(np.zeros(256, np.int32), evaluator._batch_sharded)
    program = evaluator._predict.lower(state.params, {}, images, labels).compile()
    assert "u8[32,8,8,1]" in str(program.as_text())
    assert "u8[256,8,8,1]" not in str(program.as_text())
    sizes = {"all-gather": 0, "all-reduce": 0}
    for kind, some in collectives(program):
        sizes[kind] += sum(some)
    # Values of each example, and a sum over them for each class, once for each of 15 bins.
    assert sizes == {"all-gather": 256 * (1 + 4 + 4 + 4 + 1), "all-reduce": 10 * 4}


@pytest.mark.parametrize(
    ("size", "fitting"), [(60, 56), (4, 8), (9, 8)], ids=["between", "below", "above"]
)
def test_training_refuses_a_batch_that_devices_cannot_share(
    size: int, fitting: int, devices: list[Any]
) -> None:
    message = f"`batch_size` must be a multiple of the 8 devices, got {size}. Try {fitting}."
    with pytest.raises(ss.InputError, match=message):
        make_trainer(devices, batch_size=size)
    assert make_trainer(devices, batch_size=fitting).batch_size == fitting
