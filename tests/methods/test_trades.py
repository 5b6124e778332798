"""TRADES on a linear classifier of two classes, where the divergence is largest at a corner of the ball."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from linear_models import linear, two_classes

from lipjax import norms
from lipjax.methods import trades
from lipjax.types import Batch

WEIGHTS = np.array([2.0, -3.0, 1.0])
INPUTS = np.array([[0.5, 0.4, 0.5], [0.3, 0.6, 0.4], [0.7, 0.2, 0.5], [0.6, 0.6, 0.6]])
RADIUS, BETA = 0.1, 4.0


def divergence(margins, others):
    """KL of two Bernoulli laws by their log-odds, in 64 bit."""
    p, q = 1 / (1 + np.exp(-margins)), 1 / (1 + np.exp(-others))
    return p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))


def at_corners(weights, signs):
    """The terms with x' fixed at the corner where the margin by WEIGHTS is highest (1) or lowest (-1)."""
    corners = INPUTS + RADIUS * np.outer(signs, np.sign(WEIGHTS))
    return BETA * divergence(INPUTS @ weights, corners @ weights)


@pytest.fixture(scope="module")
def terms():
    """The terms of single examples with their derivatives by the weights."""
    method = trades(norms.linf.ball(RADIUS), beta=BETA, step_size=0.05, num_steps=8)

    def of(weights, x, key):
        model, batch = linear(two_classes(weights)), Batch(x[None], jnp.array([0]))
        return method.penalize(key, model, batch, model(batch.inputs)[0])["trades"]

    keys = jax.random.split(jax.random.key(0), len(INPUTS))
    return jax.jit(jax.vmap(jax.value_and_grad(of), (None, 0, 0)))(jnp.array(WEIGHTS), jnp.array(INPUTS), keys)


@pytest.fixture(scope="module")
def signs(terms):
    """Which corner each example went to: the ascent follows its random start."""
    distance = [abs(at_corners(WEIGHTS, np.full(len(INPUTS), sign)) - terms[0]) for sign in (-1, 1)]
    return np.where(distance[0] < distance[1], -1, 1)


def test_the_term_is_beta_times_the_divergence_at_a_corner_of_the_ball(terms, signs):
    np.testing.assert_allclose(terms[0], at_corners(WEIGHTS, signs), rtol=1e-4)


def test_the_gradient_flows_through_both_arguments_and_not_through_the_point(terms, signs):
    steps = 1e-6 * np.eye(3)
    ahead, behind = (np.stack([at_corners(WEIGHTS + s * step, signs) for step in steps], axis=1) for s in (1, -1))
    np.testing.assert_allclose(terms[1], (ahead - behind) / 2e-6, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("norm", [norms.l1, norms.l2], ids=lambda norm: norm.name)
def test_in_other_norms_the_term_grows_with_the_dual_norm(norm):
    method = trades(norm.ball(RADIUS), beta=1.0, step_size=None)
    model, batch = linear(two_classes(jnp.array(WEIGHTS))), Batch(jnp.array(INPUTS[:1]), jnp.array([0]))
    found = jax.jit(method.penalize)(jax.random.key(0), model, batch, model(batch.inputs)[0])["trades"]
    margin, reach = INPUTS[0] @ WEIGHTS, RADIUS * float(norm.dual(jnp.array(WEIGHTS)))
    assert min(abs(found - divergence(margin, margin + sign * reach)) for sign in (-1, 1)) < 1e-4


def test_at_radius_zero_nothing_is_paid():
    model, batch = linear(two_classes(jnp.array(WEIGHTS))), Batch(jnp.array(INPUTS), jnp.array([0, 1, 0, 1]))
    output = model(batch.inputs)[0]
    assert jax.jit(trades(norms.linf.ball(0.0)).penalize)(jax.random.key(0), model, batch, output)["trades"] == 0.0


def test_wrong_settings_are_refused():
    with pytest.raises(ValueError, match="beta must be 0 or greater"):
        trades(beta=-1.0)
    with pytest.raises(ValueError, match="radius must be 0 or greater"):
        trades(norms.linf.ball(-0.1))
