"""Global bounds against every choice of slopes, the averages in NumPy, and pairs of points that a search finds."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lipjax import estimators, networks
from lipjax.bounds import audit, global_bound
from lipjax.bounds.rounding import spectral
from lipjax.norms import Norm, l1, l2, linf, masked
from lipjax.types import Model

NORMS = (l1, l2, linf)


def random_kernels(seed: int, sizes: tuple[int, ...]) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=pair).astype(np.float32) for pair in itertools.pairwise(sizes)]


def mlp(kernels, x, activation=jax.nn.relu):
    for kernel in kernels[:-1]:
        x = activation(x @ kernel + 0.1)
    return x @ kernels[-1]


def norm_of(*kernels) -> float:
    return float(np.linalg.norm(functools.reduce(np.matmul, [kernel.astype(np.float64) for kernel in kernels]), 2))


def test_two_layers_that_do_not_meet_have_half_the_product_of_their_norms():
    first, second = np.diag([3.0, 0.0]).astype(np.float32), np.diag([0.0, 5.0]).astype(np.float32)
    assert global_bound(functools.partial(mlp, [first, second]), (2,)) == pytest.approx(7.5, rel=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_three_layers_have_the_average_over_all_ways_to_bracket_them(seed):
    a, b, c = random_kernels(seed, (6, 9, 7, 4))
    average = (norm_of(a, b, c) + norm_of(a) * norm_of(b, c) + norm_of(a, b) * norm_of(c)) / 4
    average += norm_of(a) * norm_of(b) * norm_of(c) / 4
    bound = global_bound(functools.partial(mlp, [a, b, c]), (6,))
    assert norm_of(a, b, c) <= bound <= average * (1 + 1e-3)
    assert bound < 0.9 * audit(functools.partial(mlp, [a, b, c]), (6,)).bound


@pytest.mark.parametrize(("first", "last"), [*itertools.product(NORMS, NORMS)])
def test_no_choice_of_slopes_exceeds_the_bound(first, last):
    a, b, c = random_kernels(3, (3, 5, 4, 2))
    bound = global_bound(functools.partial(mlp, [a, b, c]), (3,), norm_in=first, norm_out=last)
    masks = [np.array(mask) for mask in itertools.product((0.0, 1.0), repeat=9)]
    matrices = [(a * mask[:5] @ b * mask[5:] @ c).T for mask in masks]
    assert all(_attained(matrix, first, last) <= bound * (1 + 1e-6) for matrix in matrices)


@pytest.mark.parametrize("first", NORMS, ids=str)
def test_where_entries_can_not_move_no_choice_of_slopes_exceeds_the_smaller_bound(first):
    a, b, c = random_kernels(3, (5, 5, 4, 2))
    free = np.array([True, False, True, False, True])
    f = functools.partial(mlp, [a, b, c])
    bound = global_bound(f, (5,), norm_in=masked(first, free), norm_out=first)
    masks = [np.array(mask) for mask in itertools.product((0.0, 1.0), repeat=9)]
    matrices = [(a[free] * mask[:5] @ b * mask[5:] @ c).T for mask in masks]
    assert all(_attained(matrix, first, first) <= bound * (1 + 1e-6) for matrix in matrices)
    assert bound < 0.99 * global_bound(f, (5,), norm_in=first)
    assert bound <= audit(f, (5,), norm=masked(first, free)).bound <= audit(f, (5,), norm=first).bound


def _attained(matrix: np.ndarray, first: Norm, last: Norm) -> float:
    """The largest quotient over the corners of the unit balls, and over the leading singular vector."""
    corners = [*np.eye(3), *map(np.array, itertools.product((-1.0, 1.0), repeat=3)), np.linalg.svd(matrix)[2][0]]
    return max(np.linalg.norm(matrix @ x, last.exponent) / np.linalg.norm(x, first.exponent) for x in corners)


def residual(x):
    """A sum of branches, and a pooling."""
    first, second, last = random_kernels(6, (12, 12, 12, 3))
    x = x + 0.3 * jax.nn.relu(x @ first)
    x = jnp.concatenate([jax.nn.relu(x), jax.nn.relu(-x)], -1)
    return jnp.sqrt(jnp.sum(x.reshape(2, 12) ** 2, 0) + 0.1) @ second @ last


def convolutional():
    network = networks.cnn(3, channels=(3,), widths=(5,), std=0.3)
    model = Model(network, network.init(jax.random.key(0), (4, 3, 1)))
    return lambda x: model.single(x.reshape(4, 3, 1))


@pytest.mark.parametrize("make", [lambda: residual, convolutional], ids=["residual", "convolutional"])
def test_no_pair_that_a_search_finds_exceeds_the_bound(make):
    f, estimator = make(), estimators.pairwise_slope(num_samples=8, num_restarts=2)
    found = jax.jit(lambda key: estimator(key, f, jnp.full(12, 0.5)).value)(jax.random.key(1))
    bound = global_bound(f, (12,))
    assert 0.1 * bound < found <= bound <= audit(f, (12,)).bound


@pytest.mark.parametrize("activation", [jnp.tanh, jax.nn.leaky_relu, jax.nn.sigmoid, jnp.square])
def test_slopes_of_any_range_are_averaged(activation):
    f = functools.partial(mlp, random_kernels(4, (3, 6, 5, 2)), activation=activation)
    bound = global_bound(f, (3,))
    points = jax.random.normal(jax.random.key(0), (2000, 3))
    assert jnp.linalg.norm(jax.vmap(jax.jacobian(f))(points), 2, axis=(1, 2)).max() <= bound
    assert (activation is jnp.square) == np.isinf(bound)


def test_one_output_has_a_smaller_bound_than_all_of_them():
    f = functools.partial(mlp, random_kernels(5, (4, 8, 8, 6)))
    each = [global_bound(lambda x, i=i: f(x)[i : i + 1], (4,)) for i in range(6)]
    together = global_bound(f, (4,), norm_in=l2, norm_out=linf)
    assert max(each) * (1 - 1e-3) <= together <= 0.9 * global_bound(f, (4,))


@pytest.mark.parametrize("shape", [(1, 1), (10, 300), (300, 10), (80, 80)])
def test_gram_iteration_is_never_below_the_largest_singular_value_and_near_it(shape):
    rng = np.random.default_rng(0)
    for matrix in (rng.normal(size=shape), 1e-25 * rng.normal(size=shape), np.ones(shape), np.eye(*shape)):
        exact = np.linalg.norm(matrix.astype(np.float32).astype(np.float64), 2)
        assert exact <= spectral(jnp.asarray(matrix, jnp.float32)) <= exact * (1 + 2e-3) + 1e-17
    assert spectral(jnp.zeros(shape)) < 1e-17
