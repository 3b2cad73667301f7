"""Batches that Grain reads ahead of the training, in an order that is a function of the step."""

import contextlib
import dataclasses
import functools
import gc
import os
import threading
import time
from collections.abc import Callable, Generator, Iterator
from typing import Any, Protocol

import grain
import numpy as np
from jaxtyping import Int

from simsmooth_jax.data.dataset import Examples, Split
from simsmooth_jax.machine.borrowed import allow_grain_workers, prefetched
from simsmooth_jax.machine.signals import boundaries, unheard_by_children

AHEAD = 2  # batches that wait on the devices
MAX_THREADS = 16


@functools.lru_cache(maxsize=2)  # an epoch's steps share it, and the next one begins before it ends
def epoch_order(seed: int, epoch: int, num_examples: int) -> Int[np.ndarray, " examples"]:
    """The order of the training images in an epoch: the same on every host and in every version."""
    # RandomState's stream is frozen by NumPy's policy, Generator's is not.
    order = np.random.RandomState([seed, epoch]).permutation(num_examples).astype(np.int32)
    order.flags.writeable = False
    return order


class Batches(Protocol):
    """Batches by their number; Grain reads several at once and hands them on in order."""

    def __len__(self) -> int:
        """The number of batches."""
        ...

    def __getitem__(self, index: int) -> tuple[np.ndarray, ...]:
        """Images and labels of a batch, and what else belongs to it."""
        ...


@dataclasses.dataclass(frozen=True)
class TrainingBatches:
    """Batch i is what step i of a training sees; a process reads its own share of each alone."""

    examples: Examples
    seed: int
    batch_size: int
    num_steps: int
    process: int = 0
    num_processes: int = 1

    def __len__(self) -> int:
        """The steps of the whole training."""
        return self.num_steps

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """This process's rows of the batch of a step, and which examples they are."""
        epoch, position = divmod(index, len(self.examples) // self.batch_size)
        order = epoch_order(self.seed, epoch, len(self.examples))
        share = self.batch_size // self.num_processes
        start = position * self.batch_size + self.process * share
        indices = order[start : start + share]
        return *self.examples.take(indices), indices


@dataclasses.dataclass(frozen=True)
class EvaluationBatches:
    """Every example once, in order; the last batch is filled up, not dropped.

    What fills it is labelled -1. A process reads its own share of each batch alone.
    """

    examples: Examples
    batch_size: int
    process: int = 0
    num_processes: int = 1

    def __len__(self) -> int:
        """The number of batches."""
        return -(-len(self.examples) // self.batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """This process's rows of a batch of full size."""
        share = self.batch_size // self.num_processes
        start = index * self.batch_size + self.process * share
        indices = np.arange(start, min(start + share, len(self.examples)))
        images = np.zeros((share, *self.examples.image_shape), self.examples.dtype)
        labels = np.full(share, -1, np.int32)
        if len(indices):  # else all of them are other processes'
            images[: len(indices)], labels[: len(indices)] = self.examples.take(indices)
        return images, labels


def evaluation_batches(
    examples: Examples, batch_size: int, process: int = 0, num_processes: int = 1
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Every example in order, in batches of one size; those not in memory are read ahead."""
    batches = EvaluationBatches(examples, batch_size, process, num_processes)
    if isinstance(examples, Split):
        return map(batches.__getitem__, range(len(batches)))
    return read_ahead(batches)


def read_ahead(
    batches: Batches, place: Callable[[Any], Any] | None = None, start: int = 0, workers: int = 0
) -> Generator[Any, None, None]:
    """Batches from `start` on, read by threads or worker processes and placed on the devices.

    Args:
      batches: what is read; with workers it is sent to them.
      place: puts images and labels on the devices, in a thread beside the training; without it
        they stay NumPy arrays.
      start: the first batch, so that a stopped training goes on anywhere.
      workers: processes that read, each with its own threads; 0 reads in threads of this process.

    Yields:
      The batches in order, as `place` returned them. Threads and processes end with the iterator.
    """
    threads = min(MAX_THREADS, os.cpu_count() or 1)
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=2 * threads)
    dataset = grain.MapDataset.source(batches)[start:].to_iter_dataset(options)
    if workers:
        allow_grain_workers()
        processes = grain.MultiprocessingOptions(num_workers=workers, per_worker_buffer_size=AHEAD)
        dataset = dataset.mp_prefetch(processes, worker_init_fn=_end_with_the_parent)
        dataset = dataset.map(_out_of_shared_memory)
    if place:
        dataset = prefetched(dataset.map(place), AHEAD)
    iterator, first = iter(dataset), None
    try:
        # Workers end in order: of a sudden end each half started one would speak.
        with boundaries() if workers else contextlib.nullcontext():
            with unheard_by_children():
                first = next(iterator, None)
            if first is not None:
                yield first
                yield from iterator
    except RuntimeError as error:
        if "Worker process" not in str(error):
            raise
        raise ChildProcessError(
            "a process that reads images has ended, perhaps for lack of memory: lower `workers`"
        ) from error
    finally:
        iterator.close()
        del iterator, dataset, first
        gc.collect()  # frees the shared memory of the batches that nobody asked for any more


def _out_of_shared_memory(batch: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    """A copy: an array that JAX holds to the program's end would be reported as a leak."""
    return tuple(map(np.array, batch))


def _end_with_the_parent(index: int, count: int) -> None:
    """In a worker: ends it when the training's process is gone, which a kill does not tell it."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
