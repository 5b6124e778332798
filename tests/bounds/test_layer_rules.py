"""Every kind of layer that users write has bounds on balls, above all Jacobians found there."""

import functools

import equinox
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from lipjax.bounds import audit, global_bound, local_bound
from lipjax.bounds.activations import ACTIVATIONS
from lipjax.bounds.program import trace
from lipjax.norms import l1, l2, linf

SHAPE = (4, 4, 2)


def grouped(x):
    return jnp.sort(x.reshape(-1, 2), -1).ravel()


LAYERS = {
    "max pooling": lambda x: nn.max_pool(x, (2, 2), (2, 2)),
    "overlapping max pooling": lambda x: nn.max_pool(x[..., :1], (2, 2), (1, 1)),
    "maxout": lambda x: jnp.max(x.reshape(8, 4), -1),
    "minimum of two": lambda x: jnp.minimum(x[0], x[1]),
    "GroupSort": grouped,
    "stack": lambda x: jnp.stack([x[0], jax.nn.relu(x[1])], 1),
    "unstack": lambda x: jnp.unstack(x)[1],
    "tile": lambda x: jnp.tile(x[:, 0], (1, 3)),
    "entries by index": lambda x: x.ravel()[jnp.array([3, 1, 3, 3])],
    "entries replaced": lambda x: x.ravel().at[jnp.array([3, 1])].set(5.0, unique_indices=True),
    "entries placed": lambda x: jnp.zeros(40).at[jnp.arange(32)].add(x.ravel()),
    "entries added": lambda x: jnp.ones(4).at[jnp.array([3, 1, 3, 3])].add(x[0, :, 0]),
    "softmax": lambda x: jax.nn.softmax(2.0 * x.reshape(8, 4), 0),
    "log-softmax": lambda x: jax.nn.log_softmax(x.reshape(8, 4)),
    "log-sum-exp": lambda x: jax.nn.logsumexp(x, (0, 2)),
    "running sums": lambda x: jnp.cumsum(x, 0),
}


STEEPEST = {
    "softplus": 1.0, "soft_sign": 1.0, "hard_tanh": 1.0, "log_sigmoid": 1.0, "silu": 1.0998393, "mish": 1.0884982,
    "hard_silu": 1.5, "selu": 1.7580993, "elu": 1.0, "celu": 1.0, "relu6": 1.0,
    "sparse_plus": 1.0, "gelu": 1.1289932,
}  # fmt: skip


@pytest.mark.parametrize("name", STEEPEST)
def test_a_function_of_one_entry_has_its_steepest_slope_everywhere_and_is_recognised_by_its_program(name):
    assert global_bound(getattr(jax.nn, name), (3,)) == pytest.approx(STEEPEST[name], rel=1e-5)


