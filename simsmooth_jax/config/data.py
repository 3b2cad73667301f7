"""Which images, and what becomes of them before a training sees them."""

import dataclasses
import os
import re
from pathlib import Path
from typing import Literal

from simsmooth_jax.config.options import option

ImageMode = Literal["rgb", "grey"]
ValidationCut = Literal["stratified", "random"]
InputMode = Literal["auto", "memory", "stream"]


@dataclasses.dataclass(frozen=True)
class SourceConfig:
    """Where images are found, and how they are cut into parts and converted."""

    data_dir: Path | None = option(None, resume=True)
    """Where TFDS keeps its sets (default: ~/tensorflow_datasets, or $TFDS_DATA_DIR); archives that
    you fetched yourself lie in downloads/manual in it."""
    train_split: str | None = None
    """Split to train on, as 'train[:80%]' or 'train[5000:]+extra' (default: train)."""
    validation_split: str | None = None
    """Split to validate on (default: validation, val or valid; else a fixed tenth of train)."""
    test_split: str | None = None
    """Split to test on (default: test)."""
    validation_cut: ValidationCut | None = option(None, example="stratified", before="random")
    """How that tenth is cut: stratified takes a tenth of each class, random of all together
    (default: stratified of folder: and npz:, random of the others)."""
    image_size: str | None = None
    """Scale and crop every image to HEIGHTxWIDTH, as 32x32, or 32 for both."""
    image_mode: ImageMode | None = None
    """Convert every image to rgb or grey."""


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Images, or features in their place, to train and evaluate on."""

    data: str = "digits"
    """digits, fashion_mnist, cifar10, cifar100, tfds:NAME[/CONFIG][:VERSION], folder:PATH (which
    holds train, val and test, or the classes themselves) or npz:PATH (images or features)."""
    source: SourceConfig = SourceConfig()
    input: InputMode = "auto"
    """Hold all images on the devices, or stream them; auto holds what fits."""
    workers: int = option(0, least=0, most=256, then="Try 0: threads read.", resume=True)
    """Processes that read a streamed set (0: threads of this one)."""

    @property
    def resolved_source(self) -> SourceConfig:
        """The source, with the rule of the validation tenth that counts for its kind."""
        own = "stratified" if self.data.startswith(("folder:", "npz:")) else "random"
        return dataclasses.replace(self.source, validation_cut=self.source.validation_cut or own)

    @property
    def short_name(self) -> str:
        """The name of the set as a part of a file's name."""
        kind, _, where = self.data.partition(":")
        name = where or kind
        if kind in ("folder", "npz"):
            name = os.path.basename(os.path.abspath(where)).removesuffix(".npz")
        return re.sub(r"[^\w.-]+", "-", name)

    def absolute(self) -> "DataConfig":
        """The same images, found again from any directory."""
        kind, _, where = self.data.partition(":")
        data, directory = self.data, self.source.data_dir
        if kind in ("folder", "npz"):
            data = f"{kind}:{os.path.abspath(os.path.expanduser(where))}"
        directory = directory and Path(os.path.expanduser(directory)).absolute()
        source = dataclasses.replace(self.resolved_source, data_dir=directory)
        return dataclasses.replace(self, data=data, source=source)
