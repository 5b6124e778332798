"""A trained classifier can't tell our corrupted images from those of the double-precision restatements."""

import jax
import numpy as np
import optax
import pytest
from corruption_oracles import ORACLES, random_draws, strengths

from lipjax import corruptions, datasets, evaluation, networks, systems, training
from lipjax.types import Batch

NUM_IMAGES, SEVERITY = 20, 4


@pytest.fixture(scope="module")
def corrupted():
    """Labels, logits on our images and on the others', by corruption; and logits on our images with our own draws."""
    dataset = datasets.load("fashion_mnist_mini")
    network = networks.mlp(10, widths=(64,))
    model = training.fit(
        jax.random.key(0),
        systems.vanilla(network),
        dataset,
        optax.adam(2e-3),
        num_steps=200,
        batch_size=100,
        execution=training.Execution(progress=False),
    )
    classify = jax.jit(jax.vmap(model.single))
    images = np.round(255 * dataset.test.inputs[:NUM_IMAGES]).astype(np.uint8)
    found = {}
    for name in corruptions.NAMES:
        row = strengths(corruptions.published(name, SEVERITY, "cifar"))
        draws = [random_draws(name, seed, images.shape[1:], row) for seed in range(NUM_IMAGES)]
        ours = [corruptions.apply(*pair, name, SEVERITY, "cifar") for pair in zip(images, draws, strict=True)]
        theirs = [ORACLES[name](*pair, **row) for pair in zip(images, draws, strict=True)]
        drawn = evaluation.corrupted(jax.random.key(1), Batch(images, dataset.test.labels), name, SEVERITY).inputs
        answers = [classify(np.asarray(stack, np.float32) / 255) for stack in (ours, theirs, drawn)]
        found[name] = [np.argmax(logits, axis=1) for logits in answers]
    return dataset.test.labels[:NUM_IMAGES], found


def test_predictions_agree_on_all_but_half_a_percent(corrupted):
    _, found = corrupted
    assert np.mean([ours == theirs for ours, theirs, _ in found.values()]) >= 0.995


def test_with_our_own_draws_the_accuracy_stays_within_three_deviations(corrupted):
    labels, found = corrupted
    by_draws = np.array([[np.mean(drawn == labels), np.mean(theirs == labels)] for _, theirs, drawn in found.values()])
    (own, other), count = by_draws.mean(axis=0), NUM_IMAGES * len(found)
    assert 0.3 < other < 0.95
    assert abs(own - other) <= 3 * np.sqrt(2 * other * (1 - other) / count)
