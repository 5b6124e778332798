"""Frosted glass, made up: random textures with the statistics of the photographs that the published sets used.

The photographs are not ours to ship. A texture is a Gaussian field with a power-law spectrum, pushed through the
photographs' distribution of brightness and tinted as they are. Spectrum, distribution and tint were measured at the
three scales at which the published sets use the photographs. What is lost: the directed crystals, and colours that
drift across the picture.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8

from lipjax.corruptions.corruption import Constants, Draws, Shape
from lipjax.corruptions.filters import unfused
from lipjax.types import KeyArray

Photos = UInt8[np.ndarray, "count tall wide 3"]

_PROBABILITIES = np.array(
    [0.001, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999], np.float32
)
_WEIGHTS = np.array([0.2, 0.4, 0.2, 0.2], np.float32)

# By photograph scale and class A, B, C, D: exponent and floor of the power spectrum; standard deviation of the
# brightness between crops over that within; quantiles of the brightness; gain and offset of red, green, blue.
_STATISTICS = {
    0.2: (
        (2.40, 0.0030, 0.80, (90, 95, 102, 107, 113, 118, 122, 127, 132, 138, 145, 156, 164, 181, 197),
         (1.40, 0.86, 0.67), (-103, 37, 78)),
        (2.00, 0.0100, 0.49, (105, 143, 165, 175, 187, 195, 201, 206, 210, 214, 219, 225, 229, 236, 244),
         (0.97, 1.01, 1.04), (2, -1, 1)),
        (2.60, 0.0300, 0.39, (54, 79, 109, 122, 135, 144, 151, 157, 163, 169, 176, 188, 200, 235, 252),
         (0.99, 1.00, 1.03), (-11, 4, 10)),
        (1.60, 0.0100, 0.46, (35, 43, 56, 65, 78, 88, 98, 108, 118, 129, 144, 164, 181, 215, 248),
         (1.01, 1.00, 0.97), (-11, 2, 17)),
    ),
    0.3: (
        (3.00, 0.0010, 0.67, (94, 97, 103, 107, 112, 117, 121, 125, 130, 135, 143, 154, 162, 175, 189),
         (1.40, 0.86, 0.66), (-103, 37, 79)),
        (2.20, 0.0010, 0.33, (121, 145, 166, 176, 188, 195, 201, 206, 210, 214, 219, 224, 229, 235, 242),
         (0.97, 1.01, 1.05), (3, -1, 0)),
        (2.60, 0.0030, 0.30, (60, 91, 114, 126, 138, 146, 152, 158, 163, 169, 175, 184, 194, 217, 243),
         (0.99, 0.99, 1.05), (-10, 4, 8)),
        (1.80, 0.0010, 0.39, (35, 45, 58, 67, 80, 89, 98, 107, 116, 127, 139, 157, 175, 213, 243),
         (1.02, 1.00, 0.97), (-11, 2, 18)),
    ),
    1.0: (
        (2.20, 0.0, 0.61, (90, 95, 102, 106, 112, 116, 121, 125, 130, 135, 143, 153, 162, 177, 193),
         (1.42, 0.85, 0.65), (-106, 38, 81)),
        (2.00, 0.0, 0.31, (108, 140, 164, 175, 187, 195, 201, 206, 210, 215, 220, 225, 230, 236, 242),
         (0.97, 1.01, 1.04), (2, -1, 1)),
        (1.80, 0.0, 0.22, (58, 85, 112, 124, 137, 146, 153, 159, 165, 171, 178, 189, 200, 229, 251),
         (0.99, 1.00, 1.04), (-11, 4, 10)),
        (1.80, 0.0, 0.27, (33, 43, 55, 65, 77, 87, 97, 106, 115, 126, 140, 159, 177, 213, 245),
         (1.01, 1.00, 0.97), (-11, 2, 17)),
    ),
}  # fmt: skip


def constants(scale: float, shape: Shape) -> Constants:
    """Spectrum and statistics of each class for images of a shape; `scale` is 0.2, 0.3 or 1.0."""
    exponents, floors, ratios, quantiles, gains, offsets = map(np.array, zip(*_STATISTICS[scale], strict=True))
    size = max(shape[:2])
    spectra = np.stack([_amplitudes(size, *powers) for powers in zip(exponents, floors, strict=True)])
    named = {"ratio": ratios, "quantiles": quantiles, "gain": gains, "offset": offsets}
    return {"amplitude": spectra} | {name: np.array(values, np.float32) for name, values in named.items()}


def _amplitudes(size: int, exponent: float, floor: float) -> Float[np.ndarray, "size size"]:
    """Amplitude `sqrt(f^-exponent + floor)` at f cycles per image, 0 at f = 0, for fields of variance 1."""
    along = np.fft.fftfreq(size, 1 / size)
    frequency = np.hypot(along[:, None], along)
    frequency[0, 0] = np.inf
    amplitude = np.sqrt(frequency**-exponent + floor * np.isfinite(frequency))
    return (amplitude * size / np.sqrt(np.sum(amplitude**2))).astype(np.float32)


def draw(key: KeyArray, shape: Shape, constants: Constants) -> Draws:
    """A random texture `{texture: uint8 [height, width, 3]}`."""
    class_key, field_key = jax.random.split(key)
    chosen = jax.random.choice(class_key, len(_WEIGHTS), p=jnp.asarray(_WEIGHTS))
    amplitude, ratio, quantiles, gain, offset = (
        jnp.asarray(constants[name])[chosen] for name in ("amplitude", "ratio", "quantiles", "gain", "offset")
    )
    numbers = jax.random.normal(field_key, (amplitude.size + 1,), jnp.float32)
    white, level = numbers[1:].reshape(amplitude.shape), numbers[0]
    field = jnp.fft.ifft2(amplitude * jnp.fft.fft2(white)).real[: shape[0], : shape[1]]
    field = (field + unfused(ratio * level)) / jnp.sqrt(1 + ratio**2)
    brightness = jnp.interp(jax.scipy.stats.norm.cdf(field), _PROBABILITIES, quantiles)
    colours = jnp.clip(unfused(gain * brightness[..., None]) + offset, 0.0, 255.0)
    return {"texture": colours.astype(jnp.uint8)}


def large_enough(photos: Photos, shape: Shape) -> Photos:
    """The photographs, after a check that an image of the shape fits in."""
    tall, wide = photos.shape[1:3]
    if tall < shape[0] or wide < shape[1]:
        raise ValueError(
            f"photos of {tall} x {wide} pixels are smaller than the image of {shape[0]} x {shape[1]} pixels"
        )
    return photos


def draw_crop(key: KeyArray, shape: Shape, constants: Constants) -> Draws:
    """A random crop of one of the user's photographs, `{texture: uint8 [height, width, 3]}`."""
    photos = jnp.asarray(constants["photos"])
    limits = jnp.array([photos.shape[0], photos.shape[1] - shape[0] + 1, photos.shape[2] - shape[1] + 1])
    photo, row, column = jax.random.randint(key, (3,), 0, limits)
    return {"texture": jax.lax.dynamic_slice(photos, (photo, row, column, 0), (1, *shape[:2], 3))[0]}
