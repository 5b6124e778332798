"""Functions that compute in a coarse type: their rounding is no slope."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lipjax import datasets, measurements, networks
from lipjax.estimators import ascent_slope, growing_slope
from lipjax.norms import l2
from lipjax.types import Model

KEY = jax.random.key(0)
MATRIX = jnp.asarray(np.random.default_rng(0).normal(size=(5, 8)), jnp.bfloat16)


def coarse(x: jax.Array) -> jax.Array:
    return (MATRIX @ x.astype(jnp.bfloat16)).astype(jnp.float32)


@pytest.mark.parametrize("estimator", [ascent_slope, growing_slope])
@pytest.mark.parametrize("center", [0.0, 0.5])
def test_slopes_of_a_bfloat16_map_stay_below_its_largest_singular_value(estimator, center):
    largest = np.linalg.norm(np.asarray(MATRIX, np.float64), 2)
    slope = jax.jit(lambda one: one(KEY, coarse, jnp.full(8, center)).value)
    for radius in (1e-4, 0.01, 1.0):
        assert slope(estimator(l2.ball(radius, box=None))) <= largest


@pytest.mark.parametrize("estimator", [ascent_slope, growing_slope])
def test_a_point_that_is_not_a_number_has_no_slope(estimator):
    assert jnp.isnan(estimator(l2.ball(0.5))(KEY, lambda x: 3.0 * x, jnp.array([jnp.nan, 0.5])).value)


def test_a_bfloat16_network_is_below_its_upper_bounds_in_small_balls():
    dataset = datasets.load("fashion_mnist_mini")
    network = networks.mlp(dataset.num_classes, widths=(16,), dtype="bfloat16")
    variables = network.init(KEY, dataset.input_shape)
    for of in ("probabilities", "logits"):
        measured = measurements.alpha((0.01, 0.1), of=of, num_points=8)
        found = measured(KEY, Model(network, variables, variables.params), dataset)
        assert np.all(found.alpha <= found.alpha_upper)
