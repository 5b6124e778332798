"""What every attack promises, in every norm: one row per attack."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lipjax import attacks, evaluation, values
from lipjax.norms import l1, l2, linf, masked
from lipjax.types import Batch

SHAPE = (6, 6, 1)
BOX = (0.0, 1.0)
MASK = np.zeros(SHAPE, bool)
MASK[1:5, 2:6] = True
MASK[2, 3] = False
NORMS = {"linf": linf, "l2": l2, "l1": l1, "masked_l2": masked(l2, MASK), "masked_l1": masked(l1, MASK)}


class Row(NamedTuple):
    """An attack: its constructor `(ball)`, and whether it uses its key.

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
    "square": Row(functools.partial(attacks.square, num_queries=600)),
    "fab": Row(functools.partial(attacks.fab, num_steps=10), uses_key=False),
    "fmn": Row(functools.partial(attacks.fmn, num_steps=40), uses_key=False),
    "deepfool": Row(functools.partial(attacks.deepfool, num_steps=10), uses_key=False, stops_in_l1=True),
}
# In l1 these search in ways of their own.
CASES = [(name, norm) for name in ROWS for norm in NORMS if norm != "masked_l1" or name in ("apgd", "square", "fab")]
every_case = pytest.mark.parametrize(("name", "norm_name"), CASES, ids=["-".join(case) for case in CASES])
every_attack = pytest.mark.parametrize("name", ROWS)

NORMAL = jax.random.normal(jax.random.key(1), SHAPE)
# Some pixels at the limits of the box, the rest far enough from them for the radii below.
CENTER = jnp.clip(jax.random.uniform(jax.random.key(2), SHAPE, minval=-0.2, maxval=1.2), *BOX)
DISTANCES = {np.inf: 0.05, 2.0: 0.4, 1.0: 0.9}


def signed_distance(norm, x):
    """A linear function that is zero at the given distance from CENTER (where no box interferes)."""
    return jnp.vdot(NORMAL, x - CENTER) / norm.dual(NORMAL) - DISTANCES[norm.exponent]


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
    radii = jnp.array([0.0, 0.5, 2.0, 2.0]) * DISTANCES[norm.exponent]
    slopes = jnp.array([1.0, 1.0, 1.0, 0.0])

    @jax.jit
    def run(key, attack, slope):
        return attack(key, lambda x: slope * signed_distance(norm, x) + slope - 1.0, CENTER)

    attack = values.stack(*(ROWS[name].make(norm.ball(float(radius), BOX)) for radius in radii))
    points, others = (jax.vmap(run, in_axes=(None, 0, 0))(jax.random.key(seed), attack, slopes) for seed in (3, 4))
    return Found(np.asarray(radii), np.asarray(points), np.asarray(others))


@every_case
def test_radius_zero_returns_the_center_bit_for_bit(name, norm_name):
    np.testing.assert_array_equal(found(name, norm_name).points[0], CENTER)


@every_case
def test_the_point_is_in_the_ball_and_in_the_box(name, norm_name):
    for radius, point, _ in zip(*found(name, norm_name), strict=True):
        chex.assert_tree_all_finite(point)
        offset = (point.astype(np.float64) - np.asarray(CENTER, np.float64)).ravel()
        assert np.linalg.norm(offset, NORMS[norm_name].exponent) <= radius + 1e-6
        assert point.min() >= BOX[0]
        assert point.max() <= BOX[1]


@every_case
def test_what_the_norm_holds_fixed_stays_bit_for_bit_and_the_rest_moves(name, norm_name):
    movable = NORMS[norm_name].movable(SHAPE)
    for point in found(name, norm_name).points[:3]:
        np.testing.assert_array_equal(point[~movable], CENTER[~movable])
    assert np.any(found(name, norm_name).points[2] != CENTER)


@every_case
def test_the_objective_never_falls_below_its_value_at_the_center(name, norm_name):
    for point in found(name, norm_name).points[:3]:
        value, at_center = signed_distance(NORMS[norm_name], point), signed_distance(NORMS[norm_name], CENTER)
        assert value >= at_center - 1e-6


@every_case
def test_a_boundary_within_the_ball_is_crossed_and_one_outside_is_not(name, norm_name):
    values = [float(signed_distance(NORMS[norm_name], point)) for point in found(name, norm_name).points[:3]]
    assert values[1] < 0
    assert (values[2] > 0) == (not (ROWS[name].stops_in_l1 and NORMS[norm_name].exponent == 1))


@pytest.mark.parametrize("norm", [linf, l2, l1], ids=lambda norm: norm.name)
@pytest.mark.parametrize("name", ["momentum_pgd", "fab", "fmn", "deepfool"])
def test_in_a_masked_norm_an_attack_does_what_it_does_to_the_function_of_what_may_move(name, norm):
    free = np.flatnonzero(MASK)
    start, weights = jnp.ravel(CENTER)[free], jnp.ravel(NORMAL)[free]

    def objective(entries):
        return jnp.sum(weights * (jnp.sin(entries) - jnp.sin(start))) - 0.3

    expected = ROWS[name].make(norm.ball(1.0))(jax.random.key(0), objective, start)
    attack = ROWS[name].make(masked(norm, MASK).ball(1.0))
    point = attack(jax.random.key(0), lambda x: objective(jnp.ravel(x)[free]) + 0.0 * jnp.sum(x), CENTER)
    assert jnp.max(jnp.abs(expected - start)) > 0.01
    np.testing.assert_allclose(jnp.ravel(point)[free], expected, atol=1e-6)


