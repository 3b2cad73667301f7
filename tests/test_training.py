"""The jitted step against an independent one built from optax, and what all arms share."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from compilations import count_compilations

import simsmooth_jax as ss
from simsmooth_jax.config.data import DataConfig
from simsmooth_jax.config.training import ModelConfig, OptimizerConfig, TrainingConfig
from simsmooth_jax.data.load import load_dataset
from simsmooth_jax.data.streaming import epoch_order
from simsmooth_jax.method.objectives import label_table
from simsmooth_jax.training.evaluation import Evaluator
from simsmooth_jax.training.loop import Metrics, train
from simsmooth_jax.training.step import Trainer, TrainState

pytestmark = pytest.mark.slow

CONFIG = TrainingConfig(
    model=ModelConfig("cnn", width=16),
    optimizer=OptimizerConfig(epochs=8, learning_rate=0.05, warmup_epochs=0.4),
)
DIGITS = load_dataset(DataConfig())
TRAIN: Any = DIGITS.train
GOLDEN = {"loss": 2.394240, "head": 3.126447, "first_convolution": 3.910572}


def step(trainer: Trainer, state: TrainState, table: Any, seed: int = 0) -> Any:
    """The next step of a state."""
    inputs = next(trainer.inputs.from_step(seed, int(state.step), trainer.total_steps))
    return trainer.step(state, inputs, trainer.place(label_table(table)), trainer.key(seed))


class Losses:
    """Keeps the loss of every step."""

    def __init__(self) -> None:
        self.values: list[Any] = []

    def on_step(self, step: int, state: TrainState, metrics: Metrics, input_seconds: float) -> None:
        self.values.append(metrics["loss"])

    def numpy(self) -> np.ndarray:
        return np.array(jax.device_get(self.values))


@pytest.fixture(scope="module")
def trainer() -> Trainer:
    return Trainer(CONFIG, DIGITS, jax.devices()[:1])


@pytest.fixture(scope="module")
def brief() -> Trainer:
    """Two epochs, of 15 steps each."""
    optimizer = dataclasses.replace(CONFIG.optimizer, epochs=2)
    return Trainer(dataclasses.replace(CONFIG, optimizer=optimizer), DIGITS, jax.devices()[:1])


@pytest.fixture(scope="module")
def accuracy(trainer: Trainer) -> Any:
    evaluator = Evaluator(trainer.model, trainer.image_statistics)
    return lambda params: evaluator(params, {}, DIGITS.validation)["accuracy"]


def optax_training(trainer: Trainer, seed: int) -> tuple[np.ndarray, Any]:
    """The same training written with optax alone: its integer loss, its optimizer, a host batch."""
    steps = trainer.steps_per_epoch
    schedule = optax.warmup_cosine_decay_schedule(0.05 / 7, 0.05, 6, steps * 8)
    optimizer = optax.chain(
        optax.add_decayed_weights(
            5e-4, mask=lambda tree: jax.tree.map(lambda leaf: jnp.ndim(leaf) > 1, tree)
        ),
        optax.sgd(schedule, 0.9, nesterov=True),
    )
    pixels = TRAIN.images.astype(np.float64) / 255
    images = ((pixels - pixels.mean()) / pixels.std()).astype(np.float32)

    @jax.jit
    def step(params: Any, opt_state: Any, images: Any, labels: Any) -> Any:
        def mean_loss(params: Any) -> Any:
            logits: Any = trainer.model.apply({"params": params}, images, train=True)
            return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

        loss, gradient = jax.value_and_grad(mean_loss)(params)
        updates, opt_state = optimizer.update(gradient, opt_state, params)
        return optax.apply_updates(params, updates), opt_state, loss

    params = trainer.init(seed).params
    opt_state, losses = optimizer.init(params), []
    for epoch in range(8):
        order = epoch_order(seed, epoch, 1000)
        for i in range(steps):
            batch = order[i * 64 : (i + 1) * 64]
            params, opt_state, loss = step(params, opt_state, images[batch], TRAIN.labels[batch])
            losses.append(float(loss))
    return np.array(losses), params


def test_identity_table_follows_optax_integer_loss(trainer: Trainer, accuracy: Any) -> None:
    expected, expected_params = optax_training(trainer, seed=3)
    losses = Losses()
    state = train(trainer, label_table(ss.onehot_labels(10)), seed=3, observers=[losses])
    np.testing.assert_allclose(losses.numpy()[:20], expected[:20], rtol=2e-5)
    assert expected[19] < expected[0] / 2
    assert accuracy(state.params) > 0.95
    assert abs(accuracy(state.params) - accuracy(expected_params)) <= 2 / len(DIGITS.validation)


def test_golden_numbers_after_one_step(trainer: Trainer) -> None:
    state, metrics = step(trainer, trainer.init(0), ss.uniform_labels(10, 0.1))
    norm = {name: np.linalg.norm(state.params[name]["kernel"]) for name in ("head", "Conv_0")}
    found = {
        "loss": float(metrics["loss"]),
        "head": norm["head"],
        "first_convolution": norm["Conv_0"],
    }
    assert found == pytest.approx(GOLDEN, rel=1e-4), (
        "Initial weights, order, loss or optimizer changed. If that was meant, say so in the "
        f"commit and set GOLDEN to {found}."
    )


def test_all_arms_and_seeds_share_one_compilation() -> None:
    trainer = Trainer(CONFIG, DIGITS)
    kernel = np.random.RandomState(0).randn(16, 10)
    tables = [
        ss.onehot_labels(10),
        ss.uniform_labels(10, 0.1),
        ss.relation_labels_from_kernel(kernel),
        np.full((10, 10), 0.1),
        jnp.full((10, 10), 1 / 10),  # weakly typed
    ]
    with count_compilations("_train_step") as compilations:
        for seed, table in enumerate(tables):
            state = trainer.init(seed)
            for _ in range(2):
                state, _ = step(trainer, state, table, seed)
    assert len(compilations) == 1


def test_same_seed_gives_the_same_bits_and_another_seed_others(brief: Trainer) -> None:
    runs = []
    for seed in (0, 0, 1):
        losses = Losses()
        state = train(brief, label_table(ss.uniform_labels(10, 0.1)), seed, observers=[losses])
        runs.append((losses.numpy(), np.asarray(state.params["head"]["kernel"])))
    assert (runs[0][0] == runs[1][0]).all()
    assert (runs[0][1] == runs[1][1]).all()
    assert (runs[0][0] != runs[2][0]).any()


def test_order_is_a_permutation_that_seed_and_epoch_decide() -> None:
    orders = [epoch_order(*key, 1000) for key in ((0, 0), (0, 1), (1, 0), (0, 0))]
    for order in orders:
        assert sorted(order) == list(range(1000))
    assert (orders[0] == orders[3]).all()
    assert (orders[0] != orders[1]).any()
    assert (orders[0] != orders[2]).any()


def test_training_in_bfloat16_keeps_float32_and_learns() -> None:
    model = dataclasses.replace(CONFIG.model, dtype="bfloat16")
    trainer = Trainer(dataclasses.replace(CONFIG, model=model), DIGITS, jax.devices()[:1])
    losses = Losses()
    state = train(trainer, label_table(ss.uniform_labels(10, 0.1)), 0, observers=[losses])
    floating = [leaf for leaf in jax.tree.leaves(state) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    assert {leaf.dtype for leaf in [*floating, *losses.values]} == {jnp.dtype(jnp.float32)}
    found = losses.numpy()
    assert found[-10:].mean() < found[:10].mean() / 2


def test_few_steps_are_in_flight_at_once(devices: list[Any]) -> None:
    class InFlight(Losses):
        most = 0

        def on_step(
            self, step: int, state: TrainState, metrics: Metrics, input_seconds: float
        ) -> None:
            super().on_step(step, state, metrics, input_seconds)
            self.most = max(self.most, sum(not loss.is_ready() for loss in self.values))

    observer = InFlight()
    train(
        Trainer(CONFIG, DIGITS, devices),
        label_table(ss.uniform_labels(10, 0.1)),
        0,
        observers=[observer],
    )
    assert 1 < observer.most <= 9  # from 32 on XLA's CPU devices wait for each other for ever


def test_step_donates_its_state(trainer: Trainer) -> None:
    state = trainer.init(0)
    kernel = state.params["head"]["kernel"]
    step(trainer, state, ss.onehot_labels(10))
    assert kernel.is_deleted()


@pytest.mark.parametrize("stop", [1, 15, 16, 29])  # in the midst of an epoch, at its end, after
def test_training_goes_on_from_any_step(brief: Trainer, stop: int) -> None:
    class StopError(Exception):
        pass

    class StopAfter(Losses):
        def on_step(
            self, step: int, state: TrainState, metrics: Metrics, input_seconds: float
        ) -> None:
            if step == stop:
                self.state = jax.tree.map(jnp.copy, state)
                raise StopError

    table, observer = ss.onehot_labels(10), StopAfter()
    with pytest.raises(StopError):
        train(brief, label_table(table), 0, observers=[observer])
    resumed = train(brief, label_table(table), 0, state=observer.state)
    whole = train(brief, label_table(table), 0)
    for a, b in zip(jax.tree.leaves(resumed), jax.tree.leaves(whole), strict=True):
        assert (np.asarray(a) == np.asarray(b)).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "`batch_size` must be at least 1, got 0. Try 64."),
        ({"batch_size": 1001}, "`batch_size` must be from 1 to the 1000 training images, got 1001"),
        ({"epochs": 0}, "`epochs` must be from 1 to 1000000, got 0. Try 30."),
    ],
)
def test_refused_options(options: dict[str, int], message: str, devices: list[Any]) -> None:
    with pytest.raises(ss.InputError, match=message):
        Trainer(TrainingConfig(optimizer=OptimizerConfig(**options)), DIGITS, devices)  # type: ignore[arg-type]
