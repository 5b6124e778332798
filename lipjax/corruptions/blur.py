"""Blurs: each pixel becomes a mean over its surroundings."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

from lipjax import checks
from lipjax.chance import drawn
from lipjax.corruptions import filters, motion, zoom
from lipjax.corruptions.corruption import Constants, Corruption, Draws, Levels, Shape, Values, to_levels
from lipjax.types import KeyArray, pixels
from lipjax.values import REQUIRED, count, number


class gaussian_blur(Corruption):
    """Gaussian filter, cut at four standard deviations, edges repeated; nothing is random.

    Attributes:
        sd: Standard deviation in pixels.

    Examples:
        >>> edge = np.array([0, 0, 0, 0, 255, 255, 255, 255], np.uint8).reshape(1, 8, 1)
        >>> gaussian_blur(sd=1.0).apply(edge, {}).ravel()  # 255 times the normal distribution function, nearly
        Array([  0,   1,  14,  76, 178, 240, 253, 254], dtype=uint8)
    """

    sd: float = number(REQUIRED, checks.not_negative, unit="pixels")

    def constants(self, shape: Shape) -> Constants:
        return {"taps": filters.gaussian_taps(self.sd)}

    def transform(self, image: Levels, draws: Draws, constants: Constants) -> Levels:
        return to_levels(filters.gaussian(image.astype(jnp.float32), constants["taps"]))


class defocus_blur(Corruption):
    """Mean over a disk whose edge is softened by a small Gaussian; the image is mirrored at its borders.

    The disk is drawn on whole pixels, so that radii below 1 (the first three severities for 32-pixel images) leave
    one pixel and only the softening acts. Nothing is random.

    Attributes:
        radius: Radius of the disk in pixels.
        alias: Standard deviation of the softening in pixels.

    Examples:
        >>> star = np.zeros((5, 5, 1), np.uint8)
        >>> star[2, 2] = 255
        >>> defocus_blur(radius=1.0, alias=0.0).apply(star, {})[..., 0]
        Array([[ 0,  0,  0,  0,  0],
               [ 0,  0, 51,  0,  0],
               [ 0, 51, 51, 51,  0],
               [ 0,  0, 51,  0,  0],
               [ 0,  0,  0,  0,  0]], dtype=uint8)
    """

    radius: float = number(REQUIRED, checks.not_negative, unit="pixels")
    alias: float = number(REQUIRED, checks.not_negative, unit="pixels")

    def constants(self, shape: Shape) -> Constants:
        kernel = disk(self.radius, self.alias)
        return {"kernel": kernel.astype(np.float32), "gain": np.float32(kernel.sum())}

    def transform(self, image: Levels, draws: Draws, constants: Constants) -> Levels:
        return to_levels(filters.correlate(image.astype(jnp.float32), **constants))


def disk(radius: float, alias: float) -> Float[np.ndarray, "size size"]:
    """Kernel of `defocus_blur`, without its outer zeros. Its sum is 1, or a little more where softening meets the rim.

    Examples:
        >>> disk(1.0, alias=0.0)
        array([[0. , 0.2, 0. ],
               [0.2, 0.2, 0.2],
               [0. , 0.2, 0. ]])
    """
    from scipy.ndimage import correlate1d

    reach, tap_radius = (8, 1) if radius <= 8 else (int(radius), 2)
    i, j = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    mask = (i**2 + j**2 <= radius**2).astype(float)
    taps = filters.gaussian_weights(alias, tap_radius)
    kernel = mask / mask.sum()
    for axis in (0, 1):
        kernel = correlate1d(kernel, taps, axis, mode="mirror")
    used = np.flatnonzero(kernel.any(axis=0))
    return kernel[used[0] : used[-1] + 1, used[0] : used[-1] + 1]


class glass_blur(Corruption):
    """Blur, local shuffling of the pixels, and the same blur again.

    Row by row from the bottom right, each pixel takes the value of one that is up to `reach` pixels up or left, or up
    to `reach - 1` down or right. (The authors meant an exchange; their code copies.) Draws are `{offsets: [iterations,
    rows, columns, 2]}`, for each visited pixel (right, down), in the order of the visits.

    Attributes:
        sd: Standard deviation of the blur in pixels.
        reach: Largest offset in pixels.
        iterations: How often the pixels are visited: all but the first `reach + 1` and the last `reach - 1` rows and
            columns.

    Examples:
        >>> ramp = np.tile(np.arange(4, dtype=np.uint8), (3, 1))[..., None]
        >>> from_the_left = np.full((1, 1, 2, 2), (-1, 0))
        >>> glass_blur(sd=0.0, reach=1, iterations=1).apply(ramp, {"offsets": from_the_left})[..., 0]
        Array([[0, 1, 2, 3],
               [0, 1, 2, 3],
               [0, 1, 1, 2]], dtype=uint8)
    """

    sd: float = number(REQUIRED, checks.not_negative, unit="pixels")
    reach: int = count(unit="pixels")
    iterations: int = count()

    def constants(self, shape: Shape) -> Constants:
        return {"taps": filters.gaussian_taps(self.sd)}

    def sample(self, key: KeyArray, shape: Shape, constants: Constants) -> Draws:
        visits = (self.iterations, shape[0] - 2 * self.reach, shape[1] - 2 * self.reach, 2)
        offsets = drawn(jax.random.uniform, key, visits, jnp.float32, -self.reach, self.reach)
        return {"offsets": jnp.floor(offsets).astype(jnp.int32)}

    def transform(self, image: Levels, draws: Draws, constants: Constants) -> Levels:
        blurred = to_levels(filters.gaussian(image.astype(jnp.float32), constants["taps"]))
        shuffled, _ = jax.lax.scan(lambda levels, offsets: (_visit(levels, offsets), None), blurred, draws["offsets"])
        return to_levels(filters.gaussian(shuffled.astype(jnp.float32), constants["taps"]))


def _visit(
    levels: UInt8[Array, "height width channel"], offsets: Int[Array, "rows columns 2"]
) -> UInt8[Array, "height width channel"]:
    """Copies pixels one after the other, each from its source, which may have been overwritten before."""
    height, width, channels = levels.shape
    reach = (height - offsets.shape[0]) // 2
    border = ((reach + 1, reach - 1), (reach + 1, reach - 1))
    steps = jnp.pad(offsets[::-1, ::-1, 1] * width + offsets[::-1, ::-1, 0], border).ravel()
    is_visited = jnp.pad(jnp.ones(offsets.shape[:2], bool), border).ravel()
    pixel = jnp.arange(height * width)
    source = pixel + steps
    # Visits go down in the pixel index. A source with a larger index has been overwritten: its value is that of its own
    # source. Following these links to their end, two steps becoming one, visits all pixels at once.
    link = jnp.where(is_visited[source] & (source > pixel), source, pixel)
    link = jax.lax.while_loop(lambda link: jnp.any(link[link] != link), lambda link: link[link], link)
    return levels.reshape(-1, channels)[source[link]].reshape(levels.shape)


class motion_blur(Corruption):
    """Blur along a line at a random angle of up to 45 degrees from the horizontal; draws are `{angle: degrees}`.

    Attributes:
        radius: Half the length of the line in whole pixels.
        sd: Standard deviation of the weights along it in pixels.

    Examples:
        >>> line = np.zeros((3, 7, 1), np.uint8)
        >>> line[:, 3] = 200
        >>> motion_blur(radius=2.0, sd=1.0).apply(line, {"angle": np.float32(0)})[1, :, 0]
        Array([  1,  15,  69, 114,   0,   0,   0], dtype=uint8)
    """

    radius: float = number(REQUIRED, checks.positive, unit="pixels")
    sd: float = number(REQUIRED, checks.positive, unit="pixels")

    def constants(self, shape: Shape) -> Constants:
        return {"taps": motion.motion_taps(int(self.radius), self.sd)}

    def sample(self, key: KeyArray, shape: Shape, constants: Constants) -> Draws:
        return {"angle": jax.random.uniform(key, (), jnp.float32, -45.0, 45.0)}

    def transform(self, image: Levels, draws: Draws, constants: Constants) -> Levels:
        return to_levels(motion.motion(image.astype(jnp.float32), constants["taps"], draws["angle"]))


class zoom_blur(Corruption):
    """Mean of the image and of its enlargements by 1, 1 + step, 1 + 2 step, ... up to `stop`; nothing is random.

    The sums are those of the published sets, in single precision and their order, since what they lose to rounding
    takes a level from flat areas when the mean is cut to a whole one.

    Attributes:
        stop: End of the factors (excluded, but for rounding, as `numpy.arange` does).
        step: Difference between factors.

    Examples:
        >>> ramp = np.tile(np.array([0, 60, 120, 180], np.uint8), (4, 1))[..., None]
        >>> zoom_blur(stop=2.5, step=1.0).apply(ramp, {})[0, :, 0]  # (u + u + twice as large: 60, 80, 100, 120) / 3
        Array([ 20,  66, 113, 160], dtype=uint8)
    """

    stop: float = number(REQUIRED, checks.positive)
    step: float = number(REQUIRED, checks.positive)

    def constants(self, shape: Shape) -> Constants:
        factors = np.arange(1, self.stop, self.step)
        rows, columns = (
            jax.tree.map(lambda *parts: np.stack(parts), *(zoom.clipped_zoom(size, factor) for factor in factors))
            for size in shape[:2]
        )
        return {"rows": rows, "columns": columns}

    def transform(self, image: Levels, draws: Draws, constants: Constants) -> Levels:
        values = pixels(image)

        def add(total: Values, grids: tuple[zoom.Grid, zoom.Grid]) -> tuple[Values, None]:
            rows, columns = grids
            return total + zoom.interpolate(zoom.interpolate(values, rows, 0), columns, 1), None

        total, _ = jax.lax.scan(add, jnp.zeros_like(values), (constants["rows"], constants["columns"]))
        # Behind a barrier, since compilers replace a division by a constant with a product that rounds otherwise.
        count = jax.lax.optimization_barrier(jnp.float32(1 + constants["rows"].low.shape[0]))
        return jnp.floor(255.0 * jnp.clip((values + total) / count, 0.0, 1.0)).astype(jnp.uint8)
