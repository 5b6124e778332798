"""Identities of the digital corruptions; that they follow their formulas is in test_formulas."""

import colorsys

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
from corruption_oracles import jpeg_compression, pictures, pixelate

from lipjax import corruptions
from lipjax.corruptions import hsv, sampling


@pytest.mark.parametrize("shape", [(8, 8, 3), (17, 16, 3), (45, 37, 3), (30, 30, 1)])
def test_jpeg_is_libjpegs_bit_for_bit_at_odd_sizes(shape):
    for quality in (7, 50, 80):
        for image in pictures(shape)[2:5]:
            actual = corruptions.jpeg_compression(quality).apply(image, {})
            np.testing.assert_array_equal(actual, jpeg_compression(image, {}, quality))


@pytest.mark.parametrize("shape", [(8, 8, 1), (28, 28, 1), (37, 45, 3)])
def test_pixelate_is_pillows_box_filter_bit_for_bit(shape):
    for factor in (0.95, 0.9, 0.65, 0.6, 0.3, 0.25):
        image = pictures(shape)[3]
        actual = corruptions.pixelate(factor).apply(image, {})
        np.testing.assert_array_equal(actual, pixelate(image, {}, factor))


def test_contrast_keeps_the_mean_of_every_channel():
    image = pictures((32, 32, 3))[5]
    flat = np.asarray(corruptions.contrast(0.15).apply(image, {}), float)
    np.testing.assert_allclose(flat.mean(axis=(0, 1)), image.mean(axis=(0, 1)) - 0.5, atol=0.1)


def test_without_displacements_the_elastic_transform_is_the_identity():
    image = pictures((32, 32, 3))[3]
    still = {"affine": np.zeros((3, 2)), "dx": np.zeros((32, 32)), "dy": np.zeros((32, 32))}
    moved = np.asarray(corruptions.apply(image, still, "elastic_transform", 3, "cifar"), int)
    assert np.abs(moved - image).max() <= 1


def test_a_common_displacement_shifts_the_image():
    image = pictures((32, 32, 3))[3]
    draws = {"affine": np.full((3, 2), 0.5), "dx": np.zeros((32, 32)), "dy": np.zeros((32, 32))}
    moved = np.asarray(corruptions.elastic_transform(0.0, 0.0, jitter=0.25).apply(image, draws), int)
    assert np.abs(moved[8:, 8:] - image[4:-4, 4:-4]).max() <= 1  # 0.5 * 0.25 * 32 = 4 pixels down and right


@pytest.mark.parametrize(("border", "mode"), [(sampling.mirrored, "mirror"), (sampling.symmetric, "reflect")])
def test_bilinear_sampling_is_scipys_far_outside_the_image(border, mode):
    rng = np.random.default_rng(0)
    image = rng.normal(size=(9, 11, 1)).astype(np.float32)
    rows, columns = (rng.uniform(-30, 40, (5, 7)).astype(np.float32) for _ in range(2))
    expected = scipy.ndimage.map_coordinates(image[..., 0].astype(float), (rows, columns), order=1, mode=mode)
    actual = sampling.bilinear(jnp.asarray(image), jnp.asarray(rows), jnp.asarray(columns), border)
    np.testing.assert_allclose(actual[..., 0], expected, atol=2e-5)


def test_hue_saturation_and_value_are_colorsys_and_come_back():
    colours = np.random.default_rng(0).integers(0, 4, (200, 3)) * 85
    hue, saturation, value = hsv.from_rgb(jnp.asarray(colours, jnp.float32))
    expected = np.array([colorsys.rgb_to_hsv(*colour) for colour in colours.tolist()])
    # Where two channels are largest, colorsys may name the hue 0 of red by its other end.
    np.testing.assert_allclose(np.stack([saturation, value], 1), expected[:, 1:], atol=1e-6)
    apart = np.abs(np.asarray(hue) / 6 - expected[:, 0])
    assert np.minimum(apart, 1 - apart).max() < 1e-6
    np.testing.assert_allclose(hsv.to_rgb(hue, saturation, value), colours, atol=1e-3)


def test_saturation_without_a_shift_leaves_greys_and_with_one_turns_them_red():
    grey = np.full((8, 8, 3), 100, np.uint8)
    np.testing.assert_array_equal(corruptions.saturate(2.0, 0.0).apply(grey, {}), grey)
    np.testing.assert_array_equal(corruptions.saturate(2.0, 0.2).apply(grey, {})[0, 0], [100, 80, 80])


def test_one_channel_has_no_saturation_to_change():
    image = pictures((28, 28, 1))[3]
    np.testing.assert_array_equal(corruptions.apply(image, {}, "saturate", 5, "cifar"), image)