@every_attack
def test_the_key_decides_what_is_random_and_nothing_else(name):
    _, points, others = found(name, "l2")
    assert np.any(points != others) == ROWS[name].uses_key


@every_attack
def test_stacked_radii_in_one_program_give_what_one_plain_call_gives(name):
    radius = float(found(name, "l2").radii[1])
    point = ROWS[name].make(l2.ball(radius))(jax.random.key(3), lambda x: signed_distance(l2, x), CENTER)
    np.testing.assert_allclose(point, found(name, "l2").points[1], atol=1e-5)


@every_attack
def test_an_attack_is_a_value(name):
    attack, other = ROWS[name].make(l2.ball(0.5)), ROWS[name].make(l2.ball(0.25))
    assert attack == ROWS[name].make(l2.ball(0.5)) != other
    assert len({attack, other, attack.replace(ball=l2.ball(0.25))}) == 2
    assert values.from_json(values.to_json(attack)) == attack
    assert repr(attack).startswith(f"{type(attack).__name__}(ball=Ball(norm=l2, radius=0.5)")


class Sides(NamedTuple):
    """Examples left and right of a plane, at known l2 distances from it."""

    batch: Batch
    distances: np.ndarray

    @staticmethod
    def f(x):
        return jnp.stack([jnp.vdot(NORMAL, x - 0.5), 0.0]) / l2.value(NORMAL)


@functools.cache
def sides() -> Sides:
    distances = np.array([-0.5, -0.1, 0.1, 0.1, 0.5])
    inputs = 0.5 + distances.reshape(-1, 1, 1, 1) * np.asarray(NORMAL / l2.value(NORMAL))
    return Sides(Batch(inputs.astype(np.float32), (distances < 0).astype(int)), np.abs(distances))


@every_attack
def test_robust_accuracy_is_the_share_of_examples_farther_from_the_boundary_than_the_radius(name):
    """And another radius is no other program."""
    batch, distances = sides()
    traces = []

    def f(x):
        traces.append(isinstance(x, jax.core.Tracer))
        return Sides.f(x)

    for number, radius in enumerate((0.3, 0.0, 0.05, 1.2)):
        traces.clear()
        found = evaluation.robust_accuracy(jax.random.key(0), f, batch, ROWS[name].make(l2.ball(radius)))
        assert found == pytest.approx(np.mean(distances > radius))
        assert (len(traces) == 0) == (number > 0)


@pytest.mark.parametrize("name", ["pgd", "momentum_pgd", "apgd", "square", "fab", "fmn", "deepfool"])
def test_without_a_box_a_point_may_leave_the_unit_cube(name):
    attack = ROWS[name].make(l2.ball(10.0, None))
    point = jax.jit(lambda key: attack(key, lambda x: jnp.sum(x) - 40.0, jnp.zeros(SHAPE) + 0.5))(jax.random.key(0))
    assert jnp.sum(point) > 36.0


@pytest.mark.parametrize("shape", [(7,), (5, 4), (28, 28, 1), (64, 64, 3), (224, 224, 3), (2, 3, 2, 2)], ids=str)
@every_attack
def test_inputs_may_have_any_shape(name, shape):
    attack = ROWS[name].make(linf.ball(0.1))
    center = jnp.full(shape, 0.5)
    point = jax.eval_shape(lambda key: attack(key, lambda x: jnp.sum(x) - 100.0, center), jax.random.key(0))
    assert point.shape == shape


@pytest.mark.parametrize("norm", [linf, l2, l1], ids=lambda norm: norm.name)
@pytest.mark.parametrize(
    ("image", "answer"), [("bfloat16", "bfloat16"), ("float32", "bfloat16"), ("bfloat16", "float32")]
)
@every_attack
def test_an_image_keeps_its_type_whatever_that_of_the_answer(name, image, answer, norm):
    attack = ROWS[name].make(norm.ball(jnp.float32(0.1)))
    center = jnp.full(SHAPE, 0.5, image)
    point = jax.eval_shape(lambda key: attack(key, lambda x: jnp.sum(x).astype(answer), center), jax.random.key(0))
    assert point.dtype == image


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
    "fmn_steps": (lambda: attacks.fmn(num_steps=0), "num_steps"),
    "fmn_step_size": (lambda: attacks.fmn(step_size=0.0), "step_size must be positive"),
    "fmn_adaptation": (lambda: attacks.fmn(adaptation=1.5), "adaptation must be between 0 and 1"),
    "deepfool_steps": (lambda: attacks.deepfool(num_steps=0), "num_steps"),
    "deepfool_overshoot": (lambda: attacks.deepfool(overshoot=-0.1), "overshoot"),
    "square_queries": (lambda: attacks.square(num_queries=0), "num_queries"),
    "square_share": (lambda: attacks.square(first_share=1.1), "first_share must be between 0 and 1"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_hyper_parameter_is_refused_by_name(case):
    make, message = WRONG[case]
    with pytest.raises(ValueError, match=message):
        make()
