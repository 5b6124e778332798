"""Nonexpansive layers never expand an L2 distance: by exact operator norms, whatever the parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lipjax import layers
from lipjax.layers.nonexpansive import (
    grams,
    nonexpansive_kernel,
    norm_bound,
    norm_pool,
    two_sided_relu,
)
from lipjax.layers.vanilla import Conv

MATRICES = [(5, 5), (3, 7), (7, 3), (1, 6), (40, 600)]


def matrix_of(linear, input_shape):
    """The dense matrix of a linear map of one example, by applying it to the identity basis."""
    basis = jnp.eye(int(np.prod(input_shape))).reshape(-1, *input_shape)
    return np.asarray(linear(basis), np.float64).reshape(len(basis), -1)


def random_matrix(shape, seed=0):
    return jax.random.normal(jax.random.key(seed), shape)


@pytest.mark.parametrize("shape", MATRICES, ids=str)
def test_the_bound_is_never_below_the_largest_singular_value(shape):
    matrix = random_matrix(shape)
    assert norm_bound(matrix) >= np.linalg.norm(np.asarray(matrix, np.float64), 2) * (1 - 1e-6)


@pytest.mark.parametrize("shape", MATRICES, ids=str)
def test_the_bound_of_orthonormal_rows_or_columns_is_one(key, shape):
    matrix = jax.nn.initializers.orthogonal()(key, shape)
    np.testing.assert_allclose(norm_bound(matrix), 1.0, atol=1e-5)


def test_the_bound_is_the_papers_formula():
    matrix = np.asarray(random_matrix((4, 6)), np.float64)
    rows = [np.abs(gram).sum(1).max() for gram in (matrix @ matrix.T, matrix.T @ matrix)]
    np.testing.assert_allclose(norm_bound(jnp.asarray(matrix, jnp.float32)), np.sqrt(min(rows)), rtol=1e-5)


def test_large_gram_matrices_are_left_out():
    assert [len(gram) for gram in grams(jnp.ones((3, 512)))] == [3, 512]
    assert [len(gram) for gram in grams(jnp.ones((513, 3)))] == [3]


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("scale", [0.1, 10.0])
def test_a_convolution_never_expands(key, padding, scale):
    for size, taps, strides in [((6, 6), 3, 1), ((6, 5), 3, 2), ((7, 7), 5, 2), ((5, 5), 2, 2), ((6, 6), 5, 3)]:
        layer = Conv(3, taps, strides, padding, reparametrize=nonexpansive_kernel)
        variables = layer.init(key, jnp.zeros((1, *size, 2)))
        params = variables["params"] | {"kernel": scale * random_matrix((taps, taps, 2, 3))}
        matrix = matrix_of(lambda x, p=params, la=layer: la.apply({"params": p}, x), (*size, 2))
        assert np.linalg.norm(matrix, 2) <= 1.0 + 1e-6, (size, taps, strides)


def test_a_stride_that_does_not_divide_the_kernel_needs_the_rounded_up_cover():
    # The window of side 3 covers every second pixel twice along each axis: dividing by 3 / 2 instead of 2 expands.
    layer = Conv(1, 3, 2, "VALID", reparametrize=nonexpansive_kernel)
    params = {"kernel": jnp.zeros((3, 3, 1, 1)).at[::2, ::2].set(0.5), "bias": jnp.zeros(1)}
    matrix = matrix_of(lambda x: layer.apply({"params": params}, x), (21, 21, 1))
    assert 1.0 >= np.linalg.norm(matrix, 2) > 1.5**2 / 2**2 / 1.01 * 1.5 > 0.8


@pytest.mark.parametrize("scale", [0.1, 10.0])
def test_a_dense_layer_never_expands(scale):
    layer = layers.nonexpansive.dense(7)
    params = {"kernel": scale * random_matrix((5, 7)), "bias": jnp.zeros(7)}
    matrix = matrix_of(lambda x: layer.apply({"params": params}, x), (5,))
    assert np.linalg.norm(matrix, 2) <= 1.0 + 1e-6


def test_a_layer_within_the_bound_is_left_as_it_is(key):
    layer = layers.nonexpansive.dense(7)
    variables = layer.init(key, jnp.zeros((1, 5)))
    kernel = 0.5 * variables["params"]["kernel"]
    np.testing.assert_array_equal(nonexpansive_kernel(kernel, 1), kernel)


def test_a_two_sided_relu_keeps_the_sum_and_never_expands_in_any_lp_norm():
    x, y = random_matrix((50, 6)), random_matrix((50, 6), seed=1)
    positive, negative = jnp.split(two_sided_relu(x), 2, axis=-1)
    np.testing.assert_array_equal(positive - negative, x)
    for order in (1, 2, np.inf):
        after = np.linalg.norm(two_sided_relu(x) - two_sided_relu(y), order, axis=-1)
        assert np.all(after <= np.linalg.norm(x - y, order, axis=-1) * (1 + 1e-6))


def test_norm_pooling_takes_the_length_of_each_window():
    image = random_matrix((2, 5, 6, 3))
    pooled = norm_pool(image, (2, 2))
    assert pooled.shape == (2, 2, 3, 3)
    expected = np.linalg.norm(np.asarray(image[1, 2:4, 4:6]).reshape(4, 3), axis=0)
    np.testing.assert_allclose(pooled[1, 1, 2], expected, rtol=1e-5)


def test_norm_pooling_never_expands_and_has_gradient_zero_at_zero():
    x, y = random_matrix((30, 4, 4, 2)), random_matrix((30, 4, 4, 2), seed=1)
    after = np.linalg.norm((norm_pool(x, (2, 2)) - norm_pool(y, (2, 2))).reshape(30, -1), axis=1)
    assert np.all(after <= np.linalg.norm((x - y).reshape(30, -1), axis=1) * (1 + 1e-6))
    gradient = jax.grad(lambda x: jnp.sum(norm_pool(x, (2, 2))))(jnp.zeros((1, 4, 4, 2)))
    assert jnp.all(gradient == 0.0)


@pytest.mark.parametrize("angle", [0.0, 0.4, 2.0, -7.0])
def test_branching_and_merging_never_expands_whatever_the_angle(angle):
    scales = layers.nonexpansive.merge().apply({"params": {"angle": jnp.array(angle)}})
    # Orthogonal branches: the matrix of `x -> merge_body B (split_body x) + merge_skip S (split_skip x)`.
    body, skip = (np.asarray(jax.nn.initializers.orthogonal()(jax.random.key(i), (6, 6))) for i in (0, 1))
    merged = scales.merge_body * body * scales.split_body + scales.merge_skip * skip * scales.split_skip
    assert np.linalg.norm(merged, 2) <= 1.0 + 1e-6
    worst = scales.merge_body * scales.split_body + scales.merge_skip * scales.split_skip
    np.testing.assert_allclose(worst, 1.0, rtol=1e-6)


def test_centring_never_expands_but_may_shrink():
    inputs = random_matrix((2, 3, 3, 2))
    np.testing.assert_allclose(
        layers.nonexpansive.standardize(inputs, (0.1, 0.2), 0.3), inputs - np.array([0.1, 0.2]), rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(layers.nonexpansive.standardize(inputs, 0.0, 4.0), inputs / 4.0, rtol=1e-6)
