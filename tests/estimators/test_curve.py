"""Curves over points and radii."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lipjax.estimators import curve, sampled_slope, slope_curve
from lipjax.norms import l2, linf


def bumps(x: jax.Array) -> jax.Array:
    return jnp.stack([jnp.sin(5.0 * x).sum(), jnp.maximum(x, 0.4).sum()])


@pytest.fixture(scope="module")
def xs() -> np.ndarray:
    return np.random.default_rng(0).uniform(size=(10, 3)).astype(np.float32)


def test_the_squared_length_has_slope_two_lengths_plus_radius(xs: np.ndarray, key: jax.Array) -> None:
    radii = np.array([0.01, 0.123, 1.0, 4.0])
    slopes = slope_curve(key, lambda x: x @ x, xs, radii, bounds=None)
    expected = 2 * np.linalg.norm(xs, axis=1)[:, None] + radii
    np.testing.assert_allclose(slopes.values, expected, rtol=1e-3)


def test_curves_never_decrease_and_do_not_depend_on_the_chunk_size(xs: np.ndarray, key: jax.Array) -> None:
    radii = [0.05, 0.1, 0.2, 0.4, 0.8]
    curves = [slope_curve(key, bumps, xs, radii, norm_in=linf, chunk_size=size) for size in (1, 4, 64)]
    assert np.all(np.diff(curves[0].values, axis=1) >= 0)
    for other in curves[1:]:
        np.testing.assert_allclose(other.values, curves[0].values, rtol=1e-5)
        np.testing.assert_array_equal(other.steepest, curves[0].steepest)


def test_every_value_has_its_witness_or_every_radius_the_steepest(xs: np.ndarray, key: jax.Array) -> None:
    radii = [0.1, 0.3]
    every = slope_curve(key, bumps, xs, radii, chunk_size=3, keep_witnesses=True)
    steepest = slope_curve(key, bumps, xs, radii, chunk_size=3)
    assert every.witnesses.shape == (10, 2, 3)
    for j in range(2):
        row = steepest.steepest[j]
        assert steepest.values[row, j] == steepest.maximum[j]
        np.testing.assert_allclose(steepest.witnesses[j], every.witnesses[row, j], rtol=1e-5)
        step = steepest.witnesses[j] - xs[row]
        quotient = l2.value(bumps(steepest.witnesses[j]) - bumps(xs[row])) / l2.value(step)
        np.testing.assert_allclose(quotient, steepest.maximum[j], rtol=1e-5)


def test_radii_may_differ_between_points(xs: np.ndarray, key: jax.Array) -> None:
    shared = slope_curve(key, bumps, xs, [0.1, 0.3])
    radii = np.tile([0.1, 0.3], (10, 1))
    radii[5] = [0.2, 0.05]
    own = slope_curve(key, bumps, xs, radii)
    rows = np.arange(10) != 5
    np.testing.assert_allclose(own.values[rows], shared.values[rows], rtol=1e-5)
    assert own.values[5, 0] >= own.values[5, 1]


def test_adding_a_radius_changes_no_other_value(xs: np.ndarray, key: jax.Array) -> None:
    few = slope_curve(key, bumps, xs, [0.1, 0.45, 0.9])
    many = slope_curve(key, bumps, xs, [0.03, 0.1, 0.2, 0.3, 0.45, 0.6, 0.9, 3.0])
    np.testing.assert_array_equal(many.values[:, jnp.array([1, 4, 6])], few.values)


def test_one_compilation_serves_all_radii_and_points(xs: np.ndarray, key: jax.Array) -> None:
    traces = []

    def counted(x: jax.Array) -> jax.Array:
        traces.append(x.shape)
        return bumps(x)

    curve(key, sampled_slope, counted, xs, [0.1, 0.2, 0.3])
    first = len(traces)
    curve(key, sampled_slope, counted, xs + 0.1, [0.4, 0.5, 0.6])
    assert len(traces) == first
