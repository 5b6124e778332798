"""Laplacian smoothness against a graph worked out by hand, NumPy in 64 bit and finite differences."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lipjax import networks
from lipjax.methods import laplacian, laplacian_smoothness
from lipjax.methods.laplacian import nearest_neighbors
from lipjax.types import Batch, Model, Output, Variables

# Four unit vectors at 0, 90, 36.87 and 53.13 degrees: cosines 0, 0.8, 0.6 / 0.6, 0.8 / 0.96.
FOUR = jnp.array([[1.0, 0.0], [0.0, 1.0], [4.0, 3.0], [0.3, 0.4]])
LABELS = jnp.array([0, 1, 0, 1])
MODEL = Model(networks.mlp(2), Variables({}, {}))


def by_definition(representation, labels, power, num_neighbors=None):
    """trace(s^T L^m s) in float64, step by step as the paper writes it."""
    flat = np.asarray(representation, np.float64).reshape(len(labels), -1)
    units = flat / np.linalg.norm(flat, axis=1, keepdims=True)
    graph = units @ units.T
    if num_neighbors is not None:
        kept = np.zeros_like(graph, bool)
        for row, order in enumerate(np.argsort(-graph, axis=1)[:, :num_neighbors]):
            kept[row, order] = True
        graph = graph * (kept | kept.T)
    matrix = np.diag(graph.sum(1)) - graph
    indicator = np.eye(int(max(labels)) + 1)[np.asarray(labels)]
    return np.trace(indicator.T @ np.linalg.matrix_power(matrix, power) @ indicator)


def test_four_examples_have_the_smoothness_worked_out_by_hand():
    # Pairs of different class: (0, 1) 0, (0, 3) 0.6, (1, 2) 0.6, (2, 3) 0.96; each counts twice.
    np.testing.assert_allclose(laplacian_smoothness(FOUR, LABELS, power=1), 2 * 2.16, rtol=1e-6)
    # L s for the first class is (0.6, -0.6, 1.56, -1.56), for the second its negative: 4 (0.36 + 2.4336).
    np.testing.assert_allclose(laplacian_smoothness(FOUR, LABELS, power=2), 4 * 2.7936, rtol=1e-6)


def test_two_neighbours_keep_the_edges_that_either_end_ranks_first():
    # Besides itself, 0 keeps 2; 1 keeps 3; 2 and 3 keep each other. Of different class remains (2, 3).
    value = laplacian_smoothness(FOUR, LABELS, power=1, num_neighbors=2)
    np.testing.assert_allclose(value, 2 * 0.96, rtol=1e-6)
    graph = nearest_neighbors(jnp.array([[1.0, 0.0, 0.8], [0.0, 1.0, 0.6], [0.8, 0.6, 1.0]]), 2)
    np.testing.assert_array_equal(graph, np.array([[1.0, 0.0, 0.8], [0.0, 1.0, 0.6], [0.8, 0.6, 1.0]], np.float32))
    np.testing.assert_array_equal(nearest_neighbors(graph, 1), np.eye(3))


@pytest.mark.parametrize("power", [1, 2, 3])
@pytest.mark.parametrize("num_neighbors", [None, 3, 100])
@pytest.mark.parametrize("num_classes", [None, 7])
def test_the_smoothness_is_the_trace_of_the_definition(power, num_neighbors, num_classes):
    representation = jax.random.uniform(jax.random.key(0), (12, 3, 2, 2))
    labels = jnp.arange(12) % 4
    settings = {"power": power, "num_neighbors": num_neighbors, "num_classes": num_classes}
    value = laplacian_smoothness(representation, labels, **settings)
    np.testing.assert_allclose(value, by_definition(representation, labels, power, num_neighbors), rtol=1e-4)


@pytest.mark.parametrize("power", [1, 2, 3])
@pytest.mark.parametrize("num_neighbors", [None, 3])
def test_the_gradient_is_that_of_finite_differences_in_64_bit(power, num_neighbors):
    rng = np.random.default_rng(1)
    point, labels = rng.uniform(size=(6, 3)), np.array([0, 1, 1, 2, 0, 2])
    smoothness = functools.partial(laplacian_smoothness, power=power, num_neighbors=num_neighbors)
    with jax.enable_x64(True):
        gradient = np.asarray(jax.jit(jax.grad(smoothness))(point, labels))
    steps = 1e-6 * np.eye(point.size).reshape(-1, *point.shape)
    ahead, behind = (
        np.array([by_definition(point + sign * step, labels, power, num_neighbors) for step in steps])
        for sign in (1, -1)
    )
    assert gradient.dtype == np.float64
    np.testing.assert_allclose(gradient.ravel(), (ahead - behind) / 2e-6, rtol=1e-6, atol=1e-7)


def test_the_cost_grows_with_the_square_of_the_batch_and_in_proportion_to_the_representation():
    def flops(batch, size):
        arguments = jnp.ones((batch, size)), jnp.zeros(batch, int)
        penalty = functools.partial(laplacian_smoothness, power=3, num_classes=10)
        return jax.jit(jax.grad(penalty)).lower(*arguments).compile().cost_analysis()["flops"]

    assert flops(128, 256) < 4.2 * flops(64, 256)  # a matrix power's would be eight times as many
    assert flops(128, 512) < 2.2 * flops(128, 256)


def test_a_representation_of_zeros_is_similar_to_none_and_has_gradient_zero():
    representation = FOUR.at[3].set(0.0)
    np.testing.assert_allclose(laplacian_smoothness(representation, LABELS, power=1), 2 * 0.6, rtol=1e-6)
    gradient = jax.grad(functools.partial(laplacian_smoothness, power=2))(representation, LABELS)
    assert jnp.all(jnp.isfinite(gradient))
    assert jnp.all(gradient[3] == 0.0)


def test_one_class_or_scaled_representations_change_nothing():
    np.testing.assert_allclose(laplacian_smoothness(FOUR, jnp.zeros(4, int), power=2), 0.0, atol=1e-4)
    scaled = FOUR * jnp.array([1e-3, 7.0, 2.0, 1e3])[:, None]
    value, same = (laplacian_smoothness(each, LABELS, power=3) for each in (FOUR, scaled))
    np.testing.assert_allclose(value, same, rtol=1e-5)


def term(method, **representations):
    output = Output(jnp.zeros((4, 2)), representations)
    return method.penalize(jax.random.key(0), MODEL, Batch(jnp.zeros((4, 2)), LABELS), output)["laplacian"]


def test_the_term_is_the_mean_change_of_smoothness_between_consecutive_layers():
    other, third = jnp.eye(4), FOUR[::-1] ** 2
    sigmas = [by_definition(np.asarray(each) + 0.0, LABELS, 2) for each in (FOUR, other, third)]
    expected = 0.5 * (abs(sigmas[1] - sigmas[0]) + abs(sigmas[2] - sigmas[1])) / 2
    np.testing.assert_allclose(term(laplacian(0.5), a=FOUR, b=other, c=third), expected, rtol=1e-5)


def test_fewer_than_two_representations_have_no_change():
    assert term(laplacian()) == 0.0
    assert term(laplacian(), only=FOUR) == 0.0


def test_bfloat16_representations_are_compared_in_float32():
    value = laplacian_smoothness(FOUR.astype(jnp.bfloat16), LABELS, power=1)
    assert value.dtype == jnp.float32
    np.testing.assert_allclose(value, 2 * 2.16, rtol=2e-2)


def test_the_default_weight_is_the_power_of_gamma():
    for power in (1, 2, 3):
        ratio = term(laplacian(power=power), a=FOUR, b=jnp.eye(4)) / term(
            laplacian(1.0, power=power), a=FOUR, b=jnp.eye(4)
        )
        np.testing.assert_allclose(ratio, 0.01**power, rtol=1e-5)


WRONG = [{"weight": -1.0}, {"gamma": -0.1}, {"power": 0}, {"num_neighbors": 0}, {"power": 1.5}]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: next(iter(wrong)))
def test_wrong_hyper_parameters_are_refused(wrong):
    with pytest.raises((ValueError, TypeError), match=next(iter(wrong))):
        laplacian(**wrong)
