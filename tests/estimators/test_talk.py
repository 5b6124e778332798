"""The talk's protocol against NumPy, and parts of an input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lipjax.estimators import TALK_RADII, curve, sampled_slope, talk_curve, talk_slope
from lipjax.norms import l2, linf, masked

WEIGHTS = np.random.default_rng(0).normal(size=(3, 12)).astype(np.float32)


def logits(x: jax.Array) -> jax.Array:
    return jnp.asarray(WEIGHTS) @ x.ravel()


def softmax(x: np.ndarray) -> np.ndarray:
    scores = np.exp(x.reshape(len(x), -1).astype(np.float64) @ WEIGHTS.T)
    return scores / scores.sum(1, keepdims=True)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(1).uniform(size=(3, 2, 2, 3)).astype(np.float32)


def test_the_curve_is_the_running_maximum_of_quotients_of_clipped_rescaled_noise(
    images: np.ndarray, key: jax.Array
) -> None:
    found = talk_curve(key, logits, images)
    assert (found.norm_in, found.norm_out, found.constant, found.values.shape) == (l2, l2, "slope", (3, 30))
    np.testing.assert_allclose(found.radii, TALK_RADII)
    assert np.all(np.diff(found.values, axis=1) >= 0)
    rng, highest = np.random.default_rng(2), np.zeros((3, 30))
    for j, radius in enumerate(TALK_RADII):
        for i, image in enumerate(images):
            noise = rng.uniform(-1, 1, size=(4000, 2, 2, 3))
            noise *= radius / np.linalg.norm(noise.reshape(4000, -1), axis=1)[:, None, None, None]
            moved = np.clip(image + noise, 0, 1)
            lengths = np.linalg.norm((moved - image).reshape(4000, -1), axis=1)
            highest[i, j] = (np.linalg.norm(softmax(moved) - softmax(image[None]), axis=1) / lengths).max()
    highest = np.maximum.accumulate(highest, axis=1)
    assert np.all(found.values <= highest * 1.1)  # 100 draws against 4,000 of the same law
    assert np.all(found.values >= 0.6 * highest)


def test_a_draw_has_the_radius_as_its_length_before_it_is_clipped(images: np.ndarray, key: jax.Array) -> None:
    _, witness = talk_slope(l2.ball(0.3, box=None))(key, logits, jnp.asarray(images[0]))
    np.testing.assert_allclose(l2.value(witness - images[0]), 0.3, rtol=1e-5)


def test_only_the_masked_entries_change(images: np.ndarray, key: jax.Array) -> None:
    mask = np.zeros((2, 2, 3), bool)
    mask[0, 1] = True
    estimator = sampled_slope(masked(linf, mask).ball(1.0, box=None))
    found = curve(key, estimator, logits, images, [0.2], keep_witnesses=True)
    moved = np.asarray(found.witnesses[:, 0]) != images
    assert not np.any(moved & ~mask)


def test_an_empty_mask_is_refused() -> None:
    with pytest.raises(ValueError, match="some of them true"):
        masked(l2, np.zeros(3, bool))
