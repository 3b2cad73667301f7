"""A classifier that this program trained, with its data: evaluated, or asked for class vectors."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Self

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from simsmooth_jax.config.training import TrainingConfig
from simsmooth_jax.data.dataset import Dataset
from simsmooth_jax.data.load import load_dataset
from simsmooth_jax.data.streaming import evaluation_batches
from simsmooth_jax.errors import InputError, first_line
from simsmooth_jax.method.candidates import HEAD
from simsmooth_jax.method.class_vectors import class_sums
from simsmooth_jax.training import checkpoints
from simsmooth_jax.training.evaluation import Evaluator
from simsmooth_jax.training.models import build_model, normalise_images

BATCH_SIZE = 256


@dataclasses.dataclass(frozen=True)
class Classifier:
    """Weights, and what is needed to use them."""

    config: TrainingConfig
    dataset: Dataset
    params: Any
    batch_stats: Any
    image_statistics: Any

    @classmethod
    def restore(
        cls, checkpoint: Path, data: str | None = None, data_dir: Path | None = None
    ) -> Self:
        """Reads a checkpoint that an `ArmRunner` wrote, and the data that it was trained on.

        `data` names others of the same classes, `data_dir` another place of the same.
        """
        variables, metadata = checkpoints.read(checkpoint, ("params", "batch_stats"))
        if "training" not in metadata:
            raise InputError(
                "`checkpoint`",
                "be one that simsmooth trained",
                f"{checkpoint}, which does not say its model and data",
                "Its kernel can still be used: simsmooth labels CHECKPOINT.",
            )
        try:
            config = TrainingConfig.from_json(metadata["training"])
        except InputError as error:
            raise InputError(
                "`checkpoint`",
                "be of a model that this version has",
                f"{checkpoint}: {first_line(error)}",
                "Use the version that trained it.",
            ) from error
        recorded = config.data
        source = dataclasses.replace(recorded.source, data_dir=data_dir or recorded.source.data_dir)
        if data is not None:  # the parts of other data are their own
            parts = dict.fromkeys(("train_split", "validation_split", "test_split"))
            source = dataclasses.replace(source, **parts)
        dataset = load_dataset(
            dataclasses.replace(recorded, data=data or recorded.data, source=source)
        )
        if list(dataset.class_names) != metadata["class_names"]:
            raise InputError(
                "`checkpoint`",
                f"be of the classes of {dataset.name} in their order",
                f"{checkpoint} with {metadata['class_names'][:5]} first",
                "Restore the data that it was trained on.",
            )
        if list(dataset.image_shape) != metadata.get("image_shape", list(dataset.image_shape)):
            raise InputError(
                "`data`",
                (
                    "hold images of the checkpoint's height, width and channels "
                    f"{tuple(metadata['image_shape'])}"
                ),
                f"{dataset.image_shape} in {dataset.name}",
                "Convert them before.",
            )
        return cls(config, dataset, **variables, image_statistics=metadata["image_statistics"])

    def evaluate(self, part: Literal["validation", "test"]) -> dict[str, Any]:
        """All metrics on a part of the data."""
        model = build_model(self.config.model, self.dataset.num_classes)
        evaluator = Evaluator(model, self.image_statistics)
        return evaluator(self.params, self.batch_stats, getattr(self.dataset, part))

    def mean_features(self) -> Float[Array, "features classes"]:
        """What goes into the head, as `class_means` over the training images."""
        features = self.params[HEAD]["kernel"].shape[0]
        identity = {"kernel": jnp.eye(features), "bias": jnp.zeros(features)}
        return self._means(features, self.params | {HEAD: identity}, lambda outputs: outputs)

    def mean_predictions(self) -> Float[Array, "classes classes"]:
        """Predicted probabilities, as `mean_predictions` over the training images."""
        return self._means(self.dataset.num_classes, self.params, jax.nn.softmax)

    def _means(
        self, num_outputs: int, params: Any, use: Callable[[Array], Array]
    ) -> Float[Array, "outputs classes"]:
        model: Any = build_model(self.config.model, num_outputs)
        num_classes = self.dataset.num_classes

        @jax.jit
        def add(
            total: tuple[Array, Array], params: Any, batch_stats: Any, images: Array, labels: Array
        ) -> tuple[Array, Array]:
            inputs = normalise_images(images, *self.image_statistics)
            variables = {"params": params, "batch_stats": batch_stats}
            # A head that only passes features on must not round them.
            with jax.default_matmul_precision("highest"):
                outputs = use(model.apply(variables, inputs, train=False))
            sums, counts = class_sums(outputs, labels, num_classes)
            return total[0] + sums, total[1] + counts

        total = jnp.zeros((num_outputs, num_classes)), jnp.zeros(num_classes)
        examples = self.dataset.train
        batches = evaluation_batches(examples, BATCH_SIZE)
        for start, (images, labels) in zip(
            range(0, len(examples), BATCH_SIZE), batches, strict=True
        ):
            labels = np.where(np.arange(BATCH_SIZE) < len(examples) - start, labels, -1)
            total = add(total, params, self.batch_stats, images, labels)
            jax.block_until_ready(total)  # bounds the memory of the images
        sums, counts = total
        if (empty := np.flatnonzero(counts == 0)).size:
            name = self.dataset.class_names[empty[0]]
            raise InputError(
                "`similarity`",
                "be of classes that all have training images",
                f"none of {name}",
                "Use `similarity=kernel`.",
            )
        return sums / counts
