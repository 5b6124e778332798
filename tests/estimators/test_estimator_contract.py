"""What every estimator of one point promises, one row per estimator: its value is attained at its witness."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lipjax import estimators

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
    """How an estimator is made, and what its value means at its witness."""

    make: Callable[[Any], Callable]
    at_witness: Callable[[np.ndarray, np.ndarray], float]
    of_linear: float = float(np.linalg.norm(MATRIX, 2))
    is_exact: bool = True
    in_ball: bool = True


ROWS = {
    "ascent_slope": Row(estimators.ascent_slope, anchored),
    "sampled_slope": Row(lambda radius: estimators.sampled_slope(radius, num_samples=50), anchored, is_exact=False),
    "talk_slope": Row(estimators.talk_slope, anchored, is_exact=False),
    "pairwise_slope": Row(estimators.pairwise_slope, between),
    "jacobian_norm": Row(lambda radius: estimators.jacobian_norm(), along, in_ball=False),
    "clever": Row(
        lambda radius: estimators.clever(radius, num_samples=8, num_batches=20),
        of_margin,
        of_linear=float(np.linalg.norm(MATRIX[0] - MATRIX[1])),
    ),
}


class Found(NamedTuple):
    """Value and witness for one function."""

    value: float
    witness: np.ndarray


@pytest.fixture(scope="module", params=ROWS)
def row(request: pytest.FixtureRequest) -> tuple[Row, dict[str, Found]]:
    """A row, and what it finds for a bent, a linear and a constant function, by one program with a traced radius."""
    chosen = ROWS[request.param]

    @jax.jit
    def estimate(key: jax.Array, radius: jax.Array, kind: jax.Array) -> tuple[jax.Array, jax.Array]:
        found = chosen.make(radius)(key, lambda x: f(x, kind), jnp.asarray(X))
        return getattr(found, "largest", found.value), found.witness

    found = {name: Found(*estimate(jax.random.key(0), RADIUS, kind)) for name, kind in KINDS.items()}
    found["again"] = Found(*estimate(jax.random.key(0), RADIUS, KINDS["bent"]))
    return chosen, found


def test_the_value_is_that_of_its_witness(row: tuple[Row, dict[str, Found]]) -> None:
    chosen, found = row
    for name in ("bent", "linear"):
        value, witness = found[name]
        assert value == pytest.approx(chosen.at_witness(KINDS[name], np.asarray(witness)), rel=1e-3)


def test_the_witness_is_in_the_ball_and_in_the_box(row: tuple[Row, dict[str, Found]]) -> None:
    chosen, found = row
    for value, witness in found.values():
        assert np.isfinite(value)
        points = np.asarray(witness).reshape(-1, 3)
        reach = np.linalg.norm(points - X, axis=1) if chosen.in_ball else np.linalg.norm(points, axis=1) - 0.75
        assert np.all(reach <= RADIUS + 1e-6)
        assert not chosen.in_ball or np.all((points >= 0.0) & (points <= 1.0))


def test_a_linear_map_has_its_operator_norm_and_a_constant_nothing(row: tuple[Row, dict[str, Found]]) -> None:
    chosen, found = row
    assert found["linear"].value <= chosen.of_linear * (1 + 1e-5)
    assert found["linear"].value >= chosen.of_linear * (0.999 if chosen.is_exact else 0.5)
    assert found["constant"].value == 0.0


def test_the_key_decides_everything(row: tuple[Row, dict[str, Found]]) -> None:
    _, found = row
    assert found["again"].value == found["bent"].value
    np.testing.assert_array_equal(found["again"].witness, found["bent"].witness)
