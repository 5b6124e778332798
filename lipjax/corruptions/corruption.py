"""What a corruption is: its chance is drawn first, and what it then does to an image is a deterministic function."""

import functools
from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, PyTree, UInt8

from lipjax.types import KeyArray

Shape: TypeAlias = tuple[int, ...]
"""Height, width and channels (1 or 3) of an image."""

Image: TypeAlias = UInt8[Array | np.ndarray, "height width channel"]
"""An image on the published grid, levels 0..255, as users hold it."""

Levels: TypeAlias = UInt8[Array, "height width channel"]
"""The same inside a program."""

Values: TypeAlias = Float[Array, "height width channel"]
"""Real values in units of levels."""

Draws: TypeAlias = Mapping[str, PyTree[ArrayLike]]
Constants: TypeAlias = Mapping[str, PyTree[ArrayLike]]


class Corruption(NamedTuple):
    """A corruption of one strength, as three pure functions.

    Everything that depends on the strength is in `constants`, computed by NumPy in double precision. `sample` and
    `transform` see it as traced arrays, so severities whose constants have equal shapes share one compiled program.

    Attributes:
        constants: `(shape) -> constants`, kernels, matrices and tables for images of this shape.
        sample: `(key, shape, constants) -> draws`, everything random, by name.
        transform: `(image, draws, constants) -> image`, deterministic.

    Example:
        >>> from lipjax.corruptions.noise import gaussian_noise
        >>> image = np.full((8, 8, 1), 128, np.uint8)
        >>> gaussian_noise(sd=0.1)(jax.random.key(0), image).dtype
        dtype('uint8')
    """

    constants: Callable[[Shape], Constants]
    sample: Callable[[KeyArray, Shape, Constants], Draws]
    transform: Callable[[Levels, Draws, Constants], Levels]

    def draw(self, key: KeyArray, shape: Shape) -> Draws:
        """Everything random that one image of this shape needs."""
        return _sample(key, constants_of(self, shape), shape=shape, sample=self.sample)

    def apply(self, image: Image, draws: Draws) -> Levels:
        """The corrupted image, a deterministic function of the image and the draws."""
        return _transform(image, draws, constants_of(self, image.shape), transform=self.transform)

    def __call__(self, key: KeyArray, image: Image) -> Levels:
        """The image, corrupted at random."""
        return self.apply(image, self.draw(key, image.shape))


@functools.lru_cache(maxsize=512)
def constants_of(corruption: Corruption, shape: Shape) -> Constants:
    """The constants of a corruption for images of a shape, computed once."""
    return corruption.constants(shape)


@functools.partial(jax.jit, static_argnames=("shape", "sample"))
def _sample(key: KeyArray, constants: Constants, *, shape: Shape, sample: Callable) -> Draws:
    return sample(key, shape, constants)


@functools.partial(jax.jit, static_argnames="transform")
def _transform(image: Image, draws: Draws, constants: Constants, *, transform: Callable) -> Levels:
    return transform(jnp.asarray(image), draws, constants)


def no_constants(shape: Shape) -> Constants:
    """For a corruption without strength-dependent arrays of the image's size."""
    return {}


def no_draws(key: KeyArray, shape: Shape, constants: Constants) -> Draws:
    """For a deterministic corruption."""
    return {}


def to_levels(values: Values) -> Levels:
    """Values in units of levels, clipped to [0, 255] and rounded **down**, as the published sets are.

    Truncation makes a corrupted image darker by half a level on average. The added 1e-5 keeps values that are whole
    in exact arithmetic from falling to the level below by single-precision rounding.

    Example:
        >>> to_levels(jnp.array([[[-0.1, 127.5, 255.3]]]))
        Array([[[  0, 127, 255]]], dtype=uint8)
    """
    return jnp.floor(jnp.clip(values, 0.0, 255.0) + 1e-5).astype(jnp.uint8)
