"""A classifier that this program trained, with its data: evaluated, or asked for class vectors."""

import dataclasses
import types
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from simsmooth_jax.config.training import ModelConfig, TrainingConfig
from simsmooth_jax.data.dataset import Dataset
from simsmooth_jax.data.features import are_features
from simsmooth_jax.data.load import load_dataset
from simsmooth_jax.data.streaming import evaluation_batches
from simsmooth_jax.errors import InputError, excerpt, first_line, listed
from simsmooth_jax.method.heads.head_kernel import head_kernel
from simsmooth_jax.method.relations.class_vectors import class_sums
from simsmooth_jax.training.evaluation import Evaluator
from simsmooth_jax.training.finite import first_non_finite
from simsmooth_jax.training.models.built_in import build_model, normalise_images, refuse_model
from simsmooth_jax.training.models.head_module import head_module
from simsmooth_jax.training.saved import checkpoints, made_from

BATCH_SIZE = 256
MOST_LETTERS = 1000  # of an option that a checkpoint notes, as a path


@dataclasses.dataclass(frozen=True)
class Classifier:
    """Weights, and what is needed to use them."""

    config: TrainingConfig
    dataset: Dataset
    model: Any
    params: Any
    batch_stats: Any
    image_statistics: Any

    @classmethod
    def restore(
        cls,
        checkpoint: Path,
        data: str | None = None,
        data_dir: Path | None = None,
        model: str | None = None,
    ) -> "Classifier":
        """Reads a checkpoint that an `ArmRunner` wrote, and the data that it was trained on.

        `data` names others of the same classes, `data_dir` another place of the same. A user's own
        `model` is imported where it is named here, and never because the checkpoint names it.
        """
        variables, metadata = checkpoints.read(checkpoint, ("params", "batch_stats"))
        if found := first_non_finite(variables):
            raise checkpoints.not_finite(checkpoint, found)
        if "training" not in metadata:
            raise InputError(
                "`checkpoint`",
                "be one that simsmooth trained",
                f"{checkpoint}, which does not say its model and data",
                "Its kernel can still be used: simsmooth labels CHECKPOINT.",
            )
        metadata = _sound(checkpoint, metadata)
        try:
            config = TrainingConfig.from_json(metadata["training"])
            if not config.model.is_own:
                refuse_model(config.model)
        except (InputError, TypeError) as error:  # a text where a number is meant
            raise InputError(
                "`checkpoint`",
                "be of a model that this version has",
                f"{checkpoint}: {first_line(error)}",
                "Use the version that trained it.",
            ) from error
        described = _given(checkpoint, config.model, model)
        recorded = config.data
        source = dataclasses.replace(recorded.source, data_dir=data_dir or recorded.source.data_dir)
        if data is not None:  # the parts of other data are their own
            own = ("train_split", "validation_split", "test_split", "validation_cut")
            parts = dict.fromkeys(own)
            source = dataclasses.replace(source, **parts)
        dataset = load_dataset(
            dataclasses.replace(recorded, data=data or recorded.data, source=source)
        )
        if list(dataset.class_names) != metadata["class_names"]:
            raise InputError(
                "`checkpoint`",
                f"be of the classes of {dataset.name} in their order",
                f"{checkpoint} with {listed(metadata['class_names'], 5)} first",
                "Restore the data that it was trained on.",
            )
        if data is None:
            made_from.refuse_other_examples(checkpoint, metadata, dataset, recorded.data)
        shape = tuple(metadata.get("image_shape", dataset.image_shape))
        if dataset.image_shape != shape:
            must = f"hold images of the checkpoint's height, width and channels {shape}"
            then = "Convert them before."
            if are_features(shape):
                must = f"hold features {list(shape)}, as the checkpoint has learned from"
                then = "Take them from the network that gave those."
            raise InputError("`data`", must, f"{dataset.image_shape} in {dataset.name}", then)
        built = build_model(described, dataset.num_classes, dataset.image_shape)
        if model is not None:
            _refuse_another(checkpoint, model, built, variables, dataset.image_shape)
            now = made_from.of_model(described, built, shape) | made_from.versions()
            made_from.warn_of_another_model(checkpoint, metadata, now)
        statistics = metadata["image_statistics"]
        return cls(config, dataset, built, **variables, image_statistics=statistics)

    def evaluate(self, part: Literal["validation", "test"]) -> dict[str, Any]:
        """All metrics on a part of the data."""
        evaluator = Evaluator(self.model, self.image_statistics)
        return evaluator(self.params, self.batch_stats, getattr(self.dataset, part))

    def mean_features(self) -> tuple[Float[Array, "features classes"], Float[Array, " classes"]]:
        """What goes into the head, as `class_means` over the training images, and their counts."""
        head = head_module(self.params)
        features = head_kernel(self.params).shape[0]

        def pass_on(layer: Any, arguments: Any, named: Any, context: Any) -> Any:
            is_head = context.module.path == head and context.method_name == "__call__"
            return arguments[0] if is_head else layer(*arguments, **named)

        with nn.intercept_methods(pass_on):
            return self._means(features, lambda outputs: outputs)

    def mean_predictions(
        self, temperature: float = 1.0
    ) -> tuple[Float[Array, "classes classes"], Float[Array, " classes"]]:
        """Probabilities `softmax(z / temperature)`, as `mean_predictions`, and the counts."""
        softened = lambda logits: jax.nn.softmax(logits / temperature)  # noqa: E731
        return self._means(self.dataset.num_classes, softened)

    def _means(
        self, num_outputs: int, use: Callable[[Array], Array]
    ) -> tuple[Float[Array, "outputs classes"], Float[Array, " classes"]]:
        """A column for each class, zeros where it has no image, and how many it has."""
        num_classes = self.dataset.num_classes

        @jax.jit
        def add(
            total: tuple[Array, Array], params: Any, batch_stats: Any, images: Array, labels: Array
        ) -> tuple[Array, Array]:
            inputs = normalise_images(images, *self.image_statistics)
            variables = {"params": params, "batch_stats": batch_stats}
            with jax.default_matmul_precision("highest"):
                outputs = use(self.model.apply(variables, inputs, train=False))
            sums, counts = class_sums(outputs, labels, num_classes)
            return total[0] + sums, total[1] + counts

        total = jnp.zeros((num_outputs, num_classes)), jnp.zeros(num_classes)
        examples = self.dataset.train
        for images, labels in evaluation_batches(examples, BATCH_SIZE):  # -1 is left out
            total = add(total, self.params, self.batch_stats, images, labels)
            jax.block_until_ready(total)  # bounds the memory of the images
        sums, counts = total
        return sums / jnp.maximum(counts, 1), counts


