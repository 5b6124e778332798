"""Reading an image between its pixels."""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from lipjax.corruptions.filters import unfused

Border = Callable[[Int[Array, "..."], int], Int[Array, "..."]]
"""`(index, size) -> index` in [0, size): what stands outside an axis."""


def mirrored(index: Int[Array, "..."], size: int) -> Int[Array, "..."]:
    """Reflection at the middle of the edge pixels: d c b | a b c d | c b a.

    Examples:
        >>> mirrored(jnp.array([-2, -1, 0, 3, 4, 5]), 4)
        Array([2, 1, 0, 3, 2, 1], dtype=int32)
    """
    period = 2 * size - 2
    folded = index % period
    return jnp.minimum(folded, period - folded)


def symmetric(index: Int[Array, "..."], size: int) -> Int[Array, "..."]:
    """Reflection at the outer side of the edge pixels: c b a | a b c d | d c b.

    Examples:
        >>> symmetric(jnp.array([-2, -1, 0, 3, 4, 5]), 4)
        Array([1, 0, 0, 3, 3, 2], dtype=int32)
    """
    folded = index % (2 * size)
    return jnp.minimum(folded, 2 * size - 1 - folded)


def bilinear(
    image: Float[Array, "height width channel"],
    row: Float[Array, "out_height out_width"],
    column: Float[Array, "out_height out_width"],
    border: Border,
) -> Float[Array, "out_height out_width channel"]:
    """The image at real positions, in pixels, by linear interpolation along both axes."""
    height, width, channels = image.shape
    flat = image.reshape(-1, channels)
    top, left = jnp.floor(row.ravel()), jnp.floor(column.ravel())
    down, right = (row.ravel() - top)[:, None], (column.ravel() - left)[:, None]

    def pixel(row_step: int, column_step: int) -> Float[Array, "positions channel"]:
        i = border(top.astype(jnp.int32) + row_step, height)
        j = border(left.astype(jnp.int32) + column_step, width)
        return flat.at[i * width + j].get(mode="promise_in_bounds")

    upper = pixel(0, 0) + unfused(right * (pixel(0, 1) - pixel(0, 0)))
    lower = pixel(1, 0) + unfused(right * (pixel(1, 1) - pixel(1, 0)))
    return (upper + unfused(down * (lower - upper))).reshape(*row.shape, channels)
