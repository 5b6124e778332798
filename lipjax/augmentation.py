"""Augmentation: random changes of one training image that keep its class, as pure functions `(key, image) -> image`.

`training.fit` applies them on the device, with a key per example.
"""

from collections.abc import Callable
from typing import TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from lipjax import checks
from lipjax.types import KeyArray

Image = Float[Array, "height width channels"]
Augment: TypeAlias = Callable[[KeyArray, Image], Image]
"""`(key, image) -> image`: another image of the same shape and class."""


def random_crop(padding: int = 4) -> Augment:
    """Crops of the image's own size, from the image within a black border.

    Args:
        padding: Width of the border in pixels: the image moves at most that far in each direction. 4 is the custom on
            CIFAR-10.

    Returns:
        An augmentation, uniform over the `(2 * padding + 1)**2` crops.

    Raises:
        ValueError: If padding is not a whole number of at least 0.

    Example:
        >>> image = jnp.ones((32, 32, 3))
        >>> random_crop()(jax.random.key(0), image).shape
        (32, 32, 3)
    """
    checks.at_least(0, padding=padding)

    def augment(key: KeyArray, image: Image) -> Image:
        padded = jnp.pad(image, ((padding, padding), (padding, padding), (0, 0)))
        row, column = jax.random.randint(key, (2,), 0, 2 * padding + 1)
        return jax.lax.dynamic_slice(padded, (row, column, 0), image.shape)

    return augment


def flip_left_right() -> Augment:
    """The image or its mirror image, with equal probability.

    Example:
        >>> image = jnp.arange(3.0).reshape(1, 3, 1)
        >>> [flip_left_right()(jax.random.key(seed), image)[0, 0, 0].item() for seed in range(4)]
        [0.0, 2.0, 0.0, 2.0]
    """

    def augment(key: KeyArray, image: Image) -> Image:
        return jnp.where(jax.random.bernoulli(key), image[:, ::-1], image)

    return augment


def chain(*augments: Augment) -> Augment:
    """One augmentation that does all of them in their order, each with a key of its own."""

    def augment(key: KeyArray, image: Image) -> Image:
        for index, one in enumerate(augments):
            image = one(jax.random.fold_in(key, index), image)
        return image

    return augment
