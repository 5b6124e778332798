"""Each corruption, given its draws, follows its formula: compared with double-precision NumPy, SciPy and Pillow.

Results are truncated to levels, so a value that is a whole level in exact arithmetic may fall to either side in single
precision: differences of one level, on a fraction of the samples that depends on how often that happens.
"""

import functools

import jax
import numpy as np
import pytest
from corruption_oracles import ORACLES, pictures, random_draws, strengths

from lipjax import corruptions

# Largest difference in levels, and largest fraction of samples that differ over all pictures.
TOLERANCES = {
    "gaussian_noise": (1, 0.001),
    "shot_noise": (0, 0.0),
    "impulse_noise": (0, 0.0),
    "defocus_blur": (1, 0.10),
    "glass_blur": (2, 0.08),
    "motion_blur": (1, 0.001),
    "zoom_blur": (1, 0.001),
    "snow": (2, 0.002),
    "frost": (1, 0.05),
    "fog": (1, 0.001),
    "brightness": (1, 0.06),
    "contrast": (1, 0.03),
    "elastic_transform": (1, 0.01),
    "pixelate": (0, 0.0),
    "jpeg_compression": (0, 0.0),
    "speckle_noise": (1, 0.001),
    "gaussian_blur": (1, 0.02),
    "spatter": (1, 0.001),
    "saturate": (1, 0.20),
}


def assert_follows_formula(name, severity, table, images):
    row = strengths(corruptions.published(name, severity, table))
    actual, expected = [], []
    for seed, image in enumerate(images):
        draws = random_draws(name, seed, image.shape, row)
        actual.append(np.asarray(corruptions.apply(image, draws, name, severity, table)))
        expected.append(ORACLES[name](image, draws, **row))
    assert actual[0].dtype == np.uint8
    difference = np.abs(np.array(actual, int) - np.array(expected, int))
    largest, fraction = TOLERANCES[name]
    assert difference.max() <= largest
    assert np.mean(difference > 0) <= fraction


@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("name", corruptions.NAMES)
def test_32_pixel_colour_images_follow_the_formula(name, severity):
    assert_follows_formula(name, severity, "cifar", pictures((32, 32, 3)))


@pytest.mark.parametrize("severity", [3, 5])
@pytest.mark.parametrize("name", ["glass_blur", *corruptions.FAMILIES["weather"], "jpeg_compression", "spatter"])
def test_28_pixel_grey_images_follow_the_formula(name, severity):
    assert_follows_formula(name, severity, "cifar", pictures((28, 28, 1)))


@pytest.mark.parametrize("name", ["glass_blur", "snow", "elastic_transform", "spatter", "jpeg_compression"])
def test_64_pixel_images_follow_the_formula_at_the_highest_severity(name):
    assert_follows_formula(name, 5, "tiny", pictures((64, 64, 3))[2:])


@pytest.mark.parametrize("name", ["defocus_blur", "glass_blur", "elastic_transform", "jpeg_compression"])
def test_224_pixel_images_follow_the_formula(name):
    severity = 1 if name == "elastic_transform" else 5
    assert_follows_formula(name, severity, "imagenet", pictures((224, 224, 3))[4:5])


@pytest.mark.parametrize("name", ["zoom_blur", "snow", "fog", "elastic_transform", "pixelate", "jpeg_compression"])
def test_images_need_not_be_square(name):
    assert_follows_formula(name, 4, "cifar", pictures((17, 26, 3))[3:])


@pytest.mark.parametrize(
    ("shape", "table"),
    [
        ((8, 8, 1), "cifar"),
        ((8, 8, 3), "imagenet"),
        ((9, 40, 3), "cifar"),
        ((64, 64, 3), "tiny"),
        ((224, 224, 3), "imagenet"),
    ],
)
def test_every_corruption_keeps_the_shape_and_the_type(shape, table):
    images = jax.ShapeDtypeStruct((2, *shape), np.uint8)
    for name in corruptions.NAMES:
        corrupt = functools.partial(corruptions.corrupt, corruption=name, severity=5, table=table)
        result = jax.eval_shape(corrupt, jax.random.key(0), images)
        assert (result.shape, result.dtype) == (images.shape, np.uint8), name
