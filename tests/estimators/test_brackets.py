"""All four constants of ReLU networks whose linear pieces are enumerated: lower <= exact <= upper, and how near."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from relu_oracle import ReluNet, exact_jacobian, exact_margin, exact_pairwise, exact_slope

from lipjax.bounds import local_bound
from lipjax.estimators import ascent_slope, clever, jacobian_norm, pairwise_slope, slope_curve
from lipjax.norms import Norm, l2, linf

pytestmark = pytest.mark.slow

RADII = (0.003, 0.03, 0.1, 0.36, 1.0, 2.1)
NETS = [ReluNet(seed, widths=(6, 6, 3)) for seed in range(8)]
XS = np.random.default_rng(5).uniform(size=(len(NETS), 2)).astype(np.float32)
TARGET = 2
UNOPTIMISED = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}  # compiles faster


class Found(NamedTuple):
    """What estimators and bounds say, `[nets, radii]` (`jacobian`: `[nets]`)."""

    curve: jax.Array
    ascent: jax.Array
    pairwise: jax.Array
    largest_gradient: jax.Array
    jacobian: jax.Array
    linear: jax.Array
    of_margin: jax.Array


def measured(norm: Norm, layers: list, x: jax.Array, index: jax.Array) -> Found:
    """Everything about one network."""
    key, f = jax.random.fold_in(jax.random.key(0), index), partial(ReluNet.apply, layers)

    def margin(z: jax.Array) -> jax.Array:
        logits = f(z)
        return (logits[jnp.argmax(f(x))] - logits[TARGET])[None]

    def at(radius: jax.Array) -> tuple[jax.Array, ...]:
        ball = norm.ball(radius, box=None)
        return (
            ascent_slope(ball, norm_out=norm)(key, f, x).value,
            pairwise_slope(ball, norm_out=norm)(key, f, x).value,
            clever(ball, target=TARGET, num_samples=64, num_batches=10)(key, f, x).largest,
            local_bound(f, x, ball, method="linear"),
            local_bound(margin, x, ball, norm_out=linf, method="linear"),
        )

    curve = slope_curve(key, f, x[None], RADII, norm_in=norm, norm_out=norm, box=None).values[0]
    ascent, pairwise, largest, linear, of_margin = jax.lax.map(at, jnp.array(RADII))
    jacobian = jacobian_norm(norm, norm)(key, f, x).value
    return Found(curve, ascent, pairwise, largest, jacobian, linear, of_margin)


class Exact(NamedTuple):
    """The constants themselves, of the same shapes."""

    slope: np.ndarray
    pairwise: np.ndarray
    large_pieces: np.ndarray
    margin: np.ndarray
    jacobian: np.ndarray


def enumerated(norm: Norm) -> Exact:
    """The constants from all linear pieces, in float64."""
    cases = [(net.rounded(), x.astype(np.float64)) for net, x in zip(NETS, XS, strict=True)]
    of_radii = [
        [
            (
                exact_slope(net, x, radius, norm.name, norm.name),
                exact_pairwise(net, x, radius, norm.name, norm.name),
                exact_pairwise(net, x, radius, norm.name, norm.name, smallest=0.01),
                exact_margin(net, x, radius, norm.name, TARGET),
            )
            for radius in RADII
        ]
        for net, x in cases
    ]
    jacobians = [exact_jacobian(net, x, norm.name, norm.name) for net, x in cases]
    return Exact(*np.moveaxis(np.array(of_radii), -1, 0), np.array(jacobians))


@pytest.fixture(scope="module", params=[l2, linf], ids=lambda norm: norm.name)
def bracket(request: pytest.FixtureRequest) -> tuple[Found, Exact]:
    """What was found and what is true, for one norm."""
    weights = jax.tree.map(lambda *leaves: jnp.asarray(np.stack(leaves), jnp.float32), *[net.layers for net in NETS])
    compiled = jax.jit(jax.vmap(partial(measured, request.param)), compiler_options=UNOPTIMISED)
    found = compiled(weights, jnp.asarray(XS), jnp.arange(len(NETS)))
    return jax.tree.map(np.asarray, found), enumerated(request.param)


ROUNDING = 1 + 2e-4


def test_every_constant_is_between_its_lower_and_its_upper_value(bracket: tuple[Found, Exact]) -> None:
    found, exact = bracket
    assert np.all(found.curve <= exact.slope * ROUNDING)
    assert np.all(found.ascent <= exact.slope * ROUNDING)
    assert np.all(exact.slope <= exact.pairwise * ROUNDING)
    assert np.all(found.pairwise <= exact.pairwise * ROUNDING)
    assert np.all(exact.pairwise <= found.linear)
    assert np.all(exact.jacobian <= found.linear[:, 0])
    assert np.all(found.largest_gradient <= exact.margin * ROUNDING)
    assert np.all(exact.margin <= found.of_margin)
    assert np.all(np.isfinite(found.of_margin))
    np.testing.assert_allclose(found.jacobian, exact.jacobian, rtol=1e-4)


def test_what_is_reported_as_lower_is_never_above_what_is_reported_as_upper(bracket: tuple[Found, Exact]) -> None:
    found, _ = bracket
    for lower in (found.curve, found.pairwise, found.jacobian[:, None]):
        assert np.all(lower <= found.linear)
    assert np.all(found.largest_gradient <= found.of_margin)


def test_slopes_nearly_always_reach_99_percent_of_the_exact_value(bracket: tuple[Found, Exact]) -> None:
    found, exact = bracket
    for slope in (found.curve, found.ascent):
        reached = slope >= 0.99 * exact.slope
        assert np.mean(reached) >= 0.95  # steep pieces that are tiny can be missed


def test_pairwise_slopes_reach_99_percent_of_all_but_tiny_pieces(bracket: tuple[Found, Exact]) -> None:
    found, exact = bracket
    assert np.all(found.pairwise >= 0.99 * exact.large_pieces)
    assert np.mean(found.pairwise >= 0.99 * exact.pairwise) >= 0.93


def test_small_balls_show_the_jacobian(bracket: tuple[Found, Exact]) -> None:
    found, exact = bracket
    inside = np.isclose(exact.pairwise[:, 0], exact.jacobian, rtol=1e-6)  # no unit switches
    assert inside.sum() >= 6
    for values in (found.curve, found.ascent, found.pairwise, found.linear):
        np.testing.assert_allclose(values[inside, 0], exact.jacobian[inside], rtol=1e-2)
