"""Local upper bounds against every linear piece of small ReLU networks, and against Jacobians found by sampling."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lipjax.bounds import audit, global_bound, local_bound
from lipjax.bounds.activations import ACTIVATIONS
from lipjax.bounds.program import trace
from lipjax.bounds.rules import recognize
from lipjax.norms import Largest, l1, l2, linf, masked

RADII = np.array([1e-3, 0.03, 0.1, 0.3, 1.0, 3.0])
NORMS = (l2, linf)


def random_layers(seed: int, sizes: tuple[int, ...]) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(seed)
    return [
        (rng.normal(size=(a, b)).astype(np.float32) / np.sqrt(a / 2), 0.5 * rng.normal(size=b).astype(np.float32))
        for a, b in itertools.pairwise(sizes)
    ]


def mlp(layers, x):
    for kernel, bias in layers[:-1]:
        x = jax.nn.relu(x @ kernel + bias)
    return x @ layers[-1][0] + layers[-1][1]


UNOPTIMISED = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}  # compiles faster


@functools.partial(jax.jit, static_argnames=("norm", "method", "constant"), compiler_options=UNOPTIMISED)
def mlp_bounds(layers, x, radii, *, norm, method, constant="pairwise"):
    bound = functools.partial(local_bound, functools.partial(mlp, layers), x, method=method, constant=constant)
    return jax.vmap(lambda radius: bound(norm.ball(radius, box=None)))(radii)


def jacobians(layers, points):
    """Jacobians `[points, outputs, inputs]` in float64."""
    slopes = np.broadcast_to(np.eye(points.shape[1]), (len(points), points.shape[1], points.shape[1]))
    values = points
    for kernel, bias in layers[:-1]:
        values = values @ kernel.astype(np.float64) + bias
        slopes = kernel.T.astype(np.float64) @ slopes * (values > 0)[:, :, None]
        values = np.maximum(values, 0)
    return layers[-1][0].T.astype(np.float64) @ slopes


def kinks(layers, x, radius):
    """Lines `w . z = c` where some unit may switch; those of the second layer for every pattern of the first."""
    (kernel, bias), (second, second_bias) = (tuple(part.astype(np.float64) for part in layer) for layer in layers[:2])
    lines = np.c_[kernel.T, -bias]
    if len(layers) == 3:
        points = corners(lines, x, radius)
        for pattern in np.unique(points @ kernel + bias > 0, axis=0):
            through = kernel * pattern @ second
            lines = np.r_[lines, np.c_[through.T, -((bias * pattern) @ second + second_bias)]]
    return lines


def corners(lines, x, radius):
    """Points close to all crossings of the lines with each other and with the square and the circle around x."""
    edges = np.array([[1, 0, x[0] - radius], [1, 0, x[0] + radius], [0, 1, x[1] - radius], [0, 1, x[1] + radius]])
    every = np.r_[lines[np.linalg.norm(lines[:, :2], axis=1) > 1e-9], edges]  # dead units have no line
    i, j = np.triu_indices(len(every), 1)
    system, right = np.stack([every[i, :2], every[j, :2]], 1), np.stack([every[i, 2], every[j, 2]], 1)
    regular = abs(np.linalg.det(system)) > 1e-12
    crossings = np.linalg.solve(system[regular], right[regular][..., None])[..., 0]
    normal, offset = every[:, :2], every[:, 2]
    size = (normal**2).sum(1, keepdims=True)
    foot = x + (offset - normal @ x)[:, None] * normal / size
    half = radius**2 - ((foot - x) ** 2).sum(1)
    along = np.c_[-normal[:, 1], normal[:, 0]] / np.sqrt(size) * np.sqrt(np.maximum(half, 0))[:, None]
    points = np.r_[crossings, (foot + along)[half > 0], (foot - along)[half > 0], x[None]]
    points = points[abs(points - x).max(1) <= radius * (1 + 1e-9)]
    angles = np.linspace(0, 2 * np.pi, 16, endpoint=False) + 0.1
    steps = np.r_[[[0.0, 0.0]], 1e-7 * radius * np.c_[np.cos(angles), np.sin(angles)]]
    return (points[:, None] + steps).reshape(-1, 2)


def exact_constant(layers, x, radius, norm):
    """The largest Jacobian norm over the linear pieces that meet the ball: the pairwise Lipschitz constant."""
    x = x.astype(np.float64)
    points = corners(kinks(layers, x, radius), x, radius)
    inside = np.linalg.norm(points - x, norm.exponent, axis=1) <= radius
    return np.linalg.norm(jacobians(layers, points[inside]), norm.exponent, axis=(1, 2)).max()


CASES = [(seed, (2, 5, 5, 2)) for seed in (0, 1, 2, 3, 4, 6, 7, 9)]  # none of them flat at its point


@pytest.fixture(scope="module")
def enumerated():
    """For every case and norm: the exact constants, and the three bounds, at six radii."""
    results = {}
    for (seed, sizes), norm in itertools.product(CASES, NORMS):
        layers = random_layers(seed, sizes)
        x = np.random.default_rng(100 + seed).normal(size=2).astype(np.float32)
        exact = np.array([exact_constant(layers, x, radius, norm) for radius in RADII])
        bounds = [mlp_bounds(layers, x, RADII, norm=norm, method=m) for m in ("interval", "expansion", "linear")]
        at_x = np.linalg.norm(jacobians(layers, x[None].astype(np.float64))[0], norm.exponent)
        results[seed, sizes, norm] = (at_x, exact, *map(np.asarray, bounds))
    return results


def test_the_enumeration_finds_every_slope_that_a_dense_grid_finds():
    layers, x = random_layers(0, (2, 5, 5, 2)), np.array([0.3, -0.2])
    grid = x + np.stack(np.meshgrid(*[np.linspace(-1, 1, 400)] * 2), -1).reshape(-1, 2)
    slopes = np.linalg.norm(jacobians(layers, grid), np.inf, axis=(1, 2))
    assert exact_constant(layers, x, 1.0, linf) >= slopes.max() - 1e-9
    disc = np.linalg.norm(grid - x, axis=1) <= 1.0
    slopes = np.linalg.norm(jacobians(layers, grid[disc]), 2, axis=(1, 2))
    assert exact_constant(layers, x, 1.0, l2) >= slopes.max() - 1e-9


@pytest.mark.slow
def test_bounds_are_above_the_exact_pairwise_constant_of_enumerable_networks(enumerated):
    for _, exact, *bounds in enumerated.values():
        assert np.all(exact <= np.stack(bounds))


def test_expansion_and_linear_relaxation_are_never_looser_than_intervals_and_often_tighter(enumerated):
    for ratios in zip(*[(i / expansion, i / linear) for *_, i, expansion, linear in enumerated.values()], strict=True):
        assert np.min(ratios) >= 1 - 1e-5
        assert np.mean(np.array(ratios) > 1.02) > 0.1


def test_linear_relaxation_is_never_looser_than_the_expansion_where_tighter_values_move_the_middles_of_slopes():
    rng = np.random.default_rng(0)
    kernels = [rng.normal(size=(20, *shape)).astype(np.float32)[[1, 6, 11]] for shape in ((3, 5), (5, 4), (4, 2))]

    def bounds(method):
        def bound(first, second, third):
            f = lambda x: jnp.tanh(jnp.tanh(x @ first + 0.1) @ second + 0.1) @ third  # noqa: E731
            return local_bound(f, jnp.array([0.3, 0.5, 0.2]), l2.ball(0.6, box=None), method=method)

        return jax.jit(jax.vmap(bound))(*kernels)

    assert np.all(bounds("linear") <= bounds("expansion") * (1 + 1e-6))


def steepest_from(layers, x, radius, norm):
    """The largest `||f(z) - f(x)|| / ||z - x||` over corners of linear pieces and over the sphere, in float64."""
    x, turn = x.astype(np.float64), np.linspace(0, 2 * np.pi, 2000)
    around = np.c_[np.cos(turn), np.sin(turn)]
    around /= np.linalg.norm(around, norm.exponent, axis=1, keepdims=True)
    points = np.r_[corners(kinks(layers, x, radius), x, radius), x + (1 - 1e-7) * radius * around]
    values = points = points[np.linalg.norm(points - x, norm.exponent, axis=1) <= radius]
    values = np.r_[x[None], values]
    for index, (kernel, bias) in enumerate(layers):
        values = (np.maximum(values, 0) if index else values) @ kernel.astype(np.float64) + bias
    rises, lengths = (np.linalg.norm(moved, norm.exponent, axis=1) for moved in (values[1:] - values[0], points - x))
    return np.max(rises[lengths > 1e-3 * radius] / lengths[lengths > 1e-3 * radius])


@pytest.mark.parametrize(("norm", "method"), [(l2, "expansion"), (l2, "linear"), (linf, "expansion")], ids=str)
def test_bounds_of_the_slope_are_above_it_and_far_below_those_of_all_pairs(norm, method, enumerated):
    gains = []
    for seed in range(3):
        layers, x = random_layers(seed, (2, 5, 5, 2)), np.random.default_rng(100 + seed).normal(size=2)
        bounds = np.array(mlp_bounds(layers, x.astype(np.float32), RADII, norm=norm, method=method, constant="slope"))
        _, _, _, *of_pairs = enumerated[seed, (2, 5, 5, 2), norm]
        of_pairs = of_pairs[method == "linear"]
        assert np.all([steepest_from(layers, x.astype(np.float32), r, norm) for r in RADII] <= bounds * (1 + 1e-7))
        assert np.all(bounds <= of_pairs * (1 + 1e-5))
        gains.append(of_pairs / bounds)
    assert np.median(np.array(gains)[:, -2:]) > 1.2


@pytest.mark.parametrize("norm", [l2, linf], ids=str)
def test_semidefinite_bounds_of_the_slope_are_above_it_and_below_those_by_linear_relaxation(norm):
    layers, x = random_layers(0, (2, 5, 5, 2)), np.random.default_rng(100).normal(size=2).astype(np.float32)
    linear = mlp_bounds(layers, x, RADII, norm=norm, method="linear", constant="slope")
    semidefinite = functools.partial(local_bound, functools.partial(mlp, layers), method="sdp", constant="slope")
    for radius, loose in list(zip(RADII, linear, strict=True))[1::2]:
        bound = float(semidefinite(jnp.asarray(x), norm.ball(radius, box=None)))
        assert steepest_from(layers, x, radius, norm) <= bound * (1 + 1e-9)
        assert bound <= loose * (1 + 1e-5)


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


def test_interval_bounds_never_decrease_with_the_radius(enumerated):
    for _, _, interval, *_ in enumerated.values():
        assert np.all(np.diff(interval) >= -1e-6 * interval[:-1])


@pytest.mark.parametrize(("norm", "method"), [(l2, "interval"), (linf, "expansion"), (l2, "linear")], ids=str)
def test_where_entries_can_not_move_bounds_are_those_of_the_function_of_the_others(norm, method):
    (first, bias), *rest = random_layers(0, (2, 5, 5, 2))
    wide = np.random.default_rng(7).normal(size=(5, 5)).astype(np.float32)
    wide[[1, 3]] = first
    x = np.random.default_rng(100).normal(size=5).astype(np.float32)
    still = np.delete(x, [1, 3]) @ np.delete(wide, [1, 3], axis=0)
    free = np.isin(np.arange(5), [1, 3])
    exact = np.array([exact_constant([(first, bias + still), *rest], x[free], r, norm) for r in RADII])
    bounds, of_all = (
        mlp_bounds([(wide, bias), *rest], x, RADII, norm=used, method=method) for used in (masked(norm, free), norm)
    )
    of_others = mlp_bounds([(first, bias + still), *rest], x[free], RADII, norm=norm, method=method)
    assert np.all(exact <= bounds)
    assert np.all(bounds <= 0.9 * of_all)
    np.testing.assert_allclose(bounds, of_others, rtol={"interval": 0.1}.get(method, 1e-3))


def test_bounds_tend_to_the_norm_of_the_jacobian_as_the_radius_goes_to_zero(enumerated):
    for (seed, sizes, norm), (at_x, *_) in enumerated.items():
        layers = random_layers(seed, sizes)
        x = np.random.default_rng(100 + seed).normal(size=2).astype(np.float32)
        for method in ("interval", "linear"):
            bounds = mlp_bounds(layers, x, np.zeros(6), norm=norm, method=method)
            np.testing.assert_allclose(bounds, at_x, rtol=1e-4)


def test_bounds_are_exact_where_no_unit_switches(enumerated):
    checked = 0
    for at_x, exact, interval, _, linear in enumerated.values():
        still = np.isclose(exact, at_x, rtol=1e-6) & (RADII < 0.05)
        checked += int(
            np.sum(np.isclose(interval[still], at_x, rtol=1e-4) & np.isclose(linear[still], at_x, rtol=1e-4))
        )
    assert checked >= 16


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


def test_l2_bounds_never_exceed_the_product_of_norms_and_expansions_are_far_below_it():
    layers = random_layers(1, (8, 30, 30, 4))
    x = np.ones(8, np.float32)
    product = audit(functools.partial(mlp, layers), (8,)).bound
    interval, expansion, linear = (
        mlp_bounds(layers, x, RADII, norm=l2, method=m) for m in ("interval", "expansion", "linear")
    )
    assert np.all(interval <= product * 1.001)
    assert np.all(expansion <= 0.7 * product)
    assert np.all(linear <= 0.7 * product)
    assert np.max(interval / expansion) > 1.8
    assert np.max(interval / linear) > 2.0


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


def test_float64_leaves_almost_no_rounding():
    layers = random_layers(2, (5, 20, 20, 3))
    x = np.random.default_rng(0).normal(size=5)
    exact = np.linalg.norm(jacobians(layers, x[None])[0], 2)
    with jax.enable_x64(True):
        bound = float(local_bound(functools.partial(mlp, layers), jnp.asarray(x), l2.ball(0.0, box=None)))
    assert exact <= bound <= exact * (1 + 1e-9)


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
