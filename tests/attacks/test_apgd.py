"""APGD against exact optima, against PGD with equal steps, and its schedule against the paper's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from lipjax import attacks
from lipjax.attacks.apgd import window_lengths
from lipjax.attacks.apgd_l1 import into_ball_and_box
from lipjax.losses import cross_entropy, dlr
from lipjax.norms import l1, l2, linf

NORMAL = np.asarray(jax.random.normal(jax.random.key(0), (20,)), np.float64)
CENTER = np.asarray(jax.random.uniform(jax.random.key(1), (20,)), np.float64)


def linear_optimum(norm, radius):
    """The largest <NORMAL, x - CENTER> over ball and box, as a linear program or by its one multiplier (l2)."""
    room = np.where(NORMAL > 0, 1 - CENTER, CENTER)
    slopes = np.abs(NORMAL)
    if norm is l2:
        levels = [scipy.optimize.brentq(lambda t: np.linalg.norm(np.minimum(t * slopes, room)) - radius, 0, 1e3)]
        return np.minimum(levels[0] * slopes, room) @ slopes
    limits, total = (np.minimum(room, radius), None) if norm is linf else (room, [[1.0] * 20])
    program = scipy.optimize.linprog(
        -slopes, A_ub=total, b_ub=None if total is None else [radius], bounds=[(0, limit) for limit in limits]
    )
    return -program.fun


@pytest.mark.parametrize(("norm", "radius"), [(linf, 0.1), (l2, 0.6), (l1, 1.5)], ids=["linf", "l2", "l1"])
def test_a_linear_objective_is_raised_to_its_maximum_over_ball_and_box(norm, radius):
    attack = attacks.apgd(norm.ball(radius))
    objective = lambda x: jnp.vdot(jnp.asarray(NORMAL, jnp.float32), x - jnp.asarray(CENTER, jnp.float32))  # noqa: E731
    point = jax.jit(lambda key: attack(key, objective, jnp.asarray(CENTER, jnp.float32)))(jax.random.key(2))
    optimum = linear_optimum(norm, radius)
    assert optimum * 0.995 <= objective(point) <= optimum * (1 + 1e-5)


@pytest.mark.parametrize(("norm", "radius", "loss"), [(linf, 0.08, dlr), (l2, 0.35, cross_entropy)], ids=["linf", "l2"])
def test_with_equal_steps_it_is_at_least_as_strong_as_pgd(norm, radius, loss, four_classes):
    def fooled(attack):
        def one(key, x, label):
            point = attack(key, attacks.evasion(four_classes.f, label, loss), x)
            return jnp.argmax(four_classes.f(point)) != label

        keys = jax.random.split(jax.random.key(3), len(four_classes.labels))
        return jnp.sum(jax.jit(jax.vmap(one))(keys, four_classes.inputs, four_classes.labels))

    by_apgd = fooled(attacks.apgd(norm.ball(radius), num_steps=40))
    by_pgd = fooled(attacks.pgd(norm.ball(radius), num_steps=40))
    assert 0 < by_apgd < len(four_classes.labels)
    assert by_apgd >= by_pgd


def test_checkpoints_are_those_of_the_paper_for_a_hundred_steps():
    # p_1 = 0.22, p_{j+1} = p_j + max(p_j - p_{j-1} - 0.03, 0.06)
    ends = np.flatnonzero(window_lengths(100)) + 1
    np.testing.assert_array_equal(ends, [22, 41, 57, 70, 80, 87, 93, 99])


def test_an_infinite_objective_ends_the_search():
    calls = []

    def objective(x):
        jax.debug.callback(lambda: calls.append(1))
        return jnp.where(jnp.sum(x) > 2.0, jnp.inf, jnp.sum(x))

    attacks.apgd(linf.ball(0.3), num_steps=50)(jax.random.key(0), objective, jnp.full(3, 0.5))
    jax.effects_barrier()
    assert len(calls) < 10


def test_the_projection_on_l1_ball_and_box_solves_the_quadratic_program():
    point = np.array([1.6, -0.3, 0.9, 0.2, 0.55, 0.1])
    center = np.array([0.7, 0.1, 0.5, 0.4, 0.5, 0.9])
    split = lambda e: e[:6] - e[6:]  # noqa: E731
    solution = scipy.optimize.minimize(
        lambda e: np.sum((center + split(e) - point) ** 2),
        np.zeros(12),
        method="SLSQP",
        bounds=[(0, 1 - c) for c in center] + [(0, c) for c in center],
        constraints={"type": "ineq", "fun": lambda e: 0.8 - np.sum(e)},
        options={"ftol": 1e-12},
    )
    projected = into_ball_and_box(jnp.asarray(point), jnp.asarray(center), l1.ball(0.8))
    np.testing.assert_allclose(projected, center + split(solution.x), atol=1e-5)


def test_a_point_of_the_l1_ball_is_its_own_projection():
    center = jnp.full(6, 0.5)
    point = center + jnp.array([0.1, -0.2, 0.0, 0.3, 0.0, 0.1])
    np.testing.assert_allclose(into_ball_and_box(point, center, l1.ball(0.75)), point, atol=1e-7)


def test_without_a_box_the_projection_is_that_of_the_norm():
    offset = jax.random.normal(jax.random.key(5), (30,))
    projected = into_ball_and_box(offset, jnp.zeros(30), l1.ball(2.0, None))
    np.testing.assert_allclose(projected, l1.project(offset, 2.0), atol=1e-6)
