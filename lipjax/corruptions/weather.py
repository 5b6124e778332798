"""Weather: snow, frost, fog, brightness, and splashes of water or mud."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from lipjax import checks
from lipjax.corruptions import chance, contours, filters, frost_texture, hsv, motion, plasma, zoom
from lipjax.corruptions.corruption import (
    Constants,
    Corruption,
    Draws,
    Levels,
    Shape,
    no_draws,
    to_levels,
)
from lipjax.corruptions.filters import unfused
from lipjax.types import KeyArray

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_WATER = np.array([175.0, 238.0, 238.0], np.float32)
_MUD = np.array([63.0, 42.0, 20.0], np.float32)


def _grey(values: Float[Array, "*dims channel"]) -> Float[Array, "*dims 1"]:
    if values.shape[-1] == 1:
        return values
    red, green, blue = (unfused(weight * values[..., i]) for i, weight in enumerate(_LUMA))
    return (red + green + blue)[..., None]


def _like(values: Float[Array, "*dims 3"], image: Levels) -> Float[Array, "*dims channel"]:
    """Colours, or their brightness for an image of one channel."""
    return values if image.shape[-1] == 3 else _grey(values)


def fog(amount: float, decay: float) -> Corruption:
    """Adds plasma and rescales to the image's largest value M: `(u + amount * plasma) * M / (M + amount)`.

    Args:
        amount: Largest value of the fog before rescaling, in pixel units.
        decay: How fast the fog's detail vanishes; see `plasma.plasma`.

    Returns:
        Corruption with draws `{uniform: for each level of the plasma three arrays in [-1, 1]}`. A black image stays
        black.
    """
    constants = {"amount": np.float32(255 * amount), "decay": np.float32(decay)}
    return Corruption(lambda shape: constants, _draw_plasma, _add_fog)


def _draw_plasma(key: KeyArray, shape: Shape, constants: Constants) -> Draws:
    return {"uniform": plasma.draw_uniform(key, plasma.side(shape))}


def _add_fog(image: Levels, draws: Draws, constants: Constants) -> Levels:
    height, width, _ = image.shape
    cloud = plasma.plasma(draws["uniform"], constants["decay"])[:height, :width, None]
    amount, largest = constants["amount"], jnp.max(image).astype(jnp.float32)
    return to_levels((image + unfused(amount * cloud)) * (largest / (largest + amount)))


def frost(
    image_weight: float,
    frost_weight: float,
    scale: float,
    photos: frost_texture.Photos | None = None,
) -> Corruption:
    """Mixes with a picture of frosted glass, `image_weight * image + frost_weight * texture`, clipped.

    The published sets crop photographs, which are not part of lipjax. By default textures are made up, with the
    photographs' statistics (`frost_texture`): the mean PSNR at each severity is then within 1 dB of the photographs',
    but the pictures are not the same.

    Args:
        image_weight: Weight of the image.
        frost_weight: Weight of the texture.
        scale: At which of the published scales of the photographs their statistics are taken: 0.2, 0.3 or 1.0.
        photos: Photographs to crop instead, already at the wanted scale and at least as large as the images.

    Returns:
        Corruption with draws `{texture: uint8 [height, width, 3]}`.

    Raises:
        ValueError: If `scale` is none of the three, or, when it is used, if an image is larger than the photographs.
    """
    checks.one_of("scale", str(scale), ["0.2", "0.3", "1.0"])

    def constants(shape: Shape) -> Constants:
        weights = {"image": np.float32(image_weight), "frost": np.float32(frost_weight)}
        if photos is None:
            return {**weights, **frost_texture.constants(scale, shape)}
        return {**weights, "photos": frost_texture.large_enough(photos, shape)}

    return Corruption(constants, frost_texture.draw if photos is None else frost_texture.draw_crop, _mix)


def _mix(image: Levels, draws: Draws, constants: Constants) -> Levels:
    texture = _like(draws["texture"].astype(jnp.float32), image)
    return to_levels(unfused(constants["image"] * image) + unfused(constants["frost"] * texture))


def snow(
    mean: float, sd: float, enlargement: float, threshold: float, radius: int, blur: float, mix: float
) -> Corruption:
    """Whitens the image and adds falling flakes: bright spots of a noise layer, drawn out by motion blur.

    Args:
        mean: Mean of the noise layer, in pixel units.
        sd: Standard deviation of the noise layer, in pixel units.
        enlargement: How much the layer is zoomed.
        threshold: Noise below it is no flake.
        radius: Half the length of the motion in pixels.
        blur: Standard deviation of the motion's weights in pixels.
        mix: Weight of the image against its whitened version.

    Returns:
        Corruption with draws `{layer: standard normal [height, width], angle: degrees}`.
    """

    def constants(shape: Shape) -> Constants:
        rows, columns = (zoom.clipped_zoom(size, enlargement) for size in shape[:2])
        numbers = {"mean": mean, "sd": sd, "threshold": threshold, "mix": mix}
        return {name: np.float32(number) for name, number in numbers.items()} | {
            "rows": rows,
            "columns": columns,
            "taps": motion.motion_taps(radius, blur),
        }

    return Corruption(constants, _draw_snow, _add_snow)


def _draw_snow(key: KeyArray, shape: Shape, constants: Constants) -> Draws:
    layer_key, angle_key = jax.random.split(key)
    angle = chance.uniform(angle_key, (), -135.0, -45.0)
    return {"layer": chance.normal(layer_key, shape[:2]), "angle": angle}


def _add_snow(image: Levels, draws: Draws, constants: Constants) -> Levels:
    layer = constants["mean"] + unfused(constants["sd"] * draws["layer"])
    layer = zoom.interpolate(zoom.interpolate(layer, constants["rows"], 0), constants["columns"], 1)
    spots = jnp.where(layer < constants["threshold"], 0.0, jnp.clip(layer, 0.0, 1.0))
    flakes = motion.motion(jnp.floor(255.0 * spots), constants["taps"], draws["angle"])
    values, mix = image.astype(jnp.float32), constants["mix"]
    white = jnp.maximum(values, unfused(1.5 * _grey(values)) + 127.5)
    return to_levels(unfused(mix * values) + unfused((1.0 - mix) * white) + (flakes + flakes[::-1, ::-1])[..., None])


def brightness(shift: float) -> Corruption:
    """Adds to the value of the colour (HSV), clipped to [0, 1]; to the pixel where there is one channel.

    Args:
        shift: What is added, in pixel units.

    Returns:
        Corruption without draws.
    """
    return Corruption(lambda shape: {"shift": np.float32(255 * shift)}, no_draws, _brighten)


def _brighten(image: Levels, draws: Draws, constants: Constants) -> Levels:
    values, shift = image.astype(jnp.float32), constants["shift"]
    if image.shape[-1] == 1:
        return to_levels(values + shift)
    hue, saturation, value = hsv.from_rgb(values)
    return to_levels(hsv.to_rgb(hue, saturation, jnp.minimum(value + shift, 255.0)))


def spatter(mean: float, sd: float, blur: float, threshold: float, strength: float, mud: bool) -> Corruption:
    """Splashes of water or mud: blobs where a smooth noise layer is above a threshold.

    Args:
        mean: Mean of the noise layer.
        sd: Standard deviation of the noise layer before smoothing.
        blur: Standard deviation of the smoothing in pixels.
        threshold: Noise above it is a drop.
        strength: Of water, its opacity; of mud, the standard deviation that softens its edges, in pixels.
        mud: Mud in place of water.

    Returns:
        Corruption with draws `{layer: standard normal [height, width]}`. An image without drops stays as it is.
    """
    numbers = {"mean": mean, "sd": sd, "threshold": threshold, "strength": strength}
    constants = {name: np.float32(number) for name, number in numbers.items()} | {
        "taps": filters.gaussian_taps(blur),
        "soft_taps": filters.gaussian_taps(strength if mud else 0.0),
    }
    return Corruption(lambda shape: constants, _draw_layer, _add_mud if mud else _add_water)


def _draw_layer(key: KeyArray, shape: Shape, constants: Constants) -> Draws:
    return {"layer": chance.normal(key, shape[:2])}


def _smooth_layer(draws: Draws, constants: Constants) -> Float[Array, "height width"]:
    layer = constants["mean"] + unfused(constants["sd"] * draws["layer"])
    return filters.gaussian(layer, constants["taps"])


def _add_mud(image: Levels, draws: Draws, constants: Constants) -> Levels:
    drops = (_smooth_layer(draws, constants) > constants["threshold"]).astype(jnp.float32)
    cover = filters.gaussian(drops, constants["soft_taps"])[..., None]
    cover = jnp.where(cover < 0.8, 0.0, cover)
    return to_levels(unfused(image * (1.0 - cover)) + unfused(cover * _like(jnp.asarray(_MUD), image)))


def _add_water(image: Levels, draws: Draws, constants: Constants) -> Levels:
    layer = _smooth_layer(draws, constants)
    # Brighter than 1 wraps around, as the published sets' conversion to bytes does.
    liquid = jnp.floor(255.0 * jnp.where(layer < constants["threshold"], 0.0, layer)).astype(jnp.int32) % 256
    relief = liquid * _relief(liquid)
    opacity = constants["strength"] * relief / jnp.maximum(jnp.max(relief), 1)
    return to_levels(image + unfused(opacity[..., None] * _like(jnp.asarray(_WATER), image)))


def _relief(liquid: Int[Array, "height width"]) -> Int[Array, "height width"]:
    """Shading of the drops by the distance to their outlines, as if lit from one side."""
    depth = contours.distance(contours.canny(liquid, 50, 150), limit=20)
    box = functools.partial(contours.weighted, kernel=np.ones((3, 3), int), mode="reflect")
    depth = _equalised(box(depth) // (9 * 65536), num_levels=21)
    light = np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]])
    shaded = jnp.clip(contours.weighted(depth, light, "reflect"), 0, 255)
    return (2 * box(shaded) + 9) // 18


def _equalised(levels: Int[Array, "height width"], num_levels: int) -> Int[Array, "height width"]:
    """Histogram equalisation to 0..255 of levels below `num_levels`; a constant stays as it is."""
    counts = jnp.sum(levels.ravel()[:, None] == jnp.arange(num_levels), axis=0)
    lowest = jnp.argmax(counts > 0)
    others = levels.size - counts[lowest]
    ranks = jnp.cumsum(counts) - counts[lowest]
    table = jnp.round(ranks * (jnp.float32(255.0) / jnp.maximum(others, 1))).astype(jnp.int32)
    return jnp.where(others == 0, levels, table[levels])
