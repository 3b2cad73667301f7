"""Memory of the process while a large set is streamed: it must not grow with the images read.

    python experiments/benchmarks/memory.py folder:PATH

prints a line for every tenth of an epoch, for two epochs of a small MLP, and the growth from the
end of the first tenth (when all is compiled and every buffer is full) to the end. On two CPU cores
100,000 images of 32x32 take about two minutes. Expected: a growth of a few MiB at most, where the
images themselves would be 300 MiB.
"""

import argparse
import time
from pathlib import Path

import numpy as np

from simsmooth_jax.config.data import DataConfig
from simsmooth_jax.config.training import ModelConfig, OptimizerConfig, TrainingConfig
from simsmooth_jax.data.load import load_dataset
from simsmooth_jax.method.objectives import label_table
from simsmooth_jax.training.loop import Metrics, train
from simsmooth_jax.training.step import Trainer, TrainState


class Watch:
    """Prints the memory of the process as a training goes on."""

    def __init__(self, every: int, batch_size: int) -> None:
        """Has seen no step."""
        self.every, self.batch_size = every, batch_size
        self.steps, self.found, self.start = 0, [], time.perf_counter()

    def on_step(self, step: int, state: TrainState, metrics: Metrics, input_seconds: float) -> None:
        """Looks at the memory once in a while."""
        self.steps += 1
        if self.steps % self.every == 0:
            metrics["loss"].block_until_ready()
            self.found.append(resident_mib())
            images = self.steps * self.batch_size
            rate = images / (time.perf_counter() - self.start)
            print(
                f"{images:9,} images  {self.found[-1]:7.1f} MiB  {rate:7.0f} images/s", flush=True
            )


def resident_mib() -> float:
    """Memory of this process that is in RAM."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def main() -> None:
    """Trains for two epochs and prints the growth."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("data", help="as in simsmooth run --data")
    parser.add_argument("--workers", type=int, default=0)
    options = parser.parse_args()
    data = DataConfig(options.data, input="stream", workers=options.workers)
    dataset = load_dataset(data)
    optimizer = OptimizerConfig(epochs=2, batch_size=128)
    config = TrainingConfig(data=data, model=ModelConfig("mlp", 32), optimizer=optimizer)
    trainer = Trainer(config, dataset)
    size = len(dataset.train) * np.prod(dataset.image_shape) / 2**20
    print(f"{dataset.name}: {len(dataset.train):,} training images, {size:.0f} MiB decoded")
    watch = Watch(trainer.steps_per_epoch // 10, 128)
    train(trainer, label_table(np.eye(dataset.num_classes)), seed=0, observers=[watch])
    print(f"growth: {watch.found[-1] - watch.found[0]:+.1f} MiB")


if __name__ == "__main__":
    main()
