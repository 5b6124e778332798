"""The slope penalty is what it says, on maps whose slope is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array
from linear_models import linear

from lipjax import norms
from lipjax.methods import local_slope
from lipjax.types import Batch, Scalar

BATCH = Batch(jnp.array([[0.5, 0.5, 0.5], [0.1, 0.9, 0.4]]), jnp.array([0, 1]))
MATRIX = jnp.array([[2.0, -1.0], [0.5, 1.0], [1.0, 3.0]])


@pytest.fixture(scope="module")
def term():
    """The penalty term for a linear map with this matrix."""
    method = local_slope(norms.l2.ball(0.1, None), weight=2.0, alpha=1.0, num_steps=60)

    def of(matrix: Array) -> Scalar:
        model = linear(matrix)
        return method.penalize(jax.random.key(0), model, BATCH, model(BATCH.inputs)[0])["local_slope"]

    return jax.jit(jax.value_and_grad(of))


def test_a_steep_linear_map_pays_the_square_of_its_excess_norm(term) -> None:
    spectral = np.linalg.svd(MATRIX, compute_uv=False)[0]
    np.testing.assert_allclose(term(MATRIX)[0], 2.0 * (spectral - 1.0) ** 2, rtol=1e-3)


def test_the_gradient_is_that_of_the_spectral_norm(term) -> None:
    u, s, vt = np.linalg.svd(MATRIX, full_matrices=False)
    np.testing.assert_allclose(term(MATRIX)[1], 4.0 * (s[0] - 1.0) * np.outer(u[:, 0], vt[0]), rtol=0.02, atol=0.02)


def test_a_flat_map_pays_nothing_and_gets_no_gradient(term) -> None:
    value, gradient = term(0.2 * MATRIX)
    assert value == 0.0
    assert not np.any(gradient)


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="alpha must be 0 or greater"):
        local_slope(alpha=-1.0)
    with pytest.raises(ValueError, match="radius must be positive"):
        local_slope(norms.l2.ball(0.0))
