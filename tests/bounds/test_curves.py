"""Upper bounds over points and radii, and their way through the softmax."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lipjax.bounds import (
    BracketError,
    LocalBounds,
    check_bracket,
    global_bound,
    local_bound,
    softmax_bound,
    upper_curve,
)
from lipjax.networks import from_functions
from lipjax.norms import Norm, l1, l2, linf, masked
from lipjax.parallel import mesh, over
from lipjax.types import Model, Output, Variables


def jacobian_norms(probabilities: np.ndarray, order: float) -> np.ndarray:
    """Operator norms of the softmax's Jacobian, for every row of probabilities."""
    p = probabilities
    matrices = np.einsum("ni,ij->nij", p, np.eye(p.shape[1])) - p[:, :, None] * p[:, None, :]
    return np.linalg.norm(matrices, order, axis=(1, 2))


@pytest.mark.parametrize("norm", [l1, l2, linf], ids=str)
def test_no_logits_within_reach_have_a_steeper_softmax(norm: Norm) -> None:
    rng = np.random.default_rng(0)
    for center in (np.array([9.0, 1.0, 0.0]), np.array([2.0, 0.0, -1.0]), np.zeros(3), np.array([60.0, 0.0, 1.0])):
        for reach in (0.1, 1.0, 3.0):
            moves = rng.normal(size=(4000, 3))
            moves[:3] = [[-1.0, 1.0, 0.0], [-1.0, 1.0, 1.0], [-1.0, 0.0, 1.0]]
            moves *= reach / np.linalg.norm(moves, norm.exponent, axis=1, keepdims=True)
            found = jacobian_norms(np.asarray(jax.nn.softmax(center + moves)), norm.exponent).max()
            bound = softmax_bound(jnp.asarray(center, jnp.float32), reach / 0.2, 0.2, norm_out=norm) / (reach / 0.2)
            assert found <= bound * (1 + 1e-5)
            assert bound <= 0.5 * (1 + 1e-5)


def test_two_equal_logits_have_a_softmax_of_slope_one_half() -> None:
    exact = jacobian_norms(np.array([[0.5, 0.5]]), 2)[0]
    assert exact == pytest.approx(0.5)
    assert softmax_bound(jnp.zeros(2), 3.0, 0.0) == pytest.approx(3.0 * exact, rel=1e-5)


def test_an_unknown_constant_stays_unknown() -> None:
    assert softmax_bound(jnp.array([5.0, 0.0]), jnp.inf, 0.0) == jnp.inf


@pytest.fixture(scope="module")
def model() -> Model:
    """A ReLU network of four inputs and three classes."""
    rng = np.random.default_rng(1)
    weights = [jnp.asarray(rng.normal(size=size) / 2, jnp.float32) for size in ((4, 8), (8, 3))]

    def apply(variables: Variables, inputs: jax.Array, *, train: bool) -> tuple[Output, dict]:
        first, second = variables.params
        return Output(jax.nn.relu(inputs @ first) @ second, {}), {}

    variables = Variables(weights, {})
    return Model(from_functions(lambda key, shape: variables, apply), variables)


def test_a_bound_is_the_smaller_of_the_global_and_the_local_one(model: Model) -> None:
    xs, radii = np.random.default_rng(2).uniform(size=(3, 4)).astype(np.float32), [0.01, 5.0]
    found = upper_curve(model, xs, radii, ball=linf.ball(0.0), local=LocalBounds(2))
    everywhere = global_bound(model, (4,), norm_in=linf)
    assert found.of_network == everywhere
    assert found.num_local == 2
    np.testing.assert_allclose(found.values[2], everywhere)
    local = local_bound(model, jnp.asarray(xs[1]), linf.ball(0.01))
    np.testing.assert_allclose(found.values[1, 0], min(everywhere, float(local)), rtol=1e-6)
    assert np.all(found.values <= everywhere)


