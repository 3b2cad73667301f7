"""What rivals' objectives learn or keep between steps, against their papers in float64."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from test_rivals import (
    BATCH,
    LABELS,
    LOGITS,
    RNG,
    B,
    K,
    cross_entropy,
    lspp_matrix_half,
    objectives,
)

from simsmooth_jax.method.objectives import Batch


def test_lspp_learns_its_matrix_by_the_gradient_of_the_second_half() -> None:
    """Central differences in float64, of each entry of C, in three steps."""
    objective = objectives.label_smoothing_plus_plus(K, 0.3, learning_rate=2)
    state, expected = objective.init(), np.zeros((K, K))
    for number in range(3):
        z = np.roll(LOGITS, number, axis=0)
        state = jax.jit(objective.update)(objective.data, state, z, BATCH)
        gradient = np.zeros((K, K))
        for at in np.ndindex(K, K):
            shift = np.zeros((K, K))
            shift[at] = 1e-5
            up, down = (lspp_matrix_half(m, z, 0.3) for m in (expected + shift, expected - shift))
            gradient[at] = (up - down).mean() / 2e-5
        expected -= 2 * gradient
        np.testing.assert_allclose(state, expected, atol=1e-5)
    assert np.abs(expected[:4]).max() > 0.05
    assert not np.diag(state).any()
    assert not np.asarray(state)[4].any()  # no image of class 4


def test_lspp_is_the_authors_one_loss_under_autograd() -> None:
    """Both gradients out of one loss with two `detach`; without the 1e-6 in its logarithms."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    objective, rate = objectives.label_smoothing_plus_plus(K, 0.2, learning_rate=0.5), 0.5
    free = torch.zeros(K, K - 1, dtype=torch.float64, requires_grad=True)
    state = objective.init()
    is_other = torch.tensor(~np.eye(K, dtype=bool))
    for number in range(4):
        logits: Any = np.roll(LOGITS, number, axis=0)
        z = torch.tensor(logits, dtype=torch.float64, requires_grad=True)
        p = torch.softmax(z, 1)
        soft = torch.zeros(K, K, dtype=torch.float64).masked_scatter(
            is_other, torch.softmax(free, 1)
        )
        q = (0.8 * torch.eye(K, dtype=torch.float64) + 0.2 * soft)[torch.tensor(LABELS)]
        forward = -(p.detach() * q.log()).sum(1)
        backward = -(q.detach() * p.log()).sum(1)
        loss = ((forward + backward) / 2).mean()
        of_z, of_free = torch.autograd.grad(loss, (z, free))

        mean_loss = lambda z, c=state: objective.loss(objective.data, c, z, BATCH).mean()  # noqa: E731
        value, gradient = jax.value_and_grad(mean_loss)(logits)
        assert float(value) == pytest.approx(float(loss.detach()), rel=1e-5)
        np.testing.assert_allclose(gradient, of_z.numpy(), atol=1e-6)
        state = objective.update(objective.data, state, logits, BATCH)
        free = (free - rate * of_free).detach().requires_grad_()
        found = np.asarray(state)[~np.eye(K, dtype=bool)].reshape(K, K - 1)
        np.testing.assert_allclose(found, free.detach().numpy(), atol=1e-6)


def test_pskd_keeps_the_last_prediction_of_every_image_seen() -> None:
    """Three epochs of two batches of 12 among 25 images: one is left out of each."""
    count, weight = 25, 0.6
    objective = objectives.progressive_self_distillation(
        count, K, weight, steps_per_epoch=2, epochs=3
    )
    state, last = objective.init(), {}
    classes = RNG.integers(0, K, count)
    for step in range(6):
        if step % 2 == 0:
            order = RNG.permutation(count)
        examples = order[B * (step % 2) :][:B]
        z = 2 * RNG.normal(size=(B, K)).astype(np.float32)
        batch = Batch(jnp.asarray(classes[examples]), jnp.asarray(step), jnp.asarray(examples))
        found = jax.jit(objective.loss)(objective.data, state, z, batch)
        a = weight * (step // 2 + 1) / 3
        hard = np.eye(K)[classes[examples]]
        soft = np.stack([last.get(i, e) for i, e in zip(examples, hard, strict=True)])
        expected = cross_entropy((1 - a) * hard + a * soft, z.astype(float))
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
        state = jax.jit(objective.update)(objective.data, state, z, batch)
        last |= dict(zip(examples, scipy.special.softmax(z.astype(float), axis=1), strict=True))
    assert 24 <= len(last) <= count
    np.testing.assert_allclose(
        state, [last.get(i, np.zeros(K)) for i in range(count)], rtol=1e-5, atol=1e-7
    )
