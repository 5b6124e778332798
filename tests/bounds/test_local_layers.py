"""Local upper bounds of single layers and of functions with a known answer, and against Jacobians found by sampling."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lipjax.bounds import global_bound, local_bound
from lipjax.bounds.activations import ACTIVATIONS
from lipjax.bounds.program import trace
from lipjax.bounds.rules import recognize
from lipjax.norms import Largest, l1, l2, linf

NORMS = (l2, linf)


@pytest.mark.parametrize("name", ["relu", "abs", "square", "softplus", "log1p", "tanh", "silu"])
def test_slopes_of_chords_from_a_point_are_within_their_range(name):
    function = ACTIVATIONS[name]()
    for low, high, first, last in ((-0.7, 0.9, 0.2, 0.2), (-0.7, 0.9, -0.3, 0.1), (0.1, 0.1, 0.1, 0.1)):
        ends, starts = jnp.linspace(low, high, 101), jnp.linspace(first, last, 11)[:, None]
        chords = (function.value(ends) - function.value(starts)) / jnp.where(ends == starts, 1.0, ends - starts)
        chords = jnp.where(jnp.abs(ends - starts) < 1e-3, function.derivative(starts), chords)
        least, most = function.secants(*map(jnp.asarray, (low, high, first, last)))
        assert jnp.all((chords >= least - 1e-4) & (chords <= most + 1e-4))
        if function.bend and low < high:
            assert most - least <= jnp.max(chords) - jnp.min(chords) + 1e-3


@pytest.mark.parametrize("method", ["interval", "linear"])
def test_a_linear_map_has_its_operator_norm_at_every_radius(method):
    kernel = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    for (norm_in, norm_out), exact in {
        (l2, l2): np.linalg.norm(kernel, 2),
        (linf, linf): abs(kernel).sum(0).max(),
        (l1, l1): abs(kernel).sum(1).max(),
        (l2, linf): np.linalg.norm(kernel, axis=0).max(),
        (l1, l2): np.linalg.norm(kernel, axis=1).max(),
        (l1, linf): abs(kernel).max(),
    }.items():
        bound = functools.partial(
            local_bound, lambda x: x @ kernel + 1.0, jnp.ones(6), norm_out=norm_out, method=method
        )
        bounds = jax.jit(jax.vmap(bound))(norm_in.ball(jnp.array([0.0, 0.5, 100.0]), box=None))
        assert np.all((exact <= bounds) & (bounds <= exact * (1 + 1e-4)))


@pytest.mark.parametrize("norm", NORMS, ids=str)
@pytest.mark.parametrize("method", ["interval", "linear"])
def test_one_relu_switches_on_when_the_ball_reaches_it(norm, method):
    weight = jnp.array([3.0, -4.0])
    steep = {l2: 5.0, linf: 7.0}[norm]

    def f(x):
        return jax.nn.relu(x @ weight - 10.0)[None]

    around = norm.ball(10.0 / steep * jnp.array([0.999, 1.001]), box=None)
    before, after = jax.jit(jax.vmap(lambda ball: local_bound(f, jnp.zeros(2), ball, method=method)))(around)
    assert before == pytest.approx(0.0, abs=1e-4)
    assert after == pytest.approx(steep, rel=1e-4)


def test_a_box_cuts_the_ball():
    def f(x):
        return jax.nn.relu(x - 1.5)

    assert local_bound(f, jnp.array([0.5]), l2.ball(2.0, box=None)) == pytest.approx(1.0, rel=1e-5)
    assert local_bound(f, jnp.array([0.5]), l2.ball(2.0)) == pytest.approx(0.0, abs=1e-5)


def residual_network(kernels, x):
    """Standardisation, convolution, scale, two-sided ReLU, norm pooling, residual sum, average pooling, dense."""
    first, second, last, scale = kernels
    x = ((x - 0.5) / 0.25)[None]

    def convolve(x, kernel):
        return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))

    x = convolve(x, first) * scale + 0.1
    x = jnp.concatenate([jax.nn.relu(x), jax.nn.relu(-x)], -1)
    x = jnp.sqrt(jnp.sum(x.reshape(1, 3, 2, 3, 2, -1) ** 2, (2, 4)))
    x = 0.6 * x + 0.4 * jax.nn.relu(convolve(x, second))
    return jnp.mean(x, (1, 2))[0] @ last


@pytest.fixture(scope="module")
def residual_kernels():
    rng = np.random.default_rng(3)
    shapes = ((3, 3, 2, 4), (3, 3, 8, 8), (8, 3), (4,))
    return [jnp.asarray(rng.normal(size=shape) / np.sqrt(np.prod(shape[:-1])), jnp.float32) for shape in shapes]


@pytest.mark.slow
@pytest.mark.parametrize("norm", NORMS, ids=str)
def test_bounds_of_a_residual_convolutional_network_are_above_every_jacobian_found(norm, residual_kernels):
    f = functools.partial(residual_network, residual_kernels)
    x = jax.random.uniform(jax.random.key(0), (6, 6, 2))
    radii = jnp.array([0.0, 0.003, 0.03, 0.3])
    balls = norm.ball(radii, box=None)
    bounds = [
        jax.jit(jax.vmap(lambda ball, method=method: local_bound(f, x, ball, method=method)))(balls)
        for method in ("interval", "linear")
    ]
    noise = jax.jit(jax.vmap(lambda key: norm.sample(key, x.shape)))(jax.random.split(jax.random.key(1), 200))
    slopes = jax.jit(jax.vmap(jax.jacobian(f)))
    for index, radius in enumerate(radii):
        matrices = np.asarray(slopes(x + radius * noise)).reshape(len(noise), 3, -1)
        found = np.linalg.norm(matrices, norm.exponent, axis=(1, 2)).max()
        assert found <= bounds[0][index]
        assert found <= bounds[1][index] <= bounds[0][index] * (1 + 1e-5)
    np.testing.assert_allclose(bounds[0][0], found_at_center(f, x, norm), rtol=1e-2)
    assert np.all(np.diff(bounds[0]) >= 0)


def found_at_center(f, x, norm):
    return np.linalg.norm(np.asarray(jax.jit(jax.jacobian(f))(x)).reshape(3, -1), norm.exponent)


@functools.partial(jax.jit, static_argnums=0)
def steepest_and_bound(function, center, radius):
    """The largest slope at points of an interval, and its bound."""
    points = center + radius * jnp.linspace(-1, 1, 1001)
    bound = local_bound(lambda x: function(x), center[None], l2.ball(radius, box=None))
    return jnp.max(jnp.abs(jax.vmap(jax.grad(function))(points))), bound


def test_smooth_activations_are_bounded_on_both_sides_of_their_steepest_point():
    for function in (jnp.tanh, jnp.exp, jnp.abs, jnp.square, jax.nn.leaky_relu):
        for center, radius in ((-1.0, 0.3), (0.1, 0.5)):
            steepest, bound = steepest_and_bound(function, center, radius)
            assert steepest * (1 - 1e-5) <= bound <= steepest * (1 + 1e-3)


@pytest.mark.parametrize(
    ("function", "steepest"),
    [
        (jax.nn.elu, 1.0),
        (lambda x: jax.nn.elu(x, 0.5), 1.0),
        (jax.nn.selu, 1.0507009873554805 * 1.6732632423543772),
        (lambda x: jax.nn.celu(x, 2.0), 1.0),
        (lambda x: jnp.where(x > 0.0, 0.0, x), 1.0),
        (lambda x: jnp.where(x <= 0.0, 0.0, x), 1.0),
    ],
    ids=["elu", "elu of a half", "selu", "celu of two", "negative part", "positive part"],
)
def test_functions_written_by_their_two_sides_of_zero_are_bounded_everywhere_and_on_balls(function, steepest):
    assert global_bound(function, (2,)) == pytest.approx(steepest, rel=1e-5)
    for center, radius in ((0.1, 0.3), (-1.0, 0.3), (1.0, 0.3)):
        points = np.linspace(center - radius, center + radius, 1001, dtype=np.float32)
        at_most, bound = steepest_and_bound(function, center, radius)
        assert at_most * (1 - 1e-5) <= bound <= at_most + 1e-3 + (steepest - at_most) * (center == 0.1)
        np.testing.assert_allclose(recognize(trace(function, (1,))).run(points), function(points), atol=1e-6)


def test_the_lines_of_every_activation_enclose_it():
    z = jnp.linspace(0.0, 1.0, 101)
    for name, make in ACTIVATIONS.items():
        function = make(*{"max": (0.2,), "min": (0.2,), "leaky_relu": (0.1,), "elu": (1.5, 1.1)}.get(name, ()))
        for low, high in ((-1.0, -0.2), (-0.7, 0.9), (0.1, 2.0), (0.5, 0.5)):
            if (name in ("log", "log1p", "sqrt") and low < 0) or (name == "reciprocal" and low < 0.0 < high):
                continue
            points = low + z * (high - low)
            lower_slope, lower_shift, upper_slope, upper_shift = function.lines(jnp.asarray(low), jnp.asarray(high))
            assert jnp.all(lower_slope * points + lower_shift <= function.value(points))
            assert jnp.all(upper_slope * points + upper_shift >= function.value(points))
            least, most = function.slopes(jnp.asarray(low), jnp.asarray(high))
            derivatives = jax.vmap(jax.grad(function.value))(points[1:-1])
            assert jnp.all((derivatives >= least - 1e-6) & (derivatives <= most + 1e-6))


def test_a_product_of_two_values_is_bounded():
    def f(x):
        return (x[0] * x[1])[None]

    for method in ("interval", "linear"):
        bound = local_bound(f, jnp.array([1.0, 2.0]), linf.ball(0.5, box=None), method=method)
        assert 4.0 <= bound <= 4.01


def test_a_layer_without_a_rule_gives_an_infinite_bound_and_a_constant_gives_zero():
    assert local_bound(lambda x: jnp.cumprod(x), jnp.ones(3), l2.ball(0.1)) == jnp.inf
    assert local_bound(lambda x: jnp.ones(3), jnp.ones(3), l2.ball(0.1)) == 0.0


def test_wrong_arguments_are_refused():
    with pytest.raises(TypeError, match="ball"):
        local_bound(jnp.tanh, jnp.ones(2), 0.1)
    with pytest.raises(TypeError, match="norm_out"):
        local_bound(jnp.tanh, jnp.ones(2), l2.ball(0.1), norm_out="l2")
    with pytest.raises(ValueError, match="norm must be l1, l2 or linf here, got largest l2"):
        local_bound(jnp.tanh, jnp.ones((2, 2)), Largest(l2).ball(0.1))
    with pytest.raises(ValueError, match="method must be one of interval, expansion, linear"):
        local_bound(jnp.tanh, jnp.ones(2), l2.ball(0.1), method="exact")


def test_an_entry_at_a_known_index_is_bounded_and_one_at_an_index_that_the_input_decides_is_not() -> None:
    rows = jnp.array([[3.0, 4.0], [1.0, 0.0]])
    x = jnp.array([0.2, 0.1])
    bound = jax.jit(lambda index: local_bound(lambda z: (rows @ z)[index], x, l2.ball(0.1)))
    np.testing.assert_allclose([bound(0), bound(1)], [5.0, 1.0], rtol=1e-4)
    assert np.isinf(local_bound(lambda z: (rows @ z)[jnp.argmax(z)], x, l2.ball(0.1)))
