"""Motion blur along a straight line, in the arithmetic of ImageMagick."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from lipjax.corruptions import filters


def motion_taps(radius: int, sd: float) -> Float[np.ndarray, " taps"]:
    """One half of a Gaussian: the weights of pixels 1 to 2 * radius of 0 to 2 * radius, padded to a multiple of 8.

    Examples:
        >>> [round(float(tap), 4) for tap in motion_taps(2, sd=1.0)]
        [0.3459, 0.0772, 0.0063, 0.0002, 0.0, 0.0, 0.0, 0.0]
    """
    weights = np.exp(-0.5 * (np.arange(2 * radius + 1) / sd) ** 2)
    return np.pad(weights[1:] / weights.sum(), (0, -2 * radius % 8)).astype(np.float32)


def motion(
    values: Float[Array, "height width *channel"], taps: Float[Array | np.ndarray, " taps"], angle: ArrayLike
) -> Float[Array, "height width *channel"]:
    """Mean over the pixels that lie along a direction, on one side; edges repeated, results whole levels.

    Args:
        values: Values in units of levels.
        taps: Weights of the pixels at distance 1, 2, ...; the pixel itself has what they leave of 1.
        angle: Direction in degrees, 0 to the right and 90 down.

    Returns:
        Whole levels, rounded down except for the last 1/514, as a 16-bit intermediate does.
    """
    reach = len(taps)
    radians, distance = jnp.deg2rad(angle), jnp.arange(1, reach + 1)
    along = filters.unfused(jnp.stack([jnp.sin(radians), jnp.cos(radians)]) * distance[:, None])
    offsets = reach + jnp.ceil(along - 0.5).astype(jnp.int32)
    padded = jnp.pad(values, [(reach, reach)] * 2 + [(0, 0)] * (values.ndim - 2), mode="edge")
    return jnp.floor(filters.shifted_mean(values, padded, offsets, taps) + 1 / 514)
