"""Our training step and our labels against the same in PyTorch, on one GPU in one process.

    python experiments/benchmarks/accelerator.py --out accelerator.json

ResNet-18 on random 32x32 images of 100 classes in bfloat16: ours with single steps and with
`--steps-per-dispatch`, PyTorch's with channels_last, bf16 autocast and torch.compile; images,
labels and the table of labels lie on the device for both. Then the relation labels of a kernel of
1024 features and 21,841 classes in full float32. All take turns within each round, so that a
device that grows slower does so for all; medians over the rounds of the ratio to PyTorch.
Expected: several steps in one program are no slower than single ones, training 0.9 or more of
PyTorch's images/s, labels no more than PyTorch's time. Needs PyTorch with CUDA.

`--smoke` runs tiny sizes anywhere, without torch.compile: whether it works, not how fast it is.
"""

import argparse
import itertools
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # PyTorch needs memory as well

import jax
import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from in_pytorch import training_rounds, wait

import simsmooth_jax as ss
from simsmooth_jax.config.training import ModelConfig, OptimizerConfig, TrainingConfig
from simsmooth_jax.data.dataset import Dataset, Split
from simsmooth_jax.method.objectives import label_table
from simsmooth_jax.training.step import Trainer

PYTORCH = "PyTorch"
CALLS = 10  # of the labels in a round
FULL = {"width": 64, "batch": 512, "steps": 100, "classes": 100, "kernel": (1024, 21841)}
SMOKE = {"width": 4, "batch": 8, "steps": 4, "classes": 10, "kernel": (16, 30)}


def main() -> None:
    """Prints one line a round and a table, and writes all of it."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("--steps-per-dispatch", type=int, help="50, or 2 with --smoke")
    parser.add_argument("--rounds", type=int, help="7, or 2 with --smoke")
    parser.add_argument("--torch-mode", default="default", help="of torch.compile")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, also on a CPU")
    options = parser.parse_args()
    on_gpu = jax.default_backend() == "gpu" and torch.cuda.is_available()
    if not (on_gpu or options.smoke):
        parser.error("JAX and PyTorch must both see a GPU; --smoke runs tiny sizes without one")
    size: dict[str, Any] = SMOKE if options.smoke else FULL
    at_once = options.steps_per_dispatch or (2 if options.smoke else 50)
    if size["steps"] % at_once:
        parser.error(f"--steps-per-dispatch must divide {size['steps']}, got {at_once}")
    rounds = options.rounds or (2 if options.smoke else 7)
    device = torch.device("cuda" if on_gpu else "cpu")
    compiled = options.torch_mode if on_gpu and not options.smoke else None
    about = {
        "jax": f"{jax.__version__} on {jax.devices()[0].device_kind}",
        "torch": f"{torch.__version__} on {torch.cuda.get_device_name() if on_gpu else 'cpu'}",
        "torch.compile": compiled or "off",
        "smoke": options.smoke,
        **size,
    }
    print("\n".join(f"{name}: {value}" for name, value in about.items()), flush=True)

    dataset = _random_images(size)
    table = ss.uniform_labels(size["classes"], 0.1)
    steps = {
        "single steps": _ours(dataset, table, size, 1),
        f"{at_once} in one program": _ours(dataset, table, size, at_once),
        PYTORCH: training_rounds(dataset, table, size, device, compiled),
    }
    images = size["batch"] * size["steps"]
    training = _take_turns(steps, rounds, lambda seconds: images / seconds, "images/s")
    labels = _labels(size["kernel"], device, compiled)
    labelling = _take_turns(labels, rounds, lambda seconds: 1000 * seconds, "ms")
    if options.out:
        found = {"about": about, "images_per_second": training, "labels_milliseconds": labelling}
        options.out.write_text(json.dumps(found, indent=2) + "\n")


def _take_turns(
    works: dict[str, Callable[[], float]], rounds: int, measure: Callable[[float], float], unit: str
) -> dict[str, list[float]]:
    for work in works.values():
        work()  # compiles
    found: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            found[name].append(measure(work()))
        line = "  ".join(f"{name} {values[-1]:.1f}" for name, values in found.items())
        print(f"{unit}: {line}", flush=True)
    print(f"\n{'':24}{unit:>12}{'of PyTorch':>14}")
    for name, values in found.items():
        ratios = np.array(values) / np.array(found[PYTORCH])
        spread = f"{ratios.min():.3f} to {ratios.max():.3f}"
        shown = f"{statistics.median(values):12.1f}{statistics.median(ratios):14.3f}"
        print(f"{name:24}{shown}  ({spread})")
    print(flush=True)
    return found


def _random_images(size: dict[str, Any]) -> Dataset:
    """As many as a round has: one round is one epoch."""
    random, count = np.random.RandomState(0), size["batch"] * size["steps"]
    images = random.randint(0, 256, (count, 32, 32, 3)).astype(np.uint8)
    split = Split(images, random.randint(0, size["classes"], count).astype(np.int32))
    names = tuple(map(str, range(size["classes"])))
    return Dataset("random", names, split, split, split)


def _ours(dataset: Dataset, table: Any, size: dict[str, Any], at_once: int) -> Callable[[], float]:
    config = TrainingConfig(
        model=ModelConfig("resnet18", width=size["width"], dtype="bfloat16"),
        optimizer=OptimizerConfig(epochs=1000, batch_size=size["batch"]),
        steps_per_dispatch=at_once,
    )
    trainer = Trainer(config, dataset, jax.devices()[:1])
    state, key, placed = trainer.init(0), trainer.key(0), trainer.place(label_table(table))
    inputs = trainer.inputs.from_step(0, 0, trainer.total_steps)
    dispatch = trainer.step if at_once == 1 else trainer.steps

    def run() -> float:
        nonlocal state
        start = time.perf_counter()
        for _ in range(trainer.steps_per_epoch // at_once):
            batch = next(itertools.islice(inputs, at_once - 1, None))
            state, _ = dispatch(state, batch, placed, key)
        jax.block_until_ready(state)
        return time.perf_counter() - start

    return run


def _labels(
    shape: tuple[int, int], device: torch.device, mode: str | None
) -> dict[str, Callable[[], float]]:
    kernel = np.random.RandomState(0).randn(*shape).astype(np.float32)
    torch.set_float32_matmul_precision("highest")  # as ours
    ours, theirs = jax.device_put(kernel), torch.tensor(kernel, device=device)

    def labels(kernel: torch.Tensor) -> torch.Tensor:
        unit = kernel / kernel.norm(dim=0)
        positive = (unit.T @ unit).clamp(min=0)
        return positive / positive.sum(dim=1, keepdim=True)

    labels_of: Any = torch.compile(labels, mode=mode) if mode else labels
    found, expected = ss.relation_labels_from_kernel(ours)[:8], labels_of(theirs)[:8]
    np.testing.assert_allclose(found, expected.cpu().numpy(), atol=1e-6)

    def run(work: Callable[[], Any], finish: Callable[[Any], Any]) -> float:
        start = time.perf_counter()
        for _ in range(CALLS):
            finish(work())
        return (time.perf_counter() - start) / CALLS

    return {
        "relation labels": lambda: run(
            lambda: ss.relation_labels_from_kernel(ours), jax.block_until_ready
        ),
        PYTORCH: lambda: run(lambda: labels_of(theirs), lambda _: wait(device)),
    }


if __name__ == "__main__":
    main()
