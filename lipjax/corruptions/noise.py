"""Noise: every sample (pixel and channel) is disturbed by itself."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

from lipjax import checks
from lipjax.chance import drawn
from lipjax.corruptions.corruption import Constants, Corruption, Draws, Levels, Shape, to_levels
from lipjax.corruptions.filters import unfused
from lipjax.types import KeyArray
from lipjax.values import REQUIRED, number


class gaussian_noise(Corruption):
    """Additive noise `u + sd * N`, N standard normal and independent for every pixel and channel.

    Draws are `{noise: standard normal [height, width, channel]}`.

    Attributes:
        sd: Standard deviation, in pixel units.

    Examples:
        >>> import jax
        >>> gaussian_noise(sd=0.1)(jax.random.key(0), np.full((8, 8, 1), 128, np.uint8)).dtype
        dtype('uint8')
    """

    sd: float = number(REQUIRED, checks.not_negative, unit="pixels in [0, 1]")

    def constants(self, shape: Shape) -> Constants:
        return {"sd": np.float32(255 * self.sd)}

    def sample(self, key: KeyArray, shape: Shape, constants: Constants) -> Draws:
        return {"noise": drawn(jax.random.normal, key, shape, jnp.float32)}

    def transform(self, image: Levels, draws: Draws, constants: Constants) -> Levels:
        return to_levels(image + unfused(constants["sd"] * draws["noise"]))


class speckle_noise(gaussian_noise):
    """Multiplicative noise `u + u * sd * N`, N standard normal: black stays black.

    Draws are `{noise: standard normal [height, width, channel]}`.

    Attributes:
        sd: Standard deviation, relative to the pixel.

    Examples:
        >>> image = np.array([[[0], [50], [100]]], np.uint8)
        >>> speckle_noise(sd=0.5).apply(image, {"noise": jnp.ones((1, 3, 1))}).ravel()
        Array([  0,  75, 150], dtype=uint8)
    """

    def constants(self, shape: Shape) -> Constants:
        return {"sd": np.float32(self.sd)}

    def transform(self, image: Levels, draws: Draws, constants: Constants) -> Levels:
        values = image.astype(jnp.float32)
        return to_levels(values + unfused(values * constants["sd"] * draws["noise"]))


class impulse_noise(Corruption):
    """Salt and pepper: a share of the samples, each channel by itself, becomes 1 or 0 with equal probability.

    Draws are `{hit, salt: bool [height, width, channel]}`.

    Attributes:
        amount: Probability that a sample is hit.

    Examples:
        >>> import jax
        >>> noisy = impulse_noise(amount=1.0)(jax.random.key(0), np.full((8, 8, 1), 100, np.uint8))
        >>> np.unique(noisy)
        array([  0, 255], dtype=uint8)
    """

    amount: float = number(REQUIRED, checks.fraction)

    def constants(self, shape: Shape) -> Constants:
        return {"amount": np.float32(self.amount)}

    def sample(self, key: KeyArray, shape: Shape, constants: Constants) -> Draws:
        # The upper 24 of the random bits decide whether a sample is hit, the lowest one which way.
        bits = drawn(jax.random.bits, key, shape, jnp.uint32)
        hit = (bits >> 8).astype(jnp.float32) < 2**24 * constants["amount"]
        return {"hit": hit, "salt": (bits & 1).astype(bool)}

    def transform(self, image: Levels, draws: Draws, constants: Constants) -> Levels:
        return jnp.where(draws["hit"], jnp.where(draws["salt"], 255, 0), image).astype(jnp.uint8)


class shot_noise(Corruption):
    """Photon counting, `K / photons` with K ~ Poisson(photons * u); more than `photons` counts saturate.

    Draws are `{uniform: [height, width, channel]}`, which the transform turns into counts by the inverse distribution
    function at each pixel's level; draws `{counts: whole numbers}` are taken as they are.

    Attributes:
        photons: Expected count at a white pixel, a whole number; fewer photons are noisier.

    Examples:
        >>> image, counts = np.full((1, 3, 1), 128, np.uint8), np.array([[[0], [30], [99]]])
        >>> shot_noise(photons=60.0).apply(image, {"counts": counts}).ravel()
        Array([  0, 127, 255], dtype=uint8)
    """

    photons: float = number(REQUIRED, checks.positive)

    def constants(self, shape: Shape) -> Constants:
        photons = int(self.photons)
        return {"distribution": _poisson_distribution(photons), "shades": _shades(photons)}

    def sample(self, key: KeyArray, shape: Shape, constants: Constants) -> Draws:
        return {"uniform": drawn(jax.random.uniform, key, shape, jnp.float32)}

    def transform(self, image: Levels, draws: Draws, constants: Constants) -> Levels:
        if "counts" in draws:
            counts = draws["counts"]
        else:
            levels = image.ravel().astype(jnp.int32)
            counts = _quantiles(constants["distribution"], levels, draws["uniform"].ravel()).reshape(image.shape)
        return jnp.asarray(constants["shades"])[jnp.minimum(counts, constants["shades"].size - 1)]


def _width(photons: int) -> int:
    # No count beyond it has a probability that single precision can see; one width for all published strengths, so
    # that they share a program.
    return max(1024, 4 * photons - 1024)


def _poisson_distribution(photons: int) -> Float[np.ndarray, "levels counts"]:
    """P(K <= k) for each of the 256 levels."""
    from scipy.special import pdtr

    levels, counts = np.arange(256)[:, None], np.arange(_width(photons))
    return pdtr(counts, photons * levels / 255).astype(np.float32)


def _shades(photons: int) -> UInt8[np.ndarray, " counts"]:
    """Level of each count, by the published arithmetic in double precision."""
    fractions = np.clip(np.arange(_width(photons)) / photons, 0.0, 1.0)
    return (255 * fractions).astype(np.uint8)


def _quantiles(
    distribution: Float[Array | np.ndarray, "levels counts"],
    levels: Int[Array, " samples"],
    uniform: Float[Array, " samples"],
) -> Int[Array, " samples"]:
    """Smallest counts k with `uniform < distribution[level, k]`, by bisection."""
    table, width = jnp.asarray(distribution).ravel(), distribution.shape[1]
    counts = jnp.zeros_like(levels)
    for step in (2**power for power in reversed(range((width - 1).bit_length()))):
        probe = jnp.minimum(counts + step, width) - 1
        below = table.at[levels * width + probe].get(mode="promise_in_bounds") <= uniform
        counts = jnp.where(below, probe + 1, counts)
    return counts
