"""Digital corruptions: changes of colour and resolution."""

import jax.numpy as jnp
import numpy as np

from lipjax.corruptions import box, hsv
from lipjax.corruptions.corruption import (
    Constants,
    Corruption,
    Draws,
    Levels,
    Shape,
    no_draws,
    to_levels,
    to_pixels,
)


def contrast(factor: float) -> Corruption:
    """Pulls every channel towards its mean over the image, `(u - mean) * factor + mean`.

    Args:
        factor: Remaining contrast, 1 for all of it.

    Returns:
        Corruption without draws.
    """
    return Corruption(lambda shape: {"factor": np.float32(factor)}, no_draws, _pull_to_mean)


def _pull_to_mean(image: Levels, draws: Draws, constants: Constants) -> Levels:
    pixels = to_pixels(image)
    total = jnp.sum(image.astype(jnp.int32), axis=(0, 1))
    mean = total / (255.0 * image.shape[0] * image.shape[1])
    return to_levels((pixels - mean) * constants["factor"] + mean)


def brightness(shift: float) -> Corruption:
    """Adds to the value of the colour (HSV), clipped to [0, 1]; to the pixel where there is one channel.

    Args:
        shift: What is added, in pixel units.

    Returns:
        Corruption without draws.
    """
    return Corruption(lambda shape: {"shift": np.float32(shift)}, no_draws, _brighten)


def _brighten(image: Levels, draws: Draws, constants: Constants) -> Levels:
    pixels = to_pixels(image)
    if image.shape[-1] == 1:
        return to_levels(pixels + constants["shift"])
    hue, saturation, value = hsv.from_rgb(pixels)
    return to_levels(hsv.to_rgb(hue, saturation, jnp.clip(value + constants["shift"], 0.0, 1.0)))


def pixelate(factor: float) -> Corruption:
    """Shrinks by box averages and enlarges by repetition, bit-equal to Pillow's BOX filter.

    Args:
        factor: New size over old size.

    Returns:
        Corruption without draws.
    """

    def constants(shape: Shape) -> Constants:
        rows, columns = (box.mosaic_taps(size, int(size * factor)) for size in shape[:2])
        return {"rows": rows, "columns": columns}

    return Corruption(constants, no_draws, _mosaic)


def _mosaic(image: Levels, draws: Draws, constants: Constants) -> Levels:
    return box.weigh(box.weigh(image, **constants["columns"], axis=1), **constants["rows"], axis=0)
