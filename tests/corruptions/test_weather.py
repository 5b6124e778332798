"""Identities and laws of the weather; that it follows its formulas is in test_formulas."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
from corruption_oracles import canny, chamfer, pictures

from lipjax import corruptions
from lipjax.corruptions import contours, plasma


def test_plasma_spans_0_to_1(key):
    cloud = plasma.plasma(plasma.draw_uniform(key, 32), decay=2.0)
    assert cloud.shape == (32, 32)
    assert (float(cloud.min()), float(cloud.max())) == (0.0, 1.0)


def test_the_detail_of_plasma_falls_by_the_square_of_the_decay():
    def height_of_a_bump(level):
        # The first level sets the range; in the second or third one centre is then raised.
        noise = [[jnp.zeros((2**k, 2**k))] * 3 for k in range(4)]
        noise[0] = [jnp.ones((1, 1)), *noise[0][1:]]
        flat = plasma.plasma(noise, decay=3.0)
        noise[level] = [noise[level][0].at[0, 0].set(0.5), *noise[level][1:]]
        return jnp.max(plasma.plasma(noise, decay=3.0) - flat)

    assert float(height_of_a_bump(1) / height_of_a_bump(2)) == pytest.approx(9.0, rel=1e-3)


def test_fog_leaves_a_black_image_black(key):
    assert not np.any(corruptions.corrupt(key, np.zeros((1, 32, 32, 3), np.uint8), "fog", 5))


def test_fog_keeps_the_range_of_the_image(key):
    image = pictures((32, 32, 3))[4]
    assert np.max(corruptions.published("fog", 3, "cifar")(key, image)) <= image.max()


def test_brightness_keeps_hue_and_moves_value():
    image = np.array([[[100, 50, 0]] * 8] * 8, np.uint8)
    brighter = np.asarray(corruptions.apply(image, {}, "brightness", 3, "cifar"))[0, 0]
    np.testing.assert_array_equal(brighter, [138, 69, 0])  # 100 + 0.15 * 255 = 138.25, and half of it


@pytest.mark.parametrize("severity", [1, 5])
def test_no_drops_no_spatter(severity):
    image = pictures((32, 32, 3))[4]
    draws = {"layer": np.full((32, 32), -9.0, np.float32)}
    np.testing.assert_array_equal(corruptions.apply(image, draws, "spatter", severity, "cifar"), image)


def test_snow_falls_in_pairs_that_mirror_each_other(key):
    black = np.zeros((32, 32, 1), np.uint8)
    flakes = np.asarray(corruptions.snow(0.1, 0.3, 1.0, 0.5, 6, 3.0, mix=1.0)(key, black))
    assert flakes.any()
    np.testing.assert_array_equal(flakes, flakes[::-1, ::-1])


def test_edges_and_distances_are_those_of_the_definition():
    levels = pictures((24, 31, 1))[5][..., 0].astype(np.int32)
    edges = np.asarray(contours.canny(jnp.asarray(levels), 50, 150))
    assert 20 < edges.sum() < 300
    np.testing.assert_array_equal(edges, canny(levels, 50, 150))
    np.testing.assert_allclose(contours.distance(jnp.asarray(edges), 20) / 65536, np.minimum(chamfer(edges), 20))


def test_without_edges_every_distance_is_the_limit():
    assert np.all(np.asarray(contours.distance(jnp.zeros((8, 9), bool), limit=20)) == 20 * 65536)


# Mean PSNR over photograph crops in the published 32-pixel set, by severity.
@pytest.mark.parametrize(("severity", "published"), [(1, 18.22), (3, 13.51), (5, 14.26)])
def test_made_up_frost_is_as_strong_as_the_photographs(key, severity, published):
    rng = np.random.default_rng(0)
    fields = scipy.ndimage.gaussian_filter(rng.normal(size=(64, 32, 32, 3)), (0, 2, 2, 0))
    # With the mean and the contrast that photographs have.
    level = rng.normal(110, 20, (64, 1, 1, 1))
    images = np.clip(level + 60 * fields / fields.std(), 0, 255).astype(np.uint8)
    psnr = []
    for trial in range(8):
        frosted = corruptions.corrupt(jax.random.fold_in(key, trial), images, "frost", severity)
        error = np.mean((np.asarray(frosted, float) - images) ** 2, axis=(1, 2, 3))
        psnr.append(np.mean(10 * np.log10(255**2 / error)))
    assert np.mean(psnr) == pytest.approx(published, abs=1.0)


def test_frost_crops_photographs_that_are_given(key):
    photos = np.arange(2 * 40 * 50 * 3, dtype=np.uint32).reshape(2, 40, 50, 3) // 64 % 256
    frost = corruptions.frost(0.0, 1.0, scale=0.2, photos=photos.astype(np.uint8))
    crop = np.asarray(frost(key, np.zeros((32, 32, 3), np.uint8)))
    places = np.lib.stride_tricks.sliding_window_view(photos, (32, 32, 3), axis=(1, 2, 3)).reshape(-1, 32, 32, 3)
    assert np.any(np.all(places == crop, axis=(1, 2, 3)))


def test_photographs_smaller_than_the_image_are_refused(key):
    frost = corruptions.frost(1.0, 0.4, scale=0.2, photos=np.zeros((1, 20, 50, 3), np.uint8))
    with pytest.raises(ValueError, match="photos of 20 x 50 pixels are smaller than the image of 32 x 32"):
        frost(key, np.zeros((32, 32, 3), np.uint8))


def test_a_scale_without_statistics_is_refused():
    with pytest.raises(ValueError, match=r"scale must be one of 0.2, 0.3, 1.0; got '0.5'"):
        corruptions.frost(1.0, 0.4, scale=0.5)
