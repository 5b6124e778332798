"""Gaussian augmentation's noise."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from lipjax import networks
from lipjax.methods import gaussian
from lipjax.types import Batch, Model, Variables

MODEL = Model(networks.mlp(2), Variables({}, {}))
BATCH = Batch(jax.random.uniform(jax.random.key(1), (20, 8, 8, 3)), jnp.arange(20) % 2)


def noise(key, sigma, batch=BATCH):
    return np.asarray(gaussian(sigma).perturb(key, MODEL, batch).inputs - batch.inputs)


def test_the_noise_is_normal_with_the_standard_deviation_asked_for_and_is_not_clipped(key):
    draws = noise(key, 0.5).ravel()
    assert scipy.stats.kstest(draws / 0.5, "norm").pvalue > 1e-3
    assert (BATCH.inputs.ravel() + draws).min() < -0.5


def test_an_examples_noise_does_not_depend_on_the_rest_of_the_batch(key):
    part = Batch(BATCH.inputs[:3], BATCH.labels[:3])
    np.testing.assert_array_equal(noise(key, 0.5)[:3], noise(key, 0.5, part))
    assert not np.allclose(noise(key, 0.5)[0], noise(key, 0.5)[1])


def test_without_deviation_the_batch_stays_bit_for_bit(key):
    np.testing.assert_array_equal(gaussian(0.0).perturb(key, MODEL, BATCH).inputs, BATCH.inputs)


def test_a_negative_deviation_is_refused():
    with pytest.raises(ValueError, match="sigma must be 0 or greater"):
        gaussian(-0.1)
