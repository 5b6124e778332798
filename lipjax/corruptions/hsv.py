"""Hue, saturation and value of colours, and back."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from lipjax.corruptions.filters import unfused

Colours = Float[Array, "*dims 3"]
Part = Float[Array, "*dims"]


def from_rgb(rgb: Colours) -> tuple[Part, Part, Part]:
    """Hue in [0, 6), 1 for every 60 degrees; saturation; and value in the units of the input. A grey has hue 0.

    Examples:
        >>> [float(part) for part in from_rgb(jnp.array([0.0, 100.0, 50.0]))]
        [2.5, 1.0, 100.0]
    """
    red, green, blue = jnp.moveaxis(rgb, -1, 0)
    value = jnp.max(rgb, axis=-1)
    spread = value - jnp.min(rgb, axis=-1)
    safe = jnp.where(spread == 0.0, 1.0, spread)
    # Where two channels share the maximum, the later one decides.
    hue = jnp.select(
        [spread == 0.0, blue == value, green == value],
        [jnp.zeros_like(value), 4.0 + (red - green) / safe, 2.0 + (blue - red) / safe],
        (green - blue) / safe,
    )
    return hue % 6.0, spread / jnp.where(value == 0.0, 1.0, value), value


def to_rgb(hue: Part, saturation: Part, value: Part) -> Colours:
    """The colours of a hue, saturation and value: the inverse of `from_rgb`."""
    sector = jnp.floor(hue)
    within = hue - sector
    low = value * (1.0 - saturation)
    falling = value * (1.0 - unfused(within * saturation))
    rising = value * (1.0 - unfused((1.0 - within) * saturation))
    index = sector.astype(jnp.int32) % 6
    red = jnp.choose(index, [value, falling, low, low, rising, value], mode="clip")
    green = jnp.choose(index, [rising, value, value, falling, low, low], mode="clip")
    blue = jnp.choose(index, [low, low, rising, value, value, falling], mode="clip")
    return jnp.stack([red, green, blue], axis=-1)
