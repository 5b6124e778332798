"""A small trained classifier that attacks are tried on."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import pytest

from lipjax.losses import cross_entropy


class Victim(NamedTuple):
    """A classifier of one image with test examples, all of which it classifies correctly."""

    f: jax.tree_util.Partial
    inputs: jax.Array
    labels: jax.Array


def logits(weights, x):
    hidden = jnp.tanh(x.ravel() @ weights["w1"] + weights["b1"])
    return hidden @ weights["w2"] + weights["b2"]


def train(key, inputs, labels, num_classes):
    w1_key, w2_key = jax.random.split(key)
    weights = {
        "w1": jax.random.normal(w1_key, (inputs[0].size, 32)) * 0.2,
        "b1": jnp.zeros(32),
        "w2": jax.random.normal(w2_key, (32, num_classes)) * 0.2,
        "b2": jnp.zeros(num_classes),
    }

    def loss(weights):
        return jnp.mean(jax.vmap(lambda x, y: cross_entropy(logits(weights, x), y))(inputs, labels))

    def step(weights, _):
        return jax.tree.map(lambda w, g: w - 0.5 * g, weights, jax.grad(loss)(weights)), None

    return jax.jit(lambda weights: jax.lax.scan(step, weights, length=300)[0])(weights)


def victim(num_classes: int) -> Victim:
    """Classes are random 6x6 patterns under noise; the classifier is an MLP."""
    pattern_key, label_key, noise_key, train_key = jax.random.split(jax.random.key(num_classes), 4)
    patterns = jax.random.uniform(pattern_key, (num_classes, 6, 6, 1), minval=0.35, maxval=0.65)
    labels = jax.random.randint(label_key, (400,), 0, num_classes)
    noise = 0.15 * jax.random.normal(noise_key, (400, 6, 6, 1))
    inputs = jnp.clip(patterns[labels] + noise, 0.0, 1.0)
    f = jax.tree_util.Partial(logits, train(train_key, inputs[:300], labels[:300], num_classes))
    correct = jnp.argmax(jax.vmap(f)(inputs[300:]), axis=1) == labels[300:]
    rows = 300 + jnp.flatnonzero(correct)[:40]
    assert len(rows) == 40
    return Victim(f, inputs[rows], labels[rows])


@pytest.fixture(scope="session")
def four_classes() -> Victim:
    return victim(4)
