"""Parseval layers: scaled convolutions and convex sums."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lipjax import layers
from lipjax.layers.parseval import AGGREGATION


def matrix_of(linear, input_shape):
    """The dense matrix of a linear map of one example, by applying it to the identity basis."""
    basis = jnp.eye(int(np.prod(input_shape))).reshape(-1, *input_shape)
    return np.asarray(linear(basis), np.float64).reshape(len(basis), -1)


@pytest.mark.parametrize(("kind", "divisor"), [("parseval", 3.0), ("parseval_lassance", 19.0**0.5)])
def test_a_convolution_with_orthonormal_kernel_does_not_expand(key, kind, divisor):
    for strides in (1, 2):
        layer = getattr(layers, kind).conv(4, 3, strides)
        variables = layer.init(key, jnp.zeros((1, 6, 5, 2)))
        unfolded = np.asarray(variables["params"]["kernel"]).reshape(-1, 4)
        np.testing.assert_allclose(unfolded.T @ unfolded, np.eye(4), atol=1e-5)
        matrix = matrix_of(functools.partial(layer.apply, variables), (6, 5, 2))
        assert np.linalg.norm(matrix, 2) <= 3.0 / divisor + 1e-6


def test_the_convolutions_differ_from_vanilla_ones_by_their_divisors(key):
    x = jax.random.normal(key, (1, 6, 6, 2))
    variables = layers.vanilla.conv(4, 3).init(key, x)
    plain = layers.vanilla.conv(4, 3).apply(variables, x)
    np.testing.assert_allclose(layers.parseval.conv(4, 3).apply(variables, x), plain / 3, rtol=1e-4, atol=1e-6)
    lassance = layers.parseval_lassance.conv(4, 3).apply(variables, x)
    np.testing.assert_allclose(lassance, plain / np.sqrt(2 * 9 + 1), rtol=1e-4, atol=1e-6)


def test_the_aggregation_starts_with_halves_and_is_trained(key):
    merge = layers.parseval.merge()
    params = merge.init(key)["params"]
    np.testing.assert_array_equal(params[AGGREGATION], [0.5, 0.5])
    scales = merge.apply({"params": {AGGREGATION: jnp.array([0.3, 0.7])}})
    np.testing.assert_allclose(scales, (1.0, 1.0, 0.3, 0.7), rtol=1e-6)


def test_lassances_residual_sum_is_the_fixed_mean(key):
    merge = layers.parseval_lassance.merge()
    assert merge.init(key) == {}
    assert merge.apply({}) == (1.0, 1.0, 0.5, 0.5)
