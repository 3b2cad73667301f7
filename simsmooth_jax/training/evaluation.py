"""Exact metrics over every example of a split: computed per example, summed in float64."""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int, UInt8

from simsmooth_jax.data.dataset import Examples
from simsmooth_jax.data.streaming import evaluation_batches
from simsmooth_jax.machine.devices import BATCH_AXIS, data_mesh
from simsmooth_jax.machine.signals import stop_if_asked
from simsmooth_jax.metrics import Accumulated, BatchValues, batch_values
from simsmooth_jax.training.models.built_in import normalise_images

MAX_IN_FLIGHT = 8  # batches that were dispatched and not computed


class Evaluator:
    """One compiled program for batches of one size; the last batch is padded, not dropped.

    Each batch is split over all devices, and each process reads its own part of it.
    """

    def __init__(
        self,
        model: nn.Module,
        image_statistics: tuple[Any, Any],
        batch_size: int = 256,
        devices: Sequence[Any] | None = None,
    ) -> None:
        """Keeps the model and the statistics that its training images had."""
        mesh = data_mesh(devices)
        self.batch_size = -(-batch_size // mesh.size) * mesh.size  # the next that they can share
        self._replicated = NamedSharding(mesh, PartitionSpec())
        self._batch_sharded = NamedSharding(mesh, PartitionSpec(BATCH_AXIS))
        # Replicated results: every process can read all of them.
        self._logits = jax.jit(
            partial(_logits, model, image_statistics), out_shardings=self._replicated
        )
        self._predict = jax.jit(
            partial(_predict, model, image_statistics), out_shardings=self._replicated
        )

    def __call__(self, params: Any, batch_stats: Any, split: Examples) -> dict[str, Any]:
        """All metrics of a split."""
        return self.dispatch(params, batch_stats, split).summary()

    def dispatch(self, params: Any, batch_stats: Any, split: Examples) -> Accumulated:
        """Starts the evaluation; nothing is fetched, so a training loop need not wait for all."""
        found = Accumulated()
        for values in self._each_batch(self._predict, params, batch_stats, split):
            found.add(values)
            if len(found.batches) > MAX_IN_FLIGHT:  # bounds the memory of the images
                found.batches[-MAX_IN_FLIGHT].nll.block_until_ready()
        return found

    def logits(
        self, params: Any, batch_stats: Any, split: Examples
    ) -> Float[np.ndarray, "examples classes"]:
        """The logits of a split in its order, float32 on the host, as a temperature needs them."""
        batches = self._each_batch(self._logits, params, batch_stats, split)
        return np.concatenate([np.asarray(logits) for logits in batches])[: len(split)]

    def _each_batch(
        self, program: Callable[..., Any], params: Any, batch_stats: Any, split: Examples
    ) -> Iterator[Any]:
        params, batch_stats = jax.device_put((params, batch_stats), self._replicated)
        place = partial(jax.make_array_from_process_local_data, self._batch_sharded)
        share = jax.process_index(), jax.process_count()
        for batch in evaluation_batches(split, self.batch_size, *share):
            yield program(params, batch_stats, *map(place, batch))
            stop_if_asked()


def are_finite(metrics: dict[str, Any]) -> bool:
    """Whether every prediction was a number: weights that are finite may still overflow."""
    return math.isfinite(metrics["nll"])


def _logits(
    model: nn.Module,
    image_statistics: tuple[Any, Any],
    params: Any,
    batch_stats: Any,
    images: UInt8[Array, "batch height width channels"],
    labels: Int[Array, " batch"],
) -> Float[Array, "batch classes"]:
    variables = {"params": params, "batch_stats": batch_stats}
    inputs = normalise_images(images, *image_statistics)
    return jnp.asarray(model.apply(variables, inputs, train=False), jnp.float32)


def _predict(
    model: nn.Module,
    image_statistics: tuple[Any, Any],
    params: Any,
    batch_stats: Any,
    images: UInt8[Array, "batch height width channels"] | Float[Array, "batch features"],
    labels: Int[Array, " batch"],
) -> BatchValues:
    logits = _logits(model, image_statistics, params, batch_stats, images, labels)
    return batch_values(logits, labels, where=labels >= 0)  # padding is labelled -1
