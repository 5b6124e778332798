"""Noise has the published distribution. Keys are fixed; the stated confidence is that of the test under its law."""

import jax
import numpy as np
import pytest
import scipy.stats
from corruption_oracles import pictures

from lipjax import corruptions

SHAPE = (64, 64, 3)
NUM_SAMPLES = np.prod(SHAPE)


def constant(level):
    return np.full(SHAPE, level, np.uint8)


@pytest.mark.parametrize("sd", [0.04, 0.1])
def test_gaussian_noise_has_its_standard_deviation(key, sd):
    noise = np.asarray(corruptions.gaussian_noise(sd)(key, constant(127)), float) - 127
    assert noise.std() == pytest.approx(255 * sd, rel=0.02)  # 12,288 samples: 3 standard errors
    assert noise.mean() == pytest.approx(-0.5, abs=4 * 255 * sd / np.sqrt(NUM_SAMPLES))  # rounded down


def test_speckle_noise_is_proportional_to_the_pixel(key):
    spread = [float(np.std(corruptions.speckle_noise(0.1)(key, constant(level)))) for level in (50, 100, 150)]
    np.testing.assert_allclose(spread, [5, 10, 15], rtol=0.02)


@pytest.mark.parametrize("noise", [corruptions.speckle_noise(0.2), corruptions.shot_noise(50)])
def test_black_stays_black_where_noise_grows_with_the_pixel(key, noise):
    assert not np.any(noise(key, constant(0)))


@pytest.mark.parametrize("amount", [0.01, 0.27])
def test_impulses_hit_their_share_and_are_salt_half_the_time(key, amount):
    image = np.asarray(corruptions.impulse_noise(amount)(key, constant(127)))
    hits = np.sum(image != 127)
    assert scipy.stats.binomtest(int(hits), int(NUM_SAMPLES), amount).pvalue > 1e-3
    assert scipy.stats.binomtest(int(np.sum(image == 255)), int(hits), 0.5).pvalue > 1e-3


@pytest.mark.parametrize("photons", [3, 50, 500])
@pytest.mark.parametrize("level", [1, 127])
def test_photon_counts_are_poisson(key, photons, level):
    shot = corruptions.shot_noise(photons)
    image = np.asarray(shot(key, constant(level)))
    # Several counts may share a level, so compare the distribution of levels.
    rate = photons * level / 255
    counts = np.arange(20 * photons)
    shades = (255 * np.minimum(counts / photons, 1)).astype(int)
    law = np.bincount(shades, scipy.stats.poisson.pmf(counts, rate), minlength=256)
    assert chi_square_pvalue(np.bincount(image.ravel(), minlength=256), law) > 1e-3


def chi_square_pvalue(observed, law):
    expected = law * observed.sum()
    common = expected > 10
    rest = [observed[~common].sum()], [expected[~common].sum()]
    observed, expected = np.append(observed[common], rest[0]), np.append(expected[common], rest[1])
    keep = expected > 1e-3
    return scipy.stats.chisquare(observed[keep], expected[keep] * observed[keep].sum() / expected[keep].sum()).pvalue


def test_photon_counts_that_are_given_are_taken(key):
    image = pictures((8, 8, 3))[3]
    counts = np.full(image.shape, 25)
    assert np.all(np.asarray(corruptions.apply(image, {"counts": counts}, "shot_noise", 5, "cifar")) == 127)


def test_samples_are_hit_independently_of_their_channel(key):
    draws = corruptions.draw(key, SHAPE, "impulse_noise", 5, "imagenet")
    together = np.mean(np.all(draws["hit"], axis=-1))
    assert together == pytest.approx(0.27**3, abs=4 * np.sqrt(0.27**3 / 64**2))


def test_draws_are_in_single_precision_and_named(key):
    draws = corruptions.draw(key, SHAPE, "gaussian_noise", 1)
    assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype.name), draws) == {"noise": (SHAPE, "float32")}
