"""The official Fashion-MNIST archives, where they are at hand, and a set prepared from them."""

import shutil
from pathlib import Path

import filelock
import pytest
from program import REPOSITORY

ARCHIVES = REPOSITORY.parent / "shared" / "data" / "fashion_mnist"
needs_archives = pytest.mark.skipif(
    not ARCHIVES.exists(), reason="the official archives are not beside the repository"
)


def prepared(shared: Path) -> Path:
    """A TFDS directory with Fashion-MNIST in it, prepared once for all test processes."""
    from simsmooth_jax.data.conversion import Conversion
    from simsmooth_jax.data.official import open_official

    directory = shared / "tensorflow_datasets"
    with filelock.FileLock(shared / "fashion_mnist.lock"):
        manual = directory / "downloads" / "manual"
        if not manual.exists():
            shutil.copytree(ARCHIVES, manual)
            open_official("fashion_mnist", directory, Conversion())
    return directory
