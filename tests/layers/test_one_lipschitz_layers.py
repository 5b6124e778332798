"""Spectral, almost-orthogonal, SDP-based and orthogonal layers: their formulas, and that none ever expands."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from lipjax import layers
from lipjax.layers.aol import aol_kernel, overlaps
from lipjax.layers.convolution import convolve
from lipjax.layers.orthogonal import orthogonal_taps, orthonormal
from lipjax.layers.phases import join_phases, split_phases
from lipjax.layers.sll import way_back
from lipjax.layers.spectral import spectral_bound, spectral_kernel
from lipjax.operators import conv_norm, fft

KINDS = {name: getattr(layers, name) for name in ("spectral", "aol", "sll", "orthogonal")}
GEOMETRIES = [((6, 5), 3, 1), ((6, 5), 3, 2), ((5, 6), 1, 2)]
KERNELS = [
    ((3, 3, 4, 6), 1),
    ((3, 3, 6, 4), 2),
    ((5, 5, 2, 3), 1),
    ((1, 1, 4, 7), 2),
    ((2, 2, 3, 3), 1),
    ((3, 3, 1, 5), 2),
]
each_kind = pytest.mark.parametrize("kind", KINDS)
each_kernel = pytest.mark.parametrize(("shape", "strides"), KERNELS, ids=str)


def random(shape, seed=0):
    return jax.random.normal(jax.random.key(seed), shape)


def norm_on_the_infinite_grid(kernel, strides):
    """Of a large torus: below the norm on the infinite grid by about a thousandth."""
    kernel = np.asarray(kernel)
    return conv_norm(
        kernel, (48 * strides, 48 * strides, kernel.shape[2]), strides=strides, padding="CIRCULAR", method=fft()
    )


def with_params(layer, shape, scale):
    """The layer as a function of one input, its parameters far from where they start."""
    params = layer.init(jax.random.key(0), jnp.zeros((1, *shape)))["params"]
    leaves, tree = jax.tree.flatten(params)
    leaves = [scale * random(leaf.shape, seed) for seed, leaf in enumerate(leaves)]
    return lambda x: layer.apply({"params": tree.unflatten(leaves)}, x[None])[0]


def steepest(f, shape, num_points=2):
    """Largest singular value of the Jacobian at random points."""
    jacobian = jax.jit(jax.jacrev(f))
    matrices = [np.asarray(jacobian(random(shape, seed)), np.float64) for seed in range(num_points)]
    return max(np.linalg.norm(matrix.reshape(-1, np.prod(shape)), 2) for matrix in matrices)


@each_kind
@pytest.mark.parametrize(("size", "taps", "strides"), GEOMETRIES, ids=str)
def test_no_convolution_expands_whatever_the_parameters(kind, size, taps, strides):
    f = with_params(KINDS[kind].conv(3, taps, strides), (*size, 2), 10.0)
    assert 0.0 < steepest(f, (*size, 2)) <= 1.0 + 1e-5


@each_kind
@pytest.mark.parametrize(("features", "scale"), [(2, 10.0), (9, 0.01)])
def test_no_dense_layer_expands_whatever_the_parameters(kind, features, scale):
    assert 0.0 < steepest(with_params(KINDS[kind].dense(features), (5,), scale), (5,)) <= 1.0 + 1e-5


@each_kind
def test_kernels_of_zeros_give_constant_layers_with_finite_gradients(kind):
    layer = KINDS[kind].dense(3)
    params = jax.tree.map(jnp.zeros_like, layer.init(jax.random.key(0), jnp.zeros((1, 4)))["params"])
    value, gradient = jax.value_and_grad(lambda p: jnp.sum(layer.apply({"params": p}, random((1, 4)))))(params)
    assert value == 0.0
    assert all(jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(gradient))


@each_kernel
def test_a_strided_convolution_is_one_without_stride_on_the_phases(shape, strides):
    kernel = np.asarray(random(shape))
    phases = split_phases(jnp.asarray(kernel), strides)
    for row, column in np.ndindex(shape[:2]):
        phase = (row % strides * strides + column % strides) * shape[2]
        np.testing.assert_array_equal(
            phases[row // strides, column // strides, phase : phase + shape[2]], kernel[row, column]
        )
    assert float(jnp.sum(jnp.abs(phases))) == pytest.approx(np.abs(kernel).sum(), rel=1e-5)
    np.testing.assert_array_equal(join_phases(phases, strides)[: shape[0], : shape[1]], kernel)


@each_kernel
def test_the_spectral_bound_is_above_the_norm_on_the_infinite_grid_by_four_percent_at_most(shape, strides):
    for kernel in (random(shape), jnp.ones(shape), random(shape).at[1:].set(0.0)):
        exact = norm_on_the_infinite_grid(kernel, strides)
        bound = float(spectral_bound(kernel, strides))
        assert exact * (1 - 1e-6) <= bound <= 1.04 * min(shape[2] * strides**2, shape[3]) ** (1 / 128) * exact * 1.002


def test_the_spectral_bound_holds_between_the_frequencies_of_its_grid():
    # Largest between the frequencies 2 pi j / 16: only the division by the cosine saves the bound.
    taps = np.cos(np.pi / 16 * np.arange(3) * 5)[:, None] * np.cos(np.pi / 16 * np.arange(3) * 3)
    kernel = jnp.asarray(taps, jnp.float32)[..., None, None]
    exact = norm_on_the_infinite_grid(kernel, 1)
    on_grid = conv_norm(np.asarray(kernel), (16, 16, 1), padding="CIRCULAR", method=fft())
    assert on_grid < exact * 0.999
    assert exact <= float(spectral_bound(kernel, 1))


@each_kernel
def test_a_spectral_kernel_has_a_norm_of_nearly_one(shape, strides):
    assert 0.94 <= norm_on_the_infinite_grid(spectral_kernel(5.0 * random(shape), strides), strides) <= 1.0 + 1e-5


def test_an_almost_orthogonal_dense_kernel_is_the_papers_formula_on_the_smaller_side():
    kernel = np.asarray(random((7, 4)), np.float64)
    scales = np.abs(kernel.T @ kernel).sum(0) ** -0.5
    np.testing.assert_allclose(aol_kernel(jnp.asarray(kernel, jnp.float32), 1), kernel * scales, rtol=1e-4)
    np.testing.assert_allclose(aol_kernel(jnp.asarray(kernel.T, jnp.float32), 1), (kernel * scales).T, rtol=1e-4)


def test_an_orthonormal_kernel_is_almost_orthogonal_already(key):
    kernel = jax.nn.initializers.orthogonal()(key, (6, 4))
    np.testing.assert_allclose(aol_kernel(kernel, 1), kernel, atol=1e-5)


def test_overlaps_are_sums_of_the_absolute_gram_kernel():
    kernel = np.asarray(random((3, 2, 2, 4)), np.float64)
    expected = np.zeros((4, 4))
    for rows in range(-2, 3):
        for columns in range(-1, 2):
            shifted = np.zeros_like(kernel)
            for row, column in np.ndindex(3, 2):
                if 0 <= row + rows < 3 and 0 <= column + columns < 2:
                    shifted[row, column] = kernel[row + rows, column + columns]
            expected += np.abs(np.einsum("abio,abip->op", kernel, shifted))
    np.testing.assert_allclose(overlaps(jnp.asarray(kernel, jnp.float32)), expected, rtol=1e-4)


def test_an_sdp_based_dense_layer_is_the_papers_formula():
    features, kernel, log_weights, x = 5, random((5, 5)), random((5,), 1), random((5,), 2)
    w, q = np.asarray(kernel, np.float64), np.exp(np.asarray(log_weights, np.float64))
    total = (np.abs(w.T @ w) * q).sum(1) / q
    expected = np.asarray(x) - 2 * w @ (np.maximum(w.T @ np.asarray(x) + 0.3, 0) / total)
    found = x + jax.nn.relu(x @ kernel + 0.3) @ way_back(kernel, log_weights)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
    assert np.linalg.eigvalsh(np.diag(total) - w.T @ w * 1.0).min() > -1e-6 * features


@pytest.mark.parametrize("shape", [(5, 5), (3, 7), (40, 6), (1, 1)], ids=str)
def test_the_orthonormal_matrix_is_the_polar_factor(shape):
    matrix = np.asarray(random(shape), np.float64)
    np.testing.assert_allclose(orthonormal(jnp.asarray(matrix, jnp.float32)), scipy.linalg.polar(matrix)[0], atol=1e-4)


def test_no_singular_value_of_the_orthonormal_matrix_exceeds_one_even_if_some_stay_small():
    left, right = (np.asarray(jax.nn.initializers.orthogonal()(jax.random.key(i), (12, 12))) for i in (0, 1))
    values = scipy.linalg.svdvals(orthonormal(jnp.asarray(left * np.logspace(-8, 3, 12) @ right)))
    assert values[0] <= 1.0 + 1e-6
    assert values[-1] < 0.1


@pytest.mark.parametrize(("inputs", "features", "number"), [(3, 4, 4), (4, 3, 2), (1, 1, 2)])
def test_every_singular_value_of_an_orthogonal_convolution_is_one_on_a_torus(inputs, features, number):
    side = max(inputs, features)
    taps = orthogonal_taps(random((inputs, features)), random((number, side, (side + 1) // 2), 1))
    assert taps.shape == (number // 2 + 1, number // 2 + 1, inputs, features)
    wrap = functools.partial(jnp.pad, pad_width=((0, 0), (0, number // 2), (0, number // 2), (0, 0)), mode="wrap")
    basis = jnp.eye(16 * inputs).reshape(-1, 4, 4, inputs)
    matrix = np.asarray(convolve(wrap(basis), taps, padding="VALID"), np.float64).reshape(16 * inputs, -1)
    np.testing.assert_allclose(scipy.linalg.svdvals(matrix), 1.0, atol=1e-5)
