"""What each training step is fed: images that live on the devices, or batches that are streamed."""

import copy
import itertools
import math
from collections.abc import Generator
from functools import partial

import flax.struct
import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int, UInt8

from simsmooth_jax.config.data import DataConfig
from simsmooth_jax.data.dataset import Dataset, Examples, Split
from simsmooth_jax.data.streaming import TrainingBatches, epoch_order, read_ahead
from simsmooth_jax.machine.devices import place


class ResidentImages(flax.struct.PyTreeNode):
    """All training images on every device, and an epoch's order of them."""

    images: UInt8[Array, "n height width channels"] | Float[Array, "n features"]
    labels: Int[Array, " n"]
    order: Int[Array, " n"]

    def batch(
        self, position: Int[Array, ""], size: int, sharding: NamedSharding
    ) -> tuple[Array, Array, Array]:
        """Images, labels and indices of one position of the epoch, gathered inside the step."""
        indices = jax.lax.dynamic_slice_in_dim(self.order, position * size, size)
        indices = jax.lax.with_sharding_constraint(indices, sharding)
        return self.images[indices], self.labels[indices], indices


class StreamedBatch(flax.struct.PyTreeNode):
    """The images, labels and indices of one step, split over the devices."""

    images: UInt8[Array, "batch height width channels"] | Float[Array, "batch features"]
    labels: Int[Array, " batch"]
    examples: Int[Array, " batch"]

    def batch(
        self, position: Int[Array, ""], size: int, sharding: NamedSharding
    ) -> tuple[Array, Array, Array]:
        """Itself."""
        return self.images, self.labels, self.examples


StepInputs = ResidentImages | StreamedBatch


def held_bytes(dataset: Dataset) -> int:
    """Bytes of the training images that every device holds, none of streamed ones."""
    train = dataset.train
    return (
        0 if dataset.streamed else len(train) * math.prod(train.image_shape) * train.dtype.itemsize
    )


class Inputs:
    """Feeds every training of one data set; both kinds see the same images in the same order."""

    def __init__(
        self, config: DataConfig, dataset: Dataset, batch_size: int, batch_sharded: NamedSharding
    ) -> None:
        """Puts the training images on the devices, unless they are streamed."""
        self.workers = config.workers
        self.train, self.streamed = dataset.train, dataset.streamed
        self.batch_size = batch_size
        self.steps_per_epoch = len(self.train) // batch_size
        self.batch_sharded = batch_sharded
        self.replicated = NamedSharding(batch_sharded.mesh, PartitionSpec())
        if not self.streamed:
            self.hold(self.train)

    def of(self, train: Split) -> "Inputs":
        """The same with as many other images, which are in memory: for the same programs."""
        inputs = copy.copy(self)
        inputs.hold(train)
        return inputs

    def hold(self, train: Examples) -> None:
        """Puts these images on the devices, in the place of any before."""
        assert isinstance(train, Split)
        self.train = train
        self._images = place(train.images, self.replicated)
        self._labels = place(train.labels, self.replicated)

    def from_step(self, seed: int, step: int, num_steps: int) -> Generator[StepInputs, None, None]:
        """The inputs of the steps from `step` on, a pure function of seed and step."""
        return self._stream(seed, step, num_steps) if self.streamed else self._gather(seed, step)

    def _gather(self, seed: int, step: int) -> Generator[ResidentImages, None, None]:
        while True:
            epoch, position = divmod(step, self.steps_per_epoch)
            order = epoch_order(seed, epoch, len(self.train))
            inputs = ResidentImages(self._images, self._labels, place(order, self.replicated))
            yield from itertools.repeat(inputs, self.steps_per_epoch - position)
            step += self.steps_per_epoch - position

    def _stream(self, seed: int, step: int, num_steps: int) -> Generator[StreamedBatch, None, None]:
        batches = TrainingBatches(
            self.train, seed, self.batch_size, num_steps, jax.process_index(), jax.process_count()
        )
        return read_ahead(batches, self._place, step, self.workers)

    def _place(self, batch: tuple[np.ndarray, ...]) -> StreamedBatch:
        place = partial(jax.make_array_from_process_local_data, self.batch_sharded)
        return StreamedBatch(*map(place, batch))
