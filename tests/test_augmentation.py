import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lipjax import augmentation
from lipjax.batching import over_examples

IMAGE = jnp.arange(1.0, 37.0).reshape(6, 6, 1)


def test_a_crop_is_a_window_of_the_padded_image_and_every_window_occurs(key: jax.Array) -> None:
    crops = over_examples(lambda key, image: augmentation.random_crop(1)(key, image))(
        key, jnp.broadcast_to(IMAGE, (300, *IMAGE.shape))
    )
    padded = np.pad(np.asarray(IMAGE)[..., 0], 1)
    windows = {padded[i : i + 6, j : j + 6].tobytes() for i in range(3) for j in range(3)}
    assert {np.asarray(crop)[..., 0].tobytes() for crop in crops} == windows


def test_a_crop_without_padding_is_the_image(key: jax.Array) -> None:
    np.testing.assert_array_equal(augmentation.random_crop(0)(key, IMAGE), IMAGE)


def test_about_half_of_the_images_are_mirrored_and_the_others_untouched(key: jax.Array) -> None:
    images = over_examples(augmentation.flip_left_right())(key, jnp.broadcast_to(IMAGE, (400, *IMAGE.shape)))
    mirrored = np.array([np.array_equal(image, IMAGE[:, ::-1]) for image in images])
    untouched = np.array([np.array_equal(image, IMAGE) for image in images])
    assert np.all(mirrored ^ untouched)
    assert 150 < mirrored.sum() < 250  # five standard deviations


def test_a_chain_does_all_its_parts_in_order(key: jax.Array) -> None:
    chained = augmentation.chain(lambda key, image: image + 1, lambda key, image: image * 2)
    np.testing.assert_array_equal(chained(key, IMAGE), (IMAGE + 1) * 2)


def test_the_parts_of_a_chain_get_keys_of_their_own(key: jax.Array) -> None:
    def noise(key: jax.Array, image: jax.Array) -> jax.Array:
        return image + jax.random.normal(key)

    twice = augmentation.chain(noise, noise)(key, IMAGE) - IMAGE
    once = augmentation.chain(noise)(key, IMAGE) - IMAGE
    assert not np.allclose(twice, 2 * once)


def test_negative_padding_is_refused() -> None:
    with pytest.raises(ValueError, match="padding must be a whole number of at least 0, got -1"):
        augmentation.random_crop(-1)
