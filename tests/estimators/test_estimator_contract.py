"""What every estimator promises, one row each: values attained at witnesses, in every norm, as a value of settings."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_slope import operator_norm

from lipjax import estimators, values
from lipjax.norms import Ball, Norm, l1, l2, linf, masked
from lipjax.types import Estimate, Estimator

MATRIX = np.array([[3.0, 1.0, 0.5], [-1.0, 2.0, 0.0]], np.float32)
X = np.array([0.3, 0.5, 0.6], np.float32)
RADIUS = 0.25


KINDS = {"bent": np.array([1.0, 1.0]), "linear": np.array([1.0, 0.0]), "constant": np.array([0.0, 0.0])}
"""How much there is of a linear and of a bent part."""


def f(x: jax.Array, kind: np.ndarray) -> jax.Array:
    """A function with two outputs."""
    return kind[0] * (jnp.asarray(MATRIX) @ x) + kind[1] * jnp.tanh(4.0 * x[:2] - 2.0) ** 2


def anchored(kind: np.ndarray, witness: np.ndarray) -> float:
    """The quotient of the witness and the center."""
    step = witness - X
    return float(np.linalg.norm(f(witness, kind) - f(X, kind)) / max(np.linalg.norm(step), 1e-30))


def between(kind: np.ndarray, witness: np.ndarray) -> float:
    """The quotient of a pair."""
    return float(np.linalg.norm(f(witness[0], kind) - f(witness[1], kind)) / np.linalg.norm(witness[0] - witness[1]))


def along(kind: np.ndarray, witness: np.ndarray) -> float:
    """The length that the Jacobian gives to the witness, a direction."""
    return float(np.linalg.norm(jax.jvp(lambda x: f(x, kind), (jnp.asarray(X),), (jnp.asarray(witness),))[1]))


def of_margin(kind: np.ndarray, witness: np.ndarray) -> float:
    """The length of the margin's gradient at the witness."""
    return float(np.linalg.norm(jax.grad(lambda x: f(x, kind) @ jnp.array([1.0, -1.0]))(jnp.asarray(witness))))


class Row(NamedTuple):
    """An estimator, and what its value means at its witness."""

    estimator: Estimator
    at_witness: Callable[[np.ndarray, np.ndarray], float]
    of_linear: float = float(np.linalg.norm(MATRIX, 2))
    is_exact: bool = True


BALL = l2.ball(RADIUS)
ROWS = {
    "ascent_slope": Row(estimators.ascent_slope(BALL, num_restarts=8), anchored),
    "growing_slope": Row(estimators.growing_slope(BALL), anchored),
    "sampled_slope": Row(estimators.sampled_slope(BALL, num_samples=50), anchored, is_exact=False),
    "talk_slope": Row(estimators.talk_slope(BALL), anchored, is_exact=False),
    "pairwise_slope": Row(estimators.pairwise_slope(BALL, num_samples=32, num_steps=20, num_restarts=2), between),
    "jacobian_norm": Row(estimators.jacobian_norm(), along),
    "clever": Row(
        estimators.clever(BALL, num_samples=8, num_batches=20),
        of_margin,
        of_linear=float(np.linalg.norm(MATRIX[0] - MATRIX[1])),
    ),
}
LOCAL = [name for name, row in ROWS.items() if isinstance(row.estimator, estimators.LocalEstimator)]
EQUAL = {  # the same settings, written differently
    "jacobian_norm": estimators.jacobian_norm(norm_out=l2, num_steps=20),
    **{name: ROWS[name].estimator.replace(ball=Ball(l2, np.float64(RADIUS))) for name in LOCAL},
}


class Found(NamedTuple):
    """Value and witness for one function."""

    value: float
    witness: np.ndarray


