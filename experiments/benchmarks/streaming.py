"""Step rate of a ResNet fed by streams of image files, against the same images on the device.

    python experiments/benchmarks/streaming.py folder:PATH --batch-size 64

takes about five minutes on two CPU cores. The three inputs take turns within each round, so that a
machine that grows slower does so for all; the ratio of each round is shown, then their median.
Expected: 0.9 or more for both streams.
"""

import argparse
import statistics
import time

import jax
import numpy as np

from simsmooth_jax.config.data import DataConfig
from simsmooth_jax.config.training import ModelConfig, OptimizerConfig, TrainingConfig
from simsmooth_jax.data.load import load_dataset
from simsmooth_jax.method.objectives import label_table
from simsmooth_jax.training.step import Trainer


def main() -> None:
    """Prints one line a round, and the medians."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("data", help="as in simsmooth run --data")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--depth", type=int, default=20)
    parser.add_argument("--steps", type=int, default=25, help="in a round")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    inputs = {
        "memory": DataConfig(options.data, input="memory"),
        "threads": DataConfig(options.data, input="stream"),
        "2 workers": DataConfig(options.data, input="stream", workers=2),
    }
    held = load_dataset(inputs["memory"])
    streamed = load_dataset(inputs["threads"])
    print(f"{held.name}: {len(held.train):,} images {held.image_shape}, {jax.devices()[0]}")
    trainings = {}
    for name, data in inputs.items():
        config = TrainingConfig(
            data=data,
            model=ModelConfig("resnet", depth=options.depth),
            optimizer=OptimizerConfig(batch_size=options.batch_size),
        )
        trainer = Trainer(config, held if name == "memory" else streamed)
        trainings[name] = _Steps(trainer, held.num_classes)
        trainings[name].run(3)  # compiles, and starts the reading
    rates = {name: [] for name in trainings}
    for _ in range(options.rounds):
        for name, steps in trainings.items():
            rates[name].append(options.steps * options.batch_size / steps.run(options.steps))
        line = "  ".join(f"{name} {found[-1]:7.1f}" for name, found in rates.items())
        print(f"images/s: {line}", flush=True)
    for name in list(rates)[1:]:
        ratios = np.array(rates[name]) / np.array(rates["memory"])
        print(
            f"{name}: {statistics.median(ratios):.3f} of the rate in memory "
            f"({ratios.min():.3f} to {ratios.max():.3f}), waited for input "
            f"{trainings[name].waited / trainings[name].elapsed:.1%} of the time"
        )
    for steps in trainings.values():
        steps.close()


class _Steps:
    """A training that is run some steps at a time."""

    def __init__(self, trainer: Trainer, num_classes: int) -> None:
        self.trainer = trainer
        self.state = trainer.init(0)
        self.table, self.key = trainer.place(label_table(np.eye(num_classes))), trainer.key(0)
        self.inputs = trainer.inputs.from_step(0, 0, trainer.total_steps)
        self.waited = self.elapsed = 0.0

    def run(self, count: int) -> float:
        """Seconds for some steps, from an idle device to an idle device."""
        start = time.perf_counter()
        for _ in range(count):
            before = time.perf_counter()
            inputs = next(self.inputs)
            self.waited += time.perf_counter() - before
            self.state, _ = self.trainer.step(self.state, inputs, self.table, self.key)
        jax.block_until_ready(self.state)
        seconds = time.perf_counter() - start
        self.elapsed += seconds
        return seconds

    def close(self) -> None:
        """Ends the threads and processes that read."""
        self.inputs.close()


if __name__ == "__main__":
    main()