WRITTEN = {
    "GELU by erfc": (lambda x: jax.nn.gelu(x, approximate=False), 1.1289042),
    "GELU by erf": (lambda x: 0.5 * x * (1 + jax.scipy.special.erf(x / 2.0**0.5)), 1.1289042),
    "GELU by tanh": (lambda x: x * 0.5 * (jnp.tanh(0.7978846 * (x + 0.044715 * x**3)) + 1), 1.1289932),
    "GELU in bfloat16": (lambda x: jax.nn.gelu(x.astype(jnp.bfloat16)), 1.1290324),
    "quick GELU": (lambda x: 2.0 * x * jax.nn.sigmoid(1.702 * x), 2.1996786),
    "bell": (lambda x: jnp.exp(-0.5 * x * x), 0.6065307),
    "sine": (jnp.sin, 1.0),
    "cosine": (jnp.cos, 1.0),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_a_function_of_one_entry_is_recognised_as_users_write_it(name):
    f, steepest = WRITTEN[name]
    assert global_bound(f, (3,)) == pytest.approx(steepest, rel=1e-5)


def test_a_function_with_the_name_of_another_is_not_taken_for_it():
    def silu(x):
        return 3.0 * x

    assert global_bound(jax.jit(silu), (3,)) == pytest.approx(3.0)


@pytest.mark.parametrize(
    "name", ["softplus", "soft_sign", "hard_tanh", "silu", "mish", "hard_silu", "erfc", "gelu", "gelu_tanh", "bell"]
)
def test_values_lines_and_slopes_of_an_activation_enclose_it(name):
    rng, function = np.random.default_rng(0), ACTIVATIONS[name]()
    low = jnp.asarray(rng.uniform(-6, 6, 300), jnp.float32)
    high = low + jnp.asarray(rng.exponential(2, 300), jnp.float32)
    points = low + jnp.linspace(0.0, 1.0, 33)[1:-1, None] * (high - low)
    values, derivatives = function.value(points), jax.jit(jax.vmap(jax.vmap(jax.grad(function.value))))(points)
    lower_slope, lower_shift, upper_slope, upper_shift = jax.jit(function.lines)(low, high)
    rounding = 1e-6 * (1 + jnp.abs(values))
    for below, above, slack in (
        (lower_slope * points + lower_shift, upper_slope * points + upper_shift, rounding),
        (*jax.jit(function.image)(low, high), rounding),
        (*jax.jit(function.slopes)(low, high), 1e-5),
    ):
        what = derivatives if slack is not rounding else values
        assert jnp.all((below <= what + slack) & (what <= above + slack))


def test_the_range_of_a_sine_is_all_where_the_type_of_numbers_does_not_say_more():
    low, high = jnp.array([3.0e9, 1.0, -jnp.inf, 1.5]), jnp.array([3.0e9, 1.0, 0.0, 5.0])
    least, largest = ACTIVATIONS["sin"]().image(low, high)
    np.testing.assert_allclose(least, [-1.0, np.sin(1.0), -1.0, -1.0], atol=1e-6)
    np.testing.assert_allclose(largest, [1.0, np.sin(1.0), 1.0, 1.0], atol=1e-6)


@functools.partial(jax.jit, static_argnums=(0, 1))
def drawn(shape, count):
    """Points of the unit ball."""
    return jax.vmap(lambda key: l2.sample(key, shape))(jax.random.split(jax.random.key(2), count))


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_has_a_bound_on_balls_that_no_jacobian_exceeds(name):
    kernel = jax.random.normal(jax.random.key(1), (LAYERS[name](jnp.zeros(SHAPE)).size, 2))
    x, radius = jax.random.normal(jax.random.key(0), SHAPE), 0.05
    f = lambda x: LAYERS[name](x).ravel() @ kernel  # noqa: E731
    bound = jax.jit(lambda radius: local_bound(f, x, l2.ball(radius, box=None), method="expansion"))
    points = jnp.concatenate([x[None], x + radius * drawn(SHAPE, 300)])
    jacobians = np.asarray(jax.jit(jax.vmap(jax.jacobian(f)))(points)).reshape(301, 2, -1)
    at_x, *found = np.linalg.norm(jacobians, 2, axis=(1, 2))
    assert max(found) <= float(bound(radius)) < np.inf
    assert float(bound(1e-6)) == pytest.approx(at_x, rel=1e-3)
    assert not audit(f, SHAPE).unknown


def by_hand(x):
    exponentials = jnp.exp(x - jnp.max(x, 1, keepdims=True))
    return exponentials / jnp.sum(exponentials, 1, keepdims=True)


OF_SHARES = {
    "softmax": (jax.nn.softmax, (0.5, 0.5, 0.5)),
    "softmax by hand": (by_hand, (0.5, 0.5, 0.5)),
    "log-softmax": (jax.nn.log_softmax, (3.0, 2.0, 2.0)),
    "log-softmax by hand": (lambda x: x - jax.nn.logsumexp(x, 1, keepdims=True), (3.0, 2.0, 2.0)),
    "log-sum-exp": (lambda x: jax.nn.logsumexp(x, 1), (1.0, 1.0, 1.0)),
}


@pytest.mark.parametrize("name", OF_SHARES)
def test_a_softmax_and_its_kin_have_the_constants_that_their_jacobians_attain(name):
    f, constants = OF_SHARES[name]
    points = jnp.array([[[0.0, 0.0, -30.0, -30.0]] * 4, [[30.0, 0.0, 0.0, 0.0]] * 4])
    jacobians = np.asarray(jax.jit(jax.vmap(jax.jacobian(f)))(points)).reshape(2, -1, 16)
    for norm, constant in zip((l1, l2, linf), constants, strict=True):
        attained = np.linalg.norm(jacobians, {l1: 1, l2: 2, linf: np.inf}[norm], axis=(1, 2)).max()
        assert global_bound(f, (4, 4), norm_in=norm) == pytest.approx(constant) == pytest.approx(attained)


def test_exponentials_over_sums_of_others_are_no_softmax():
    assert global_bound(lambda x: jnp.exp(x) / jnp.sum(jnp.exp(x), 1), (4, 4)) == np.inf


@pytest.mark.parametrize("name", ["entries placed", "entries replaced", "running sums"])
def test_semidefinite_bounds_know_a_layer_in_float64(name):
    kernel = jax.random.normal(jax.random.key(1), (LAYERS[name](jnp.zeros(SHAPE)).size, 2))
    f = lambda x: LAYERS[name](x).ravel() @ kernel  # noqa: E731
    bound = local_bound(f, jnp.zeros(SHAPE), l2.ball(0.1, box=None), method="sdp")
    exact = np.linalg.norm(np.asarray(jax.jacobian(f)(jnp.zeros(SHAPE))).reshape(2, -1), 2)
    assert float(bound) == pytest.approx(exact, rel=1e-4)


ROWS = jax.random.normal(jax.random.key(3), (2, 3))


def linen(module):
    variables = module.init(jax.random.key(0), ROWS)
    return lambda x: module.apply(variables, x)


ON_BALLS = {
    "softmax": lambda: jax.nn.softmax,
    "log-softmax": lambda: jax.nn.log_softmax,
    "logarithm of a sum of exponentials": lambda: lambda x: jax.nn.logsumexp(x, -1),
    "GELU": lambda: jax.nn.gelu,
    "layer norm, linen": lambda: linen(nn.LayerNorm()),
    "layer norm, equinox": lambda: jax.vmap(equinox.nn.LayerNorm(3)),
    "RMS norm, nnx": lambda: nnx.RMSNorm(3, rngs=nnx.Rngs(0)),
    "group norm, linen": lambda: linen(nn.GroupNorm(1)),
    "attention, linen": lambda: linen(nn.MultiHeadDotProductAttention(1)),
    "cube": lambda: lambda x: x**3,
    "one over": lambda: lambda x: 1.0 / (0.5 + jnp.square(x)) + 1.0 / (-3.0 - jnp.square(x)),
    "scan": lambda: (
        lambda x: jax.lax.scan(lambda c, row: (jnp.tanh(c + row), 2.0 * c), jnp.zeros(3), x, reverse=True)[1]
    ),
    "loop of a known length": lambda: lambda x: jax.lax.fori_loop(0, 3, lambda _, x: jnp.sin(1.0) * jnp.tanh(x), x),
}


@pytest.mark.parametrize("name", ON_BALLS)
def test_a_layer_that_is_steep_somewhere_is_bounded_on_a_ball(name):
    f, radius = ON_BALLS[name](), 1e-2
    found = local_bound(f, ROWS, l2.ball(radius, box=None))  # eager: its small programs are those of the next layer
    points = ROWS + radius * drawn(ROWS.shape, 50)
    jacobians = np.asarray(jax.jit(jax.vmap(jax.jacobian(f)))(points)).reshape(50, -1, ROWS.size)
    assert np.linalg.norm(jacobians, 2, axis=(1, 2)).max() * (1 - 1e-5) <= float(found) < np.inf
    program = trace(f, ROWS.shape)
    np.testing.assert_allclose(*jax.jit(lambda x: (program.run(x), f(x)))(ROWS), rtol=1e-5, atol=1e-6)


def test_where_the_divisor_may_be_zero_and_where_a_loop_has_no_known_length_nothing_is_known():
    bound = jax.jit(local_bound, static_argnums=0)
    assert bound(lambda x: 1.0 / x, jnp.array([0.1]), l2.ball(0.2, box=None)) == np.inf
    loop = lambda x: jax.lax.while_loop(lambda x: x[0] < 9.0, lambda x: 2.0 * x, x)  # noqa: E731
    assert bound(loop, jnp.ones(1), l2.ball(0.2, box=None)) == np.inf
    assert [layer.operation for layer in audit(loop, (1,)).unknown] == ["while"]
