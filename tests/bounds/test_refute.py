"""False claims are refuted by pairs that NumPy checks alone; true ones never are."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lipjax.bounds import global_bound, refute
from lipjax.norms import l1, l2, linf
from lipjax.operators import conv_norm, power

EVERYWHERE = {norm: norm.ball(np.inf, box=None) for norm in (l1, l2, linf)}
RNG = np.random.default_rng(0)
SHAPE = (5, 5, 2)
KERNEL = RNG.normal(size=(2, 2, 2, 3)).astype(np.float32)
WEIGHTS = [RNG.normal(size=shape).astype(np.float32) for shape in ((6, 5), (5, 4))]


def conv(x, stride=1):
    layout = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x[None], KERNEL, (stride, stride), "SAME", dimension_numbers=layout)[0]


def overlapping(x, window=2, stride=1):
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (window, window, 1), (stride, stride, 1), "VALID")


def orthogonal(x):
    return jnp.asarray(np.linalg.qr(WEIGHTS[0])[0].T) @ x


def mlp(x):
    return jax.nn.relu(x @ WEIGHTS[0]) @ WEIGHTS[1]


FALSE = {
    "a scaled layer": (lambda x: 1.01 * orthogonal(x), (6,), 1.0),
    "the norm of the flattened kernel": (conv, SHAPE, float(np.linalg.norm(KERNEL.reshape(-1, 3), 2))),
    "power iteration that has not converged": (
        conv,
        SHAPE,
        conv_norm(KERNEL, SHAPE, method=power(num_steps=2)),
    ),
    "max pooling with overlapping windows": (overlapping, (4, 4, 1), 1.0),
    "the same on a smaller image": (conv, SHAPE, conv_norm(KERNEL, (2, 2, 2))),
    "half of the rows of the flattened kernel": (
        lambda x: conv(x, 2),
        SHAPE,
        float(np.linalg.norm(KERNEL[0].reshape(-1, 3), 2)),
    ),
    "max pooling with windows that overlap by one": (lambda x: overlapping(x, 3, 2), (5, 5, 1), 1.0),
    "a residual layer taken for its branch": (lambda x: x[:5] + 0.5 * orthogonal(x), (6,), 1.0),
    "a scaled layer behind another": (lambda x: 1.001 * jnp.tanh(orthogonal(x)), (6,), 1.0),
    "the spectral norm of one layer": (mlp, (6,), 0.5 * float(np.linalg.norm(WEIGHTS[0] @ WEIGHTS[1], 2))),
}


@pytest.mark.parametrize("name", FALSE)
def test_a_false_claim_is_refuted_and_numpy_alone_sees_why(name, tmp_path):
    f, shape, claimed = FALSE[name]
    found = refute(f, claimed, jnp.full(shape, 0.5), EVERYWHERE[l2])
    assert found.verdict == "false"
    found.save(tmp_path / "witness.npz")
    with np.load(tmp_path / "witness.npz") as witness:
        (u, v), (at_u, at_v) = witness["pair"], witness["outputs"]
        rise = np.maximum(np.abs(at_u - at_v) - witness["rounding"], 0.0)
        assert np.linalg.norm(rise.ravel(), witness["exponent_out"]) > witness["claimed"] * np.linalg.norm(
            (u - v).ravel(), witness["exponent_in"]
        )
    np.testing.assert_allclose(jax.vmap(f)(found.pair.astype(np.float32)), found.outputs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("norm", EVERYWHERE, ids=str)
def test_the_exact_norm_of_a_linear_map_is_attained_and_not_refuted(norm):
    exact = conv_norm(KERNEL, SHAPE, norm=norm)
    found = refute(conv, exact, jnp.full(SHAPE, 0.5), EVERYWHERE[norm])
    assert found.verdict != "false"
    assert 0.99 * exact <= found.quotient <= exact * (1 + 1e-12) <= found.upper * (1 + 1e-6)
    assert refute(conv, 0.98 * exact, jnp.full(SHAPE, 0.5), EVERYWHERE[norm]).verdict == "false"


def test_true_claims_are_certified_or_left_open_and_the_pair_is_in_the_ball():
    x, ball = jnp.array([0.2, 0.9, 0.1, 0.5, 0.0, 1.0]), l2.ball(0.1)
    upper = global_bound(mlp, (6,))
    found = refute(mlp, upper, x, ball)
    assert found.verdict == "true"
    assert np.all((found.pair >= 0.0) & (found.pair <= 1.0))
    assert np.all(np.linalg.norm(found.pair - np.asarray(x, np.float64), axis=1) <= 0.1)
    assert refute(mlp, found.quotient, x, ball).verdict != "false"


def test_a_constant_function_and_a_claim_of_zero():
    assert refute(lambda x: jnp.ones(2), 0.0, jnp.zeros(2), EVERYWHERE[l2]).verdict == "true"
    with pytest.raises(ValueError, match="claimed"):
        refute(mlp, -1.0, jnp.zeros(6), EVERYWHERE[l2])
