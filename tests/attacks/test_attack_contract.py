"""What every attack promises, in every norm it is defined in: one row per attack."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lipjax import attacks
from lipjax.norms import l1, l2, linf

NORMS = {norm.name: norm for norm in (linf, l2, l1)}


class Row(NamedTuple):
    """An attack: its constructor `(norm, radius, bounds=...)`, and whether it uses its key.

    In l1 some steps move a single pixel, and end where the box stops it: `stops_in_l1`.
    """

    make: Callable
    uses_key: bool = True
    stops_in_l1: bool = False


ROWS = {
    "fgsm": Row(attacks.fgsm, uses_key=False, stops_in_l1=True),
    "pgd": Row(functools.partial(attacks.pgd, num_steps=20), stops_in_l1=True),
    "pgd_restarts": Row(functools.partial(attacks.pgd, num_steps=20, num_restarts=2), stops_in_l1=True),
    "momentum_pgd": Row(functools.partial(attacks.momentum_pgd, num_steps=20), uses_key=False, stops_in_l1=True),
    "apgd": Row(functools.partial(attacks.apgd, num_steps=30)),
    "apgd_restarts": Row(functools.partial(attacks.apgd, num_steps=30, num_restarts=2)),
    "square": Row(functools.partial(attacks.square, num_queries=300)),
    "fab": Row(functools.partial(attacks.fab, num_steps=10), uses_key=False),
    "deepfool": Row(functools.partial(attacks.deepfool, num_steps=10), uses_key=False, stops_in_l1=True),
}
CASES = [(name, norm) for name in ROWS for norm in NORMS]
every_case = pytest.mark.parametrize(("name", "norm_name"), CASES, ids=["-".join(case) for case in CASES])
every_attack = pytest.mark.parametrize("name", ROWS)

SHAPE = (6, 6, 1)
BOUNDS = (0.0, 1.0)
NORMAL = jax.random.normal(jax.random.key(1), SHAPE)
# Some pixels at the limits of the box, the rest far enough from them for the radii below.
CENTER = jnp.clip(jax.random.uniform(jax.random.key(2), SHAPE, minval=-0.2, maxval=1.2), *BOUNDS)
DISTANCES = {"linf": 0.05, "l2": 0.4, "l1": 0.9}


def signed_distance(norm, x):
    """A linear function that is zero at the given distance from CENTER (where no box interferes)."""
    return jnp.vdot(NORMAL, x - CENTER) / norm.dual(NORMAL) - DISTANCES[norm.name]


class Found(NamedTuple):
    radii: np.ndarray
    points: np.ndarray
    others: np.ndarray


@functools.cache
def found(name: str, norm_name: str) -> Found:
    """Points for the radii 0, and half and twice the distance to the boundary, and for a flat objective.

    One compiled program finds all of them, and those for another key.
    """
    norm = NORMS[norm_name]
    radii = jnp.array([0.0, 0.5, 2.0, 2.0]) * DISTANCES[norm_name]
    slopes = jnp.array([1.0, 1.0, 1.0, 0.0])

    @jax.jit
    def run(key, radius, slope):
        attack = ROWS[name].make(norm, radius, bounds=BOUNDS)
        return attack(key, lambda x: slope * signed_distance(norm, x) + slope - 1.0, CENTER)

    points, others = (jax.vmap(run, in_axes=(None, 0, 0))(jax.random.key(seed), radii, slopes) for seed in (3, 4))
    return Found(np.asarray(radii), np.asarray(points), np.asarray(others))


@every_case
def test_radius_zero_returns_the_center_bit_for_bit(name, norm_name):
    np.testing.assert_array_equal(found(name, norm_name).points[0], CENTER)


@every_case
def test_the_point_is_in_the_ball_and_in_the_box(name, norm_name):
    for radius, point, _ in zip(*found(name, norm_name), strict=True):
        assert np.all(np.isfinite(point))
        offset = (point.astype(np.float64) - np.asarray(CENTER, np.float64)).ravel()
        assert np.linalg.norm(offset, {"linf": np.inf, "l2": 2, "l1": 1}[norm_name]) <= radius + 1e-6
        assert point.min() >= BOUNDS[0]
        assert point.max() <= BOUNDS[1]


@every_case
def test_the_objective_never_falls_below_its_value_at_the_center(name, norm_name):
    for point in found(name, norm_name).points[:3]:
        value, at_center = signed_distance(NORMS[norm_name], point), signed_distance(NORMS[norm_name], CENTER)
        assert value >= at_center - 1e-6


@every_case
def test_a_boundary_within_the_ball_is_crossed_and_one_outside_is_not(name, norm_name):
    values = [float(signed_distance(NORMS[norm_name], point)) for point in found(name, norm_name).points[:3]]
    assert values[1] < 0
    assert (values[2] > 0) == (not (ROWS[name].stops_in_l1 and norm_name == "l1"))


@every_attack
def test_the_key_decides_what_is_random_and_nothing_else(name):
    _, points, others = found(name, "l2")
    assert np.any(points != others) == ROWS[name].uses_key


@every_attack
def test_one_compiled_program_for_many_radii_gives_what_one_plain_call_gives(name):
    radius = float(found(name, "l2").radii[1])
    attack = ROWS[name].make(l2, radius, bounds=BOUNDS)
    point = attack(jax.random.key(3), lambda x: signed_distance(l2, x), CENTER)
    np.testing.assert_allclose(point, found(name, "l2").points[1], atol=1e-5)


@pytest.mark.parametrize("name", ["pgd", "momentum_pgd", "apgd", "square", "fab", "deepfool"])
def test_without_bounds_a_point_may_leave_the_unit_box(name):
    attack = ROWS[name].make(l2, 10.0, bounds=None)
    point = jax.jit(lambda key: attack(key, lambda x: jnp.sum(x) - 40.0, jnp.zeros(SHAPE) + 0.5))(jax.random.key(0))
    assert jnp.sum(point) > 36.0


@pytest.mark.parametrize("shape", [(7,), (5, 4), (28, 28, 1), (64, 64, 3), (224, 224, 3), (2, 3, 2, 2)], ids=str)
@every_attack
def test_inputs_may_have_any_shape(name, shape):
    attack = ROWS[name].make(linf, 0.1)
    center = jnp.full(shape, 0.5)
    point = jax.eval_shape(lambda key: attack(key, lambda x: jnp.sum(x) - 100.0, center), jax.random.key(0))
    assert point.shape == shape


@every_attack
def test_a_half_precision_image_keeps_its_type(name):
    attack = ROWS[name].make(linf, jnp.float32(0.1))
    center = jnp.full(SHAPE, 0.5, jnp.bfloat16)
    point = jax.eval_shape(lambda key: attack(key, lambda x: jnp.sum(x) - 100.0, center), jax.random.key(0))
    assert point.dtype == jnp.bfloat16


@every_attack
def test_a_negative_radius_is_refused(name):
    with pytest.raises(ValueError, match=r"radius must be 0 or greater, got -0\.1"):
        ROWS[name].make(linf, -0.1)


WRONG = {
    "pgd_steps": (lambda: attacks.pgd(num_steps=0), "num_steps must be a whole number"),
    "pgd_restarts": (lambda: attacks.pgd(num_restarts=0), "num_restarts must be a whole number"),
    "pgd_step_size": (lambda: attacks.pgd(step_size=-1.0), "step_size must be 0 or greater"),
    "momentum_steps": (lambda: attacks.momentum_pgd(num_steps=0), "num_steps"),
    "momentum_step_size": (lambda: attacks.momentum_pgd(step_size=-1.0), "step_size"),
    "momentum": (lambda: attacks.momentum_pgd(momentum=1.5), "momentum must be between 0 and 1"),
    "apgd_steps": (lambda: attacks.apgd(num_steps=0), "num_steps"),
    "apgd_restarts": (lambda: attacks.apgd(num_restarts=0), "num_restarts"),
    "fab_steps": (lambda: attacks.fab(num_steps=0), "num_steps"),
    "fab_bias": (lambda: attacks.fab(bias=-0.1), "bias must be between 0 and 1"),
    "fab_retreat": (lambda: attacks.fab(retreat=2.0), "retreat must be between 0 and 1"),
    "fab_overshoot": (lambda: attacks.fab(overshoot=0.0), "overshoot must be positive"),
    "fab_norm": (lambda: attacks.fab(linf._replace(name="l7")), "norm must be one of linf, l2, l1; got 'l7'"),
    "deepfool_steps": (lambda: attacks.deepfool(num_steps=0), "num_steps"),
    "deepfool_overshoot": (lambda: attacks.deepfool(overshoot=-0.1), "overshoot"),
    "square_queries": (lambda: attacks.square(num_queries=0), "num_queries"),
    "square_share": (lambda: attacks.square(first_share=1.1), "first_share must be between 0 and 1"),
    "square_norm": (lambda: attacks.square(linf._replace(name="l7")), "norm must be one of linf, l2, l1; got 'l7'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_hyper_parameter_is_refused_by_name(case):
    make, message = WRONG[case]
    with pytest.raises(ValueError, match=message):
        make()
