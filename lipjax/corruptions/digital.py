"""Digital corruptions: changes of colour, geometry and resolution."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from lipjax import checks
from lipjax.corruptions import box, filters, hsv, jpeg, sampling
from lipjax.corruptions.corruption import Constants, Corruption, Draws, Levels, Shape, Values, to_levels
from lipjax.corruptions.filters import unfused
from lipjax.types import KeyArray
from lipjax.values import REQUIRED, number


class contrast(Corruption):
    """Pulls every channel towards its mean over the image, `(u - mean) * factor + mean`; nothing is random.

    Attributes:
        factor: Remaining contrast, 1 for all of it.

    Examples:
        >>> contrast(factor=0.5).apply(np.array([[[0], [200]]], np.uint8), {}).ravel()
        Array([ 50, 150], dtype=uint8)
    """

    factor: float = number(REQUIRED, checks.not_negative)

    def constants(self, shape: Shape) -> Constants:
        return {"factor": np.float32(self.factor)}

    def transform(self, image: Levels, draws: Draws, constants: Constants) -> Levels:
        mean = jnp.sum(image.astype(jnp.int32), axis=(0, 1)) / (image.shape[0] * image.shape[1])
        return to_levels(unfused((image - mean) * constants["factor"]) + mean)


class pixelate(Corruption):
    """Shrinks by box averages and enlarges by repetition, bit-equal to Pillow's BOX filter; nothing is random.

    Attributes:
        factor: New size over old size.

    Examples:
        >>> image = np.tile(np.array([0, 100, 200, 100], np.uint8), (2, 1))[..., None]
        >>> pixelate(factor=0.5).apply(image, {})[..., 0]
        Array([[ 50,  50, 150, 150],
               [ 50,  50, 150, 150]], dtype=uint8)
    """

    factor: float = number(REQUIRED, checks.positive)

    def constants(self, shape: Shape) -> Constants:
        rows, columns = (box.mosaic_taps(size, int(size * self.factor)) for size in shape[:2])
        return {"rows": rows, "columns": columns}

    def transform(self, image: Levels, draws: Draws, constants: Constants) -> Levels:
        return box.weigh(box.weigh(image, **constants["columns"], axis=1), **constants["rows"], axis=0)


class saturate(Corruption):
    """Changes the saturation of the colour (HSV), `s * factor + shift` clipped to [0, 1]; nothing is random.

    With a shift greys turn red, as in the published sets. An image of one channel stays as it is.

    Attributes:
        factor: New saturation over old.
        shift: What is added after.

    Examples:
        >>> image = np.array([[[200, 100, 50]]], np.uint8)
        >>> [saturate(factor=factor, shift=0.0).apply(image, {})[0, 0].tolist() for factor in (0.0, 0.5, 2.0)]
        [[200, 200, 200], [200, 150, 125], [200, 66, 0]]
    """

    factor: float = number(REQUIRED, checks.not_negative)
    shift: float = number()

    def constants(self, shape: Shape) -> Constants:
        return {"factor": np.float32(self.factor), "shift": np.float32(self.shift)}

    def transform(self, image: Levels, draws: Draws, constants: Constants) -> Levels:
        if image.shape[-1] == 1:
            return image
        hue, saturation, value = hsv.from_rgb(image.astype(jnp.float32))
        saturation = jnp.clip(unfused(saturation * constants["factor"]) + constants["shift"], 0.0, 1.0)
        return to_levels(hsv.to_rgb(hue, saturation, value))


class jpeg_compression(Corruption):
    """Encodes as baseline JPEG with 4:2:0 subsampling and decodes, bit-equal to libjpeg-turbo; nothing is random.

    Which coder made the published sets is unknown. The one of the authors' time (IJG libjpeg 9) resamples colour
    differently: on photographs by 1.0 to 2.3 levels in the mean.

    Attributes:
        quality: 1 (smallest file) to 100, a whole number.

    Examples:
        >>> grey = np.full((16, 16, 1), 101, np.uint8)  # 8 (101 - 128) / 16 = -13.5 becomes -14: levels in steps of two
        >>> jpeg_compression(quality=50).apply(grey, {})[0, 0]
        Array([100], dtype=uint8)
    """

    quality: float = number(REQUIRED, checks.positive)

    def constants(self, shape: Shape) -> Constants:
        return jpeg.quantisation_tables(int(self.quality))

    def transform(self, image: Levels, draws: Draws, constants: Constants) -> Levels:
        return jpeg.encode_decode(image, **constants)


class elastic_transform(Corruption):
    """A random affine map, and then a random smooth displacement of every pixel.

    Three points of the image move by `jitter * U` and the image with them; then pixels move by `amplitude * G(U)`, G
    a Gaussian filter and U uniform in [-1, 1]. Both steps interpolate linearly. Positions are exact, as in OpenCV 5
    (OpenCV 3 and 4 round them to 1/32 pixel: up to 6 levels, 0.17 in the mean). Draws are `{affine: [3, 2], dx:
    [height, width], dy: [height, width]}`, uniform in [-1, 1].

    Attributes:
        amplitude: Largest displacement before smoothing, over the image's shorter side.
        smoothness: Standard deviation of the filter, over the image's shorter side.
        jitter: Largest movement of the three points along an axis, over the image's shorter side.

    Examples:
        >>> image = np.tile(np.arange(4, dtype=np.uint8), (4, 1))[..., None]
        >>> draws = {"affine": np.full((3, 2), 1.0), "dx": np.zeros((4, 4)), "dy": np.zeros((4, 4))}
        >>> elastic_transform(amplitude=0.0, smoothness=0.1, jitter=0.25).apply(image, draws)[1, :, 0]
        Array([1, 0, 1, 2], dtype=uint8)
    """

    amplitude: float = number(REQUIRED, checks.not_negative)
    smoothness: float = number(REQUIRED, checks.not_negative)
    jitter: float = number(REQUIRED, checks.not_negative)

    def constants(self, shape: Shape) -> Constants:
        size = min(shape[:2])
        return {
            "amplitude": np.float32(self.amplitude * size),
            "taps": filters.gaussian_taps(self.smoothness * size, truncate=3.0),
            "jitter": np.float32(self.jitter * size),
        }

    def sample(self, key: KeyArray, shape: Shape, constants: Constants) -> Draws:
        height, width = shape[:2]
        numbers = jax.random.uniform(key, (6 + 2 * height * width,), jnp.float32, -1.0, 1.0)
        dx, dy = numbers[6:].reshape(2, height, width)
        return {"affine": numbers[:6].reshape(3, 2), "dx": dx, "dy": dy}

    def transform(self, image: Levels, draws: Draws, constants: Constants) -> Levels:
        height, width = image.shape[:2]
        moved = _affine(image.astype(jnp.float32), unfused(constants["jitter"] * draws["affine"]))
        rows, columns = jnp.meshgrid(jnp.arange(height), jnp.arange(width), indexing="ij")
        dx, dy = (
            unfused(constants["amplitude"] * filters.gaussian(draws[name], constants["taps"], "symmetric"))
            for name in ("dx", "dy")
        )
        return to_levels(sampling.bilinear(moved, rows + dy, columns + dx, sampling.symmetric))


def _affine(values: Values, shifts: Float[Array, "3 2"]) -> Values:
    """The image under the affine map that moves three points (x, y) around its centre by the shifts."""
    height, width = values.shape[:2]
    reach = min(height, width) // 3
    x, y = jnp.meshgrid(jnp.arange(width), jnp.arange(height))
    points = jnp.array([width // 2, height // 2]) + reach * jnp.array([[1, 1], [1, -1], [-1, -1]])
    targets = points + shifts
    # Coordinates of a pixel in the triangle of the targets are those of its source in the triangle of the points.
    (ax, ay), (bx, by) = targets[1:] - targets[0]
    px, py = x - targets[0, 0], y - targets[0, 1]
    area = unfused(ax * by) - unfused(ay * bx)
    first = (unfused(px * by) - unfused(py * bx)) / area
    second = (unfused(py * ax) - unfused(px * ay)) / area
    source_x = points[0, 0] - unfused(2 * reach * second)
    source_y = points[0, 1] - unfused(2 * reach * (first + second))
    return sampling.bilinear(values, source_y, source_x, sampling.mirrored)
