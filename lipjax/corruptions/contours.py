"""Edges of a picture and the distance to them, in the integer arithmetic of OpenCV."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

Plane = Int[Array, "height width"]
Mask = Bool[Array, "height width"]

_STEP = 65536
_COSTS = (
    [(_STEP, (i, j)) for i in (-1, 0, 1) for j in (-1, 0, 1) if abs(i) + abs(j) == 1]
    + [(round(1.4 * _STEP), (i, j)) for i in (-1, 1) for j in (-1, 1)]
    + [(round(2.1969 * _STEP), (i, j)) for i in (-2, -1, 1, 2) for j in (-2, -1, 1, 2) if abs(i) != abs(j)]
)
"""Cost of each step of the distance: along an axis, along a diagonal, and a knight's move."""


def shift(plane: Array, rows: int, columns: int, mode: str, **options: int) -> Array:
    """The plane with sample (i + rows, j + columns) at (i, j); `mode` as `jax.numpy.pad` calls it."""
    height, width = plane.shape
    padded = jnp.pad(plane, 2, mode=mode, **options)
    return padded[2 + rows : 2 + rows + height, 2 + columns : 2 + columns + width]


def weighted(plane: Plane, kernel: np.ndarray, mode: str) -> Plane:
    """Correlation with a 3 x 3 kernel of whole numbers."""
    taps = [(int(weight), i - 1, j - 1) for (i, j), weight in np.ndenumerate(kernel) if weight]
    return sum((weight * shift(plane, i, j, mode) for weight, i, j in taps), jnp.zeros_like(plane))


def canny(levels: Plane, low: int, high: int) -> Mask:
    """Canny's edges: ridges of the gradient above `low` that touch, through others, one above `high`.

    The gradient is Sobel's, its length the sum of absolute values, its direction rounded to a multiple of 45 degrees.

    Args:
        levels: Levels 0..255.
        low: Threshold of the weak edges.
        high: Threshold of the strong edges.

    Returns:
        Mask of the edges.

    References:
        Canny 1986, "A computational approach to edge detection", in the variant of OpenCV.
    """
    sobel = np.outer([1, 2, 1], [-1, 0, 1])
    across, down = weighted(levels, sobel, "edge"), weighted(levels, sobel.T, "edge")
    length = jnp.abs(across) + jnp.abs(down)
    weak = _ridges(across, down, length) & (length > low)

    def grow(edges: tuple[Mask, Mask]) -> tuple[Mask, Mask]:
        grown = edges[1]
        return grown, _dilated(grown) & weak

    strong = weak & (length > high)
    return jax.lax.while_loop(lambda edges: jnp.any(edges[0] != edges[1]), grow, (strong, _dilated(strong) & weak))[1]


def _ridges(across: Plane, down: Plane, length: Plane) -> Mask:
    def above(rows: int, columns: int) -> Mask:
        return length > shift(length, rows, columns, "constant")

    def at_least(rows: int, columns: int) -> Mask:
        return length >= shift(length, rows, columns, "constant")

    # Tangents of 22.5 and 67.5 degrees, in 15-bit fixed point.
    steep, flat = jnp.abs(down) << 15, 13573 * jnp.abs(across)
    falling = (across ^ down) >= 0
    return jnp.select(
        [steep < flat, steep > flat + (jnp.abs(across) << 16), falling],
        [above(0, -1) & at_least(0, 1), above(-1, 0) & at_least(1, 0), above(-1, -1) & above(1, 1)],
        above(-1, 1) & above(1, -1),
    )


def _dilated(mask: Mask) -> Mask:
    neighbours = [shift(mask, i, j, "constant") for i in (-1, 0, 1) for j in (-1, 0, 1)]
    return jnp.any(jnp.stack(neighbours), axis=0)


def distance(edges: Mask, limit: int) -> Plane:
    """Chamfer distance to the nearest edge, in 1/65536 pixel and at most `limit` pixels.

    The length of the shortest way by steps along an axis (cost 1), diagonals (1.4) and knight's moves (2.1969).

    Examples:
        >>> distance(jnp.arange(5)[None] == 0, limit=3) / 65536
        Array([[0., 1., 2., 3., 3.]], dtype=float32)
    """
    far = limit * _STEP

    def relax(planes: tuple[Plane, Plane]) -> tuple[Plane, Plane]:
        plane = planes[1]
        ways = [cost + shift(plane, i, j, "constant", constant_values=far) for cost, (i, j) in _COSTS]
        return plane, jnp.min(jnp.stack([plane, *ways]), axis=0)

    start = jnp.where(edges, 0, far)
    return jax.lax.while_loop(lambda planes: jnp.any(planes[0] != planes[1]), relax, relax((start, start)))[1]
