"""Linear filters of images as sums of shifted copies, added up in a fixed order.

A matrix product or a library's convolution would round differently for different batch sizes, and where a result is
truncated to levels the difference shows. Element by element, with `unfused` products, an image is filtered alike in
every batch.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Int

Plane = Float[Array, "height width *channel"]

_AT_ONCE = 8
"""Copies that are added in one pass over the memory; the builders of taps make multiples of it."""


def unfused(product: Float[Array, "*dims"]) -> Float[Array, "*dims"]:
    """A product without its last bit, to be added to something.

    Compilers may fuse a multiplication and an addition, which skips a rounding, and decide so by the shape of the
    whole program. Masking the last bit keeps the two apart, at the cost of a relative error of 2^-23.
    """
    bits = jax.lax.bitcast_convert_type(product, jnp.uint32)
    return jax.lax.bitcast_convert_type(bits & jnp.uint32(0xFFFFFFFE), jnp.float32)


def shifted_mean(
    image: Plane,
    padded: Float[Array, "tall wide *channel"],
    offsets: Int[Array | np.ndarray, "taps 2"],
    weights: Float[Array | np.ndarray, " taps"],
) -> Plane:
    """Weighted mean of an image and of shifted copies, `x + sum_t weights[t] * (padded[offsets[t] :] - x)`.

    Written as differences, so that constant regions stay exactly constant; the weight of the image itself is what
    the others leave of 1.

    Args:
        image: The image x.
        padded: The image with enough border on each side.
        offsets: Row and column of the padded image at which each copy begins.
        weights: Weight of each copy.

    Returns:
        Array of the image's shape.
    """
    offsets, weights = jnp.asarray(offsets), jnp.asarray(weights)

    def add(tap: Int[Array, ""], total: Plane) -> Plane:
        start = [offsets[tap, 0], offsets[tap, 1]] + [jnp.zeros_like(tap)] * (padded.ndim - 2)
        copy = jax.lax.dynamic_slice(padded, start, image.shape)
        return total + unfused(weights[tap] * (copy - image))

    return image + jax.lax.fori_loop(0, len(offsets), add, jnp.zeros_like(image), unroll=_AT_ONCE)


def gaussian_weights(sd: float, radius: int) -> Float[np.ndarray, " taps"]:
    """Samples of a Gaussian at -radius to radius, scaled to sum 1."""
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / max(sd, 1e-15)) ** 2)
    return weights / weights.sum()


def gaussian_taps(sd: float, *, truncate: float = 4.0) -> Float[np.ndarray, " taps"]:
    """A Gaussian's weights without the middle one, cut at `int(truncate * sd + 1/2)` pixels, with zeros at the ends.

    Examples:
        >>> gaussian_taps(0.4).round(4)
        array([0.    , 0.    , 0.    , 0.0404, 0.0404, 0.    , 0.    , 0.    ], dtype=float32)
    """
    radius = int(truncate * sd + 0.5)
    zeros = max(-radius % (_AT_ONCE // 2), 0 if radius else _AT_ONCE // 2)
    weights = np.pad(gaussian_weights(sd, radius), zeros)
    return np.delete(weights, radius + zeros).astype(np.float32)


def _along(image: Plane, taps: Float[Array | np.ndarray, " taps"], axis: int, border: str) -> Plane:
    radius = len(taps) // 2
    widths = [(radius, radius) if axis == along else (0, 0) for along in range(image.ndim)]
    offsets = np.zeros((len(taps), 2), np.int32)
    offsets[:, axis] = np.delete(np.arange(len(taps) + 1), radius)
    return shifted_mean(image, jnp.pad(image, widths, mode=border), offsets, taps)


def gaussian(image: Plane, taps: Float[Array | np.ndarray, " taps"], border: str = "edge") -> Plane:
    """Gaussian filter along rows and columns.

    Args:
        image: Array of one or more channels.
        taps: From `gaussian_taps`.
        border: How the image goes on beyond its edges, as `numpy.pad` calls it.

    Returns:
        Array of the image's shape.
    """
    return _along(_along(image, taps, 0, border), taps, 1, border)


def correlate(image: Plane, kernel: Float[Array | np.ndarray, "size size"], gain: ArrayLike) -> Plane:
    """Correlation with a kernel of odd size whose sum is `gain`; the image is mirrored, its edge not repeated."""
    size = kernel.shape[0]
    middle = size**2 // 2
    widths = [(size // 2,) * 2] * 2 + [(0, 0)] * (image.ndim - 2)
    offsets = np.delete(np.indices((size, size)).reshape(2, -1).T, middle, axis=0)
    weights = jnp.delete(kernel.ravel(), middle)
    mean = shifted_mean(image, jnp.pad(image, widths, mode="reflect"), offsets, weights)
    return mean + unfused((jnp.asarray(gain) - 1.0) * image)
