"""The training loop against a bare jitted step, Flax's own way of writing one, and PyTorch.

    python experiments/benchmarks/loop.py            # 7 minutes on two CPU cores
    python experiments/benchmarks/loop.py --resnet20 # 3 minutes

A training of the default CNN on digits with the default options, or an epoch of 8 steps of
ResNet-20, with log and progress bar, in pairs with the bare step on ready batches. Expected: 98%
or more of its rate, and ahead of the loop as Flax's Linen example has it.
"""

import argparse
import contextlib
import dataclasses
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import step
from flax.training import train_state
from measure import interleave, ratio, report

import simsmooth_jax as ss
from simsmooth_jax.config.data import DataConfig
from simsmooth_jax.config.training import TrainingConfig
from simsmooth_jax.data.load import load_dataset
from simsmooth_jax.machine.bars import ProgressBars
from simsmooth_jax.method.objectives import label_table
from simsmooth_jax.training.loop import train
from simsmooth_jax.training.models.built_in import normalise_images
from simsmooth_jax.training.observers.recording import MetricsLog, StepRows
from simsmooth_jax.training.observers.showing import Shown
from simsmooth_jax.training.step import Trainer

DIGITS = TrainingConfig()
RESNET = dataclasses.replace(
    step.CONFIG, optimizer=dataclasses.replace(step.CONFIG.optimizer, epochs=1)
)


def ours(trainer: Trainer, table: Any) -> Any:
    """Our loop, with its log and a progress bar that is drawn; validation is another matter."""

    def run() -> Any:
        with tempfile.TemporaryDirectory() as directory, ProgressBars(shown=True) as bars:
            path = Path(directory)
            log = MetricsLog(path / "metrics.jsonl")
            bars.start("arm", 0, trainer.total_steps)
            rows = StepRows("arm", path, trainer.steps_per_epoch, log)
            shown = Shown(bars, trainer.total_steps)
            state = train(trainer, label_table(table), 0, observers=[rows, shown])
            log.flush()
            return state

    return run


def bare(trainer: Trainer, table: Any) -> Any:
    """The same jitted step in a Python loop on batches that are ready."""
    inputs = list(_inputs(trainer))

    def run() -> Any:
        state, key, placed = trainer.init(0), trainer.key(0), trainer.place(label_table(table))
        for batch in inputs:
            state, _ = trainer.step(state, batch, placed, key)
        return state

    return run


def _inputs(trainer: Trainer) -> Any:
    with contextlib.closing(trainer.inputs.from_step(0, 0, trainer.total_steps)) as source:
        for _ in range(trainer.total_steps):
            yield next(source)


def flax_example(trainer: Trainer, dataset: Any) -> Any:
    """As Flax's example on MNIST: gradients and update apart, metrics of each batch on the host."""
    images, labels = dataset.train.images, dataset.train.labels
    batch = trainer.batch_size

    @jax.jit
    def apply_model(state: Any, images: Any, labels: Any) -> Any:
        def loss_of(params: Any) -> Any:
            inputs = normalise_images(images, *trainer.image_statistics)
            logits = state.apply_fn({"params": params}, inputs, train=True)
            one_hot = jax.nn.one_hot(labels, dataset.num_classes)
            return jnp.mean(optax.softmax_cross_entropy(logits, one_hot)), logits

        (loss, logits), gradients = jax.value_and_grad(loss_of, has_aux=True)(state.params)
        return gradients, loss, jnp.mean(jnp.argmax(logits, -1) == labels)

    update = jax.jit(lambda state, gradients: state.apply_gradients(grads=gradients))

    def run() -> Any:
        state = train_state.TrainState.create(
            apply_fn=trainer.model.apply,
            params=trainer.init(0).params,
            tx=trainer.optimizer(trainer.weight_decay),
        )
        for epoch in range(trainer.epochs):
            order = np.random.default_rng(epoch).permutation(len(labels))
            losses, accuracies = [], []
            for start in range(0, len(order) - batch + 1, batch):
                chosen = order[start : start + batch]
                gradients, loss, accuracy = apply_model(state, images[chosen], labels[chosen])
                state = update(state, gradients)
                losses.append(loss)
                accuracies.append(accuracy)
            _ = np.mean(jax.device_get(losses)), np.mean(jax.device_get(accuracies))
        return state.params

    return run


def pytorch(trainer: Trainer, dataset: Any) -> Any:
    """The same CNN in PyTorch, channels last."""
    import torch  # pyright: ignore[reportMissingImports]
    from torch import nn  # pyright: ignore[reportMissingImports]

    images = torch.tensor(dataset.train.images).permute(0, 3, 1, 2).float() / 255
    labels = torch.tensor(dataset.train.labels).long()
    side = images.shape[-1] // 4

    def run() -> Any:
        model = nn.Sequential(
            *(nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Flatten(), nn.Linear(64 * side * side, 128), nn.ReLU(), nn.Linear(128, 10)),
        ).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimizer = torch.optim.SGD(model.parameters(), lr=0.03, momentum=0.9, nesterov=True)
        for _ in range(trainer.epochs):
            for chosen in torch.randperm(len(labels)).split(trainer.batch_size)[
                : trainer.steps_per_epoch
            ]:
                loss = nn.functional.cross_entropy(model(images[chosen]), labels[chosen])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        return np.zeros(())

    return run


def main() -> None:
    """Parses the command line and measures."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--pairs", type=int, default=60, help="of our loop and the bare step")
    parser.add_argument("--rounds", type=int, default=15, help="of the loops of others")
    parser.add_argument("--resnet20", action="store_true")
    options = parser.parse_args()
    os.environ["TTY_COMPATIBLE"] = "1"  # bars are drawn into a file as well
    dataset = step.random_images(1024) if options.resnet20 else load_dataset(DataConfig())
    trainer = Trainer(RESNET if options.resnet20 else DIGITS, dataset, jax.devices()[:1])
    table = ss.uniform_labels(dataset.num_classes, 0.1)
    base, loop = "bare jitted step on ready batches", "our loop, with log and progress"
    reference = {base: bare(trainer, table)}
    others = {}
    if not options.resnet20:
        others["loop as in Flax's example"] = flax_example(trainer, dataset)
        with contextlib.suppress(ImportError):
            others["PyTorch"] = pytorch(trainer, dataset)
    found = {base: (1.0, 1.0, 1.0)}
    for programs, rounds in (
        ({loop: ours(trainer, table)}, options.pairs),
        (others, options.rounds),
    ):
        if programs:
            times = interleave(reference | programs, rounds)
            found |= {name: ratio(times, name, base) for name in programs}
    rows = [
        [name, f"{100 / middle:.1f}% ({100 / high:.1f} to {100 / low:.1f})"]
        for name, (middle, low, high) in found.items()
    ]
    name = "ResNet-20" if options.resnet20 else "CNN on digits"
    title = f"Images per second, {name}, by the bare step's: {options.pairs} pairs"
    if others:
        title += f", {options.rounds} with the others"
    report(
        "loop_resnet20" if options.resnet20 else "loop", title, ["", "rate (95% interval)"], rows
    )


if __name__ == "__main__":
    sys.exit(main())
