"""One training: its model, its optimizer, its images and how it is saved.

Nothing heavy is imported, so that `simsmooth --help` answers at once.
"""

import dataclasses
import os
import re
from pathlib import Path
from typing import Any, Literal

from simsmooth_jax.config import stored
from simsmooth_jax.config.data import DataConfig
from simsmooth_jax.config.options import option

MODELS = ("cnn", "linear", "mlp", "resnet", "resnet18")
DType = Literal["float32", "bfloat16"]
OptimizerName = Literal["sgd", "adamw"]

MAX_SEED = 2**31 - 1  # what a JAX key takes on every backend
LARGEST = 1e38  # about float32's
USUAL_WARMUP = 2.0
DEFAULT_SIZE = "Leave it out for the default."


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """The classifier, where its weights start, and which of them are trained."""

    model: str = "cnn"
    """cnn (a small one), mlp, linear (the head alone), resnet (CIFAR-style), resnet18 (for 32x32
    images), or your own: MODULE:FUNCTION, a function of the number of classes that returns a Flax
    Linen module. Features go through mlp, linear or your own."""
    width: int | None = option(None, least=1, most=4096, example=32, then=DEFAULT_SIZE)
    """Channels of the first stage or units of a layer (cnn 32, mlp 128, resnet 16,
    resnet18 64)."""
    depth: int | None = option(None, least=1, most=2000, example=2, then=DEFAULT_SIZE)
    """Convolutions (cnn 2), hidden layers (mlp 2), or 6n+2 layers (resnet 20)."""
    dtype: DType = "float32"
    """What layers compute in; bfloat16 is for GPU and TPU. Weights, head and loss stay float32."""
    init: Path | None = option(None, before=None)
    """Start from the weights of this checkpoint that have the model's names and shapes."""
    freeze: bool = option(False, before=False)
    """Train the head alone, on the model as --init has it: no dropout, BatchNorm's statistics stay
    as they are."""

    @property
    def is_own(self) -> bool:
        """Whether the model is a function of the user's."""
        return ":" in self.model

    @property
    def short_name(self) -> str:
        """The name of the model as a part of a file's name."""
        return re.sub(r"[^\w.-]+", "-", self.model)

    def absolute(self) -> "ModelConfig":
        """The same model, whose first weights are found from any directory."""
        path = self.init and Path(os.path.expanduser(self.init)).absolute()
        return dataclasses.replace(self, init=path)


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """SGD or AdamW, with linear warm-up and cosine decay."""

    optimizer: OptimizerName = option("sgd", before="sgd")
    """SGD with Nesterov momentum, or AdamW, whose --learning-rate is usually lower, as 0.001."""
    epochs: int = option(30, least=1, most=10**6)
    """Passes over the training images."""
    batch_size: int = option(64, least=1)
    """Images per step, over all devices; an epoch leaves out what fills no batch."""
    learning_rate: float = option(0.03, above=0, most=LARGEST)
    """Peak learning rate."""
    momentum: float = option(0.9, least=0, below=1)
    """Nesterov momentum; of adamw the decay of the gradient's mean, b1."""
    weight_decay: float = option(5e-4, least=0, most=LARGEST)
    """Of kernels alone: added to their gradient, or with adamw decoupled from it."""
    warmup_epochs: float = option(USUAL_WARMUP, least=0, most=10**6, example=2)
    """Epochs over which the learning rate rises to its peak, at most --epochs (the default also in
    trainings that are shorter)."""


@dataclasses.dataclass(frozen=True)
class AugmentationConfig:
    """Random changes of the training images, made on the devices."""

    crop: int = option(0, least=0, example=4)
    """Pad by this many pixels, then crop at random."""
    flip: bool = False
    """Mirror half of the images left to right."""
    cutout: int = option(0, least=0, example=16)
    """Blank a square of this many pixels at random."""
    mixup: float = option(0.0, least=0, most=100, example=1, then="Try 1; 0 is off.")
    """Blend pairs of images, and their rows of the label table, by Beta(mixup, mixup)."""
    cutmix: float = option(0.0, least=0, most=100, example=1, then="Try 1; 0 is off.")
    """Paste a box of one image into another, and mix their rows, by Beta(cutmix, cutmix)."""


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """One training but for its labels: two arms that differ in nothing else are comparable."""

    data: DataConfig = DataConfig()
    seed: int = option(0, least=0, most=MAX_SEED)
    """Decides the initial weights and the order of the images."""
    model: ModelConfig = ModelConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    augmentation: AugmentationConfig = AugmentationConfig()
    steps_per_dispatch: int = option(1, least=1, example=10, resume=True)
    """Steps in one program: more leave no gaps between short steps on GPU and TPU."""

    def absolute(self) -> "TrainingConfig":
        """The same training, which finds its files from any directory."""
        return dataclasses.replace(self, data=self.data.absolute(), model=self.model.absolute())

    def to_json(self) -> dict[str, Any]:
        """Nested dictionaries of what JSON can hold."""
        return stored.to_json(self.absolute())

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "TrainingConfig":
        """The inverse of `to_json`, also of an older version's."""
        return stored.from_json(cls, values)


@dataclasses.dataclass(frozen=True)
class SavingConfig:
    """How often a training is saved; a stopped one goes on from its last checkpoint."""

    checkpoint_every: int = option(10, least=1)
    """Epochs between checkpoints."""
    checkpoint_steps: int | None = option(None, least=1, example=1000)
    """Steps between further checkpoints, for epochs that are long."""
    profile: Path | None = None
    """Write a trace of a few steps of the first training to this directory, for JAX's profiler."""
    debug_nans: bool = False
    """Find the operation that gives the first NaN: single steps, which keep what they are given."""