@pytest.fixture(scope="module", params=ROWS)
def row(request: pytest.FixtureRequest) -> tuple[Row, dict[str, Found]]:
    """A row, and what it finds for a bent, a linear and a constant function, by one program with the value traced."""
    chosen = ROWS[request.param]
    chex.clear_trace_counter()

    @jax.jit
    @chex.assert_max_traces(n=1)
    def estimate(estimator: Estimator, kind: jax.Array) -> tuple[jax.Array, jax.Array]:
        found = estimator(jax.random.key(0), partial(f, kind=kind), jnp.asarray(X))
        return getattr(found, "largest", found.value), found.witness

    found = {name: Found(*estimate(chosen.estimator, kind)) for name, kind in KINDS.items()}
    found["again"] = Found(*estimate(chosen.estimator, KINDS["bent"]))
    if request.param in LOCAL:
        smaller = chosen.estimator.replace(ball=l2.ball(0.5 * RADIUS))
        found["smaller ball"] = Found(*estimate(smaller, KINDS["bent"]))
    return chosen, found


def test_the_value_is_that_of_its_witness(row: tuple[Row, dict[str, Found]]) -> None:
    chosen, found = row
    for name in ("bent", "linear"):
        value, witness = found[name]
        assert value == pytest.approx(chosen.at_witness(KINDS[name], np.asarray(witness)), rel=1e-3)


def test_the_witness_is_in_the_ball_and_in_the_box(row: tuple[Row, dict[str, Found]]) -> None:
    chosen, found = row
    if not isinstance(chosen.estimator, estimators.LocalEstimator):
        np.testing.assert_allclose(np.linalg.norm(found["bent"].witness), 1.0, rtol=1e-6)  # a direction
        return
    for name, (value, witness) in found.items():
        assert np.isfinite(value)
        points = np.asarray(witness).reshape(-1, 3)
        radius = 0.5 * RADIUS if name == "smaller ball" else RADIUS
        assert np.all(np.linalg.norm(points - X, axis=1) <= radius + 1e-6)
        assert np.all((points >= 0.0) & (points <= 1.0))


def test_a_linear_map_has_its_operator_norm_and_a_constant_nothing(row: tuple[Row, dict[str, Found]]) -> None:
    chosen, found = row
    assert found["linear"].value <= chosen.of_linear * (1 + 1e-5)
    assert found["linear"].value >= chosen.of_linear * (0.999 if chosen.is_exact else 0.5)
    assert found["constant"].value == 0.0


def test_the_key_decides_everything(row: tuple[Row, dict[str, Found]]) -> None:
    _, found = row
    assert found["again"].value == found["bent"].value
    np.testing.assert_array_equal(found["again"].witness, found["bent"].witness)


@pytest.mark.parametrize("name", ROWS)
def test_settings_are_all_there_is_to_an_estimator(name: str) -> None:
    estimator = ROWS[name].estimator
    assert estimator == EQUAL[name] != type(estimator)(num_samples=3) if name in LOCAL else estimator == EQUAL[name]
    assert hash(estimator) == hash(EQUAL[name])
    assert values.from_json(values.to_json(estimator)) == estimator
    assert repr(estimator).startswith(f"{name}(")
    assert "num_steps=3" in repr(estimators.jacobian_norm(num_steps=3))


FREE = np.array([True, False, True])
NORMS: dict[str, tuple[Norm, Norm]] = {
    "masked l1 to linf": (masked(l1, FREE), linf),
    "l2": (l2, l2),
    "linf to l2": (linf, l2),
}
XS, RADII = np.stack([X, np.array([0.1, 0.5, 0.9], np.float32)]), np.array([0.1, RADIUS], np.float32)


@pytest.fixture(scope="module", params=LOCAL)
def curves(request: pytest.FixtureRequest) -> tuple[Row, dict[str, estimators.Curve]]:
    """The curves of a linear function around two points, one of them near faces of the box, in every norm."""
    linear = partial(f, kind=KINDS["linear"])

    def curve(norm_in: Norm, norm_out: Norm) -> estimators.Curve:
        changes = {} if request.param == "clever" else {"norm_out": norm_out}
        estimator = ROWS[request.param].estimator.replace(ball=norm_in.ball(1.0), **changes)
        return estimators.curve(jax.random.key(0), estimator, linear, XS, RADII, keep_witnesses=True)

    return ROWS[request.param], {name: curve(*pair) for name, pair in NORMS.items()}


