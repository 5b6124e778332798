"""Adversarial training's perturbation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lipjax import networks, norms
from lipjax.losses import cross_entropy
from lipjax.methods import MADRY_CIFAR10, MADRY_MNIST, adversarial, fast_adversarial
from lipjax.types import Batch, Model, Output, Variables


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
    perturbed = jax.jit(adversarial(norm.ball(radius), num_steps=5).perturb)(key, model, batch)
    assert np.all(jax.vmap(norm.value)(perturbed.inputs - batch.inputs) <= radius * (1 + 1e-5))
    assert jnp.min(perturbed.inputs) >= 0.0
    assert jnp.max(perturbed.inputs) <= 1.0
    assert cross_entropies(model, perturbed).mean() > cross_entropies(model, batch).mean()
    assert jnp.all(perturbed.labels == batch.labels)


def test_the_step_size_is_madrys_by_default(key, model, batch):
    default = adversarial().perturb(key, model, batch)
    explicit = adversarial(norms.linf.ball(8 / 255), step_size=2 / 255, num_steps=10).perturb(key, model, batch)
    np.testing.assert_allclose(default.inputs, explicit.inputs, atol=1e-6)


def test_an_examples_perturbation_does_not_depend_on_the_rest_of_the_batch(key, model, batch):
    method = adversarial(num_steps=3)
    whole = method.perturb(key, model, batch).inputs
    part = method.perturb(key, model, Batch(batch.inputs[:2], batch.labels[:2])).inputs
    np.testing.assert_allclose(whole[:2], part, atol=1e-6)


def test_at_radius_zero_the_batch_stays_bit_for_bit(key, model, batch):
    assert jnp.all(adversarial(norms.linf.ball(0.0)).perturb(key, model, batch).inputs == batch.inputs)


def test_no_gradient_flows_through_the_perturbation(key, model, batch):
    def total(model):
        return adversarial(norms.l2.ball(0.3), num_steps=2).perturb(key, model, batch).inputs.sum()

    assert all(jnp.all(leaf == 0.0) for leaf in jax.tree.leaves(jax.grad(total)(model)))


def test_a_negative_radius_or_step_is_refused():
    with pytest.raises(ValueError, match="radius must be 0 or greater"):
        adversarial(norms.linf.ball(-0.1))
    with pytest.raises(ValueError, match="step_size must be 0 or greater"):
        adversarial(step_size=-0.1)


def test_fast_training_takes_one_step_of_one_and_a_quarter_radii_from_a_uniform_start(key, model, batch):
    perturbed = fast_adversarial(norms.linf.ball(0.1, None), batch_statistics=False).perturb(key, model, batch)
    moves = np.abs(perturbed.inputs - batch.inputs)
    # A start u with |u| <= r is carried to at least 1.25 r - r, and clipped at r.
    assert moves.min() >= 0.025 - 1e-6
    assert moves.max() <= 0.1 + 1e-6
    assert np.mean(moves > 0.1 - 1e-6) > 0.5
    assert cross_entropies(model, perturbed).mean() > cross_entropies(model, batch).mean()


def test_madrys_settings_can_reach_the_boundary_of_their_balls():
    for settings in (MADRY_CIFAR10, MADRY_MNIST):
        assert settings.num_steps * settings.step_size >= settings.ball.radius


def test_with_early_stop_each_example_stops_where_it_is_first_misclassified(key, model, batch):
    settings = {"ball": norms.linf.ball(0.6, None), "step_size": 0.06, "random_start": False}
    iterates = [batch.inputs] + [
        jax.jit(adversarial(**settings, num_steps=count).perturb)(key, model, batch).inputs for count in range(1, 7)
    ]
    stopped = jax.jit(adversarial(**settings, num_steps=6, early_stop=True).perturb)(key, model, batch).inputs
    wrong = np.stack([np.argmax(model(each)[0].logits, -1) != batch.labels for each in iterates])
    first = np.where(wrong.any(0), wrong.argmax(0), 6)
    assert len(set(first)) > 1  # from the start, and on the way
    for index, step in enumerate(first):
        np.testing.assert_allclose(stopped[index], iterates[step][index], atol=1e-6)


def test_without_batch_normalisation_both_modes_of_statistics_find_the_same(key, model, batch):
    settings = {"ball": norms.l2.ball(0.4), "num_steps": 3, "random_start": False}
    alone, together = (
        jax.jit(adversarial(**settings, batch_statistics=mode).perturb)(key, model, batch).inputs
        for mode in (False, True)
    )
    np.testing.assert_allclose(alone, together, atol=1e-5)


@pytest.fixture(scope="module")
def normalised():
    def apply(variables, inputs, *, train):
        mean, std = (inputs.mean(0), inputs.std(0)) if train else (0.5, 1.0)
        return Output(((inputs - mean) / std).reshape(len(inputs), -1) @ variables.params, {}), {}

    kernel = jax.random.normal(jax.random.key(3), (16, 3))
    return Model(networks.from_functions(lambda key, shape: Variables(kernel, {}), apply), Variables(kernel, {}))


@pytest.mark.parametrize("norm", [norms.linf, norms.l2, norms.l1], ids=lambda norm: norm.name)
def test_attacks_on_batch_statistics_raise_the_loss_in_training_mode_within_each_ball(key, normalised, batch, norm):
    radius = {"linf": 0.05, "l2": 0.2, "l1": 0.6}[norm.name]
    method = adversarial(norm.ball(radius), num_steps=10, batch_statistics=True)
    perturbed = jax.jit(method.perturb)(key, normalised, batch)
    assert np.all(jax.vmap(norm.value)(perturbed.inputs - batch.inputs) <= radius * (1 + 1e-5))

    def loss(inputs):
        return np.mean(jax.vmap(cross_entropy)(normalised(inputs, train=True)[0].logits, batch.labels))

    assert loss(perturbed.inputs) > loss(batch.inputs)
    blind = jax.jit(adversarial(norm.ball(radius), num_steps=10).perturb)(key, normalised, batch)
    assert loss(perturbed.inputs) > loss(blind.inputs)
