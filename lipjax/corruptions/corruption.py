"""What a corruption is: its chance is drawn first, and what it then does to an image is a deterministic function."""

import functools
from collections.abc import Mapping
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, PyTree, UInt8

from lipjax.types import KeyArray
from lipjax.values import Value

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


class Corruption(Value):
    """A corruption of one strength; a new one is one more subclass with `transform`.

    Everything that depends on the strength and the shape is in `constants`, computed by NumPy in double precision.
    `sample` and `transform` see it as traced arrays, so strengths whose constants have equal shapes share one program.

    Examples:
        >>> class negative(Corruption):
        ...     def transform(self, image, draws, constants):
        ...         return 255 - image
        >>> negative()(jax.random.key(0), np.full((1, 2, 1), 55, np.uint8)).ravel()
        Array([200, 200], dtype=uint8)
    """

    def constants(self, shape: Shape) -> Constants:
        """Kernels, matrices and tables for images of a shape."""
        return {}

    def sample(self, key: KeyArray, shape: Shape, constants: Constants) -> Draws:
        """Everything random, by name."""
        return {}

    def transform(self, image: Levels, draws: Draws, constants: Constants) -> Levels:
        """The corrupted image, deterministic."""
        raise NotImplementedError

    def draw(self, key: KeyArray, shape: Shape) -> Draws:
        """Everything random that one image of this shape needs."""
        return _sample(self, key, constants_of(self, shape), shape=shape)

    def apply(self, image: Image, draws: Draws) -> Levels:
        """The corrupted image, a deterministic function of the image and the draws."""
        return _transform(self, image, draws, constants_of(self, image.shape))

    def __call__(self, key: KeyArray, image: Image) -> Levels:
        """The image, corrupted at random."""
        return self.apply(image, self.draw(key, image.shape))


@functools.lru_cache(maxsize=512)
def constants_of(corruption: Corruption, shape: Shape) -> Constants:
    """The constants of a corruption for images of a shape, computed once; strengths have to be known."""
    with jax.ensure_compile_time_eval():
        return corruption.constants(shape)


@functools.partial(jax.jit, static_argnames="shape")
def _sample(corruption: Corruption, key: KeyArray, constants: Constants, *, shape: Shape) -> Draws:
    return corruption.sample(key, shape, constants)


@jax.jit
def _transform(corruption: Corruption, image: Image, draws: Draws, constants: Constants) -> Levels:
    return corruption.transform(jnp.asarray(image), draws, constants)


def to_levels(values: Values) -> Levels:
    """Values in units of levels, clipped to [0, 255] and rounded **down**, as the published sets are.

    Truncation makes a corrupted image darker by half a level on average. The added 1e-5 keeps values that are whole
    in exact arithmetic from falling to the level below by single-precision rounding.

    Examples:
        >>> to_levels(jnp.array([[[-0.1, 127.5, 255.3]]]))
        Array([[[  0, 127, 255]]], dtype=uint8)
    """
    return jnp.floor(jnp.clip(values, 0.0, 255.0) + 1e-5).astype(jnp.uint8)