@pytest.mark.parametrize("norms", NORMS)
def test_curves_of_a_linear_map_are_its_norm_attained_within_balls_and_box(
    curves: tuple[Row, dict[str, estimators.Curve]], norms: str
) -> None:
    row, (norm_in, norm_out), found = curves[0], NORMS[norms], curves[1][norms]
    matrix = MATRIX[:, FREE] if norms == "masked l1 to linf" else MATRIX
    exact = operator_norm(matrix[:1] - matrix[1:] if found.constant == "clever" else matrix, norm_in, norm_out)
    chex.assert_shape(found.values, (2, 2))
    assert np.all(found.values <= exact * (1 + 1e-5))
    assert np.all(found.values >= exact * (0.998 if row.is_exact else 0.3))
    witnesses = np.asarray(found.witnesses).reshape(2, 2, -1, 3)
    assert np.all((witnesses >= 0.0) & (witnesses <= 1.0))
    lengths = lengths_in(norm_in, witnesses - XS[:, None, None])
    assert np.all(lengths <= RADII[:, None] * (1 + 1e-5))
    if found.constant == "pairwise":
        steps = witnesses[:, :, 0].astype(np.float64) - witnesses[:, :, 1]
        quotients = lengths_in(norm_out, steps @ MATRIX.T) / lengths_in(norm_in, steps)
        np.testing.assert_allclose(found.values, quotients, rtol=1e-4)


def lengths_in(norm: Norm, steps: np.ndarray) -> np.ndarray:
    """Norms along the last axis."""
    return np.apply_along_axis(lambda step: norm.value(jnp.asarray(step, jnp.float32)), -1, steps)


def test_stacked_balls_under_vmap_equal_one_by_one() -> None:
    x, bent = jnp.asarray(X), partial(f, kind=KINDS["bent"])
    for name in ("ascent_slope", "sampled_slope", "clever"):
        each = [ROWS[name].estimator.replace(ball=l2.ball(radius)) for radius in (0.1, RADIUS)]
        together = jax.vmap(lambda estimator: estimator(jax.random.key(0), bent, x))(values.stack(*each))
        singles = [jax.jit(lambda estimator: estimator(jax.random.key(0), bent, x))(estimator) for estimator in each]
        expected = jax.tree.map(lambda *leaves: jnp.stack(leaves), *singles)
        chex.assert_trees_all_close(together, expected, rtol=1e-4)


class corners(estimators.LocalEstimator):
    """The largest quotient at the corners of a cube: an estimator that lipjax does not know."""

    norm_out: Norm = l2

    def __call__(self, key: jax.Array, f: Callable, x: jax.Array) -> Estimate:
        grid = jnp.stack(jnp.meshgrid(*[jnp.array([-1.0, 1.0])] * x.size), -1).reshape(-1, x.size)
        points = self.ball.clip(x + self.ball.radius * grid)
        quotients = jax.vmap(lambda u: self.norm_out.value(f(u) - f(x)) / self.ball.norm.value(u - x))(points)
        return Estimate(jnp.max(quotients), points[jnp.argmax(quotients)])


def test_an_estimator_of_ones_own_has_curves_too(key: jax.Array) -> None:
    linear = partial(f, kind=KINDS["linear"])
    found = estimators.curve(key, corners(linf.ball(1.0)), linear, X[None], [0.1, 0.2])
    np.testing.assert_allclose(found.values, operator_norm(MATRIX, linf, l2), rtol=1e-5)
    assert (found.constant, found.norm_in, found.norm_out) == ("slope", linf, l2)
    assert values.from_json(values.to_json(corners(linf.ball(0.5)))) == corners(linf.ball(0.5))
