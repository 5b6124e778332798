"""Resizing by box averages in the integer arithmetic of Pillow, bit for bit."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, UInt8

_PRECISION = 22
"""Fractional bits of the fixed-point weights: 255 * 2^22 still fits in 32 bits."""


def box_weights(size: int, new_size: int) -> Int[np.ndarray, "new_size size"]:
    """Fixed-point weights of Pillow's BOX filter along one axis.

    An output pixel is the mean of the whole input pixels whose centres are in its window (not of fractional areas).

    Examples:
        >>> box_weights(3, 2) / 2**22
        array([[0.5, 0.5, 0. ],
               [0. , 0. , 1. ]])
    """
    scale = size / new_size
    support = max(scale, 1.0)
    centre = (np.arange(new_size)[:, None] + 0.5) * scale
    source = np.arange(size)[None, :]
    lowest = np.maximum((centre - support / 2 + 0.5).astype(int), 0)
    highest = np.minimum((centre + support / 2 + 0.5).astype(int), size)
    distance = (source - centre + 0.5) / support
    covered = (source >= lowest) & (source < highest) & (distance > -0.5) & (distance <= 0.5)
    return np.floor(covered / covered.sum(axis=1, keepdims=True) * 2**_PRECISION + 0.5).astype(np.int32)


def mosaic_taps(size: int, new_size: int) -> dict[str, Int[np.ndarray, "size taps"]]:
    """Shrinking an axis by `box_weights` and enlarging it back, as one sparse map.

    Enlarging takes the nearest sample, so each output pixel is one of the means: a few source pixels with weights.

    Returns:
        `{index, weight}`, each `[size, taps]`; unused taps have weight 0.
    """
    nearest = box_weights(new_size, size).argmax(axis=1)
    dense = box_weights(size, new_size)[nearest]
    num_taps = np.count_nonzero(dense, axis=1).max()
    index = np.argsort(dense == 0, axis=1, kind="stable")[:, :num_taps].astype(np.int32)
    return {"index": index, "weight": np.take_along_axis(dense, index, axis=1)}


def weigh(
    image: UInt8[Array, "height width channel"],
    index: Int[Array | np.ndarray, "size taps"],
    weight: Int[Array | np.ndarray, "size taps"],
    axis: int,
) -> UInt8[Array, "height width channel"]:
    """Fixed-point weighted sums of levels along an axis, rounded to levels."""
    levels = jnp.moveaxis(image, axis, -1).astype(jnp.int32)
    total = sum(weight[:, tap] * levels[..., index[:, tap]] for tap in range(index.shape[1]))
    rounded = (total + 2 ** (_PRECISION - 1)) >> _PRECISION
    return jnp.moveaxis(jnp.clip(rounded, 0, 255).astype(jnp.uint8), -1, axis)
