"""Identities and laws of the blurs; that they follow their formulas is in test_formulas."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
import scipy.stats
from corruption_oracles import pictures

from lipjax import corruptions
from lipjax.corruptions import blur, filters, zoom

BLURS = [*corruptions.FAMILIES["blur"], "gaussian_blur"]


@pytest.mark.parametrize("name", BLURS)
@pytest.mark.parametrize("level", [1, 127, 255])
def test_a_constant_image_stays_exactly_constant(key, name, level):
    image = np.full((32, 32, 3), level, np.uint8)
    assert np.all(np.asarray(corruptions.published(name, 4, "cifar")(key, image)) == level)


@pytest.mark.parametrize("sd", [0.0, 0.3, 1.0, 6.0])
def test_the_gaussian_filter_is_scipys(sd):
    image = np.random.default_rng(0).normal(size=(40, 30)).astype(np.float32)
    expected = scipy.ndimage.gaussian_filter(image.astype(float), sd, mode="nearest", truncate=4.0)
    np.testing.assert_allclose(filters.gaussian(jnp.asarray(image), filters.gaussian_taps(sd)), expected, atol=2e-6)


def test_a_filter_wider_than_the_image_reflects_repeatedly():
    image = np.random.default_rng(0).normal(size=(12, 9)).astype(np.float32)
    taps = filters.gaussian_taps(10.0, truncate=3.0)
    expected = scipy.ndimage.gaussian_filter(image.astype(float), 10.0, mode="reflect", truncate=3.0)
    np.testing.assert_allclose(filters.gaussian(jnp.asarray(image), taps, "symmetric"), expected, atol=2e-6)


@pytest.mark.parametrize(("radius", "alias", "size"), [(0.3, 0.4, 3), (1.5, 0.1, 5), (3.0, 0.1, 9), (6.0, 0.5, 15)])
def test_a_disk_has_its_size_its_sum_and_its_symmetry(radius, alias, size):
    disk = blur.disk(radius, alias)
    assert disk.shape == (size, size)
    assert disk.sum() == pytest.approx(1)
    for symmetric in (disk.T, disk[::-1], disk[:, ::-1]):
        np.testing.assert_allclose(disk, symmetric, atol=1e-12)


@pytest.mark.parametrize(("severity", "reach"), [(1, 1), (5, 4)])
def test_offsets_of_glass_blur_are_uniform(key, severity, reach):
    offsets = np.asarray(corruptions.draw(key, (64, 64, 3), "glass_blur", severity, "imagenet")["offsets"])
    cells = offsets.reshape(-1, 2) + reach
    counts = np.bincount(cells[:, 0] * 2 * reach + cells[:, 1], minlength=4 * reach**2)
    assert len(counts) == 4 * reach**2
    assert scipy.stats.chisquare(counts).pvalue > 1e-3


def test_glass_blur_without_blur_only_moves_pixels(key):
    image = pictures((32, 32, 3))[3]
    glass = np.asarray(corruptions.glass_blur(sd=0.05, reach=1, iterations=1)(key, image))
    assert set(map(tuple, glass.reshape(-1, 3))) <= set(map(tuple, image.reshape(-1, 3)))
    np.testing.assert_array_equal(glass[:2], image[:2])
    np.testing.assert_array_equal(glass[:, :2], image[:, :2])
    assert np.mean(glass != image) > 0.5


@pytest.mark.parametrize(("name", "low", "high"), [("motion_blur", -45, 45), ("snow", -135, -45)])
def test_angles_are_uniform(key, name, low, high):
    def angle(key):
        return corruptions.draw(key, (8, 8, 1), name, 1)["angle"]

    angles = np.asarray(jax.vmap(angle)(jax.random.split(key, 2000)))
    assert scipy.stats.kstest(angles, "uniform", (low, high - low)).pvalue > 1e-3


def test_motion_blur_moves_a_point_to_one_side():
    image = np.zeros((21, 21, 1), np.uint8)
    image[10, 10] = 255
    moved = np.asarray(corruptions.apply(image, {"angle": 0.0}, "motion_blur", 3, "cifar"))[..., 0]
    assert np.flatnonzero(moved.any(axis=1)).tolist() == [10]
    assert np.flatnonzero(moved.any(axis=0)).max() == 10
    assert moved[10].sum() == pytest.approx(255, abs=8)


@pytest.mark.parametrize(("size", "factor"), [(32, 1.25), (64, 1.3), (28, 2.25), (45, 4.5), (224, 1.11)])
def test_the_clipped_zoom_is_scipys_of_the_middle(size, factor):
    axis = np.random.default_rng(0).normal(size=size)
    kept = int(np.ceil(size / factor))
    top = (size - kept) // 2
    enlarged = scipy.ndimage.zoom(axis[top : top + kept], factor, order=1)
    trim = (len(enlarged) - size) // 2
    grid = zoom.clipped_zoom(size, factor)
    actual = axis[grid.low] * (1 - grid.fraction) + axis[grid.low + 1] * grid.fraction
    np.testing.assert_allclose(actual, enlarged[trim : trim + size], atol=1e-5)


@pytest.mark.parametrize("factor", [1.0, 1.01])
def test_zooming_32_pixels_by_one_percent_does_nothing(factor):
    grid = zoom.clipped_zoom(32, factor)
    np.testing.assert_array_equal(grid.low + grid.fraction, np.arange(32))
