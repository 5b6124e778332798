"""The Jacobian's norm agrees with matrix norms in NumPy, and its witness attains it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lipjax.estimators import jacobian_norm
from lipjax.norms import Norm, l1, l2, linf

MATRIX = np.asarray(jax.random.normal(jax.random.key(3), (5, 7)))
SPECTRAL = np.linalg.norm(MATRIX, 2)
ROWS = np.linalg.norm(MATRIX, axis=1)
EXACT = {
    ("l2", "l2"): SPECTRAL,
    ("linf", "linf"): np.abs(MATRIX).sum(1).max(),
    ("l1", "l1"): np.abs(MATRIX).sum(0).max(),
    ("l2", "linf"): ROWS.max(),
    ("l1", "l2"): np.linalg.norm(MATRIX, axis=0).max(),
    ("l1", "linf"): np.abs(MATRIX).max(),
}


@pytest.mark.parametrize(("norm_in", "norm_out"), [(l2, l2), (linf, linf), (l1, l1), (l2, linf), (l1, l2), (l1, linf)])
def test_of_a_linear_map_it_is_the_matrix_norm(norm_in: Norm, norm_out: Norm) -> None:
    estimate = jax.jit(lambda x: jacobian_norm(norm_in=norm_in, norm_out=norm_out)(jax.random.key(0), f, x))
    f = lambda x: jnp.asarray(MATRIX) @ x  # noqa: E731
    value, direction = estimate(jnp.ones(7))
    np.testing.assert_allclose(value, EXACT[norm_in.name, norm_out.name], rtol=1e-3)
    np.testing.assert_allclose(norm_in.value(direction), 1.0, rtol=1e-5)
    np.testing.assert_allclose(norm_out.value(jnp.asarray(MATRIX) @ direction), value, rtol=1e-5)


def test_of_a_smooth_function_it_is_the_norm_of_its_jacobian_matrix() -> None:
    def f(x: jax.Array) -> jax.Array:
        return jnp.sin(jnp.asarray(MATRIX) @ x).reshape(1, 5)

    x = jnp.linspace(-1, 1, 7)
    expected = np.linalg.norm(np.asarray(jax.jacobian(f)(x)).reshape(5, 7), 2)
    np.testing.assert_allclose(jacobian_norm()(jax.random.key(1), f, x).value, expected, rtol=1e-3)


def test_a_constant_has_norm_zero() -> None:
    assert jacobian_norm()(jax.random.key(0), lambda x: jnp.ones(3) + 0 * x[:3], jnp.ones(4)).value == 0


def test_counts_below_one_are_refused() -> None:
    with pytest.raises(ValueError, match="num_steps must be"):
        jacobian_norm(num_steps=0)
