"""The three-term loss and the regulariser of L2-nonexpansive training."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lipjax import layers, networks
from lipjax.layers.nonexpansive import norm_bound
from lipjax.methods import l2_nonexpansive, nonexpansive_penalty, with_scales
from lipjax.methods.l2_nonexpansive import log_wrong
from lipjax.types import Batch, Model, Output, Variables

LOGITS = jnp.array([[0.5, -0.2, 0.1], [1.5, 2.0, -1.0]])
BATCH = Batch(jnp.zeros((2, 4)), jnp.array([0, 2]))


def log_softmax(logits):
    logits = np.asarray(logits, np.float64)
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def loss_terms(method, params):
    model = Model(networks.mlp(3), Variables(params, {}))
    return method.loss(model, BATCH, Output(LOGITS, {}))


def test_the_loss_has_the_three_terms_of_the_paper():
    u, v, z = jnp.array([2.0, 0.5, 3.0]), jnp.array(4.0), 1.5
    terms = loss_terms(l2_nonexpansive(gamma=0.7, omega=0.2, z=z), {"scales": {"u": u, "v": v}})
    picked = ([0, 1], BATCH.labels)
    np.testing.assert_allclose(terms["scaled_cross_entropy"], -log_softmax(u * LOGITS)[picked].mean(), rtol=1e-5)
    np.testing.assert_allclose(terms["common_cross_entropy"], -0.7 * log_softmax(v * LOGITS)[picked].mean(), rtol=1e-5)
    wrong = np.log(1 - np.exp(log_softmax(z * LOGITS)[picked]))
    np.testing.assert_allclose(terms["gap"], 0.2 / z * wrong.mean(), rtol=1e-5)


def test_without_trainable_scales_they_are_one():
    ones = loss_terms(l2_nonexpansive(), {"scales": {"u": jnp.ones(3), "v": jnp.ones(())}})
    none = loss_terms(l2_nonexpansive(), {"dense": jnp.zeros((2, 2))})
    jax.tree.map(np.testing.assert_array_equal, ones, none)


def test_the_gap_term_stays_exact_for_very_sure_logits():
    logits = jnp.array([80.0, 0.0, 0.0])
    np.testing.assert_allclose(log_wrong(logits, 0), np.log(2) - 80.0, rtol=1e-6)
    assert jnp.all(jnp.isfinite(jax.grad(log_wrong)(logits, 0)))


def test_the_penalty_is_the_smaller_excess_of_the_gram_matrices():
    kernel = jax.random.normal(jax.random.key(0), (3, 3, 2, 4))
    matrix = np.asarray(kernel, np.float64).reshape(18, 4)
    excesses = [np.maximum(np.abs(gram).sum(1) - 1, 0).sum() for gram in (matrix.T @ matrix, matrix @ matrix.T)]
    params = {"conv": {"kernel": kernel, "bias": jnp.ones(4)}, "dense": {"kernel": 0.1 * jnp.eye(3)}}
    np.testing.assert_allclose(nonexpansive_penalty(params), min(excesses), rtol=1e-5)


def test_the_penalty_is_zero_where_the_bound_is_at_most_one():
    matrix = jax.random.normal(jax.random.key(0), (4, 6))
    within = matrix / norm_bound(matrix) * 0.999
    assert nonexpansive_penalty(within) == 0.0
    assert nonexpansive_penalty(2 * within) > 0.0


def test_scales_are_trained_beside_the_network_and_leave_its_logits():
    network = networks.mlp(3, widths=(4,), layers=layers.nonexpansive)
    scaled = with_scales(network)
    variables = scaled.init(jax.random.key(0), (5,))
    assert set(variables.params) == {"network", "scales"}
    inputs = jax.random.uniform(jax.random.key(1), (2, 5))
    inner = Variables(variables.params["network"], variables.state)
    scaled_up = Variables({**variables.params, "scales": {"u": 9.0 * jnp.ones(3), "v": jnp.ones(())}}, variables.state)
    np.testing.assert_array_equal(
        scaled.apply(scaled_up, inputs, train=False)[0].logits, network.apply(inner, inputs, train=False)[0].logits
    )


@pytest.mark.parametrize("wrong", [{"gamma": -1.0}, {"omega": -1.0}, {"z": 0.0}, {"weight": -1.0}], ids=str)
def test_wrong_hyper_parameters_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        l2_nonexpansive(**wrong)
