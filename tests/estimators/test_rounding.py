"""Functions that compute in a coarse type: their rounding is no slope."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lipjax import datasets, measurements, networks
from lipjax.bounds import local_bound
from lipjax.estimators import (
    ascent_slope,
    clever,
    growing_slope,
    jacobian_norm,
    pairwise_slope,
    sampled_slope,
    talk_slope,
)
from lipjax.estimators.precision import in_full
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
        assert slope(estimator(l2.ball(radius, box=None))) <= largest * (1 + 1e-6)


BALL = l2.ball(0.01, box=None)
BRIEFLY = {"num_samples": 4, "num_steps": 1, "num_restarts": 1}
BELOW_A_MARGIN = np.sqrt(2.0)  # `clever` is of the difference of two outputs


@pytest.mark.parametrize(
    ("estimator", "allowed"),
    [
        (sampled_slope(BALL, num_samples=8), 1.0),
        (talk_slope(BALL, num_samples=8), 1.0),
        (ascent_slope(BALL, **BRIEFLY), 1.0),
        (growing_slope(BALL, **BRIEFLY), 1.0),
        (pairwise_slope(BALL, **BRIEFLY), 1.0),
        (jacobian_norm(num_steps=3, num_restarts=1), 1.0),
        (clever(BALL, num_samples=2, num_batches=4), BELOW_A_MARGIN),
    ],
    ids=lambda part: type(part).__name__ if not isinstance(part, float) else "",
)
def test_no_estimator_takes_the_rounding_of_large_bfloat16_values_for_a_slope(estimator, allowed):
    largest = np.linalg.norm(np.asarray(MATRIX, np.float64), 2)
    found = jax.jit(lambda: estimator(KEY, lambda x: coarse(x) + 1e6, jnp.full(8, 0.5)).value)()
    assert found <= allowed * largest * (1 + 1e-6)


def test_what_depends_on_the_input_is_computed_in_float32_with_the_weights_as_they_are_used():
    x = jnp.linspace(0.1, 1.0, 8)
    f, _ = in_full(lambda x: jax.nn.silu(coarse(x).astype(jnp.bfloat16)), x)
    exact = np.asarray(MATRIX, np.float64) @ np.asarray(x, np.float64)
    np.testing.assert_allclose(f(x), exact / (1 + np.exp(-exact)), rtol=1e-5)
    assert in_full(jnp.sin, x)[0] is jnp.sin


@pytest.mark.parametrize("length", [2, 100])
def test_a_narrow_type_within_a_loop_is_run_in_float32_where_the_loop_is_short(length):
    factors = jnp.full(length, 1.01)

    def looped(x):
        return jax.lax.scan(lambda y, w: ((y * w).astype(jnp.bfloat16).astype(y.dtype), None), x, factors)[0]

    x = jnp.array([0.901, 0.3])
    f, _ = in_full(looped, x)
    if length == 100:
        assert f is looped
    else:
        np.testing.assert_allclose(f(x), x * jnp.prod(factors), rtol=1e-6)
        bound = local_bound(looped, x, l2.ball(0.01))
        assert float(ascent_slope(l2.ball(0.01))(KEY, looped, x).value) <= float(bound) * (1 + 1e-6)
        np.testing.assert_allclose(bound, 1.01**2, rtol=1e-5)


def test_a_point_outside_the_box_is_refused_where_it_is_known():
    with pytest.raises(ValueError, match="x must be within box"):
        ascent_slope(l2.ball(0.5))(KEY, jnp.sin, jnp.array([5.0, 0.5]))


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
