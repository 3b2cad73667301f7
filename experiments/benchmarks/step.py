"""The whole training step with relation labels, against the same step with optax's integer loss.

    python experiments/benchmarks/step.py            # 8 minutes on two CPU cores

ResNet-20, batches of 128 images of 32x32, 100 classes. All arms with a dense table are one compiled
program and differ in data alone, so that one of them is measured. Expected: the upper end of the
interval within 1.05, because the labels of a step are a gather of 128 rows; how far the baseline's
own second row is from 1 is the machine's noise.
"""

import argparse
import sys
from typing import Any

import jax
import numpy as np
import optax
from measure import interleave, ratio, report, shown

import simsmooth_jax as ss
from simsmooth_jax.config.training import ModelConfig, OptimizerConfig, TrainingConfig
from simsmooth_jax.data.dataset import Dataset, Split
from simsmooth_jax.method.objectives import Batch, Objective, label_table
from simsmooth_jax.method.objectives.objective import no_state
from simsmooth_jax.training.step import Trainer

BATCH, CLASSES = 128, 100
CONFIG = TrainingConfig(
    model=ModelConfig("resnet", depth=20), optimizer=OptimizerConfig(batch_size=BATCH, epochs=1000)
)


def random_images(count: int) -> Dataset:
    """Of CIFAR-100's shape: what is on them takes no time."""
    rng = np.random.default_rng(0)
    split = Split(
        rng.integers(0, 256, (count, 32, 32, 3), np.uint8),
        rng.integers(0, CLASSES, count).astype(np.int32),
    )
    return Dataset("random", tuple(map(str, range(CLASSES))), split, split, split)


def optax_loss(data: Any, state: Any, logits: Any, batch: Batch) -> Any:
    """The same arguments as ours; there is no table."""
    return optax.softmax_cross_entropy_with_integer_labels(logits, batch.labels)


def one_step(trainer: Trainer, objective: Objective) -> Any:
    """A call that does the next step of a training."""
    state, key, placed = trainer.init(0), trainer.key(0), trainer.place(objective)
    inputs = trainer.inputs.from_step(0, 0, trainer.total_steps)

    def step() -> Any:
        nonlocal state
        state, metrics = trainer.step(state, next(inputs), placed, key)
        return metrics

    return step


def main() -> None:
    """Parses the command line and measures."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--rounds", type=int, default=120)
    options = parser.parse_args()
    dataset = random_images(1024)
    devices = jax.devices()[:1]
    kernel = jax.random.normal(jax.random.key(0), (64, CLASSES))
    tables = {
        "relation labels": ss.relation_labels_from_kernel(kernel),
        "relation labels, top-32 form": ss.top_k_labels(kernel, 32),
    }
    base = "optax, integer labels"
    trainer = Trainer(CONFIG, dataset, devices)
    theirs = one_step(trainer, Objective((), no_state, optax_loss))
    programs = {base: theirs, "the same again": theirs}
    programs |= {name: one_step(trainer, label_table(table)) for name, table in tables.items()}
    times = interleave(programs, options.rounds)
    rows = [[name, shown(ratio(times, name, base))] for name in programs]
    title = f"Training step, ResNet-20, B={BATCH}, K={CLASSES}: median of {options.rounds} rounds"
    report("step", title, ["", "time (95% interval)"], rows)


if __name__ == "__main__":
    sys.exit(main())
