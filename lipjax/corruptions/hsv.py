"""Hue, saturation and value of colours, and back."""

import jax.numpy as jnp
from jaxtyping import Array, Float

Colours = Float[Array, "*dims 3"]


def from_rgb(rgb: Colours) -> tuple[Float[Array, "*dims"], Float[Array, "*dims"], Float[Array, "*dims"]]:
    """Hue (one turn is 1), saturation, and value in the units of the input; a grey has hue and saturation 0.

    Example:
        >>> [float(part) for part in from_rgb(jnp.array([0.0, 100.0, 0.0]))]
        [0.3333333, 1.0, 100.0]
    """
    red, green, blue = jnp.moveaxis(rgb, -1, 0)
    value = jnp.max(rgb, axis=-1)
    spread = value - jnp.min(rgb, axis=-1)
    safe = jnp.where(spread == 0.0, 1.0, spread)
    # Where two channels share the maximum, the later one decides.
    sixths = jnp.select(
        [blue == value, green == value], [4.0 + (red - green) / safe, 2.0 + (blue - red) / safe], (green - blue) / safe
    )
    hue = jnp.where(spread == 0.0, 0.0, (sixths / 6.0) % 1.0)
    return hue, jnp.where(spread == 0.0, 0.0, spread / jnp.where(value == 0.0, 1.0, value)), value


def to_rgb(hue: Float[Array, "*dims"], saturation: Float[Array, "*dims"], value: Float[Array, "*dims"]) -> Colours:
    """The colours of a hue, saturation and value: the inverse of `from_rgb`."""
    sector = jnp.floor(6.0 * hue)
    within = 6.0 * hue - sector
    low = value * (1.0 - saturation)
    falling = value * (1.0 - within * saturation)
    rising = value * (1.0 - (1.0 - within) * saturation)
    index = sector.astype(jnp.int32) % 6
    red = jnp.choose(index, [value, falling, low, low, rising, value], mode="clip")
    green = jnp.choose(index, [rising, value, value, falling, low, low], mode="clip")
    blue = jnp.choose(index, [low, low, rising, value, value, falling], mode="clip")
    return jnp.stack([red, green, blue], axis=-1)
