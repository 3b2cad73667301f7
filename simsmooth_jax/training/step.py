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

from simsmooth_jax.config.training import OptimizerConfig, TrainingConfig
from simsmooth_jax.data.dataset import Dataset
from simsmooth_jax.errors import InputError
from simsmooth_jax.machine.devices import BATCH_AXIS, data_mesh, place
from simsmooth_jax.method.objectives.objective import Batch, Objective, no_state
from simsmooth_jax.training.augmentation import augment
from simsmooth_jax.training.fitting import refuse_unfitting
from simsmooth_jax.training.inputs import Inputs, ResidentImages, StreamedBatch
from simsmooth_jax.training.models import build_model, normalise_images


class TrainState(flax.struct.PyTreeNode):
    """All that a training changes, and all that a checkpoint of it holds."""

    step: Int[Array, ""]
    params: Any
    batch_stats: Any
    opt_state: optax.OptState
    objective: Any = ()  # the state of what is minimised


class Trainer:
    """The compiled programs of one configuration; objectives and seeds are arguments of them.

    Everything runs on a mesh of all devices: the batch is split over them, the rest is replicated,
    and BatchNorm sees the statistics of the global batch.
    """

    def __init__(
        self, config: TrainingConfig, dataset: Dataset, devices: Sequence[Any] | None = None
    ) -> None:
        """Builds model and optimizer and puts the training images on the devices."""
        devices = list(devices or jax.devices())
        refuse_unfitting(config, dataset, len(devices))
        self.batch_size = config.optimizer.batch_size
        self.epochs = config.optimizer.epochs
        self.steps_per_epoch = len(dataset.train) // self.batch_size
        self.total_steps = self.steps_per_epoch * self.epochs
        self.steps_per_dispatch = config.steps_per_dispatch
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
            jax.jit(
                function,
                static_argnames=("loss", "update"),
                donate_argnums=0,
                out_shardings=self.replicated,
            )
            for function in (self._train_step, self._train_steps)
        )
        self._refresh = jax.jit(
            _refresh, static_argnums=0, donate_argnums=2, out_shardings=self.replicated
        )

    def init(self, seed: int, start: Callable[[], Any] = no_state) -> TrainState:
        """The state before the first step, with an objective's own, a pure function of the seed."""
        state = self._init(jax.random.key(seed))
        return state.replace(objective=jax.jit(start, out_shardings=self.replicated)())

    def key(self, seed: int) -> Array:
        """The key of all random changes of the images."""
        return jax.jit(jax.random.key, out_shardings=self.replicated)(seed)

    def place(self, objective: Objective) -> Objective:
        """The objective with its data on the devices."""
        self.refuse(objective)
        data = jax.tree.map(lambda x: place(_strong(x), self.replicated), objective.data)
        return objective._replace(data=data)

    def refuse(self, objective: Objective) -> None:
        """Refuses to mix images where their predictions are taken for those of single ones."""
        if objective.unmixed and (self.augmentation.mixup or self.augmentation.cutmix):
            name = "mixup" if self.augmentation.mixup else "cutmix"
            raise InputError(
                f"`{name}`",
                "be 0 with labels that are made of the predictions of single images",
                getattr(self.augmentation, name),
                "Leave it out, or choose other labels.",
            )

    def step(
        self,
        state: TrainState,
        inputs: ResidentImages | StreamedBatch,
        objective: Objective,
        key: Array,
    ) -> tuple[TrainState, dict[str, Float[Array, ""]]]:
        """One step on its inputs, augmented by the seed's key; the given state is donated."""
        functions = {"loss": objective.loss, "update": objective.update}
        return self._step(state, inputs, objective.data, key, **functions)

    def steps(
        self,
        state: TrainState,
        inputs: ResidentImages | StreamedBatch,
        objective: Objective,
        key: Array,
    ) -> tuple[TrainState, dict[str, Float[Array, " steps"]]]:
        """`steps_per_dispatch` of them in one program, all of one epoch; the state is donated."""
        functions = {"loss": objective.loss, "update": objective.update}
        return self._steps(state, inputs, objective.data, key, **functions)

    def refresh(self, state: TrainState, objective: Objective) -> TrainState:
        """The state with the objective's own made anew; the one before it is donated."""
        new = self._refresh(
            objective.refresh, objective.data, state.objective, state.params, state.step
        )
        return state.replace(objective=new)

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
        self,
        state: TrainState,
        inputs: ResidentImages | StreamedBatch,
        data: Any,
        key: Array,
        *,
        loss: Callable[..., Array],
        update: Callable[..., Any],
    ) -> tuple[TrainState, dict[str, Array]]:
        position = state.step % self.steps_per_epoch
        raw, labels, examples = inputs.batch(position, self.batch_size, self.batch_sharded)
        images = normalise_images(raw, *self.image_statistics)
        images, targets = augment(
            self.augmentation, _step_key(key, state.step), images, (labels, examples)
        )

        def mean_over_targets(function: Callable[[Batch], Array]) -> Array:
            # Mixing losses mixes rows of a table: cross-entropy is linear in its target.
            return sum(
                (share * function(Batch(y, state.step, i)).mean() for share, (y, i) in targets),
                jnp.float32(0),
            )

        def mean_loss(params: Any) -> tuple[Array, tuple[Array, Any]]:
            variables = {"params": params, "batch_stats": state.batch_stats}
            logits, updated = self.model.apply(
                variables, images, train=True, mutable=["batch_stats"]
            )
            mean = mean_over_targets(lambda batch: loss(data, state.objective, logits, batch))
            return mean, (logits, updated)

        value_and_grad = jax.value_and_grad(mean_loss, has_aux=True)
        (mean, (logits, updated)), gradient = value_and_grad(state.params)
        updates, opt_state = self.optimizer.update(gradient, state.opt_state, state.params)
        metrics = {
            "loss": mean,
            "accuracy": mean_over_targets(lambda batch: logits.argmax(axis=-1) == batch.labels),
            "learning_rate": jnp.asarray(self.schedule(state.step), jnp.float32),
        }
        return TrainState(
            step=state.step + 1,
            params=optax.apply_updates(state.params, updates),
            batch_stats=updated.get("batch_stats", {}),
            opt_state=opt_state,
            objective=update(
                data,
                state.objective,
                jax.lax.stop_gradient(logits),
                Batch(labels, state.step, examples),
            ),
        ), metrics

    def _train_steps(
        self,
        state: TrainState,
        inputs: ResidentImages | StreamedBatch,
        data: Any,
        key: Array,
        **functions: Callable[..., Any],
    ) -> tuple[TrainState, dict[str, Array]]:
        def next_step(state: TrainState, _: None) -> tuple[TrainState, dict[str, Array]]:
            return self._train_step(state, inputs, data, key, **functions)

        length = self.steps_per_dispatch
        return jax.lax.scan(next_step, state, length=length, unroll=self.unroll)


def _refresh(
    function: Callable[..., Any], data: Any, objective: Any, params: Any, step: Array
) -> Any:
    return function(data, objective, params, step)


def _strong(leaf: Any) -> np.ndarray:
    """In the dtype that all arms share: a weak one, or one of 64 bits, would be compiled anew."""
    array = np.asarray(leaf)
    return array.astype(np.float32) if jnp.issubdtype(array.dtype, jnp.floating) else array


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
