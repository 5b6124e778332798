"""Every kind of layer that users write has bounds on balls, above all Jacobians found there."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lipjax.bounds import audit, global_bound, local_bound
from lipjax.bounds.activations import ACTIVATIONS
from lipjax.norms import l2

SHAPE = (4, 4, 2)


def grouped(x):
    return jnp.sort(x.reshape(-1, 2), -1).ravel()


LAYERS = {
    "max pooling": lambda x: nn.max_pool(x, (2, 2), (2, 2)),
    "overlapping max pooling": lambda x: nn.max_pool(x[..., :1], (2, 2), (1, 1)),
    "maxout": lambda x: jnp.max(x.reshape(8, 4), -1),
    "minimum of two": lambda x: jnp.minimum(x[0], x[1]),
    "GroupSort": grouped,
}


STEEPEST = {
    "softplus": 1.0, "soft_sign": 1.0, "hard_tanh": 1.0, "log_sigmoid": 1.0, "silu": 1.0998393, "mish": 1.0884982,
    "hard_silu": 1.5, "selu": 1.7580993, "elu": 1.0, "celu": 1.0, "relu6": 1.0,
}  # fmt: skip


@pytest.mark.parametrize("name", STEEPEST)
def test_a_function_of_one_entry_has_its_steepest_slope_everywhere_and_is_recognised_by_its_program(name):
    assert global_bound(getattr(jax.nn, name), (3,)) == pytest.approx(STEEPEST[name], rel=1e-5)


def test_a_function_with_the_name_of_another_is_not_taken_for_it():
    def silu(x):
        return 3.0 * x

    assert global_bound(jax.jit(silu), (3,)) == pytest.approx(3.0)


@pytest.mark.parametrize("name", ["softplus", "soft_sign", "hard_tanh", "silu", "mish", "hard_silu", "erfc"])
def test_values_lines_and_slopes_of_an_activation_enclose_it(name):
    rng, function = np.random.default_rng(0), ACTIVATIONS[name]()
    low = jnp.asarray(rng.uniform(-6, 6, 300), jnp.float32)
    high = low + jnp.asarray(rng.exponential(2, 300), jnp.float32)
    points = low + jnp.linspace(0.0, 1.0, 33)[1:-1, None] * (high - low)
    values, derivatives = function.value(points), jax.vmap(jax.vmap(jax.grad(function.value)))(points)
    lower_slope, lower_shift, upper_slope, upper_shift = function.lines(low, high)
    rounding = 1e-6 * (1 + jnp.abs(values))
    for below, above, slack in (
        (lower_slope * points + lower_shift, upper_slope * points + upper_shift, rounding),
        (*function.image(low, high), rounding),
        (*function.slopes(low, high), 1e-5),
    ):
        what = derivatives if slack is not rounding else values
        assert jnp.all((below <= what + slack) & (what <= above + slack))


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_has_a_bound_on_balls_that_no_jacobian_exceeds(name):
    kernel = jax.random.normal(jax.random.key(1), (LAYERS[name](jnp.zeros(SHAPE)).size, 2))
    x, radius = jax.random.normal(jax.random.key(0), SHAPE), 0.05
    f = lambda x: LAYERS[name](x).ravel() @ kernel  # noqa: E731
    bound = jax.jit(lambda radius: local_bound(f, x, l2.ball(radius, box=None), method="expansion"))
    draw = jax.vmap(lambda key: l2.sample(key, SHAPE))(jax.random.split(jax.random.key(2), 300))
    jacobians = np.asarray(jax.vmap(jax.jacobian(f))(x + radius * draw)).reshape(300, 2, -1)
    found = np.linalg.norm(jacobians, 2, axis=(1, 2)).max()
    at_x = np.linalg.norm(np.asarray(jax.jacobian(f)(x)).reshape(2, -1), 2)
    assert found <= float(bound(radius)) < np.inf
    assert float(bound(1e-6)) == pytest.approx(at_x, rel=1e-3)
    assert not audit(f, SHAPE).unknown
