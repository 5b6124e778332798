"""Linear filters of images. A filter along one axis is a matrix: any border rule, one matrix product per axis."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

AxisMap = Float[np.ndarray, "out size"]


def along_axes(rows: ArrayLike, columns: ArrayLike, image: Float[Array, "height width *channel"]) -> jax.Array:
    """Applies a matrix along the rows axis and one along the columns axis, `rows @ image @ columns.T` per channel."""
    tall = jnp.einsum("ij,jk...->ik...", rows, image, precision="highest")
    return jnp.einsum("lk,ik...->il...", columns, tall, precision="highest")


def gaussian_taps(sd: float, radius: int) -> Float[np.ndarray, " taps"]:
    """Samples of a Gaussian at -radius..radius, scaled to sum 1; all its mass in the middle for a sd of 0."""
    offsets = np.arange(-radius, radius + 1)
    taps = np.exp(-0.5 * (offsets / max(sd, 1e-15)) ** 2)
    return taps / taps.sum()


def gaussian_matrix(size: int, sd: float, *, border: str = "edge", truncate: float = 4.0) -> AxisMap:
    """Matrix of the Gaussian filter along an axis, cut at `int(truncate * sd + 1/2)` pixels.

    Args:
        size: Length of the axis in pixels.
        sd: Standard deviation in pixels; 0 gives the identity.
        border: How the axis goes on beyond its ends, as `numpy.pad` calls it ("edge", "symmetric").
        truncate: Where the Gaussian is cut, in standard deviations.

    Returns:
        Matrix `[size, size]` whose rows sum to 1.

    Example:
        >>> gaussian_matrix(3, sd=0.4).round(4)
        array([[0.9596, 0.0404, 0.    ],
               [0.0404, 0.9192, 0.0404],
               [0.    , 0.0404, 0.9596]], dtype=float32)
    """
    radius = int(truncate * sd + 0.5)
    source = np.pad(np.arange(size), radius, mode=border)  # type: ignore[call-overload]
    matrix = np.zeros((size, size))
    for offset, tap in enumerate(gaussian_taps(sd, radius)):
        np.add.at(matrix, (np.arange(size), source[offset : offset + size]), tap)
    return matrix.astype(np.float32)


def gaussian_matrices(shape: tuple[int, ...], sd: float, **options: float | str) -> dict[str, AxisMap]:
    """The Gaussian filter of an image: its matrices for `along_axes`, by argument name."""
    rows, columns = (gaussian_matrix(size, sd, **options) for size in shape[:2])  # type: ignore[arg-type]
    return {"rows": rows, "columns": columns}


def correlate(
    kernel: Float[Array | np.ndarray, "tall wide"], image: Float[Array, "height width channel"]
) -> Float[Array, "height width channel"]:
    """Correlation of every channel with a kernel of odd sides; the image is mirrored without repeating its edge."""
    tall, wide = kernel.shape
    padded = jnp.pad(image, ((tall // 2,) * 2, (wide // 2,) * 2, (0, 0)), mode="reflect")
    planes = jnp.moveaxis(padded, -1, 0)[:, None]
    result = jax.lax.conv(planes, jnp.asarray(kernel)[None, None], (1, 1), "VALID", precision="highest")
    return jnp.moveaxis(result[:, 0], 0, -1)
