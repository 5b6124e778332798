"""Residual layers with one kernel for both ways have the constant of their symmetric derivative."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lipjax.bounds import audit, global_bound
from lipjax.layers.convolution import convolve
from lipjax.norms import linf

KERNEL = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
NORM = np.linalg.norm(KERNEL, 2)


def residual(scale, activation=jax.nn.relu, back=KERNEL.T):
    return lambda x: x - scale * (activation(x @ KERNEL + 0.1) @ back)


@pytest.mark.parametrize("activation", [jax.nn.relu, jnp.tanh, jax.nn.sigmoid])
def test_a_residual_layer_is_1_lipschitz_up_to_twice_the_inverse_square_of_its_norm(activation):
    report = audit(residual(2.0 / NORM**2, activation), (4,))
    assert report.bound == pytest.approx(1.0, rel=1e-5)
    assert [layer.operation for layer in report.layers] == ["residual layer"]


def test_beyond_it_the_bound_is_the_derivative_where_all_units_are_active():
    scale = 3.0 / NORM**2
    steepest = np.linalg.norm(np.eye(4) - scale * KERNEL @ KERNEL.T, 2)
    assert global_bound(residual(scale), (4,)) == pytest.approx(steepest, rel=1e-4)


@pytest.mark.parametrize("axis", ["dense", "convolution"])
def test_features_may_be_scaled_one_by_one(axis):
    rng = np.random.default_rng(1)
    kernel = rng.normal(size=(4, 6) if axis == "dense" else (3, 3, 2, 4)).astype(np.float32)
    apply, shape = (jnp.matmul, (4,)) if axis == "dense" else (convolve, (5, 6, 2))
    scales = 0.02 * rng.random(kernel.shape[-1]).astype(np.float32)
    flipped = np.flip(np.swapaxes(kernel, -1, -2), tuple(range(kernel.ndim - 2)))

    def f(x):
        there, back = jnp.asarray(kernel), jnp.asarray(-flipped * scales[:, None])
        return x + apply(jax.nn.relu(apply(x, there)), back)

    assert global_bound(lambda x: f(x[None])[0], shape) == pytest.approx(1.0, rel=1e-5)


def test_what_is_not_such_a_layer_keeps_the_sum_of_its_branches():
    other = np.random.default_rng(2).normal(size=(6, 4)).astype(np.float32)
    scale = 1.0 / NORM**2
    for f in (
        residual(-scale),
        residual(scale, back=other),
        residual(scale, activation=lambda x: jax.nn.relu(2.0 * x)),
    ):
        report = audit(f, (4,))
        assert report.bound > 1.5
        assert "sum of branches" in [layer.operation for layer in report.layers]


def test_the_bound_in_other_norms_is_the_sum_over_branches():
    f, x = residual(2.0 / NORM**2), jax.random.normal(jax.random.key(0), (50, 4))
    bound = global_bound(f, (4,), norm_in=linf)
    steepest = jnp.max(jnp.sum(jnp.abs(jax.vmap(jax.jacobian(f))(x)), axis=2))
    assert 1.0 < steepest <= bound
