"""Curves over points and radii."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lipjax.estimators import (
    Curve,
    LocalEstimator,
    curve,
    growing_slope,
    jacobian_norm,
    logit_gaps,
    probabilities,
    sampled_slope,
    slope_curve,
)
from lipjax.norms import l2
from lipjax.types import Batch, pixels


def bumps(x: jax.Array) -> jax.Array:
    return jnp.stack([jnp.sin(5.0 * x).sum(), jnp.maximum(x, 0.4).sum()])


@pytest.fixture(scope="module")
def xs() -> np.ndarray:
    return np.random.default_rng(0).uniform(size=(10, 3)).astype(np.float32)


RADII = [0.1, 0.2, 0.45, 0.9]
CHEAP = growing_slope(num_samples=2, num_steps=1, num_restarts=1)


@pytest.fixture(scope="module")
def shared(xs: np.ndarray) -> Curve:
    """The curve that others are compared with."""
    return slope_curve(jax.random.key(0), bumps, xs, RADII)


def test_the_squared_length_has_slope_two_lengths_plus_radius(xs: np.ndarray, key: jax.Array) -> None:
    radii = np.array([0.01, 0.123, 1.0, 4.0])
    slopes = slope_curve(key, lambda x: x @ x, xs, radii, box=None)
    expected = 2 * np.linalg.norm(xs, axis=1)[:, None] + radii
    np.testing.assert_allclose(slopes.values, expected, rtol=1e-3)


def test_curves_never_decrease_and_do_not_depend_on_the_chunk_size(
    shared: Curve, xs: np.ndarray, key: jax.Array
) -> None:
    assert np.all(np.diff(shared.values, axis=1) >= 0)
    for size in (1, 4):
        other = slope_curve(key, bumps, xs, RADII, chunk_size=size)
        np.testing.assert_allclose(other.values, shared.values, rtol=1e-5)
        np.testing.assert_array_equal(other.steepest, shared.steepest)


def test_every_value_has_its_witness_or_every_radius_the_steepest(
    shared: Curve, xs: np.ndarray, key: jax.Array
) -> None:
    every = slope_curve(key, bumps, xs, RADII, keep_witnesses=True)
    assert every.witnesses.shape == (10, 4, 3)
    for j, row in enumerate(shared.steepest):
        assert shared.values[row, j] == shared.maximum[j]
        np.testing.assert_allclose(shared.witnesses[j], every.witnesses[row, j], rtol=1e-5)
        steps = every.witnesses[:, j] - xs
        quotients = jax.vmap(l2.value)(jax.vmap(bumps)(every.witnesses[:, j]) - jax.vmap(bumps)(xs))
        quotients /= jax.vmap(l2.value)(steps)
        np.testing.assert_allclose(quotients, every.values[:, j], rtol=5e-5)  # less what rounding may have added
        assert np.all(quotients >= every.values[:, j] * (1 - 1e-6))


def test_radii_may_differ_between_points(shared: Curve, xs: np.ndarray, key: jax.Array) -> None:
    radii = np.tile(RADII, (10, 1))
    radii[5] = [0.2, 0.05, 0.3, 0.1]
    own = slope_curve(key, bumps, xs, radii)
    rows = np.arange(10) != 5
    np.testing.assert_allclose(own.values[rows], shared.values[rows], rtol=1e-5)
    assert own.values[5, 2] >= own.values[5, 0] >= own.values[5, 3] >= own.values[5, 1]


def test_adding_a_radius_changes_no_other_value(shared: Curve, xs: np.ndarray, key: jax.Array) -> None:
    many = slope_curve(key, bumps, xs, [0.03, 0.1, 0.2, 0.3, 0.45, 0.6, 0.9, 3.0])
    np.testing.assert_array_equal(many.values[:, jnp.array([1, 2, 4, 6])], shared.values)


def test_one_compilation_serves_all_radii_points_weights_and_numbers_of_estimators(
    xs: np.ndarray, key: jax.Array
) -> None:
    traces = []

    def counted(weight: jax.Array, x: jax.Array) -> jax.Array:
        traces.append(x.shape)
        return bumps(weight * x)

    def search(weight: float, estimator: LocalEstimator, points: np.ndarray, radii: list[float]) -> Curve:
        return curve(key, estimator, jax.tree_util.Partial(counted, jnp.asarray(weight)), points, radii)

    search(1.0, sampled_slope(l2.ball(1.0)), xs, [0.1, 0.2, 0.3])
    first = len(traces)
    search(2.0, sampled_slope(l2.ball(0.5)), 0.9 * xs, [0.4, 0.5, 0.6])
    assert len(traces) == first


def test_statistics_are_over_points_and_resampling_shows_their_spread(shared: Curve, key: jax.Array) -> None:
    np.testing.assert_allclose(shared.quantiles([0.0, 1.0])[1], shared.maximum, rtol=1e-6)
    np.testing.assert_allclose(shared.quantiles([0.5])[0], np.median(shared.values, axis=0), rtol=1e-6)
    low, high = shared.interval(key, partial(jnp.mean, axis=0), num_resamples=2000)
    error = np.std(shared.values, axis=0) / np.sqrt(10)
    np.testing.assert_allclose(high - low, 2 * 1.96 * error, rtol=0.15)
    assert np.all((low < shared.mean) & (shared.mean < high))
    _, top = shared.interval(key, partial(jnp.max, axis=0), num_resamples=100)
    assert np.all(top <= shared.maximum)


def test_labels_reach_functions_of_an_input_and_its_label(xs: np.ndarray, key: jax.Array) -> None:
    labels = np.arange(10) % 2
    gaps, reversed_gaps = (
        curve(key, sampled_slope(), logit_gaps(f), Batch(xs, of_points), [0.1])
        for f, of_points in (
            (lambda x: jnp.stack([x[0], 3.0 * x[1]]), labels),
            (lambda x: jnp.stack([3.0 * x[1], x[0]]), 1 - labels),
        )
    )
    np.testing.assert_allclose(gaps.values, reversed_gaps.values, rtol=1e-5)


def test_the_probabilities_of_two_classes_are_at_most_a_quarter_root_two_as_steep_as_their_difference(
    key: jax.Array,
) -> None:
    f = probabilities(lambda x: jnp.stack([x[0], -x[0]]))  # p = sigmoid(2 x), dp = 2 p (1 - p) dx in both classes
    found = slope_curve(key, f, np.zeros((1, 1), np.float32), [0.01, 0.1], box=None)
    np.testing.assert_allclose(found.values, np.sqrt(2) * 0.5, rtol=4e-3)


@pytest.mark.parametrize(
    ("xs", "radii", "message"),
    [
        (jnp.full((2, 3), 5.0), [0.1], r"xs must be within box = \(0.0, 1.0\), got numbers from 5 to 5"),
        (jnp.full((2, 3), jnp.nan), [0.1], "xs must be finite numbers"),
        (jnp.ones((2, 3), jnp.int32), [0.1], "inputs must be uint8 levels or floats, got int32"),
        (jnp.ones((0, 3)), [0.1], r"xs must have at least one entry, got shape \(0, 3\)"),
        (jnp.ones((2, 3)), jnp.ones((3, 2)), r"radii must be \[radii\] or \[points, radii\], got shape \(3, 2\) for 2"),
        (jnp.ones((2, 3)), [], r"radii must have at least one entry, got shape \(0,\)"),
    ],
)
def test_points_that_make_no_sense_are_refused(key: jax.Array, xs: jax.Array, radii: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        slope_curve(key, lambda x: x, xs, radii)


def test_levels_count_as_pixels(key: jax.Array) -> None:
    levels = np.array([[0, 51, 255]], np.uint8)
    of_levels, of_pixels = (curve(key, CHEAP, jnp.sin, xs, [0.01]).values for xs in (levels, pixels(levels)))
    np.testing.assert_array_equal(of_levels, of_pixels)


def test_a_function_that_is_not_a_number_has_no_slope(key: jax.Array) -> None:
    xs = jnp.array([[0.2, 0.5], [0.7, 0.5]])
    found = curve(key, CHEAP, lambda x: jnp.where(x[0] < 0.4, jnp.nan, 2.0 * x), xs, [0.01])
    assert np.isnan(found.values[0, 0])
    np.testing.assert_allclose(found.values[1, 0], 2.0, rtol=1e-3)


def test_an_estimator_without_a_ball_is_refused_by_name(key: jax.Array) -> None:
    with pytest.raises(TypeError, match=r"needs an estimator of a ball.*got jacobian_norm\(\)"):
        curve(key, jacobian_norm(), jnp.sin, np.ones((1, 2), np.float32), [0.1])
