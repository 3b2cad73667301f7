"""Exact metrics over every example of a split: computed per example, summed in float64."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int, UInt8

from simsmooth_jax.data.dataset import Examples
from simsmooth_jax.data.streaming import evaluation_batches
from simsmooth_jax.machine.devices import BATCH_AXIS, data_mesh
from simsmooth_jax.metrics import (
    area_under_risk_coverage,
    calibration_bins,
    expected_calibration_error,
)
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
        predict = partial(_predict, model, image_statistics)
        self._predict = jax.jit(predict, out_shardings=self._replicated)

    def dispatch(self, params: Any, batch_stats: Any, split: Examples) -> list[dict[str, Array]]:
        """Starts the evaluation; nothing is fetched, so a training loop need not wait for all."""
        results: list[dict[str, Array]] = []
        params, batch_stats = jax.device_put((params, batch_stats), self._replicated)
        place = partial(jax.make_array_from_process_local_data, self._batch_sharded)
        share = jax.process_index(), jax.process_count()
        for batch in evaluation_batches(split, self.batch_size, *share):
            results.append(self._predict(params, batch_stats, *map(place, batch)))
            if len(results) > MAX_IN_FLIGHT:  # bounds the memory of the images
                results[-MAX_IN_FLIGHT]["nll"].block_until_ready()
        return results

    def __call__(self, params: Any, batch_stats: Any, split: Examples) -> dict[str, Any]:
        """All metrics of a split."""
        return summarise(self.dispatch(params, batch_stats, split), len(split))


def _predict(
    model: nn.Module,
    image_statistics: tuple[Any, Any],
    params: Any,
    batch_stats: Any,
    images: UInt8[Array, "batch height width channels"] | Float[Array, "batch features"],
    labels: Int[Array, " batch"],
) -> dict[str, Array]:
    variables = {"params": params, "batch_stats": batch_stats}
    inputs = normalise_images(images, *image_statistics)
    logits = jnp.asarray(model.apply(variables, inputs, train=False), jnp.float32)
    probabilities = jax.nn.softmax(logits)
    own = jnp.take_along_axis(probabilities, labels[:, None], axis=1)[:, 0]
    return {
        "correct": logits.argmax(axis=1) == labels,
        "confidence": probabilities.max(axis=1),
        "nll": optax.softmax_cross_entropy_with_integer_labels(logits, labels),
        "brier": 1 - 2 * own + jnp.square(probabilities).sum(axis=1),
    }


def summarise(batches: list[dict[str, Array]], count: int) -> dict[str, Any]:
    """Metrics of the first `count` examples; what follows them is padding."""
    fetched = jax.device_get(batches)
    values = {name: np.concatenate([b[name] for b in fetched])[:count] for name in fetched[0]}
    bins = calibration_bins(values["confidence"], values["correct"])
    return {
        "count": count,
        "correct": int(values["correct"].sum()),
        "accuracy": float(values["correct"].sum() / count),
        "nll": float(values["nll"].mean(dtype=np.float64)),
        "ece": expected_calibration_error(bins),
        "brier": float(values["brier"].mean(dtype=np.float64)),
        "aurc": area_under_risk_coverage(values["confidence"], values["correct"]),
        "bins": bins,
    }
