"""What a user chooses, as frozen dataclasses: each default and help line stands here once.

Nothing heavy is imported, so that `simsmooth --help` answers at once.
"""

import dataclasses
import os
import re
from pathlib import Path
from typing import Any, Literal, Self

from simsmooth_jax.config.options import option
from simsmooth_jax.literals import Rule

ImageMode = Literal["rgb", "grey"]
InputMode = Literal["auto", "memory", "stream"]
ModelName = Literal["cnn", "mlp", "resnet", "resnet18"]
DType = Literal["float32", "bfloat16"]


@dataclasses.dataclass(frozen=True)
class RelationConfig:
    """How the kernel of the first classifier becomes the labels of the second."""

    similarity: str = "kernel"
    """Cosines of what: kernel (the head's columns), features or predictions (their means over the
    training images of each class), vectors:FILE (a row [D] for each class, as embeddings); or
    table:FILE, a similarity [K, K] itself, as of a hierarchy."""
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
    """A small CNN, an MLP, a CIFAR-style ResNet, or ResNet-18 for 32x32 images."""
    width: int | None = None
    """Channels of the first stage or units of a layer (cnn 32, mlp 128, resnet 16,
    resnet18 64)."""
    depth: int | None = None
    """Convolutions (cnn 2), hidden layers (mlp 2), or 6n+2 layers (resnet 20)."""
    dtype: DType = "float32"
    """What layers compute in; bfloat16 is for GPU and TPU. Weights, head and loss stay float32."""


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
class SourceConfig:
    """Where images are found, and how they are cut into parts and converted."""

    data_dir: Path | None = None
    """Where TFDS keeps its sets (default: ~/tensorflow_datasets, or $TFDS_DATA_DIR); archives that
    you fetched yourself lie in downloads/manual in it."""
    train_split: str | None = None
    """Split to train on, as 'train[:80%]' or 'train[5000:]+extra' (default: train)."""
    validation_split: str | None = None
    """Split to validate on (default: validation, val or valid; else a fixed tenth of train)."""
    test_split: str | None = None
    """Split to test on (default: test)."""
    image_size: str | None = None
    """Scale and crop every image to HEIGHTxWIDTH, as 32x32, or 32 for both."""
    image_mode: ImageMode | None = None
    """Convert every image to rgb or grey."""


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Images to train and evaluate on."""

    data: str = "digits"
    """digits, fashion_mnist, cifar10, cifar100, tfds:NAME[/CONFIG][:VERSION], folder:PATH (which
    holds train, val and test, or the classes themselves) or npz:PATH."""
    source: SourceConfig = SourceConfig()
    input: InputMode = "auto"
    """Hold all images on the devices, or stream them; auto holds what fits."""
    workers: int = 0
    """Processes that read a streamed set (0: threads of this one)."""

    @property
    def short_name(self) -> str:
        """The name of the set as a part of a file's name."""
        kind, _, where = self.data.partition(":")
        name = where or kind
        if kind in ("folder", "npz"):
            name = os.path.basename(os.path.abspath(where)).removesuffix(".npz")
        return re.sub(r"[^\w.-]+", "-", name)


@dataclasses.dataclass(frozen=True)
class AugmentationConfig:
    """Random changes of the training images, made on the devices."""

    crop: int = 0
    """Pad by this many pixels, then crop at random."""
    flip: bool = False
    """Mirror half of the images left to right."""
    cutout: int = 0
    """Blank a square of this many pixels at random."""
    mixup: float = 0.0
    """Blend pairs of images, and their rows of the label table, by Beta(mixup, mixup)."""
    cutmix: float = 0.0
    """Paste a box of one image into another, and mix their rows, by Beta(cutmix, cutmix)."""


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """One training but for its labels: two arms that differ in nothing else are comparable."""

    data: DataConfig = DataConfig()
    seed: int = 0
    """Decides the initial weights and the order of the images."""
    model: ModelConfig = ModelConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    augmentation: AugmentationConfig = AugmentationConfig()
    steps_per_dispatch: int = 1
    """Steps in one program: more leave no gaps between short steps on GPU and TPU."""

    def to_json(self) -> dict[str, Any]:
        """Nested dictionaries of what JSON can hold."""
        values = dataclasses.asdict(self)
        directory = self.data.source.data_dir
        values["data"]["source"]["data_dir"] = directory and str(directory.expanduser().absolute())
        kind, _, where = self.data.data.partition(":")
        if kind in ("folder", "npz"):  # found again from any directory
            values["data"]["data"] = f"{kind}:{os.path.abspath(os.path.expanduser(where))}"
        return values

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """The inverse of `to_json`."""
        directory = values["data"]["source"]["data_dir"]
        source = SourceConfig(
            **values["data"]["source"] | {"data_dir": directory and Path(directory)}
        )
        return cls(
            data=DataConfig(**values["data"] | {"source": source}),
            seed=values["seed"],
            model=ModelConfig(**values["model"]),
            optimizer=OptimizerConfig(**values["optimizer"]),
            augmentation=AugmentationConfig(**values["augmentation"]),
            steps_per_dispatch=values.get("steps_per_dispatch", 1),  # older checkpoints have none
        )


@dataclasses.dataclass(frozen=True)
class ObjectiveConfig:
    """How the labels of online, ols and maxsup are made while the training goes on."""

    strength: float | None = option(None, least=0, most=1, example=0.1, before=None)
    """Weight of the soft part, 0 to 1 (online 0.1, ols 0.5, maxsup 0.1)."""
    rule: Rule | None = option(None, example="clip", before=None)
    """How online turns cosines into labels: clip (the default), shift or softmax."""
    temperature: float | None = option(None, above=0, example=0.1, before=None)
    """Temperature of online's softmax rule, above 0: needed there and used nowhere else."""
    label_warmup: float | None = option(None, least=0, example=5, before=None)
    """Epochs on hard labels, before online or ols makes its own (online a quarter, ols 0)."""
    label_period: int | None = option(None, least=1, example=1000, before=None)
    """Steps after which online or ols makes its labels anew (default: an epoch)."""


@dataclasses.dataclass(frozen=True)
class SavingConfig:
    """How often a training is saved; a stopped one goes on from its last checkpoint."""

    checkpoint_every: int = 10
    """Epochs between checkpoints."""
    checkpoint_steps: int | None = None
    """Steps between further checkpoints, for epochs that are long."""
    profile: Path | None = None
    """Write a trace of a few steps of the first training to this directory, for JAX's profiler."""


@dataclasses.dataclass(frozen=True)
class DistributedConfig:
    """Processes that train together, on one machine or several: each is given the same command."""

    distributed: bool = False
    """Find the other processes by what TPU pods, Slurm, Open MPI or Kubernetes tell each."""
    coordinator: str | None = None
    """Or name them: where process 0 listens, as HOST:PORT."""
    num_processes: int | None = None
    """With --coordinator: the number of processes."""
    process_id: int | None = None
    """With --coordinator: which of them this one is, from 0."""


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """The whole method: first classifier, its labels, uniform smoothing, second classifier."""

    training: TrainingConfig = TrainingConfig()
    relation: RelationConfig = RelationConfig()
    uniform_epsilon: float = 0.1
    """Weight of uniform smoothing, the baseline, 0 to 1."""
    saving: SavingConfig = SavingConfig()
    out: Path | None = None
    """Run directory (default: runs/DATA-MODEL-RULE-CONFIG)."""
    overwrite: bool = False
    """Start anew where the run directory holds a run already."""
    distributed: DistributedConfig = DistributedConfig()
