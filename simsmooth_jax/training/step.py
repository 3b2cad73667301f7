"""One jitted training step for every classifier and every table of labels (claim 2; module 201)."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int

from simsmooth_jax.config.training import TrainingConfig
from simsmooth_jax.data.dataset import Dataset
from simsmooth_jax.machine.devices import BATCH_AXIS, data_mesh, place
from simsmooth_jax.machine.randomness import new_key
from simsmooth_jax.method.objectives.objective import Batch, Objective, no_state
from simsmooth_jax.training.augmentation import augment
from simsmooth_jax.training.finite import debugged
from simsmooth_jax.training.fitting import refuse_mixing, refuse_unfitting
from simsmooth_jax.training.inputs import Inputs, StepInputs, held_bytes
from simsmooth_jax.training.models.built_in import build_model, normalise_images
from simsmooth_jax.training.models.head_module import WHOLE, at, head_module, replaced
from simsmooth_jax.training.models.initial_weights import read_initial
from simsmooth_jax.training.optimizers import build_optimizer, learning_rate_schedule
from simsmooth_jax.training.step_memory import objective_bytes, refuse_training

AUGMENTATION, DROPOUT = 1, 2  # what a step's keys are for; 0 is that of the initial weights


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
        self,
        config: TrainingConfig,
        dataset: Dataset,
        devices: Sequence[Any] | None = None,
        debug_nans: bool = False,
    ) -> None:
        """Builds model and optimizer and puts the training images on the devices."""
        devices = list(devices or jax.devices())
        refuse_unfitting(config, dataset, len(devices))
        self.batch_size = config.optimizer.batch_size
        self.epochs = config.optimizer.epochs
        self.steps_per_epoch = len(dataset.train) // self.batch_size
        self.total_steps = self.steps_per_epoch * self.epochs
        self.steps_per_dispatch = 1 if debug_nans else config.steps_per_dispatch
        # XLA's convolutions in loops are slow on a CPU (jax-ml/jax#12868); features have none.
        self.unroll = devices[0].platform == "cpu" and len(dataset.image_shape) > 1
        self.image_shape = dataset.image_shape
        self.image_statistics = dataset.channel_statistics()
        self.model = build_model(config.model, dataset.num_classes, dataset.image_shape)
        self.schedule = learning_rate_schedule(config.optimizer, self.steps_per_epoch)
        self.optimizer = partial(build_optimizer, config.optimizer, self.schedule)
        self.augmentation = config.augmentation
        self.freeze, path = config.model.freeze, config.model.init
        variables = {} if path is None else jax.eval_shape(self._variables, new_key(0))
        self.initial = None if path is None else read_initial(path, variables, self.freeze)
        self.trained = head_module(variables["params"]) if self.freeze else WHOLE

        mesh = data_mesh(devices)
        self.replicated = NamedSharding(mesh, PartitionSpec())
        self.batch_sharded = NamedSharding(mesh, PartitionSpec(BATCH_AXIS))
        self._init = jax.jit(self._initial_state, out_shardings=self.replicated)
        self.shapes = jax.eval_shape(self._init, jax.eval_shape(new_key, 0))
        self.held_bytes = held_bytes(dataset)
        refuse_training(self.shapes, self.held_bytes)
        self.inputs = Inputs(config.data, dataset, self.batch_size, self.batch_sharded)
        self.weight_decay = place(_strong(config.optimizer.weight_decay), self.replicated)
        kept: dict[str, Any] = {"out_shardings": self.replicated}
        donated = () if debug_nans else 0  # what is run again needs what it was given
        self._step, self._steps = (
            jax.jit(function, static_argnums=(5, 6), donate_argnums=donated, **kept)
            for function in (self._train_step, self._train_steps)
        )
        self._step = debugged(self._step) if debug_nans else self._step
        self._refresh = jax.jit(_refresh, static_argnums=0, donate_argnums=2, **kept)

    def init(self, seed: int, start: Callable[[], Any] = no_state) -> TrainState:
        """The state before the first step, with an objective's own, a pure function of the seed."""
        state = self._init(new_key(seed))
        if self.initial is not None:
            state = self.initial.into(state, partial(place, sharding=self.replicated))
        return state.replace(objective=jax.jit(start, out_shardings=self.replicated)())

    def key(self, seed: int) -> Array:
        """The key of all random changes of the images."""
        return jax.jit(new_key, out_shardings=self.replicated)(seed)

    def place(self, objective: Objective) -> Objective:
        """The objective with its data on the devices."""
        self.refuse(objective)
        data = jax.tree.map(lambda x: place(_strong(x), self.replicated), objective.data)
        return objective._replace(data=data)

    def refuse(self, objective: Objective) -> None:
        """Refuses an objective that does not go with the images' changes, or into the memory."""
        refuse_mixing(self.augmentation, objective.unmixed)
        refuse_training(self.shapes, self.held_bytes, objective_bytes(objective))

    def step(
        self, state: TrainState, inputs: StepInputs, objective: Objective, key: Array
    ) -> tuple[TrainState, dict[str, Float[Array, ""]]]:
        """One step on its inputs, augmented by the seed's key; the given state is donated."""
        return self._step(state, inputs, *self._arguments(objective, key))

    def steps(
        self, state: TrainState, inputs: StepInputs, objective: Objective, key: Array
    ) -> tuple[TrainState, dict[str, Float[Array, " steps"]]]:
        """`steps_per_dispatch` of them in one program, all of one epoch; the state is donated."""
        return self._steps(state, inputs, *self._arguments(objective, key))

    def compiled(
        self, count: int, state: TrainState, inputs: StepInputs, objective: Objective, key: Array
    ) -> jax.stages.Compiled:
        """The program of so many steps: JAX keeps it, and a call with these compiles nothing."""
        program = self._step if count == 1 else self._steps
        return program.lower(state, inputs, *self._arguments(objective, key)).compile()

    def _arguments(self, objective: Objective, key: Array) -> tuple[Any, ...]:
        """The last two are static: one program for all that share them."""
        return objective.data, key, self.weight_decay, objective.loss, objective.update

    def refresh(self, state: TrainState, objective: Objective) -> TrainState:
        """The state with the objective's own made anew; the one before it is donated."""
        new = self._refresh(
            objective.refresh, objective.data, state.objective, state.params, state.step
        )
        return state.replace(objective=new)

    def _variables(self, key: Array) -> dict[str, Any]:
        images = jnp.zeros((1, *self.image_shape), jnp.float32)
        return dict(self.model.init(jax.random.fold_in(key, 0), images, train=True))

    def _initial_state(self, key: Array) -> TrainState:
        variables = self._variables(key)
        params = variables["params"]
        return TrainState(
            step=jnp.zeros((), jnp.int32),
            params=params,
            batch_stats=variables.get("batch_stats", {}),
            opt_state=self.optimizer(0.0).init(at(params, self.trained)),
        )

    def _train_step(
        self,
        state: TrainState,
        inputs: StepInputs,
        data: Any,
        key: Array,
        weight_decay: Float[Array, ""],
        loss: Callable[..., Array],
        update: Callable[..., Any],
    ) -> tuple[TrainState, dict[str, Array]]:
        position = state.step % self.steps_per_epoch
        raw, labels, examples = inputs.batch(position, self.batch_size, self.batch_sharded)
        images = normalise_images(raw, *self.image_statistics)
        images, targets = augment(
            self.augmentation, _step_key(key, AUGMENTATION, state.step), images, (labels, examples)
        )

        def mean_over_targets(function: Callable[[Batch], Array]) -> Array:
            # Mixing losses mixes rows of a table: cross-entropy is linear in its target.
            return sum(
                (share * function(Batch(y, state.step, i)).mean() for share, (y, i) in targets),
                jnp.float32(0),
            )

        def mean_loss(trained: Any) -> tuple[Array, tuple[Array, Any]]:
            params = replaced(state.params, self.trained, trained)
            logits, updated = self.model.apply(
                {"params": params, "batch_stats": state.batch_stats},
                images,
                train=not self.freeze,  # what is frozen gives the features of evaluation
                mutable=["batch_stats"],
                rngs={"dropout": _step_key(key, DROPOUT, state.step)},
            )
            logits = jnp.asarray(logits, jnp.float32)
            mean = mean_over_targets(lambda batch: loss(data, state.objective, logits, batch))
            return mean, (logits, updated)

        value_and_grad = jax.value_and_grad(mean_loss, has_aux=True)
        trained = at(state.params, self.trained)
        (mean, (logits, updated)), gradient = value_and_grad(trained)
        optimizer = self.optimizer(weight_decay)
        updates, opt_state = optimizer.update(gradient, state.opt_state, trained)
        trained = optax.apply_updates(trained, updates)
        metrics = {
            "loss": mean,
            "accuracy": mean_over_targets(lambda batch: logits.argmax(axis=-1) == batch.labels),
            "learning_rate": jnp.asarray(self.schedule(state.step), jnp.float32),
        }
        return TrainState(
            step=state.step + 1,
            params=replaced(state.params, self.trained, trained),
            batch_stats=state.batch_stats if self.freeze else updated.get("batch_stats", {}),
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
        inputs: StepInputs,
        data: Any,
        key: Array,
        weight_decay: Float[Array, ""],
        *functions: Callable[..., Any],
    ) -> tuple[TrainState, dict[str, Array]]:
        def next_step(state: TrainState, _: None) -> tuple[TrainState, dict[str, Array]]:
            return self._train_step(state, inputs, data, key, weight_decay, *functions)

        return jax.lax.scan(next_step, state, length=self.steps_per_dispatch, unroll=self.unroll)


def _refresh(function: Any, data: Any, objective: Any, params: Any, step: Array) -> Any:
    return function(data, objective, params, step)


def _strong(leaf: Any) -> np.ndarray:
    """In the dtype that all arms share, as weak ones would be compiled anew; 16 bits save room."""
    array = np.asarray(leaf)
    is_wide = jnp.issubdtype(array.dtype, jnp.floating) and array.dtype.itemsize > 2
    return array.astype(np.float32) if is_wide else array


def _step_key(key: Array, use: int, step: Array) -> Array:
    return jax.random.fold_in(jax.random.fold_in(key, use), step)
