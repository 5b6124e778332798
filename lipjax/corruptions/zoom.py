"""Zooming into the middle of an image by linear interpolation, as a map of each axis onto itself."""

import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from lipjax.corruptions.filters import unfused


class Grid(NamedTuple):
    """Where an axis is read: between samples `low` and `low + 1`, at a fraction of the way.

    Attributes:
        low: Index of the sample before the position.
        fraction: Distance from it to the position, in [0, 1).
    """

    low: Int[np.ndarray | Array, " size"]
    fraction: Float[np.ndarray | Array, " size"]


def clipped_zoom(size: int, factor: float) -> Grid:
    """Positions that fill an axis with its own middle, enlarged by about `factor`.

    The `ceil(size / factor)` samples in the middle are resized with their ends aligned, and the result is cut back to
    the size; so the enlargement is `(m - 1) / (c - 1)` for c samples that become m, as in the published sets.

    Examples:
        >>> grid = clipped_zoom(8, 1.5)
        >>> grid.low + grid.fraction
        array([1.   , 1.625, 2.25 , 2.875, 3.5  , 4.125, 4.75 , 5.375])
    """
    kept = math.ceil(size / factor)
    enlarged = round(kept * factor)
    index = (enlarged - size) // 2 + np.arange(size)
    position = (size - kept) // 2 + index * (kept - 1) / (enlarged - 1)
    low = np.minimum(np.floor(position).astype(np.int32), size - 2)
    return Grid(low, (position - low).astype(np.float32))


def interpolate(image: Float[Array, "height width *channel"], grid: Grid, axis: int) -> Float[Array, "..."]:
    """The image along an axis, read at the positions of a grid."""
    low = jnp.take(image, grid.low, axis, mode="clip")
    high = jnp.take(image, grid.low + 1, axis, mode="clip")
    fraction = jnp.expand_dims(grid.fraction, [other for other in range(image.ndim) if other != axis])
    return low + unfused(fraction * (high - low))
