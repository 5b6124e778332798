"""PGD, FGSM and momentum PGD against foolbox and against loops in NumPy."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lipjax import attacks
from lipjax.losses import cross_entropy
from lipjax.norms import l1, l2, linf

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    foolbox = pytest.importorskip("foolbox", reason="foolbox, the oracle of these attacks, is not installed")
    import eagerpy


def run(attack, victim, key=None):
    def one(key, x, label):
        return attack(key, lambda point: cross_entropy(victim.f(point), label), x)

    keys = jax.random.split(jax.random.key(0) if key is None else key, len(victim.labels))
    return jax.jit(jax.vmap(one))(keys, victim.inputs, victim.labels)


def softened(victim):
    """Foolbox's cross-entropy loses its digits where the classifier is sure; a quarter of the logits is not."""
    return victim._replace(f=jax.tree_util.Partial(lambda f, x: f(x) / 4.0, victim.f))


def by_foolbox(attack, victim, radius):
    model = foolbox.JAXModel(jax.vmap(victim.f), bounds=(0, 1))
    criterion = foolbox.criteria.Misclassification(eagerpy.astensor(victim.labels))
    return attack.run(model, eagerpy.astensor(victim.inputs), criterion, epsilon=radius).raw


ORACLES = {
    "linf_pgd": (
        attacks.pgd(linf.ball(0.1), step_size=0.03, num_steps=7, random_start=False, best_iterate=False),
        lambda: foolbox.attacks.LinfPGD(abs_stepsize=0.03, steps=7, random_start=False),
        0.1,
    ),
    "l2_pgd": (
        attacks.pgd(l2.ball(0.8), step_size=0.3, num_steps=7, random_start=False, best_iterate=False),
        lambda: foolbox.attacks.L2PGD(abs_stepsize=0.3, steps=7, random_start=False),
        0.8,
    ),
    "linf_fgsm": (attacks.fgsm(linf.ball(0.1)), lambda: foolbox.attacks.LinfFastGradientAttack(), 0.1),
    "l2_fgsm": (attacks.fgsm(l2.ball(0.8)), lambda: foolbox.attacks.L2FastGradientAttack(), 0.8),
}


@pytest.mark.parametrize("name", ORACLES)
def test_the_points_are_those_of_foolbox(name, four_classes):
    attack, oracle, radius = ORACLES[name]
    victim = softened(four_classes)
    expected = by_foolbox(oracle(), victim, radius)
    assert jnp.max(jnp.abs(expected - victim.inputs)) > 0.05
    np.testing.assert_allclose(run(attack, victim), expected, atol=1e-6)


@pytest.mark.parametrize("momentum", [0.0, 1.0])
def test_momentum_sums_unit_gradients(momentum):
    target, weights = np.linspace(0.15, 0.8, 5), np.arange(1.0, 6.0)
    x, velocity = np.full(5, 0.5), np.zeros(5)
    attack = attacks.momentum_pgd(linf.ball(0.3), momentum=momentum, step_size=0.07, num_steps=6)
    path = [x]
    for _ in range(6):
        gradient = -2 * (x - target) * weights
        velocity = momentum * velocity + gradient / np.abs(gradient).sum()
        x = np.clip(x + 0.07 * np.sign(velocity), 0.2, 0.8)
        path.append(x)
    best = max(path, key=lambda x: -np.sum(weights * (x - target) ** 2))
    point = attack(jax.random.key(0), lambda x: -jnp.sum(weights * (x - target) ** 2), jnp.full(5, 0.5))
    np.testing.assert_allclose(point, best, atol=1e-6)


def test_a_step_goes_one_step_size_along_the_steepest_direction():
    center, gradient = jnp.full(4, 0.5), jnp.array([1.0, -2.0, 0.0, 4.0])
    for norm, direction in ((linf, [1, -1, 0, 1]), (l2, gradient / np.sqrt(21)), (l1, [0, 0, 0, 1])):
        step = norm.ball(1.0, None).step(center, gradient, center, step_size=0.25) - center
        np.testing.assert_allclose(step, 0.25 * np.asarray(direction), atol=1e-6)


def test_more_restarts_never_find_less(four_classes):
    def losses(num_restarts):
        attack = attacks.pgd(linf.ball(0.1), step_size=0.1, num_steps=2, num_restarts=num_restarts, best_iterate=False)
        return jax.vmap(lambda x, y: cross_entropy(four_classes.f(x), y))(
            run(attack, four_classes), four_classes.labels
        )

    # The keys of the runs differ from those of a single run, so only the many examples together must gain.
    assert jnp.mean(losses(8)) > jnp.mean(losses(1))


def test_the_best_of_the_restarts_is_returned_also_for_last_iterates():
    center = jnp.full(3, 0.5)
    attack = attacks.pgd(l2.ball(0.3), step_size=0.0, num_steps=1, best_iterate=False, num_restarts=6)
    single = attacks.pgd(l2.ball(0.3), step_size=0.0, num_steps=1, best_iterate=False)
    values = [single(key, jnp.sum, center).sum() for key in jax.random.split(jax.random.key(0), 6)]
    np.testing.assert_allclose(attack(jax.random.key(0), jnp.sum, center).sum(), max(values), rtol=1e-6)


def test_the_best_iterate_is_kept_when_the_last_one_is_worse():
    def peak(x):
        return -jnp.abs(x[0] - 0.52)

    settings = {"step_size": 0.04, "num_steps": 4, "random_start": False}
    best = attacks.pgd(linf.ball(0.2), **settings)(jax.random.key(0), peak, jnp.array([0.45]))
    last = attacks.pgd(linf.ball(0.2), best_iterate=False, **settings)(jax.random.key(0), peak, jnp.array([0.45]))
    np.testing.assert_allclose([best[0], last[0]], [0.53, 0.53], atol=1e-6)
    longer = attacks.pgd(linf.ball(0.2), **(settings | {"num_steps": 5}), best_iterate=False)
    np.testing.assert_allclose(longer(jax.random.key(0), peak, jnp.array([0.45])), [0.49], atol=1e-6)
    assert (
        attacks.pgd(linf.ball(0.2), **(settings | {"num_steps": 5}))(jax.random.key(0), peak, jnp.array([0.45])) == best
    )


def test_random_starts_fill_the_ball():
    attack = attacks.pgd(linf.ball(0.2), step_size=0.0, num_steps=1, best_iterate=False)
    keys = jax.random.split(jax.random.key(1), 2000)
    starts = jax.vmap(lambda key: attack(key, jnp.sum, jnp.full(2, 0.5)))(keys)
    np.testing.assert_allclose(jnp.std(starts, axis=0), 0.2 / np.sqrt(3), rtol=0.05)
    np.testing.assert_allclose(jnp.max(jnp.abs(starts - 0.5)), 0.2, rtol=0.01)


def test_a_start_drawn_by_a_function_is_moved_into_the_ball_and_the_box(key):
    center = jnp.array([0.5, 0.5, 0.95])
    draw = lambda key, shape: jnp.array([0.03, 0.3, 0.07])  # noqa: E731
    attack = attacks.pgd(linf.ball(0.1), step_size=0.0, num_steps=1, random_start=draw, best_iterate=False)
    np.testing.assert_allclose(attack(key, jnp.sum, center), [0.53, 0.6, 1.0], rtol=1e-6)
