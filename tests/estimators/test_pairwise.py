"""The witnesses of pairwise slopes; see test_closed_forms.py and test_brackets.py for their values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_slope import MATRIX, operator_norm

from lipjax.estimators import pairwise_slope
from lipjax.norms import Norm, l1, l2, linf


@pytest.mark.parametrize(("norm_in", "norm_out"), [(linf, l2), (l1, linf)], ids=["linf-l2", "l1-linf"])
def test_the_witness_is_a_pair_of_the_ball_and_the_box(norm_in: Norm, norm_out: Norm, key: jax.Array) -> None:
    x = jnp.array([0.1, 0.5, 0.9, 0.2])
    estimator = pairwise_slope(norm_in.ball(0.2), norm_out=norm_out, num_restarts=2)
    value, pair = estimator(key, lambda x: jnp.asarray(MATRIX, x.dtype) @ x, x)
    first, second = np.asarray(pair, np.float64)
    for point in (first, second):
        assert norm_in.value(jnp.asarray(point - x, jnp.float32)) <= 0.2 * (1 + 1e-5)
        assert point.min() >= 0.0
        assert point.max() <= 1.0
    quotient = norm_out.value(jnp.asarray(MATRIX @ (first - second))) / norm_in.value(jnp.asarray(first - second))
    np.testing.assert_allclose(value, quotient, rtol=1e-4)
    np.testing.assert_allclose(value, operator_norm(MATRIX, norm_in, norm_out), rtol=1e-3)
