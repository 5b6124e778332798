"""Augmentation: random changes of one training image that keep its class, as values `(key, image) -> image`.

`training.fit` applies them on the device, with a key per example.
"""

from collections.abc import Callable
from typing import TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from lipjax.types import KeyArray
from lipjax.values import Value, count

Image = Float[Array, "height width channels"]
Augmenting: TypeAlias = Callable[[KeyArray, Image], Image]
"""`(key, image) -> image`: another image of the same shape and class. Plain functions do."""


class Augment(Value):
    """An augmentation. A new one is one more subclass.

    Examples:
        >>> class invert(Augment):
        ...     def __call__(self, key, image):
        ...         return 1 - image
        >>> invert()(jax.random.key(0), jnp.full((1, 2, 1), 0.25)).ravel()
        Array([0.75, 0.75], dtype=float32, weak_type=True)
    """

    def __call__(self, key: KeyArray, image: Image) -> Image:
        """Another image of the same shape and class."""
        raise NotImplementedError


def _check_image(image: Image) -> None:
    if image.ndim != 3:
        raise ValueError(f"an image must be [height, width, channel], got shape {image.shape}")


class random_crop(Augment):
    """Crops of the image's own size, from the image within a black border; uniform over all of them.

    Attributes:
        padding: Width of the border in pixels: the image moves at most that far in each direction. 4 is the custom on
            CIFAR-10.

    Examples:
        >>> image = jnp.ones((32, 32, 3))
        >>> random_crop()(jax.random.key(0), image).shape
        (32, 32, 3)
    """

    padding: int = count(4, least=0)

    def __call__(self, key: KeyArray, image: Image) -> Image:
        """The crop."""
        _check_image(image)
        if self.padding > min(image.shape[:2]):
            raise ValueError(f"padding must be at most the image's size, {image.shape[:2]}, got {self.padding}")
        border = (self.padding, self.padding)
        padded = jnp.pad(image, (border, border, (0, 0)))
        row, column = jax.random.randint(key, (2,), 0, 2 * self.padding + 1)
        return jax.lax.dynamic_slice(padded, (row, column, 0), image.shape)


class flip_left_right(Augment):
    """The image or its mirror image, with equal probability.

    Examples:
        >>> image = jnp.arange(3.0).reshape(1, 3, 1)
        >>> [flip_left_right()(jax.random.key(seed), image)[0, 0, 0].item() for seed in range(4)]
        [0.0, 2.0, 0.0, 2.0]
    """

    def __call__(self, key: KeyArray, image: Image) -> Image:
        """One of the two."""
        _check_image(image)
        return jnp.where(jax.random.bernoulli(key), image[:, ::-1], image)


class Chain(Augment):
    """Several augmentations as one; made by `chain`.

    Attributes:
        augments: The augmentations, in their order.

    Examples:
        >>> chain(random_crop(1), flip_left_right()) == Chain((random_crop(1), flip_left_right()))
        True
    """

    augments: tuple[Augmenting, ...] = ()

    def __call__(self, key: KeyArray, image: Image) -> Image:
        """The image after all of them."""
        for index, one in enumerate(self.augments):
            image = one(jax.random.fold_in(key, index), image)
        return image


def chain(*augments: Augmenting) -> Chain:
    """One augmentation that does all of them in their order, each with a key of its own.

    Examples:
        >>> darker, negative = lambda key, image: image / 2, lambda key, image: 1 - image
        >>> white = jnp.ones((1, 1, 1))
        >>> [chain(*order)(jax.random.key(0), white).item() for order in [(darker, negative), (negative, darker)]]
        [0.5, 0.0]
    """
    return Chain(augments)
