"""Random arrays for images, in single precision.

Drawn flat and reshaped: the same numbers as for the shape itself, several times faster to compile and to draw on CPU.
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, UInt32

from lipjax.types import KeyArray


def bits(key: KeyArray, shape: tuple[int, ...]) -> UInt32[Array, "..."]:
    """Random bits, 32 per entry."""
    return jax.random.bits(key, (math.prod(shape),), jnp.uint32).reshape(shape)


def normal(key: KeyArray, shape: tuple[int, ...]) -> Float[Array, "..."]:
    """Standard normal numbers.

    Examples:
        >>> key = jax.random.key(0)
        >>> bool(jnp.all(normal(key, (3, 4)) == jax.random.normal(key, (3, 4))))
        True
    """
    return jax.random.normal(key, (math.prod(shape),), jnp.float32).reshape(shape)


def uniform(key: KeyArray, shape: tuple[int, ...], low: float = 0.0, high: float = 1.0) -> Float[Array, "..."]:
    """Numbers uniform in [low, high)."""
    flat = jax.random.uniform(key, (math.prod(shape),), jnp.float32, minval=low, maxval=high)
    return flat.reshape(shape)
