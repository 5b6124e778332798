"""The Jacobian's operator norm against exact norms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_slope import MATRIX, NORMS, operator_norm

from lipjax.estimators import jacobian_norm
from lipjax.norms import Norm


@pytest.mark.parametrize("norm_out", NORMS, ids=lambda norm: norm.name)
@pytest.mark.parametrize("norm_in", NORMS, ids=lambda norm: norm.name)
def test_the_jacobian_of_a_linear_map_is_the_map(norm_in: Norm, norm_out: Norm, key: jax.Array) -> None:
    estimator = jacobian_norm(norm_in, norm_out)
    value, direction = estimator(key, lambda x: jnp.asarray(MATRIX, x.dtype) @ x, jnp.ones(4))
    np.testing.assert_allclose(value, operator_norm(MATRIX, norm_in, norm_out), rtol=1e-5)
    np.testing.assert_allclose(norm_in.value(direction), 1.0, rtol=1e-5)
    np.testing.assert_allclose(norm_out.value(jnp.asarray(MATRIX, jnp.float32) @ direction), value, rtol=1e-5)


def test_images_in_and_many_outputs_out(key: jax.Array) -> None:
    matrix = np.random.default_rng(1).normal(size=(40, 12)).astype(np.float32)

    def f(image: jax.Array) -> jax.Array:
        return (matrix @ jnp.sin(image).ravel()).reshape(5, 8)

    image = jnp.linspace(0.0, 1.0, 12).reshape(2, 2, 3)
    exact = np.linalg.norm(matrix * np.cos(image).ravel(), 2)
    np.testing.assert_allclose(jacobian_norm(num_steps=100)(key, f, image).value, exact, rtol=1e-4)


def test_a_constant_has_no_jacobian(key: jax.Array) -> None:
    assert jacobian_norm()(key, lambda x: jnp.full(2, 3.0), jnp.ones(3)).value == 0.0
