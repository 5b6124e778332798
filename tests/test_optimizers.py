"""Optimisers and schedules against optax's."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lipjax import training

PARAMS = {"kernel": jax.random.normal(jax.random.key(0), (4, 3)), "bias": jnp.array([0.5, -2.0, 0.1])}
NUM_STEPS = 20


def decayed(rate, weight_decay, **options):
    return optax.chain(optax.add_decayed_weights(weight_decay), optax.sgd(rate, **options))


PAIRS = {
    "adam": (training.adam(0.03), optax.adam(0.03)),
    "adam_options": (training.adam(0.03, b1=0.8, b2=0.95, eps=1e-5), optax.adam(0.03, 0.8, 0.95, 1e-5)),
    "adam_cosine": (
        training.adam(training.cosine(0.03, NUM_STEPS)),
        optax.adam(optax.warmup_cosine_decay_schedule(0.03, 0.03, 0, NUM_STEPS)),
    ),
    "adamw": (training.adamw(0.03, weight_decay=0.1), optax.adamw(0.03, weight_decay=0.1)),
    "sgd": (training.sgd(0.03), decayed(0.03, 5e-4, momentum=0.9)),
    "sgd_plain": (training.sgd(0.03, momentum=0.0, weight_decay=0.0), optax.sgd(0.03)),
    "nesterov": (training.sgd(0.03, nesterov=True, weight_decay=0.1), decayed(0.03, 0.1, momentum=0.9, nesterov=True)),
}


def path(optimizer):
    """Parameters after each update by gradients that depend on them; numbers of a value are traced."""

    def walk(optimizer):
        def step(carry, index):
            params, state = carry
            gradients = jax.tree.map(lambda leaf: jnp.sin(3.0 * leaf + index), params)
            updates, state = optimizer.update(gradients, state, params)
            params = optax.apply_updates(params, updates)
            return (params, state), params

        return jax.lax.scan(step, (PARAMS, optimizer.init(PARAMS)), jnp.arange(NUM_STEPS))[1]

    is_value = isinstance(optimizer, training.Optimizer)
    return jax.jit(walk)(optimizer) if is_value else jax.jit(lambda: walk(optimizer))()


@pytest.mark.parametrize("name", PAIRS)
def test_updates_are_those_of_optax(name):
    ours, theirs = map(path, PAIRS[name])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), ours, theirs)


def test_the_default_training_is_optaxs_bit_for_bit():
    ours, theirs = map(path, PAIRS["adam_cosine"])
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)


@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.5])
def test_the_cosine_is_optaxs_with_a_warmup(warmup):
    rise = int(warmup * 40)
    theirs = optax.warmup_cosine_decay_schedule(0.0 if warmup else 0.3, 0.3, rise, 40)
    steps = jnp.arange(45)
    np.testing.assert_allclose(
        jax.vmap(training.cosine(0.3, 40, warmup=warmup))(steps), jax.vmap(theirs)(steps), rtol=1e-5, atol=1e-8
    )


def test_the_rate_drops_where_optaxs_does():
    theirs = optax.piecewise_constant_schedule(0.3, {10: 0.1, 30: 0.1})
    steps = jnp.arange(45)
    ours = jax.vmap(training.drops(0.3, 40, at=(0.25, 0.75), factor=0.1))(steps)
    np.testing.assert_allclose(ours, jax.vmap(theirs)(steps), rtol=1e-6)


def test_a_constant_rate_is_constant_and_a_number_stands_for_it():
    assert training.adam(0.1) == training.adam(training.constant(0.1))
    np.testing.assert_array_equal(jax.vmap(training.constant(0.25))(jnp.arange(3)), [0.25, 0.25, 0.25])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: training.adam(-0.1), "peak must be positive, got -0.1"),
        (lambda: training.cosine(0.1, 0), "num_steps must be a whole number of at least 1, got 0"),
        (lambda: training.cosine(0.1, 10, warmup=1.5), "warmup must be between 0 and 1, got 1.5"),
        (lambda: training.drops(0.1, 10, at=(0.5, 2.0)), "each of at must be between 0 and 1"),
        (lambda: training.adam(0.1, b1=1.0), "b1 must be at least 0 and below 1, got 1.0"),
        (lambda: training.sgd(0.1, weight_decay=-1.0), "weight_decay must be 0 or greater, got -1.0"),
    ],
)
def test_wrong_settings_are_refused_by_name(make, message):
    with pytest.raises(ValueError, match=message):
        make()
