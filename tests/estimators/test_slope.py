"""Slopes of linear maps in all pairs of norms, the box, witnesses, rounding; and how perturbations are drawn."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lipjax.estimators import ascent_slope, growing_slope, in_ball, on_sphere, sampled_slope, slope_curve
from lipjax.norms import Norm, l1, l2, linf
from lipjax.values import number

NORMS = (linf, l2, l1)
MATRIX = np.random.default_rng(0).normal(size=(3, 4))


def operator_norm(matrix: np.ndarray, norm_in: Norm, norm_out: Norm) -> float:
    """The exact norm: from the vertices of a ball's polytope, by duality, or from the singular values."""
    dual = {np.inf: l1, 2.0: l2, 1.0: linf}
    vertices = {np.inf: list(itertools.product([-1.0, 1.0], repeat=matrix.shape[1])), 1.0: np.eye(matrix.shape[1])}
    if norm_in.exponent == norm_out.exponent == 2.0:
        return float(np.linalg.norm(matrix, 2))
    if norm_in.exponent == 2.0:
        return operator_norm(matrix.T, dual[norm_out.exponent], l2)
    return float(np.linalg.norm(np.array(vertices[norm_in.exponent]) @ matrix.T, norm_out.exponent, axis=1).max())


def slopes(f, x, radii, key: jax.Array, **settings) -> np.ndarray:
    """Slopes at one point by the search that all radii share."""
    return np.asarray(slope_curve(key, f, jnp.asarray(x)[None], radii, **settings).values[0])


class of_index(Norm):
    """One of the norms by a traced index, so that one program serves all of them."""

    index: jax.Array = number()

    def switched(self, method: str, *arguments: jax.Array, **settings: tuple[int, ...]) -> jax.Array:
        return jax.lax.switch(self.index, [partial(getattr(norm, method), **settings) for norm in NORMS], *arguments)

    def value(self, x: jax.Array) -> jax.Array:
        return self.switched("value", x)

    def project(self, x: jax.Array, radius: jax.Array) -> jax.Array:
        return self.switched("project", x, radius)

    def steepest(self, gradient: jax.Array) -> jax.Array:
        return self.switched("steepest", gradient)

    def sample(self, key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
        return self.switched("sample", key, shape=shape)


def test_a_linear_map_has_its_operator_norm_at_every_radius_for_all_pairs_of_norms(key: jax.Array) -> None:
    def linear(x: jax.Array) -> jax.Array:
        return jnp.asarray(MATRIX, x.dtype) @ x

    radii, x = jnp.array([0.1, 1.0, 30.0]), jnp.ones(4)

    def of_pair(pair: jax.Array) -> tuple[jax.Array, jax.Array]:
        norm_in, norm_out = map(of_index, pair)

        def single(radius: jax.Array) -> jax.Array:
            return ascent_slope(norm_in.ball(radius, box=None), norm_out=norm_out)(key, linear, x).value

        together = growing_slope(norm_in.ball(1.0, box=None), norm_out=norm_out).along(key, linear, x, radii)
        return together.value, jax.lax.map(single, radii)

    pairs = list(itertools.product(range(3), repeat=2))
    exact = [operator_norm(MATRIX, NORMS[i], NORMS[j]) for i, j in pairs]
    for found in jax.jit(lambda pairs: jax.lax.map(of_pair, pairs))(jnp.array(pairs)):
        np.testing.assert_allclose(found, np.array(exact)[:, None] * np.ones(3), rtol=1e-4)


def test_balls_that_reach_beyond_the_box_are_clipped(key: jax.Array) -> None:
    x = np.array([0.2, 0.9], np.float32)
    found = slopes(lambda x: x @ x, x, [0.1, 10.0], key)
    points = np.stack(np.meshgrid(*[np.linspace(0, 1, 1001)] * 2), -1).reshape(-1, 2)
    steps = points - x.astype(np.float64)
    exact = (np.abs((steps * (points + x)).sum(1)) / np.linalg.norm(steps, axis=1)).max()
    np.testing.assert_allclose(found[1], exact, rtol=1e-3)


@pytest.mark.parametrize("constructor", [ascent_slope, sampled_slope])
def test_a_value_is_the_quotient_at_its_witness(constructor, key: jax.Array) -> None:
    def f(x: jax.Array) -> jax.Array:
        return jnp.sin(3.0 * x) + x[::-1] ** 2

    x = jnp.linspace(0.0, 1.0, 5)
    value, witness = constructor(linf.ball(0.3))(key, f, x)
    step = np.asarray(witness, np.float64) - np.asarray(x, np.float64)
    assert np.abs(step).max() <= 0.3 * (1 + 1e-6)
    assert witness.min() >= 0.0
    assert witness.max() <= 1.0
    expected = np.linalg.norm(np.asarray(f(witness) - f(x), np.float64)) / np.abs(step).max()
    np.testing.assert_allclose(value, expected, rtol=1e-4)  # less what rounding may have added
    assert value <= expected * (1 + 1e-6)


def test_rounding_is_not_taken_for_steepness(key: jax.Array) -> None:
    def shifted(x: jax.Array) -> jax.Array:  # slope 1, but differences of 1000 + x are multiples of 6e-5
        return 1000.0 + x

    x = np.full(3, 0.4, np.float32)
    assert slopes(shifted, x, [1e-3, 0.01, 0.1], key).max() <= 1.0
    assert ascent_slope(l2.ball(0.1))(key, shifted, jnp.asarray(x)).value <= 1.001


def test_perturbations_follow_their_laws(key: jax.Array) -> None:
    keys = jax.random.split(key, 500)
    for norm in NORMS:
        on = jax.vmap(lambda k, norm=norm: on_sphere(norm)(k, (3, 2)))(keys)
        np.testing.assert_allclose(jax.vmap(norm.value)(on), 1.0, rtol=1e-5)
        within = jax.vmap(norm.value)(jax.vmap(lambda k, norm=norm: in_ball(norm)(k, (3, 2)))(keys))
        assert within.max() <= 1.0 + 1e-5
        np.testing.assert_allclose(within.mean(), 6 / 7, atol=0.02)  # the mean of U^(1/6)


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="radius must be positive, got 0"):
        ascent_slope(l2.ball(0.0))
    with pytest.raises(ValueError, match="num_samples must be a whole number of at least 1, got 0"):
        sampled_slope(num_samples=0)
    with pytest.raises(ValueError, match="num_samples must be a whole number of at least 3, got 2"):
        growing_slope(num_samples=2, num_restarts=3)
