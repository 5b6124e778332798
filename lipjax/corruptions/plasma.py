"""Plasma: a random fractal map by the diamond-square algorithm on a torus."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from lipjax.corruptions.filters import unfused
from lipjax.types import KeyArray

Uniform = Sequence[Sequence[Float[Array, "_ _"]]]
"""For each level three arrays in [-1, 1]: for the centres, the middles of the tops, and the middles of the sides."""


def side(shape: tuple[int, ...]) -> int:
    """Side of the map that covers an image: the next power of two.

    Examples:
        >>> side((28, 30, 1)), side((224, 224, 3))
        (32, 256)
    """
    return 1 << (max(shape[:2]) - 1).bit_length()


def draw_uniform(key: KeyArray, size: int) -> Uniform:
    """The random numbers of one map: three arrays per level, of 1, 4, 16, ... entries each."""
    levels = size.bit_length() - 1
    total = jax.random.uniform(key, (size * size - 1,), jnp.float32, -1.0, 1.0)
    uniform, start = [], 0
    for level in range(levels):
        count = 4**level
        parts = total[start : start + 3 * count].reshape(3, 2**level, 2**level)
        uniform.append([parts[0], parts[1], parts[2]])
        start += 3 * count
    return uniform


def plasma(uniform: Uniform, decay: ArrayLike) -> Float[Array, "size size"]:
    """The map that grows from given random numbers, scaled to [0, 1].

    At each level every square gets its centre and the middles of its sides: the mean of the four nearest known
    points, plus noise. The noise's amplitude falls by `decay ** 2` per level.

    Args:
        uniform: Numbers in [-1, 1], as `draw_uniform` gives them.
        decay: How fast the detail vanishes; 1 gives the roughest map.

    Returns:
        Map whose side is 2 to the power of the number of levels.
    """
    corners, amplitude = jnp.zeros((1, 1), jnp.float32), jnp.float32(1.0)
    for centre_noise, top_noise, side_noise in uniform:
        right, down = jnp.roll(corners, -1, 1), jnp.roll(corners, -1, 0)
        mean = (corners + down + right + jnp.roll(down, -1, 1)) / 4
        centres = mean + unfused(amplitude * centre_noise)
        mean = (centres + jnp.roll(centres, 1, 0) + corners + right) / 4
        tops = mean + unfused(amplitude * top_noise)
        mean = (centres + jnp.roll(centres, 1, 1) + corners + down) / 4
        sides = mean + unfused(amplitude * side_noise)
        corners = _interleave(corners, tops, sides, centres)
        amplitude = amplitude / decay**2
    lowest = jnp.min(corners)
    return (corners - lowest) / (jnp.max(corners) - lowest)


def _interleave(corners: Array, tops: Array, sides: Array, centres: Array) -> Array:
    above, below = jnp.stack([corners, tops], axis=-1), jnp.stack([sides, centres], axis=-1)
    return jnp.stack([above, below], axis=1).reshape(2 * corners.shape[0], 2 * corners.shape[1])
