"""One jitted training step for every classifier and every table of labels (claim 2; module 201)."""

from collections.abc import Callable, Sequence
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int

from simsmooth_jax.config import checks as options
from simsmooth_jax.config.training import OptimizerConfig, TrainingConfig
from simsmooth_jax.data.dataset import Dataset
from simsmooth_jax.machine.devices import BATCH_AXIS, data_mesh, place
from simsmooth_jax.method.losses import softmax_cross_entropy_with_label_table
from simsmooth_jax.method.tables import FactoredLabels, LabelTable, TopKLabels
from simsmooth_jax.training.augmentation import augment
from simsmooth_jax.training.inputs import Inputs, ResidentImages, StreamedBatch
from simsmooth_jax.training.models import build_model, normalise_images


class TrainState(flax.struct.PyTreeNode):
    """All that a training changes, and all that a checkpoint of it holds."""

    step: Int[Array, ""]
    params: Any
    batch_stats: Any
    opt_state: optax.OptState


class Trainer:
    """The compiled programs of one configuration; tables and seeds are arguments of them.

    Everything runs on a mesh of all devices: the batch is split over them, the rest is replicated,
    and BatchNorm sees the statistics of the global batch.
    """

    def __init__(
        self, config: TrainingConfig, dataset: Dataset, devices: Sequence[Any] | None = None
    ) -> None:
        """Builds model and optimizer and puts the training images on the devices."""
        devices = list(devices or jax.devices())
        self.batch_size = config.optimizer.batch_size
        self.epochs = config.optimizer.epochs
        options.refuse_optimizer(config.optimizer)
        options.refuse_batch_size(self.batch_size, len(dataset.train), len(devices))
        options.refuse_augmentation(config.augmentation, dataset.image_shape)
        self.steps_per_epoch = len(dataset.train) // self.batch_size
        self.total_steps = self.steps_per_epoch * self.epochs
        self.steps_per_dispatch = config.steps_per_dispatch
        options.refuse_steps_per_dispatch(
            self.steps_per_dispatch, self.steps_per_epoch, dataset.streamed
        )
        # XLA's convolutions in loops are many times slower on a CPU (jax-ml/jax#12868).
        self.unroll = devices[0].platform == "cpu"
        self.image_shape = dataset.image_shape
        self.image_statistics = dataset.channel_statistics()
        self.model = build_model(config.model, dataset.num_classes)
        self.schedule = learning_rate_schedule(config.optimizer, self.steps_per_epoch)
        self.optimizer = build_optimizer(config.optimizer, self.schedule)
        self.augmentation = config.augmentation

        mesh = data_mesh(devices)
        self.replicated = NamedSharding(mesh, PartitionSpec())
        self.batch_sharded = NamedSharding(mesh, PartitionSpec(BATCH_AXIS))
        self.inputs = Inputs(config.data, dataset, self.batch_size, self.batch_sharded)
        self._init = jax.jit(self._initial_state, out_shardings=self.replicated)
        self._step, self._steps = (
            jax.jit(function, donate_argnums=0, out_shardings=self.replicated)
            for function in (self._train_step, self._train_steps)
        )

    def init(self, seed: int) -> TrainState:
        """The state before the first step, a pure function of the seed."""
        return self._init(jax.random.key(seed))

    def key(self, seed: int) -> Array:
        """The key of all random changes of the images."""
        return jax.jit(jax.random.key, out_shardings=self.replicated)(seed)

    def place_table(self, table: LabelTable) -> Any:
        """The table on the devices, in any form, in the dtypes that all arms share."""
        if not isinstance(table, TopKLabels | FactoredLabels):
            return place(np.asarray(table, np.float32), self.replicated)
        return jax.tree.map(lambda leaf: place(np.asarray(leaf), self.replicated), table)

    def step(
        self, state: TrainState, inputs: ResidentImages | StreamedBatch, table: Array, key: Array
    ) -> tuple[TrainState, dict[str, Float[Array, ""]]]:
        """One step on its inputs, augmented by the seed's key; the given state is donated."""
        return self._step(state, inputs, table, key)

    def steps(
        self, state: TrainState, inputs: ResidentImages | StreamedBatch, table: Array, key: Array
    ) -> tuple[TrainState, dict[str, Float[Array, " steps"]]]:
        """`steps_per_dispatch` of them in one program, all of one epoch; the state is donated."""
        return self._steps(state, inputs, table, key)

    def _initial_state(self, key: Array) -> TrainState:
        images = jnp.zeros((1, *self.image_shape), jnp.float32)
        variables = self.model.init(jax.random.fold_in(key, 0), images, train=True)
        params = variables["params"]
        return TrainState(
            step=jnp.zeros((), jnp.int32),
            params=params,
            batch_stats=variables.get("batch_stats", {}),
            opt_state=self.optimizer.init(params),
        )

    def _train_step(
        self, state: TrainState, inputs: ResidentImages | StreamedBatch, table: Array, key: Array
    ) -> tuple[TrainState, dict[str, Array]]:
        position = state.step % self.steps_per_epoch
        raw, labels = inputs.batch(position, self.batch_size, self.batch_sharded)
        images = normalise_images(raw, *self.image_statistics)
        images, targets = augment(self.augmentation, _step_key(key, state.step), images, labels)

        def mean_over_targets(function: Callable[[Array], Array]) -> Array:
            # The loss is linear in its target: mixing losses mixes rows of the table.
            return sum((share * function(y).mean() for share, y in targets), jnp.float32(0))

        def mean_loss(params: Any) -> tuple[Array, tuple[Array, Any]]:
            variables = {"params": params, "batch_stats": state.batch_stats}
            logits, updated = self.model.apply(
                variables, images, train=True, mutable=["batch_stats"]
            )
            loss = mean_over_targets(
                lambda y: softmax_cross_entropy_with_label_table(logits, y, table)
            )
            return loss, (logits, updated)

        value_and_grad = jax.value_and_grad(mean_loss, has_aux=True)
        (loss, (logits, updated)), gradient = value_and_grad(state.params)
        updates, opt_state = self.optimizer.update(gradient, state.opt_state, state.params)
        metrics = {
            "loss": loss,
            "accuracy": mean_over_targets(lambda y: logits.argmax(axis=-1) == y),
            "learning_rate": jnp.asarray(self.schedule(state.step), jnp.float32),
        }
        return TrainState(
            step=state.step + 1,
            params=optax.apply_updates(state.params, updates),
            batch_stats=updated.get("batch_stats", {}),
            opt_state=opt_state,
        ), metrics

    def _train_steps(
        self, state: TrainState, inputs: ResidentImages | StreamedBatch, table: Array, key: Array
    ) -> tuple[TrainState, dict[str, Array]]:
        def next_step(state: TrainState, _: None) -> tuple[TrainState, dict[str, Array]]:
            return self._train_step(state, inputs, table, key)

        length = self.steps_per_dispatch
        return jax.lax.scan(next_step, state, length=length, unroll=self.unroll)


def _step_key(key: Array, step: Array) -> Array:
    return jax.random.fold_in(jax.random.fold_in(key, 1), step)  # 0 is that of the initial weights


def learning_rate_schedule(config: OptimizerConfig, steps_per_epoch: int) -> optax.Schedule:
    """Linear warm-up to the peak, above 0 from the first step on; then a cosine to 0 at the end."""
    total = config.epochs * steps_per_epoch
    warmup = min(round(config.warmup_epochs * steps_per_epoch), total - 1)
    peak = config.learning_rate
    return optax.warmup_cosine_decay_schedule(peak / (warmup + 1), peak, warmup, total)


def build_optimizer(
    config: OptimizerConfig, schedule: optax.Schedule
) -> optax.GradientTransformation:
    """SGD with Nesterov momentum; weight decay on kernels alone, not on biases or scales."""

    def is_kernel(params: Any) -> Any:
        return jax.tree.map(lambda leaf: leaf.ndim > 1, params)

    return optax.chain(
        optax.add_decayed_weights(config.weight_decay, mask=is_kernel),
        optax.sgd(schedule, momentum=config.momentum, nesterov=True),
    )