def _sound(checkpoint: Path, noted: dict[str, Any]) -> dict[str, Any]:
    """What a checkpoint notes, where all that is used of it is of the type that it is saved in."""

    def are(kind: type | types.UnionType, values: Any) -> bool:
        wrong = not isinstance(values, list) or not values
        return not wrong and all(isinstance(v, kind) and type(v) is not bool for v in values)

    statistics: Any = noted.get("image_statistics")
    shape = noted.get("image_shape", [1])
    is_shape = are(int, shape)
    channels = {1, shape[-1]} if is_shape and "image_shape" in noted else range(1, 10**6)
    sound = {
        "class_names": are(str, noted.get("class_names")),
        "image_shape": is_shape,
        "image_statistics": are(list, statistics)
        and len(statistics) == 2  # mean and deviation
        and all(are(float | int, v) and len(v) in channels for v in statistics),
        "training": _longest(noted.get("training")) <= MOST_LETTERS,
    }
    for name, is_sound in sound.items():
        if not is_sound:
            raise InputError(
                f"checkpoint {checkpoint}: {name}",
                "be noted as simsmooth does it",
                excerpt(repr(noted.get(name))),
                "Restore it from a copy.",
            )
    return noted


def _longest(values: Any) -> int:
    """Letters of the longest text in a JSON value."""
    longest, waiting = 0, [values]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += [*value, *value.values()]
        elif isinstance(value, list):
            waiting += value
        elif isinstance(value, str):
            longest = max(longest, len(value))
    return longest


def _given(checkpoint: Path, recorded: ModelConfig, model: str | None) -> ModelConfig:
    """The model that the user has named, or the recorded one where that is ours."""
    if model is None and recorded.is_own:
        raise InputError(
            "`model`",
            f"be given again for {checkpoint}",
            f"none: it was trained with {recorded.model}, which no file may have imported",
            f"Add `model={recorded.model}`.",
        )
    described = dataclasses.replace(recorded, init=None, freeze=False)
    if model not in (None, recorded.model):
        described = ModelConfig(str(model))
    refuse_model(described)  # before the images, which may take long to load
    return described


def _refuse_another(
    checkpoint: Path, name: str, model: Any, variables: dict[str, Any], shape: tuple[int, ...]
) -> None:
    """Refuses a model of which the tree is not the checkpoint's."""
    images = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    key = jax.eval_shape(lambda: jax.random.key(0))
    initial = jax.eval_shape(partial(model.init, train=True), key, images)
    expected = {"batch_stats": {}, **initial}
    own, found = (checkpoints.shapes(tree) for tree in (expected, variables))
    for array in sorted(own.keys() | found.keys()):
        if own.get(array) != found.get(array):
            raise InputError(
                f"`model={name}`: {array}",
                f"be {found.get(array, 'absent')} as in {checkpoint}",
                own.get(array, "nothing"),
                "Name the model that it was trained with, as it was then.",
            )
