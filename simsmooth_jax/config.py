"""What a user chooses, as frozen dataclasses: each default and help line stands here once.

Nothing heavy is imported, so that `simsmooth --help` answers at once.
"""

import dataclasses
from pathlib import Path
from typing import Any, Literal, Self

from simsmooth_jax.types import Rule

DataName = Literal["digits"]
ModelName = Literal["cnn", "mlp", "resnet"]


@dataclasses.dataclass(frozen=True)
class RelationConfig:
    """How the kernel of the first classifier becomes the labels of the second."""

    rule: Rule = "clip"
    """How cosines become a label: literal is claim 5, and is refused where a cosine is negative."""
    epsilon: float = 1.0
    """Weight of the relation row against the hard label, 0 to 1; 1 is the patent's own form."""
    temperature: float | None = None
    """Temperature of the softmax rule, above 0: needed there and used nowhere else."""
    top_k: int | None = None
    """Keep the own class and the k-1 most related others (all, if not given)."""
    include_self: bool = True
    """The own class takes part in its relation row; --no-include-self leaves it out."""
    center: bool = False
    """Subtract the mean column of the kernel before the cosines are taken."""


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """The classifier."""

    model: ModelName = "cnn"
    """A small CNN, an MLP, or a CIFAR-style ResNet."""
    width: int | None = None
    """Channels of the first stage or units of a layer (cnn 32, mlp 128, resnet 16)."""
    depth: int | None = None
    """Convolutions (cnn 2), hidden layers (mlp 2), or 6n+2 layers (resnet 20)."""


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """SGD with Nesterov momentum, linear warm-up and cosine decay."""

    epochs: int = 30
    """Passes over the training images."""
    batch_size: int = 64
    """Images per step, over all devices; an epoch leaves out what fills no batch."""
    learning_rate: float = 0.03
    """Peak learning rate."""
    momentum: float = 0.9
    """Nesterov momentum."""
    weight_decay: float = 5e-4
    """L2 penalty on kernels, added to their gradient."""
    warmup_epochs: float = 2.0
    """Epochs over which the learning rate rises to its peak."""


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """One training but for its labels: two arms that differ in nothing else are comparable."""

    data: DataName = "digits"
    """Images to train on: scikit-learn's digits."""
    seed: int = 0
    """Decides the initial weights and the order of the images."""
    model: ModelConfig = ModelConfig()
    optimizer: OptimizerConfig = OptimizerConfig()

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The inverse of `dataclasses.asdict`."""
        model, optimizer = ModelConfig(**values["model"]), OptimizerConfig(**values["optimizer"])
        return cls(**values | {"model": model, "optimizer": optimizer})


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """The whole method: first classifier, its labels, uniform smoothing, second classifier."""

    training: TrainingConfig = TrainingConfig()
    relation: RelationConfig = RelationConfig()
    uniform_epsilon: float = 0.1
    """Weight of uniform smoothing, the baseline, 0 to 1."""
    checkpoint_every: int = 10
    """Epochs between checkpoints; a stopped run goes on from the last one."""
    out: Path | None = None
    """Run directory (default: runs/DATA-MODEL-RULE-CONFIG)."""
    overwrite: bool = False
    """Start anew where the run directory holds a run already."""
