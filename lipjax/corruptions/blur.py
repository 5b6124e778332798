"""Blurs: each pixel becomes a mean over its surroundings."""

import numpy as np
from jaxtyping import Float

from lipjax.corruptions import filters
from lipjax.corruptions.corruption import (
    Constants,
    Corruption,
    Draws,
    Levels,
    no_draws,
    to_levels,
    to_pixels,
)


def gaussian_blur(sd: float) -> Corruption:
    """Gaussian filter, cut at four standard deviations, edges repeated.

    Args:
        sd: Standard deviation in pixels.

    Returns:
        Corruption without draws.
    """
    return Corruption(lambda shape: filters.gaussian_matrices(shape, sd), no_draws, _filter)


def _filter(image: Levels, draws: Draws, constants: Constants) -> Levels:
    return to_levels(filters.along_axes(constants["rows"], constants["columns"], to_pixels(image)))


def defocus_blur(radius: float, alias: float) -> Corruption:
    """Mean over a disk whose edge is softened by a small Gaussian; the image is mirrored at its borders.

    The disk is drawn on whole pixels, so that radii below 1 (the first three severities for 32-pixel images) leave
    one pixel and only the softening acts.

    Args:
        radius: Radius of the disk in pixels.
        alias: Standard deviation of the softening in pixels.

    Returns:
        Corruption without draws.
    """
    return Corruption(lambda shape: {"kernel": disk(radius, alias)}, no_draws, _correlate)


def _correlate(image: Levels, draws: Draws, constants: Constants) -> Levels:
    return to_levels(filters.correlate(constants["kernel"], to_pixels(image)))


def disk(radius: float, alias: float) -> Float[np.ndarray, "size size"]:
    """Kernel of `defocus_blur`, without its outer zeros.

    Example:
        >>> disk(1.0, alias=0.0)
        array([[0. , 0.2, 0. ],
               [0.2, 0.2, 0.2],
               [0. , 0.2, 0. ]], dtype=float32)
    """
    reach, tap_radius = (8, 1) if radius <= 8 else (int(radius), 2)
    i, j = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    mask = (i**2 + j**2 <= radius**2).astype(float)
    taps = filters.gaussian_taps(alias, tap_radius)
    kernel = mask / mask.sum()
    for axis in (0, 1):
        padded = np.pad(kernel, tap_radius, mode="reflect")
        kernel = sum(tap * np.roll(padded, tap_radius - k, axis) for k, tap in enumerate(taps))[
            tap_radius:-tap_radius, tap_radius:-tap_radius
        ]
    used = np.flatnonzero(kernel.any(axis=0))
    return kernel[used[0] : used[-1] + 1, used[0] : used[-1] + 1].astype(np.float32)
