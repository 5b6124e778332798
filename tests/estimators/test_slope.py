"""Slopes against closed forms."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lipjax.estimators import ascent_slope, sampled_slope
from lipjax.norms import Norm, l1, l2, linf

NORMS = (linf, l2, l1)
MATRIX = np.random.default_rng(0).normal(size=(3, 4))


def operator_norm(matrix: np.ndarray, norm_in: Norm, norm_out: Norm) -> float:
    """The exact norm: from the vertices of a ball's polytope, by duality, or from the singular values."""
    order = {"linf": np.inf, "l2": 2, "l1": 1}
    dual = {"linf": l1, "l2": l2, "l1": linf}
    vertices = {
        "linf": np.array(list(itertools.product([-1.0, 1.0], repeat=matrix.shape[1]))),
        "l1": np.eye(matrix.shape[1]),
    }
    if norm_in is l2 and norm_out is l2:
        return float(np.linalg.norm(matrix, 2))
    if norm_in is l2:
        return operator_norm(matrix.T, dual[norm_out.name], l2)
    return float(np.linalg.norm(vertices[norm_in.name] @ matrix.T, order[norm_out.name], axis=1).max())


@pytest.mark.parametrize("norm_out", NORMS, ids=lambda norm: norm.name)
@pytest.mark.parametrize("norm_in", NORMS, ids=lambda norm: norm.name)
def test_a_linear_map_has_its_operator_norm_at_every_radius(norm_in: Norm, norm_out: Norm, key: jax.Array) -> None:
    @jax.jit
    def slope(radius: float) -> jax.Array:
        estimator = ascent_slope(radius, norm_in=norm_in, norm_out=norm_out, bounds=None)
        return estimator(key, lambda x: jnp.asarray(MATRIX) @ x, jnp.ones(4)).value

    exact = operator_norm(MATRIX, norm_in, norm_out)
    np.testing.assert_allclose([slope(0.1), slope(1.0), slope(30.0)], exact, rtol=5e-3)


@pytest.mark.parametrize("constructor", [ascent_slope, sampled_slope])
def test_a_value_is_the_quotient_at_its_witness(constructor, key: jax.Array) -> None:
    def f(x: jax.Array) -> jax.Array:
        return jnp.sin(3.0 * x) + x[::-1] ** 2

    x = jnp.linspace(0.0, 1.0, 5)
    value, witness = constructor(0.3, norm_in=linf, norm_out=l2)(key, f, x)
    step = np.asarray(witness, np.float64) - np.asarray(x, np.float64)
    assert np.abs(step).max() <= 0.3 * (1 + 1e-6)
    assert witness.min() >= 0.0
    assert witness.max() <= 1.0
    expected = np.linalg.norm(np.asarray(f(witness) - f(x), np.float64)) / np.abs(step).max()
    np.testing.assert_allclose(value, expected, rtol=1e-5)


def test_a_constant_has_slope_zero(key: jax.Array) -> None:
    estimate = ascent_slope(0.1)(key, lambda x: jnp.full(3, 7.0), jnp.full(2, 0.5))
    assert estimate.value == 0.0


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="radius must be positive, got -1"):
        ascent_slope(-1.0)
    with pytest.raises(ValueError, match="num_samples must be a whole number of at least 1, got 0"):
        sampled_slope(0.1, num_samples=0)
