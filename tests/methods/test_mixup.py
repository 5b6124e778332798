"""Soft labels: what methods make of them, and what losses say of them."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from lipjax import networks
from lipjax.losses import cross_entropy
from lipjax.methods import chain, l2_nonexpansive, label_smoothing, laplacian, laplacian_smoothness, mixup, parseval
from lipjax.methods.l2_nonexpansive import log_wrong
from lipjax.training import init, make_step, sgd
from lipjax.types import Batch, Method, Model

NETWORK = networks.mlp(3, widths=(4,))
BATCH = Batch(jax.random.uniform(jax.random.key(1), (6, 5)), jnp.arange(6) % 3)
MODEL = Model(NETWORK, NETWORK.init(jax.random.key(0), (5,)))


def test_the_loss_of_a_mixed_batch_is_the_mixed_loss(key: jax.Array) -> None:
    mixed = mixup().perturb(key, MODEL, BATCH)
    # Each row is a mixture of its own label and of one other: read both and the weight from the labels.
    found = np.asarray(Method().loss(MODEL, mixed, MODEL(mixed.inputs)[0])["cross_entropy"])
    logits, soft = np.asarray(MODEL(mixed.inputs)[0].logits, np.float64), np.asarray(mixed.labels, np.float64)
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    np.testing.assert_allclose(found, np.mean(-(soft * log_p).sum(1)), rtol=1e-5)
    weights = soft[np.arange(6), BATCH.labels]
    moved = weights[weights < 0.999]
    assert len(moved) > 0
    np.testing.assert_allclose(moved, moved[0], rtol=1e-5)


def test_smoothed_labels_have_the_loss_that_optax_gives_them(key: jax.Array) -> None:
    smoothed = label_smoothing(0.1).perturb(key, MODEL, BATCH)
    logits = MODEL(BATCH.inputs)[0].logits
    expected = optax.losses.softmax_cross_entropy(logits, optax.smooth_labels(jax.nn.one_hot(BATCH.labels, 3), 0.1))
    np.testing.assert_allclose(jax.vmap(cross_entropy)(logits, smoothed.labels), expected, rtol=1e-5)


def test_one_hot_labels_are_as_good_as_their_classes() -> None:
    logits, soft = MODEL(BATCH.inputs)[0].logits, jax.nn.one_hot(BATCH.labels, 3)
    for loss in (cross_entropy, log_wrong):
        np.testing.assert_allclose(jax.vmap(loss)(logits, soft), jax.vmap(loss)(logits, BATCH.labels), rtol=1e-6)
    by_class = laplacian_smoothness(BATCH.inputs, BATCH.labels, num_classes=3)
    np.testing.assert_allclose(laplacian_smoothness(BATCH.inputs, soft), by_class, rtol=1e-6)


def test_soft_labels_go_through_a_step_of_every_term(key: jax.Array) -> None:
    method, optimizer = chain(label_smoothing(), mixup(0.4), parseval(), laplacian(), l2_nonexpansive()), sgd(0.1)
    network = method.extend(NETWORK)
    state = init(key, network, (5,), optimizer)
    state, metrics = jax.jit(make_step(network, method, optimizer))(key, state, BATCH)
    assert {"scaled_cross_entropy", "laplacian", "gap", "accuracy"} <= metrics.keys()
    assert all(bool(jnp.isfinite(value)) for value in metrics.values())
