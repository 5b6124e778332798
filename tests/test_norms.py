"""The contracts of norms.py, against NumPy, closed forms, optimality conditions and known distributions."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.stats

from lipjax.norms import Largest, l1, l2, linf

NORMS = [l1, l2, linf]
ORDERS = {"l1": 1, "l2": 2, "linf": np.inf}
DUAL_ORDERS = {"l1": np.inf, "l2": 2, "linf": 1}
SHAPE = (4, 3, 2)

every_norm = pytest.mark.parametrize("norm", NORMS, ids=lambda norm: norm.name)


def gaussian(seed: int, shape: tuple[int, ...] = SHAPE) -> jax.Array:
    return jax.random.normal(jax.random.key(seed), shape)


def exact_norm(x: jax.Array, order: float) -> float:
    return float(np.linalg.norm(np.asarray(x, np.float64).ravel(), order))


@every_norm
def test_value_and_dual_are_those_of_the_flat_vector(norm):
    x = gaussian(0)
    np.testing.assert_allclose(norm.value(x), exact_norm(x, ORDERS[norm.name]), rtol=1e-6)
    np.testing.assert_allclose(norm.dual(x), exact_norm(x, DUAL_ORDERS[norm.name]), rtol=1e-6)


@every_norm
def test_value_and_derivative_are_zero_at_zero(norm):
    value, gradient = jax.jit(jax.value_and_grad(norm.value))(jnp.zeros(SHAPE))
    assert value == 0.0
    np.testing.assert_array_equal(gradient, np.zeros(SHAPE))


@every_norm
def test_the_derivative_equals_central_differences(norm):
    x, direction = np.asarray(gaussian(1), np.float64), np.asarray(gaussian(2), np.float64)
    order, h = ORDERS[norm.name], 1e-6
    difference = (np.linalg.norm((x + h * direction).ravel(), order)) - (
        np.linalg.norm((x - h * direction).ravel(), order)
    )
    slope = jnp.vdot(jax.grad(norm.value)(jnp.asarray(x, jnp.float32)), direction)
    np.testing.assert_allclose(slope, difference / (2 * h), rtol=1e-4)


def test_the_second_derivative_of_the_l2_norm_is_the_projection_across_x_over_its_length():
    x = gaussian(3, (5,))
    unit = np.asarray(x) / exact_norm(x, 2)
    expected = (np.eye(5) - np.outer(unit, unit)) / exact_norm(x, 2)
    np.testing.assert_allclose(jax.hessian(l2.value)(x), expected, atol=1e-6)


@pytest.mark.parametrize("scale", [1e-30, 1e-20, 1e20, 1e30])
@every_norm
def test_tiny_and_huge_vectors_neither_underflow_nor_overflow(norm, scale):
    x = gaussian(4, (50,))
    np.testing.assert_allclose(norm.value(scale * x) / scale, norm.value(x), rtol=1e-5)
    np.testing.assert_allclose(norm.steepest(scale * x), norm.steepest(x), rtol=1e-5)
    np.testing.assert_allclose(jax.grad(norm.value)(scale * x), jax.grad(norm.value)(x), rtol=1e-5)
    np.testing.assert_allclose(norm.project(scale * x, scale), scale * norm.project(x, 1.0), rtol=1e-5)


@pytest.mark.parametrize("scale", [1e37, 1.2e38, 3e38])
def test_the_l2_norm_holds_up_to_the_largest_numbers(scale):
    x = jnp.array([scale, -scale / 2, 0.0])
    expected = np.array([1.0, -0.5, 0.0]) / np.sqrt(1.25)
    np.testing.assert_allclose(l2.value(x), scale * np.sqrt(1.25), rtol=1e-6)
    np.testing.assert_allclose(l2.steepest(x), expected, rtol=1e-6)
    np.testing.assert_allclose(l2.project(x, 0.1), 0.1 * expected, rtol=1e-6)
    np.testing.assert_allclose(jax.grad(l2.value)(x), expected, rtol=1e-6)


@every_norm
def test_an_infinite_entry_makes_an_infinite_norm_and_what_is_not_a_number_none(norm):
    assert norm.value(jnp.array([1.0, -jnp.inf])) == jnp.inf
    assert jnp.isnan(norm.value(jnp.array([1.0, jnp.nan])))


def test_the_l1_projection_of_points_ten_million_radii_away_is_the_nearest_point():
    for distance in (1e7, 1e12, 1e38):
        x = jnp.array([1.0, -1.0, 0.5, 0.0]) * distance
        np.testing.assert_allclose(l1.project(x, 0.3), [0.15, -0.15, 0.0, 0.0], rtol=1e-6)


@every_norm
def test_steepest_is_a_unit_vector_that_attains_the_dual_norm(norm):
    gradient = gaussian(5)
    direction = norm.steepest(gradient)
    np.testing.assert_allclose(norm.value(direction), 1.0, rtol=1e-6)
    np.testing.assert_allclose(jnp.vdot(direction, gradient), norm.dual(gradient), rtol=1e-6)


@every_norm
def test_steepest_of_zero_is_zero(norm):
    np.testing.assert_array_equal(norm.steepest(jnp.zeros(SHAPE)), np.zeros(SHAPE))


@every_norm
def test_no_unit_vector_beats_the_dual_norm(norm):
    gradient = gaussian(6)
    others = jax.vmap(lambda x: x / norm.value(x))(gaussian(7, (200, *SHAPE)))
    products = jnp.einsum("nijk,ijk->n", others, gradient)
    assert jnp.max(products) <= norm.dual(gradient)


@pytest.mark.parametrize("radius", [1e-3, 0.3, 2.0])
@every_norm
def test_the_projection_satisfies_the_optimality_condition_of_the_nearest_point(norm, radius):
    # p is nearest to x in a convex set iff <x - p, z - p> <= 0 for all z in it; over a ball, the largest <x - p, z> is
    # radius * dual(x - p).
    x = gaussian(8)
    p = norm.project(x, radius)
    residual = np.asarray(x - p, np.float64)
    support = radius * exact_norm(residual, DUAL_ORDERS[norm.name])
    assert exact_norm(p, ORDERS[norm.name]) <= radius * (1 + 1e-6)
    assert support - np.vdot(residual, p) <= 1e-5 * support


@every_norm
def test_the_projection_equals_optax(norm):
    reference = {
        "l1": optax.projections.projection_l1_ball,
        "l2": optax.projections.projection_l2_ball,
        "linf": lambda x, radius: optax.projections.projection_box(x, -radius, radius),
    }
    x = gaussian(9)
    np.testing.assert_allclose(norm.project(x, 0.7), reference[norm.name](x, 0.7), atol=1e-6)


@every_norm
def test_a_point_of_the_ball_is_its_own_projection_bit_for_bit(norm):
    x = gaussian(10)
    radius = norm.value(x)
    np.testing.assert_array_equal(norm.project(x, radius), x)
    np.testing.assert_array_equal(norm.project(x, jnp.inf), x)


@every_norm
def test_the_projection_on_radius_zero_is_zero(norm):
    np.testing.assert_array_equal(norm.project(gaussian(11), 0.0), np.zeros(SHAPE))
    np.testing.assert_array_equal(norm.project(jnp.zeros(SHAPE), 0.0), np.zeros(SHAPE))


@every_norm
def test_the_l1_threshold_and_all_other_projections_are_exact_for_a_large_image(norm):
    x = jax.random.uniform(jax.random.key(12), (224, 224, 3), minval=-1.0)
    for radius in (1.5, 12.0, 200.0):
        length = exact_norm(norm.project(x, radius), ORDERS[norm.name])
        assert length == pytest.approx(min(radius, exact_norm(x, ORDERS[norm.name])), rel=1e-6)


@every_norm
def test_tied_entries_are_shrunk_alike(norm):
    projected = norm.project(jnp.array([2.0, -2.0, 2.0, -2.0]), 1.0)
    expected = {"l1": 0.25, "l2": 0.5, "linf": 1.0}[norm.name]
    np.testing.assert_allclose(projected, expected * np.array([1, -1, 1, -1]), rtol=1e-6)


@every_norm
def test_one_compiled_projection_serves_traced_radii(norm):
    xs, radii = gaussian(13, (3, *SHAPE)), jnp.array([0.0, 0.5, 100.0])
    together = jax.jit(jax.vmap(norm.project))(xs, radii)
    for x, radius, projected in zip(xs, radii, together, strict=True):
        np.testing.assert_allclose(projected, norm.project(x, float(radius)), atol=1e-6)


@every_norm
def test_the_projection_is_differentiable_at_the_center(norm):
    derivative = jax.jacobian(norm.project)(jnp.zeros(4), 1.0)
    np.testing.assert_array_equal(derivative, np.eye(4))


@pytest.fixture(scope="module")
def samples() -> dict[str, np.ndarray]:
    keys = jax.random.split(jax.random.key(14), 4000)
    return {norm.name: np.asarray(jax.vmap(lambda key, n=norm: n.sample(key, (3, 2)))(keys)) for norm in NORMS}


@every_norm
def test_samples_are_in_the_unit_ball_at_the_radii_of_a_uniform_law(norm, samples):
    # The ball of radius t has volume t^n, so ||x||^n is uniform.
    lengths = np.linalg.norm(samples[norm.name].reshape(-1, 6).astype(np.float64), ORDERS[norm.name], axis=1)
    assert lengths.max() <= 1 + 1e-6
    assert scipy.stats.kstest(lengths**6, "uniform").pvalue > 0.01


# Laws of the first entry, and of the first two together, for x uniform in the unit ball of R^6.
ONE_ENTRY = {"l1": ("beta", (1, 6)), "l2": ("beta", (0.5, 3.5)), "linf": ("uniform", ())}
TWO_ENTRIES = {"l1": ("beta", (2, 5)), "l2": ("beta", (1, 3)), "linf": ("triang", (0.5, 0, 2))}


@every_norm
def test_samples_have_the_marginal_laws_of_a_uniform_point(norm, samples):
    power = 2 if norm.name == "l2" else 1
    first, second = (np.abs(samples[norm.name].reshape(-1, 6)[:, column]) ** power for column in (0, 5))
    assert scipy.stats.kstest(first, *ONE_ENTRY[norm.name]).pvalue > 0.01
    assert scipy.stats.kstest(first + second, *TWO_ENTRIES[norm.name]).pvalue > 0.01


@every_norm
def test_signs_of_samples_are_fair_and_independent(norm, samples):
    signs = np.sign(samples[norm.name].reshape(-1, 6))
    correlation = signs.T @ signs / len(signs)
    np.testing.assert_allclose(correlation, np.eye(6), atol=4 / np.sqrt(len(signs)))
    np.testing.assert_allclose(signs.mean(0), 0.0, atol=4 / np.sqrt(len(signs)))


@every_norm
def test_the_largest_norm_of_several_points_is_that_of_each_in_a_ball_of_its_own(norm):
    joint, points, gradients = Largest(norm), gaussian(5), gaussian(6)
    np.testing.assert_allclose(joint.value(points), max(map(norm.value, points)))
    np.testing.assert_allclose(joint.dual(gradients), sum(map(norm.dual, gradients)), rtol=1e-6)
    np.testing.assert_allclose(jnp.sum(gradients * joint.steepest(gradients)), joint.dual(gradients), rtol=1e-5)
    np.testing.assert_allclose(joint.value(joint.steepest(gradients)), 1.0, rtol=1e-5)
    np.testing.assert_allclose(joint.project(points, 0.7), [norm.project(x, 0.7) for x in points], rtol=1e-6)
    draws = joint.sample(jax.random.key(0), SHAPE)
    assert joint.value(draws) <= 1.0
    assert len({float(norm.value(x)) for x in draws}) == len(draws)
