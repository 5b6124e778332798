"""Local upper bounds against every linear piece of small ReLU networks."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from linear_pieces import exact_constant, jacobians, mlp, random_layers, steepest_from

from lipjax.bounds import audit, local_bound
from lipjax.norms import l2, linf, masked

RADII = np.array([1e-3, 0.03, 0.1, 0.3, 1.0, 3.0])
NORMS = (l2, linf)


@functools.partial(jax.jit, static_argnames=("norm", "method", "constant"))
def mlp_bounds(layers, x, radii, *, norm, method, constant="pairwise"):
    bound = functools.partial(local_bound, functools.partial(mlp, layers), x, method=method, constant=constant)
    return jax.vmap(lambda radius: bound(norm.ball(radius, box=None)))(radii)


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


def test_float64_leaves_almost_no_rounding():
    layers = random_layers(2, (5, 20, 20, 3))
    x = np.random.default_rng(0).normal(size=5)
    exact = np.linalg.norm(jacobians(layers, x[None])[0], 2)
    with jax.enable_x64(True):
        bound = float(local_bound(functools.partial(mlp, layers), jnp.asarray(x), l2.ball(0.0, box=None)))
    assert exact <= bound <= exact * (1 + 1e-9)
