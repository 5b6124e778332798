"""Every constant of functions that have closed forms, at every radius: one program per estimator for all of them."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lipjax.estimators import Curve, ascent_slope, curve, pairwise_slope, slope_curve
from lipjax.norms import l2
from lipjax.types import Batch

RADII = np.array([0.02, 0.1, 0.24, 0.3, 0.517, 4.0])
LINEAR = np.array([[3.0, 1.0], [-1.0, 2.0]], np.float32)
SPECTRAL = float(np.linalg.norm(LINEAR, 2))
NORMAL = np.array([3.0, -4.0], np.float32)
DISTANCE = 0.25
AMPLITUDE, FREQUENCY = 2.0, 7.0


class Form(NamedTuple):
    """A function of two inputs with two outputs, a point, and its constants there as functions of the radius."""

    f: Callable
    x: tuple[float, float]
    slope: Callable
    pairwise: Callable


def at_top(radius: float) -> float:
    """The steepest chord of the sine wave from its top: `2 (1 - cos(7 e)) / e`."""
    steps = np.linspace(1e-4, radius, 20001)
    return (AMPLITUDE * (1.0 - np.cos(FREQUENCY * steps)) / steps).max()


FORMS = {
    "constant": Form(lambda x: jnp.array([7.0, -1.0]) + 0.0 * x[0], (0.3, 0.4), lambda r: 0.0, lambda r: 0.0),
    "identity": Form(lambda x: x, (0.3, 0.4), lambda r: 1.0, lambda r: 1.0),
    "linear": Form(lambda x: jnp.asarray(LINEAR) @ x, (0.3, 0.4), lambda r: SPECTRAL, lambda r: SPECTRAL),
    "squared length": Form(
        lambda x: jnp.stack([x @ x, 0.0]), (0.3, -0.4), lambda r: 1.0 + r, lambda r: 2.0 * (0.5 + r)
    ),
    "relu": Form(
        lambda x: jnp.stack([jax.nn.relu(NORMAL @ x - 5.0 * DISTANCE), 0.0]),
        (0.0, 0.0),
        lambda r: 5.0 * max(1.0 - DISTANCE / r, 0.0),
        lambda r: 5.0 * (r > DISTANCE),
    ),
    "sine at its top": Form(
        lambda x: jnp.stack([AMPLITUDE * jnp.sin(FREQUENCY * x[0]), 0.0]),
        (0.5 * np.pi / FREQUENCY, 0.0),
        at_top,
        lambda r: AMPLITUDE * FREQUENCY * np.sin(min(FREQUENCY * r, np.pi / 2)),
    ),
    "sine at zero": Form(
        lambda x: jnp.stack([AMPLITUDE * jnp.sin(FREQUENCY * x[0]), 0.0]),
        (0.0, 0.0),
        lambda r: AMPLITUDE * FREQUENCY,
        lambda r: AMPLITUDE * FREQUENCY,
    ),
}
XS = np.array([form.x for form in FORMS.values()], np.float32)


def chosen(x: jax.Array, index: jax.Array) -> jax.Array:
    """The function of this index."""
    return jax.lax.switch(index, [form.f for form in FORMS.values()], x)


@pytest.fixture(scope="module")
def searches() -> dict[str, Curve]:
    """The curves of every function around its point, followed by those of the same points once more."""
    key, ball = jax.random.key(0), l2.ball(1.0, box=None)
    twice = Batch(np.concatenate([XS, XS]), np.tile(np.arange(len(FORMS)), 2))
    return {
        "slope_curve": slope_curve(key, chosen, twice, RADII, box=None),
        "ascent": curve(key, ascent_slope(ball), chosen, twice, RADII),
        "pairwise": curve(key, pairwise_slope(ball, num_restarts=2), chosen, twice, RADII),
    }


def exact(constant: str) -> np.ndarray:
    """The constants `[functions, radii]`."""
    return np.array([[getattr(form, constant)(radius) for radius in RADII] for form in FORMS.values()])


@pytest.mark.parametrize("search", ["slope_curve", "ascent"])
def test_slopes_are_the_closed_forms_at_every_radius(searches: dict[str, Curve], search: str) -> None:
    found = np.asarray(searches[search].values)[: len(FORMS)]
    np.testing.assert_allclose(found, exact("slope"), rtol=4e-3)
    assert np.all(found <= exact("slope") * (1 + 2e-4))


def test_pairwise_slopes_are_the_closed_forms_at_every_radius(searches: dict[str, Curve]) -> None:
    found = np.asarray(searches["pairwise"].values)[: len(FORMS)]
    np.testing.assert_allclose(found, exact("pairwise"), rtol=1.5e-2)
    assert np.all(found <= exact("pairwise") * (1 + 1e-5))


def test_duplicates_of_points_have_the_same_constants_whatever_their_keys(searches: dict[str, Curve]) -> None:
    for search in searches.values():
        first, again = np.split(np.asarray(search.values), 2)
        np.testing.assert_allclose(first, again, rtol=1e-2)
