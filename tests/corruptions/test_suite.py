"""The public functions: names, tables, keys, batches, and errors that say what is legal."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from corruption_oracles import pictures, strengths

from lipjax import corruptions

pytestmark = pytest.mark.shipped  # its bytes are the same however many images are corrupted at once

IMAGES = np.stack(pictures((32, 32, 3)))

# The published tables, one tuple of arguments per severity.
PUBLISHED = {
    "cifar": {
        "gaussian_noise": ((0.04,), (0.06,), (0.08,), (0.09,), (0.10,)),
        "shot_noise": ((500,), (250,), (100,), (75,), (50,)),
        "impulse_noise": ((0.01,), (0.02,), (0.03,), (0.05,), (0.07,)),
        "speckle_noise": ((0.06,), (0.1,), (0.12,), (0.16,), (0.2,)),
        "gaussian_blur": ((0.4,), (0.6,), (0.7,), (0.8,), (1,)),
        "glass_blur": ((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)),
        "defocus_blur": ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)),
        "motion_blur": ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)),
        "zoom_blur": ((1.06, 0.01), (1.11, 0.01), (1.16, 0.01), (1.21, 0.01), (1.26, 0.01)),
        "fog": ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)),
        "frost": ((1, 0.2, 0.2), (1, 0.3, 0.2), (0.9, 0.4, 0.2), (0.85, 0.4, 0.2), (0.75, 0.45, 0.2)),
        "snow": (
            (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
            (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
            (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
            (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
            (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
        ),
        "spatter": (
            (0.62, 0.1, 0.7, 0.7, 0.5, 0),
            (0.65, 0.1, 0.8, 0.7, 0.5, 0),
            (0.65, 0.3, 1, 0.69, 0.5, 0),
            (0.65, 0.1, 0.7, 0.69, 0.6, 1),
            (0.65, 0.1, 0.5, 0.68, 0.6, 1),
        ),
        "contrast": ((0.75,), (0.5,), (0.4,), (0.3,), (0.15,)),
        "brightness": ((0.05,), (0.1,), (0.15,), (0.2,), (0.3,)),
        "saturate": ((0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2)),
        "jpeg_compression": ((80,), (65,), (58,), (50,), (40,)),
        "pixelate": ((0.95,), (0.9,), (0.85,), (0.75,), (0.65,)),
        "elastic_transform": (
            (0, 0, 0.08),
            (0.05, 0.2, 0.07),
            (0.08, 0.06, 0.06),
            (0.1, 0.04, 0.05),
            (0.1, 0.03, 0.03),
        ),
    },
    "tiny": {
        "gaussian_noise": ((0.04,), (0.08,), (0.12,), (0.15,), (0.18,)),
        "shot_noise": ((250,), (100,), (50,), (30,), (15,)),
        "impulse_noise": ((0.01,), (0.02,), (0.05,), (0.08,), (0.14,)),
        "speckle_noise": ((0.15,), (0.2,), (0.25,), (0.3,), (0.35,)),
        "gaussian_blur": ((0.5,), (0.75,), (1,), (1.25,), (1.5,)),
        "glass_blur": ((0.1, 1, 1), (0.5, 1, 1), (0.6, 1, 2), (0.7, 2, 1), (0.9, 2, 2)),
        "defocus_blur": ((0.5, 0.6), (1, 0.1), (1.5, 0.1), (2.5, 0.01), (3, 0.1)),
        "motion_blur": ((10, 1), (10, 1.5), (10, 2), (10, 2.5), (12, 3)),
        "zoom_blur": ((1.06, 0.01), (1.11, 0.01), (1.16, 0.01), (1.21, 0.01), (1.26, 0.01)),
        "fog": ((0.4, 3), (0.7, 3), (1, 2.5), (1.5, 2), (2, 1.75)),
        "frost": ((1, 0.3, 0.3), (0.9, 0.4, 0.3), (0.8, 0.45, 0.3), (0.75, 0.5, 0.3), (0.7, 0.55, 0.3)),
        "snow": (
            (0.1, 0.2, 1, 0.6, 8, 3, 0.8),
            (0.1, 0.2, 1, 0.5, 10, 4, 0.8),
            (0.15, 0.3, 1.75, 0.55, 10, 4, 0.7),
            (0.25, 0.3, 2.25, 0.6, 12, 6, 0.65),
            (0.3, 0.3, 1.25, 0.65, 14, 12, 0.6),
        ),
        "spatter": (
            (0.62, 0.1, 0.7, 0.7, 0.6, 0),
            (0.65, 0.1, 0.8, 0.7, 0.6, 0),
            (0.65, 0.3, 1, 0.69, 0.6, 0),
            (0.65, 0.1, 0.7, 0.68, 0.6, 1),
            (0.65, 0.1, 0.5, 0.67, 0.6, 1),
        ),
        "contrast": ((0.4,), (0.3,), (0.2,), (0.1,), (0.05,)),
        "brightness": ((0.1,), (0.2,), (0.3,), (0.4,), (0.5,)),
        "saturate": ((0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (30, 0.2)),
        "jpeg_compression": ((65,), (58,), (50,), (40,), (25,)),
        "pixelate": ((0.9,), (0.8,), (0.7,), (0.6,), (0.5,)),
        "elastic_transform": (
            (0, 0, 0.08),
            (0.05, 0.3, 0.06),
            (0.1, 0.08, 0.06),
            (0.1, 0.03, 0.03),
            (0.16, 0.03, 0.02),
        ),
    },
    "imagenet": {
        "gaussian_noise": ((0.08,), (0.12,), (0.18,), (0.26,), (0.38,)),
        "shot_noise": ((60,), (25,), (12,), (5,), (3,)),
        "impulse_noise": ((0.03,), (0.06,), (0.09,), (0.17,), (0.27,)),
        "speckle_noise": ((0.15,), (0.2,), (0.35,), (0.45,), (0.6,)),
        "gaussian_blur": ((1,), (2,), (3,), (4,), (6,)),
        "glass_blur": ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)),
        "defocus_blur": ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
        "motion_blur": ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)),
        "zoom_blur": ((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03)),
        "fog": ((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)),
        "frost": ((1, 0.4, 1), (0.8, 0.6, 1), (0.7, 0.7, 1), (0.65, 0.7, 1), (0.6, 0.75, 1)),
        "snow": (
            (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
            (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
            (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
            (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
            (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
        ),
        "spatter": (
            (0.65, 0.3, 4, 0.69, 0.6, 0),
            (0.65, 0.3, 3, 0.68, 0.6, 0),
            (0.65, 0.3, 2, 0.68, 0.5, 0),
            (0.65, 0.3, 1, 0.65, 1.5, 1),
            (0.67, 0.4, 1, 0.65, 1.5, 1),
        ),
        "contrast": ((0.4,), (0.3,), (0.2,), (0.1,), (0.05,)),
        "brightness": ((0.1,), (0.2,), (0.3,), (0.4,), (0.5,)),
        "saturate": ((0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (20, 0.2)),
        "jpeg_compression": ((25,), (18,), (15,), (10,), (7,)),
        "pixelate": ((0.6,), (0.5,), (0.4,), (0.3,), (0.25,)),
        # Pixels over the native side.
        "elastic_transform": tuple(
            tuple(244 * fraction / 224 for fraction in row)
            for row in ((2, 0.7, 0.1), (2, 0.08, 0.2), (0.05, 0.01, 0.02), (0.07, 0.01, 0.02), (0.12, 0.01, 0.02))
        ),
    },
}


def test_the_benchmark_has_its_fifteen_names_in_order_and_four_more():
    assert corruptions.BENCHMARK == (
        "gaussian_noise",
        "shot_noise",
        "impulse_noise",
        "defocus_blur",
        "glass_blur",
        "motion_blur",
        "zoom_blur",
        "snow",
        "frost",
        "fog",
        "brightness",
        "contrast",
        "elastic_transform",
        "pixelate",
        "jpeg_compression",
    )
    assert corruptions.NAMES[15:] == ("speckle_noise", "gaussian_blur", "spatter", "saturate")


def test_families_partition_the_names():
    assert sorted(sum(corruptions.FAMILIES.values(), ())) == sorted(corruptions.NAMES)


@pytest.mark.parametrize("table", PUBLISHED)
def test_severities_are_the_published_ones(table):
    assert set(corruptions.SEVERITIES[table]) == set(corruptions.NAMES)
    for name, rows in PUBLISHED[table].items():
        actual = [tuple(strengths(corruption).values()) for corruption in corruptions.SEVERITIES[table][name]]
        np.testing.assert_allclose(actual, rows, rtol=1e-15, err_msg=name)


@pytest.mark.parametrize(
    ("shape", "table"),
    [((28, 28, 1), "cifar"), ((32, 32, 3), "cifar"), ((64, 64, 3), "tiny"), ((224, 300, 3), "imagenet")],
)
def test_without_a_table_the_one_of_the_nearest_size_is_taken(shape, table):
    image = pictures(shape)[3]
    chosen = corruptions.apply(image, {}, "brightness", 2, table)
    assert jnp.array_equal(corruptions.apply(image, {}, "brightness", 2), chosen)


@pytest.mark.parametrize("name", corruptions.NAMES)
def test_a_batch_corrupts_each_image_with_the_key_of_its_index(name, key):
    batch = corruptions.corrupt(key, IMAGES, name, 3)
    for index in (0, 3):
        draws = corruptions.draw(jax.random.fold_in(key, index), IMAGES[index].shape, name, 3)
        assert jnp.array_equal(batch[index], corruptions.apply(IMAGES[index], draws, name, 3))


@pytest.mark.parametrize("name", ["gaussian_blur", "snow", "frost", "elastic_transform"])
def test_bytes_depend_neither_on_the_number_of_images_nor_on_the_chunk_size(name, key):
    full = corruptions.corrupt(key, IMAGES, name, 3)
    assert jnp.array_equal(corruptions.corrupt(key, IMAGES[:1], name, 3), full[:1])
    assert jnp.array_equal(corruptions.corrupt(key, IMAGES, name, 3, chunk_size=3), full)


def test_the_batch_goes_through_jit(key):
    jitted = jax.jit(lambda key, images: corruptions.corrupt(key, images, "gaussian_noise", 3))
    assert jnp.array_equal(jitted(key, IMAGES), corruptions.corrupt(key, IMAGES, "gaussian_noise", 3))


def test_different_keys_give_different_images(key):
    noisy = [corruptions.corrupt(jax.random.key(seed), IMAGES, "gaussian_noise", 3) for seed in (0, 1)]
    assert jnp.mean(noisy[0] != noisy[1]) > 0.8


@pytest.mark.parametrize("name", ["impulse_noise", "pixelate"])
def test_pixels_in_0_to_1_are_corrupted_as_their_levels(name, key):
    pixels = IMAGES.astype(np.float32) / 255
    assert jnp.array_equal(corruptions.corrupt(key, pixels, name, 3), corruptions.corrupt(key, IMAGES, name, 3))


@pytest.mark.parametrize("severity", [0, 6])
def test_an_unknown_severity_is_refused_with_the_legal_ones(severity):
    with pytest.raises(ValueError, match="severity must be one of 1, 2, 3, 4, 5"):
        corruptions.published("fog", severity, "cifar")


def test_an_unknown_name_is_refused_with_the_legal_ones(key):
    with pytest.raises(ValueError, match=r"name must be one of gaussian_noise, .*, saturate; got 'rain'"):
        corruptions.corrupt(key, IMAGES, "rain", 1)


def test_an_unknown_table_is_refused_with_the_legal_ones(key):
    with pytest.raises(ValueError, match="table must be one of cifar, tiny, imagenet; got 'mnist'"):
        corruptions.draw(key, (28, 28, 1), "fog", 1, "mnist")


@pytest.mark.parametrize("shape", [(7, 32, 3), (32, 32, 2), (32, 32)])
def test_images_that_are_too_small_or_have_other_channels_are_refused(shape):
    with pytest.raises(ValueError, match="at least 8 x 8 with 1 or 3 channels"):
        corruptions.draw(jax.random.key(0), shape, "fog", 1)
