"""Baseline JPEG, encoded and decoded, in the integer arithmetic of libjpeg-turbo.

Entropy coding loses nothing, so only colour conversion, chroma subsampling, the cosine transform and its quantisation
matter. All of it is 32-bit integer arithmetic; the result equals Pillow's (built on libjpeg-turbo) bit for bit.

References:
    ITU-T T.81 (1992), annexes A and K: the transform and the quantisation tables.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, UInt8

Plane = Int[Array, "_ _"]
QuantisationTable = Int[np.ndarray | Array, "8 8"]

_LUMA = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ]
)
_CHROMA = np.full((8, 8), 99)
_CHROMA[:4, :4] = [[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]]

# The cosine transform in 13-bit fixed point: row k is 8192 * sqrt(2) * cos((2 j + 1) k pi / 16), as the library's
# sequence of additions and multiplications rounds it.
_COSINES = np.array(
    [
        [8192, 8192, 8192, 8192, 8192, 8192, 8192, 8192],
        [11363, 9633, 6437, 2260, -2260, -6437, -9633, -11363],
        [10703, 4433, -4433, -10703, -10703, -4433, 4433, 10703],
        [9633, -2259, -11362, -6436, 6436, 11362, 2259, -9633],
        [8192, -8192, -8192, 8192, 8192, -8192, -8192, 8192],
        [6437, -11362, 2261, 9633, -9633, -2261, 11362, -6437],
        [4433, -10704, 10704, -4433, -4433, 10704, -10704, 4433],
        [2260, -6436, 9633, -11363, 11363, -9633, 6436, -2260],
    ],
    np.int32,
)


def quantisation_tables(quality: int) -> dict[str, QuantisationTable]:
    """The standard's luma and chroma tables, scaled to a quality from 1 to 100.

    Examples:
        >>> quantisation_tables(50)["luma"][0, :4], quantisation_tables(25)["luma"][0, :4]
        (array([16, 11, 10, 16], dtype=int32), array([32, 22, 20, 32], dtype=int32))
    """
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    return {
        name: np.clip((table * percent + 50) // 100, 1, 255).astype(np.int32)
        for name, table in (("luma", _LUMA), ("chroma", _CHROMA))
    }


def encode_decode(
    image: UInt8[Array, "height width channel"], luma: QuantisationTable, chroma: QuantisationTable
) -> UInt8[Array, "height width channel"]:
    """The image after JPEG with 4:2:0 subsampling; one channel is coded as a grey image.

    Args:
        image: Levels, with 1 or 3 channels.
        luma: Quantisation table of brightness.
        chroma: Quantisation table of colour.

    Returns:
        Levels of the image's shape.
    """
    levels = image.astype(jnp.int32)
    if image.shape[-1] == 1:
        return _coded_luma(levels[..., 0], luma)[..., None].astype(jnp.uint8)
    brightness, blue, red = _to_ycc(levels)
    decoded = _coded_luma(brightness, luma), _coded_chroma(blue, chroma), _coded_chroma(red, chroma)
    return _to_rgb(*decoded).astype(jnp.uint8)


def _coded_luma(plane: Plane, table: QuantisationTable) -> Plane:
    height, width = plane.shape
    padded = jnp.pad(plane, ((0, -height % 8), (0, -width % 8)), mode="edge")
    return _coded(padded, table)[:height, :width]


def _coded_chroma(plane: Plane, table: QuantisationTable) -> Plane:
    height, width = plane.shape
    rows, columns = -(-height // 2), -(-width // 2)
    # Rows are repeated at full resolution only up to an even count, and from there at half resolution.
    small = _halve(jnp.pad(plane, ((0, height % 2), (0, -width % 16)), mode="edge"))
    decoded = _coded(jnp.pad(small, ((0, -rows % 8), (0, 0)), mode="edge"), table)
    return _double(decoded[:rows, :columns])[:height, :width]


def _to_ycc(rgb: Int[Array, "_ _ 3"]) -> tuple[Plane, Plane, Plane]:
    red, green, blue = jnp.moveaxis(rgb, -1, 0)
    centre = (128 << 16) + 32767
    return (
        (19595 * red + 38470 * green + 7471 * blue + 32768) >> 16,
        (-11059 * red - 21709 * green + 32768 * blue + centre) >> 16,
        (32768 * red - 27439 * green - 5329 * blue + centre) >> 16,
    )


def _to_rgb(brightness: Plane, blue: Plane, red: Plane) -> Int[Array, "_ _ 3"]:
    blue, red = blue - 128, red - 128
    channels = (
        brightness + ((91881 * red + 32768) >> 16),
        brightness + ((-22554 * blue - 46802 * red + 32768) >> 16),
        brightness + ((116130 * blue + 32768) >> 16),
    )
    return jnp.clip(jnp.stack(channels, axis=-1), 0, 255)


def _halve(plane: Plane) -> Plane:
    # Means of 2 x 2 samples; halves are rounded down and up in turn along the columns.
    rows = plane[0::2] + plane[1::2]
    bias = 1 + jnp.arange(plane.shape[1] // 2) % 2
    return (rows[:, 0::2] + rows[:, 1::2] + bias) >> 2


def _double(plane: Plane) -> Plane:
    # Each new sample lies a quarter of the way towards a neighbour: weights 3 and 1 along each axis.
    above, below = (3 * plane + _neighbour(plane, step, axis=0) for step in (-1, 1))
    tall = _interleave(above, below, axis=0)
    left, right = (3 * tall + _neighbour(tall, step, axis=1) for step in (-1, 1))
    return _interleave((left + 8) >> 4, (right + 7) >> 4, axis=1)


def _neighbour(plane: Plane, step: int, axis: int) -> Plane:
    index = np.arange(plane.shape[axis])
    return jnp.take(plane, np.clip(index + step, 0, index[-1]), axis)


def _interleave(even: Plane, odd: Plane, axis: int) -> Plane:
    shape = [size * (1 + (along == axis)) for along, size in enumerate(even.shape)]
    return jnp.stack([even, odd], axis=axis + 1).reshape(shape)


def _coded(plane: Plane, table: QuantisationTable) -> Plane:
    """Transforms blocks of 8 x 8, rounds the coefficients to multiples of the table, and transforms back."""
    height, width = plane.shape
    blocks = plane.reshape(height // 8, 8, width // 8, 8).swapaxes(1, 2) - 128
    cosines = jnp.asarray(_COSINES)
    scaled = _descale(cosines @ _descale(blocks @ cosines.T, 11), 15)
    step = 8 * table
    coefficients = jnp.sign(scaled) * ((jnp.abs(scaled) + step // 2) // step) * table
    decoded = _descale(_descale(cosines.T @ coefficients, 11) @ cosines, 18) + 128
    return jnp.clip(decoded, 0, 255).swapaxes(1, 2).reshape(height, width)


def _descale(numbers: Int[Array, "*dims"], bits: int) -> Int[Array, "*dims"]:
    return (numbers + (1 << (bits - 1))) >> bits