def test_dearer_methods_are_asked_where_a_bound_is_not_close_to_the_lower_value() -> None:
    rng = np.random.default_rng(1)
    kernels = [jnp.asarray(rng.normal(size=size) / 2, jnp.float32) for size in ((4, 8), (8, 8), (8, 3))]

    def f(x: jax.Array) -> jax.Array:
        return jax.nn.relu(jax.nn.relu(x @ kernels[0]) @ kernels[1]) @ kernels[2]

    xs = np.random.default_rng(5).uniform(size=(4, 4)).astype(np.float32)
    ask = partial(upper_curve, f, xs, [0.3, 0.03])
    interval, linear = (ask(local=LocalBounds(3, (word,))) for word in ("interval", "linear"))
    assert (linear.values[:3, 0] < 0.9 * interval.values[:3, 0]).all()

    never = LocalBounds(3, ("interval", "linear"), linear.values / 2, ratio=1.5)
    tightest = ask(local=never)
    np.testing.assert_allclose(tightest.values, linear.values, rtol=1e-5)
    assert tightest.methods[:, 0].tolist() == ["linear"] * 3 + ["global"]
    np.testing.assert_array_equal(tightest.values, ask(local=never._replace(seconds=600.0)).values)
    out_of_time = ask(local=never._replace(seconds=0.0))
    assert (out_of_time.values == linear.of_network).all()
    assert (out_of_time.methods == "global").all()

    lower = linear.values.copy()
    lower[1] = interval.values[1] / 1.05
    found = ask(local=never._replace(lower=lower, ratio=1.1))
    assert (found.values[1] == interval.values[1]).all()
    assert "linear" not in found.methods[1]
    np.testing.assert_allclose(found.values[[0, 2]], linear.values[[0, 2]], rtol=1e-5)


def test_bounds_of_probabilities_are_above_every_quotient_and_at_most_half_of_those_of_logits(model: Model) -> None:
    xs, radii = np.random.default_rng(3).uniform(size=(2, 4)).astype(np.float32), [0.1, 0.5]
    upper = upper_curve(model, xs, radii, of_probabilities=True, local=LocalBounds(2)).values
    assert np.all(upper <= 0.5001 * upper_curve(model, xs, radii, local=LocalBounds(2)).values)
    p = jax.vmap(lambda x: jax.nn.softmax(model.single(x)))
    for point, bounds in zip(xs, upper, strict=True):
        steps = np.random.default_rng(4).normal(size=(2, 2000, 4)).astype(np.float32)
        for radius, bound in zip(radii, bounds, strict=True):
            u, v = np.clip(point + radius * steps / np.linalg.norm(steps, axis=-1, keepdims=True), 0.0, 1.0)
            quotients = np.linalg.norm(p(u) - p(v), axis=1) / np.linalg.norm(u - v, axis=1)
            assert quotients.max() <= bound


def test_a_lower_value_above_its_upper_bound_is_named() -> None:
    radii, upper = [0.1, 0.2], np.array([[1.0, 1.0], [1.0, np.inf]])
    check_bracket("P", radii, np.array([[1.0, 0.5], [0.0, 7.0]]), upper)
    with pytest.raises(BracketError, match=r"P: at point 0 and radius 0\.2 the lower value 1\.5 exceeds .* bound 1$"):
        check_bracket("P", radii, np.array([[1.0, 1.5], [0.0, 7.0]]), upper)
    with pytest.raises(BracketError, match="nan"):
        check_bracket("P", radii, np.array([[1.0, 0.5], [0.0, np.nan]]), upper)


def test_masked_norms_have_local_bounds_on_a_mesh_too(model: Model) -> None:
    ball = masked(l2, np.array([True, True, False, True])).ball(1.0)
    ask = partial(upper_curve, model, np.full((2, 4), 0.5, np.float32), [0.05], ball=ball, local=LocalBounds(1))
    alone = ask()
    assert alone.values[0, 0] < alone.of_network
    with over(mesh(jax.devices()[:1])):
        np.testing.assert_allclose(ask().values, alone.values, rtol=1e-6)
