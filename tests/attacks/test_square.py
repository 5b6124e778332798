"""Square: what it proposes, what it asks for, and what it finds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lipjax import attacks
from lipjax.attacks.square import proposals_for, square_side
from lipjax.norms import l1, l2, linf

NORMS = {norm.name: norm for norm in (linf, l2, l1)}
SHAPE = (12, 10, 3)
EVERYWHERE = np.ones(SHAPE, bool)
every_norm = pytest.mark.parametrize("name", NORMS)


@every_norm
def test_the_start_has_the_length_of_the_radius(name):
    start = proposals_for(NORMS[name], EVERYWHERE).start(jax.random.key(0), SHAPE, 0.7)
    np.testing.assert_allclose(NORMS[name].value(start), 0.7, rtol=1e-5)


def test_the_linf_start_is_made_of_vertical_stripes_at_the_corners_of_the_ball():
    start = proposals_for(linf, EVERYWHERE).start(jax.random.key(0), SHAPE, 0.7)
    np.testing.assert_array_equal(start, jnp.broadcast_to(start[:1], SHAPE))
    assert set(np.unique(start)) == {np.float32(-0.7), np.float32(0.7)}


@every_norm
def test_a_change_keeps_the_length_and_leaves_the_rest_alone(name):
    proposals, norm = proposals_for(NORMS[name], EVERYWHERE), NORMS[name]
    start = proposals.start(jax.random.key(0), SHAPE, 0.7)
    change = jax.jit(lambda key: proposals.change(key, start, jnp.array(3), 0.7))
    num_changed = []
    for seed in range(5):
        changed = change(jax.random.key(seed))
        np.testing.assert_allclose(norm.value(changed), 0.7, rtol=1e-5)
        num_changed.append(int(jnp.sum(jnp.any(jnp.abs(changed - start) > 1e-6, axis=2))))
    # One square in linf; in l2 and l1 it takes its length from a second one.
    assert 0 < max(num_changed) <= (9 if name == "linf" else 18)


def test_what_the_box_took_away_is_given_back_in_the_next_change():
    perturbation = jnp.zeros(SHAPE).at[0, 0, 0].set(0.1)
    for name in ("l2", "l1"):
        changed = proposals_for(NORMS[name], EVERYWHERE).change(jax.random.key(1), perturbation, jnp.array(5), 0.7)
        np.testing.assert_allclose(NORMS[name].value(changed), 0.7, rtol=1e-5)


def test_squares_shrink_as_published():
    expected = {0: 0.8, 10: 0.8, 11: 0.4, 51: 0.2, 201: 0.1, 501: 0.05, 1001: 0.025, 2001: 0.0125, 4001: 0.00625}
    for index, share in expected.items():
        assert square_side(jnp.array(index), (32, 32, 3), 0.8, 1) == max(round(np.sqrt(share * 32 * 32)), 1)
    assert square_side(jnp.array(9000), (32, 32, 3), 0.8, 3) == 3


def test_no_gradient_is_asked_for():
    @jax.custom_jvp
    def objective(x):
        return jnp.sum(x)

    @objective.defjvp
    def refuse(primals, tangents):
        raise AssertionError("a derivative was asked for")

    point = attacks.square(linf.ball(0.1), num_queries=20)(jax.random.key(0), objective, jnp.full((6, 6, 1), 0.5))
    assert jnp.sum(point) > 18.0


@pytest.mark.parametrize(("name", "radius", "by_apgd"), [("linf", 0.12, 40), ("l2", 0.5, 36), ("l1", 2.0, 40)])
def test_it_fools_a_trained_classifier_nearly_as_often_as_gradients_do(name, radius, by_apgd, four_classes):
    attack = attacks.square(NORMS[name].ball(radius), num_queries=1500)

    def one(key, x, label):
        objective = attacks.evasion(four_classes.f, label)
        return objective(attack(key, objective, x))

    keys = jax.random.split(jax.random.key(3), len(four_classes.labels))
    values = jax.jit(jax.vmap(one))(keys, four_classes.inputs, four_classes.labels)
    assert jnp.sum(jnp.isinf(values)) >= 0.9 * by_apgd
