"""Adversarial training's perturbation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lipjax import networks, norms
from lipjax.methods import adversarial
from lipjax.types import Batch, Model


@pytest.fixture(scope="module")
def model():
    network = networks.mlp(3, widths=(16,))
    return Model(network, network.init(jax.random.key(1), (4, 4, 1)))


@pytest.fixture(scope="module")
def batch():
    inputs = jax.random.uniform(jax.random.key(2), (6, 4, 4, 1))
    return Batch(inputs, jnp.arange(6) % 3)


def cross_entropies(model, batch):
    logits = np.asarray(model(batch.inputs)[0].logits, np.float64)
    return np.log(np.exp(logits).sum(1)) - logits[np.arange(len(logits)), batch.labels]


@pytest.mark.parametrize("norm", [norms.linf, norms.l2, norms.l1], ids=lambda norm: norm.name)
def test_the_perturbation_raises_the_loss_within_the_ball_and_the_box(key, model, batch, norm):
    radius = {"linf": 0.1, "l2": 0.4, "l1": 1.0}[norm.name]
    perturbed = jax.jit(adversarial(norm, radius, num_steps=5).perturb)(key, model, batch)
    assert np.all(jax.vmap(norm.value)(perturbed.inputs - batch.inputs) <= radius * (1 + 1e-5))
    assert jnp.min(perturbed.inputs) >= 0.0
    assert jnp.max(perturbed.inputs) <= 1.0
    assert cross_entropies(model, perturbed).mean() > cross_entropies(model, batch).mean()
    assert jnp.all(perturbed.labels == batch.labels)


def test_the_step_size_is_madrys_by_default(key, model, batch):
    default = adversarial().perturb(key, model, batch)
    explicit = adversarial(norms.linf, 8 / 255, step_size=2 / 255, num_steps=10).perturb(key, model, batch)
    np.testing.assert_allclose(default.inputs, explicit.inputs, atol=1e-6)


def test_an_examples_perturbation_does_not_depend_on_the_rest_of_the_batch(key, model, batch):
    method = adversarial(num_steps=3)
    whole = method.perturb(key, model, batch).inputs
    part = method.perturb(key, model, Batch(batch.inputs[:2], batch.labels[:2])).inputs
    np.testing.assert_allclose(whole[:2], part, atol=1e-6)


def test_at_radius_zero_the_batch_stays_bit_for_bit(key, model, batch):
    assert jnp.all(adversarial(radius=0.0).perturb(key, model, batch).inputs == batch.inputs)


def test_no_gradient_flows_through_the_perturbation(key, model, batch):
    def total(model):
        return adversarial(norms.l2, 0.3, num_steps=2).perturb(key, model, batch).inputs.sum()

    assert all(jnp.all(leaf == 0.0) for leaf in jax.tree.leaves(jax.grad(total)(model)))


def test_a_negative_radius_is_refused():
    with pytest.raises(ValueError, match="radius must be 0 or greater"):
        adversarial(radius=-0.1)
