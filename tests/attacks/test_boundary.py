"""Shortest steps to hyperplanes in the box against general-purpose solvers; FAB and DeepFool on known boundaries."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from lipjax import attacks
from lipjax.attacks.boundary import nearest_boundary, step_to_hyperplane
from lipjax.norms import l1, l2, linf

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    foolbox = pytest.importorskip("foolbox", reason="foolbox, the oracle of DeepFool, is not installed")
    import eagerpy

NORMS = [linf, l2, l1]
every_norm = pytest.mark.parametrize("norm", NORMS, ids=lambda norm: norm.name)
POINT = np.asarray(jax.random.uniform(jax.random.key(0), (10,)), np.float64)
NORMAL = np.asarray(jax.random.normal(jax.random.key(1), (10,)), np.float64)


def shortest_length(norm, value):
    """Length of the shortest step to the hyperplane within the box, by a general-purpose solver."""
    room = np.where(-np.sign(value) * NORMAL > 0, 1 - POINT, POINT)
    slopes, gap = np.abs(NORMAL), abs(value)
    if norm is l2:
        solution = scipy.optimize.minimize(
            lambda t: np.sum(t**2),
            room / 2,
            method="SLSQP",
            bounds=[(0, r) for r in room],
            constraints={"type": "eq", "fun": lambda t: t @ slopes - gap},
            options={"ftol": 1e-14, "maxiter": 500},
        )
        return np.sqrt(solution.fun)
    if norm is l1:
        return scipy.optimize.linprog(np.ones(10), A_eq=[slopes], b_eq=[gap], bounds=[(0, r) for r in room]).fun
    # The largest entry is one more unknown, above all others.
    below = np.hstack([np.eye(10), -np.ones((10, 1))])
    program = scipy.optimize.linprog(
        [0.0] * 10 + [1.0],
        A_ub=below,
        b_ub=np.zeros(10),
        A_eq=[[*slopes, 0.0]],
        b_eq=[gap],
        bounds=[(0, r) for r in room] + [(0, None)],
    )
    return program.fun


@pytest.mark.parametrize("value", [-0.3, 0.3, -2.0, 2.0])
@every_norm
def test_a_step_to_a_hyperplane_is_the_shortest_that_the_box_allows(norm, value):
    step = step_to_hyperplane(norm.ball(1.0), jnp.asarray(POINT), jnp.asarray(value), jnp.asarray(NORMAL))
    assert np.all((POINT + step >= -1e-6) & (POINT + step <= 1 + 1e-6))
    np.testing.assert_allclose(value + NORMAL @ np.asarray(step), 0.0, atol=1e-5)
    np.testing.assert_allclose(norm.value(step), shortest_length(norm, value), rtol=1e-4)


@every_norm
def test_without_a_box_the_step_is_as_long_as_the_distance(norm):
    step = step_to_hyperplane(norm.ball(1.0, None), jnp.asarray(POINT), jnp.asarray(0.7), jnp.asarray(NORMAL))
    np.testing.assert_allclose(norm.value(step), 0.7 / norm.dual(jnp.asarray(NORMAL)), rtol=1e-5)
    np.testing.assert_allclose(NORMAL @ np.asarray(step), -0.7, rtol=1e-5)


@every_norm
def test_a_hyperplane_out_of_reach_is_approached_as_far_as_the_box_goes(norm):
    step = step_to_hyperplane(norm.ball(1.0), jnp.asarray(POINT), jnp.asarray(-100.0), jnp.asarray(NORMAL))
    np.testing.assert_allclose(POINT + np.asarray(step), (NORMAL > 0).astype(float), atol=1e-6)


@every_norm
def test_no_step_leads_to_a_hyperplane_without_a_normal(norm):
    step = step_to_hyperplane(norm.ball(1.0), jnp.asarray(POINT), jnp.asarray(1.0), jnp.zeros(10))
    np.testing.assert_array_equal(step, np.zeros(10))


@every_norm
def test_the_nearest_boundary_is_nearest_in_the_norm_that_is_asked(norm):
    gradients = jnp.array([[3.0, 0.0], [2.0, 2.0], [0.0, 0.1]])
    values = jnp.array([-3.0, -2.4, -0.09])
    value, gradient = nearest_boundary(lambda x: gradients @ x + values, jnp.zeros(2), norm)
    distances = np.abs(values) / np.array([float(norm.dual(g)) for g in gradients])
    assert value == values[np.argmin(distances)]
    np.testing.assert_array_equal(gradient, gradients[np.argmin(distances)])


@every_norm
def test_fab_finds_the_nearest_point_beyond_a_plane(norm):
    attack = attacks.fab(norm.ball(jnp.inf), num_steps=20)
    center = jnp.asarray(POINT, jnp.float32)

    def beyond(x):
        return jnp.vdot(jnp.asarray(NORMAL, jnp.float32), x - center) - 0.5

    point = attack(jax.random.key(0), beyond, center)
    assert beyond(point) > 0
    assert 1.0 <= norm.value(point - center) / shortest_length(norm, -0.5) < 1.06


@every_norm
def test_fmn_finds_the_nearest_point_beyond_a_plane(norm):
    center = jnp.asarray(POINT, jnp.float32)

    def beyond(x):
        return jnp.vdot(jnp.asarray(NORMAL, jnp.float32), x - center) - 0.5

    point = jax.jit(lambda: attacks.fmn(norm.ball(jnp.inf), num_steps=200)(jax.random.key(0), beyond, center))()
    assert beyond(point) > 0
    assert 1.0 <= norm.value(point - center) / shortest_length(norm, -0.5) < 1.02


def on_every_example(attack, victim):
    def one(x, label):
        return attack(jax.random.key(0), attacks.margins(victim.f, label), x)

    return jax.jit(jax.vmap(one))(victim.inputs, victim.labels)


def lengths(norm, points, victim):
    return jax.vmap(norm.value)(points - victim.inputs)


def is_fooled(victim, points):
    return jnp.argmax(jax.vmap(victim.f)(points), axis=1) != victim.labels


@pytest.mark.parametrize("norm", [linf, l2], ids=lambda norm: norm.name)
def test_deepfool_takes_the_steps_of_foolbox(norm, four_classes):
    oracle = {"linf": foolbox.attacks.LinfDeepFoolAttack, "l2": foolbox.attacks.L2DeepFoolAttack}[norm.name](steps=20)
    model = foolbox.JAXModel(jax.vmap(four_classes.f), bounds=(0, 1))
    criterion = foolbox.criteria.Misclassification(eagerpy.astensor(four_classes.labels))
    expected = oracle.run(model, eagerpy.astensor(four_classes.inputs), criterion).raw
    points = on_every_example(attacks.deepfool(norm.ball(jnp.inf), num_steps=20), four_classes)
    assert jnp.all(is_fooled(four_classes, points))
    np.testing.assert_allclose(points, expected, atol=1e-5)


@pytest.mark.parametrize("norm", [linf, l2], ids=lambda norm: norm.name)
def test_fab_finds_shorter_perturbations_than_deepfool(norm, four_classes):
    by_fab = on_every_example(attacks.fab(norm.ball(jnp.inf), num_steps=30), four_classes)
    by_deepfool = on_every_example(attacks.deepfool(norm.ball(jnp.inf)), four_classes)
    assert jnp.all(is_fooled(four_classes, by_fab))
    ratios = lengths(norm, by_fab, four_classes) / lengths(norm, by_deepfool, four_classes)
    # Where the boundary is flat both find the same point, which FAB overshoots by 5 % and DeepFool by 2 %.
    assert jnp.median(ratios) < 0.96
    assert jnp.max(ratios) < 1.05


@pytest.mark.parametrize("norm", [linf, l2, l1], ids=lambda norm: norm.name)
def test_fmn_finds_perturbations_as_short_as_those_of_foolbox(norm, four_classes):
    name = {"linf": "LInfFMNAttack", "l2": "L2FMNAttack", "l1": "L1FMNAttack"}[norm.name]
    model = foolbox.JAXModel(jax.vmap(four_classes.f), bounds=(0, 1))
    criterion = foolbox.criteria.Misclassification(eagerpy.astensor(four_classes.labels))
    oracle = getattr(foolbox.attacks, name)(steps=60)
    expected = oracle.run(model, eagerpy.astensor(four_classes.inputs), criterion).raw
    points = on_every_example(attacks.fmn(norm.ball(jnp.inf), num_steps=60), four_classes)
    assert jnp.all(is_fooled(four_classes, points))
    ratios = lengths(norm, points, four_classes) / lengths(norm, expected, four_classes)
    assert jnp.median(ratios) < 1.02


@pytest.mark.parametrize("make", [attacks.fab, attacks.fmn, attacks.deepfool])
def test_a_center_beyond_the_boundary_is_returned_as_it_is(make):
    center = jnp.full(4, 0.5)
    np.testing.assert_array_equal(make(l2.ball(jnp.inf))(jax.random.key(0), lambda x: jnp.sum(x), center), center)


@pytest.mark.parametrize("make", [attacks.fab, attacks.fmn, attacks.deepfool])
def test_a_radius_pulls_the_point_back_into_the_ball(make):
    center = jnp.full(4, 0.5)
    point = make(l2.ball(0.1))(jax.random.key(0), lambda x: jnp.sum(x) - 3.0, center)
    np.testing.assert_allclose(l2.value(point - center), 0.1, rtol=1e-5)


def test_fab_returns_the_center_where_there_is_no_boundary():
    center = jnp.full(4, 0.5)
    point = attacks.fab(linf.ball(0.1))(jax.random.key(0), lambda x: -1.0 - jnp.sum(x**2), center)
    np.testing.assert_array_equal(point, center)
