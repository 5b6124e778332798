"""Weather: snow, frost, fog, brightness, and splashes of water or mud."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Int

from lipjax import checks
from lipjax.chance import drawn
from lipjax.corruptions import contours, filters, frost_texture, hsv, motion, plasma, zoom
from lipjax.corruptions.corruption import Constants, Corruption, Draws, Levels, Shape, to_levels
from lipjax.corruptions.filters import unfused
from lipjax.types import KeyArray
from lipjax.values import REQUIRED, number, setting

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


def _single(**numbers: float) -> dict[str, ArrayLike]:
    return {name: np.float32(number) for name, number in numbers.items()}


class fog(Corruption):
    """Adds plasma and rescales to the image's largest value M: `(u + amount * plasma) * M / (M + amount)`.

    Draws are `{uniform: for each level of the plasma three arrays in [-1, 1]}`. A black image stays black.

    Attributes:
        amount: Largest value of the fog before rescaling, in pixel units.
        decay: How fast the fog's detail vanishes; see `plasma.plasma`.

    Examples:
        >>> foggy = fog(amount=1.5, decay=2.0)
        >>> [foggy(jax.random.key(0), np.full((4, 4, 1), level, np.uint8)).max().item() for level in (0, 200)]
        [0, 200]
    """

    amount: float = number(REQUIRED, checks.not_negative, unit="pixels in [0, 1]")
    decay: float = number(REQUIRED, checks.positive)

    def constants(self, shape: Shape) -> Constants:
        return _single(amount=255 * self.amount, decay=self.decay)

    def sample(self, key: KeyArray, shape: Shape, constants: Constants) -> Draws:
        return {"uniform": plasma.draw_uniform(key, plasma.side(shape))}

    def transform(self, image: Levels, draws: Draws, constants: Constants) -> Levels:
        height, width, _ = image.shape
        cloud = plasma.plasma(draws["uniform"], constants["decay"])[:height, :width, None]
        amount, largest = constants["amount"], jnp.max(image).astype(jnp.float32)
        return to_levels((image + unfused(amount * cloud)) * (largest / (largest + amount)))


class frost(Corruption):
    """Mixes with a picture of frosted glass, `image_weight * image + frost_weight * texture`, clipped.

    The published sets crop photographs, which are not part of lipjax. By default textures are made up, with the
    photographs' statistics (`frost_texture`): the mean PSNR at each severity is then within 1 dB of the photographs',
    but the pictures are not the same. Draws are `{texture: uint8 [height, width, 3]}`.

    Attributes:
        image_weight: Weight of the image.
        frost_weight: Weight of the texture.
        scale: At which of the published scales of the photographs their statistics are taken: 0.2, 0.3 or 1.0.
        photos: Photographs to crop instead, already at the wanted scale and at least as large as the images: an
            image that is larger is refused when it comes.

    Examples:
        >>> texture = {"texture": np.full((4, 4, 3), 200, np.uint8)}
        >>> half = frost(image_weight=0.5, frost_weight=0.25, scale=0.2)
        >>> half.apply(np.full((4, 4, 3), 100, np.uint8), texture)[0, 0]
        Array([100, 100, 100], dtype=uint8)
    """

    image_weight: float = number(REQUIRED, checks.not_negative)
    frost_weight: float = number(REQUIRED, checks.not_negative)
    scale: float = number()
    photos: frost_texture.Photos | None = number(None)

    def check(self) -> None:
        checks.one_of("scale", str(self.scale), ["0.2", "0.3", "1.0"])

    def constants(self, shape: Shape) -> Constants:
        weights = _single(image=self.image_weight, frost=self.frost_weight)
        if self.photos is None:
            return {**weights, **frost_texture.constants(self.scale, shape)}
        return {**weights, "photos": frost_texture.large_enough(self.photos, shape)}

    def sample(self, key: KeyArray, shape: Shape, constants: Constants) -> Draws:
        draw = frost_texture.draw if self.photos is None else frost_texture.draw_crop
        return draw(key, shape, constants)

    def transform(self, image: Levels, draws: Draws, constants: Constants) -> Levels:
        texture = _like(draws["texture"].astype(jnp.float32), image)
        return to_levels(unfused(constants["image"] * image) + unfused(constants["frost"] * texture))


class snow(Corruption):
    """Whitens the image and adds falling flakes: bright spots of a noise layer, drawn out by motion blur.

    Draws are `{layer: standard normal [height, width], angle: degrees}`.

    Attributes:
        mean: Mean of the noise layer, in pixel units.
        sd: Standard deviation of the noise layer, in pixel units.
        enlargement: How much the layer is zoomed.
        threshold: Noise below it is no flake.
        radius: Half the length of the motion in whole pixels.
        blur: Standard deviation of the motion's weights in pixels.
        mix: Weight of the image against its whitened version.

    Examples:
        >>> still = {"layer": np.zeros((8, 8)), "angle": -90.0}
        >>> light = snow(mean=0.1, sd=0.3, enlargement=1.0, threshold=0.5, radius=2.0, blur=1.0, mix=0.8)
        >>> light.apply(np.full((8, 8, 1), 100, np.uint8), still)[0, 0]  # no flake: 0.8 u + 0.2 (1.5 u + 127.5)
        Array([135], dtype=uint8)
    """

    mean: float = number()
    sd: float = number(REQUIRED, checks.not_negative)
    enlargement: float = number(REQUIRED, checks.positive)
    threshold: float = number()
    radius: float = number(REQUIRED, checks.positive, unit="pixels")
    blur: float = number(REQUIRED, checks.positive, unit="pixels")
    mix: float = number(REQUIRED, checks.fraction)

    def constants(self, shape: Shape) -> Constants:
        rows, columns = (zoom.clipped_zoom(size, self.enlargement) for size in shape[:2])
        numbers = _single(mean=self.mean, sd=self.sd, threshold=self.threshold, mix=self.mix)
        taps = motion.motion_taps(int(self.radius), self.blur)
        return {**numbers, "rows": rows, "columns": columns, "taps": taps}

    def sample(self, key: KeyArray, shape: Shape, constants: Constants) -> Draws:
        layer_key, angle_key = jax.random.split(key)
        angle = jax.random.uniform(angle_key, (), jnp.float32, -135.0, -45.0)
        return {"layer": drawn(jax.random.normal, layer_key, shape[:2], jnp.float32), "angle": angle}

    def transform(self, image: Levels, draws: Draws, constants: Constants) -> Levels:
        layer = constants["mean"] + unfused(constants["sd"] * draws["layer"])
        layer = zoom.interpolate(zoom.interpolate(layer, constants["rows"], 0), constants["columns"], 1)
        spots = jnp.where(layer < constants["threshold"], 0.0, jnp.clip(layer, 0.0, 1.0))
        flakes = motion.motion(jnp.floor(255.0 * spots), constants["taps"], draws["angle"])
        values, mix = image.astype(jnp.float32), constants["mix"]
        white = jnp.maximum(values, unfused(1.5 * _grey(values)) + 127.5)
        falling = (flakes + flakes[::-1, ::-1])[..., None]
        return to_levels(unfused(mix * values) + unfused((1.0 - mix) * white) + falling)


class brightness(Corruption):
    """Adds to the value of the colour (HSV), clipped to [0, 1]; to the pixel where there is one channel.

    Nothing is random.

    Attributes:
        shift: What is added, in pixel units.

    Examples:
        >>> brightness(shift=0.2).apply(np.array([[[0], [100], [250]]], np.uint8), {}).ravel()
        Array([ 51, 151, 255], dtype=uint8)
    """

    shift: float = number(unit="pixels in [0, 1]")

    def constants(self, shape: Shape) -> Constants:
        return _single(shift=255 * self.shift)

    def transform(self, image: Levels, draws: Draws, constants: Constants) -> Levels:
        values, shift = image.astype(jnp.float32), constants["shift"]
        if image.shape[-1] == 1:
            return to_levels(values + shift)
        hue, saturation, value = hsv.from_rgb(values)
        return to_levels(hsv.to_rgb(hue, saturation, jnp.minimum(value + shift, 255.0)))


class spatter(Corruption):
    """Splashes of water or mud: blobs where a smooth noise layer is above a threshold.

    Draws are `{layer: standard normal [height, width]}`. An image without drops stays as it is.

    Attributes:
        mean: Mean of the noise layer.
        sd: Standard deviation of the noise layer before smoothing.
        blur: Standard deviation of the smoothing in pixels.
        threshold: Noise above it is a drop.
        strength: Of water, its opacity; of mud, the standard deviation that softens its edges, in pixels.
        mud: Mud in place of water.

    Examples:
        >>> everywhere, image = {"layer": np.zeros((4, 4))}, np.zeros((4, 4, 3), np.uint8)
        >>> spatter(mean=1.0, sd=0.5, blur=1.0, threshold=0.6, strength=1.0, mud=True).apply(image, everywhere)[0, 0]
        Array([63, 42, 20], dtype=uint8)
    """

    mean: float = number()
    sd: float = number(REQUIRED, checks.not_negative)
    blur: float = number(REQUIRED, checks.not_negative, unit="pixels")
    threshold: float = number()
    strength: float = number(REQUIRED, checks.not_negative)
    mud: bool = setting()

    def constants(self, shape: Shape) -> Constants:
        soft_taps = filters.gaussian_taps(self.strength if self.mud else 0.0)
        numbers = _single(mean=self.mean, sd=self.sd, threshold=self.threshold, strength=self.strength)
        return {**numbers, "taps": filters.gaussian_taps(self.blur), "soft_taps": soft_taps}

    def sample(self, key: KeyArray, shape: Shape, constants: Constants) -> Draws:
        return {"layer": drawn(jax.random.normal, key, shape[:2], jnp.float32)}

    def transform(self, image: Levels, draws: Draws, constants: Constants) -> Levels:
        layer = constants["mean"] + unfused(constants["sd"] * draws["layer"])
        layer = filters.gaussian(layer, constants["taps"])
        return (_add_mud if self.mud else _add_water)(image, layer, constants)


def _add_mud(image: Levels, layer: Float[Array, "height width"], constants: Constants) -> Levels:
    drops = (layer > constants["threshold"]).astype(jnp.float32)
    cover = filters.gaussian(drops, constants["soft_taps"])[..., None]
    cover = jnp.where(cover < 0.8, 0.0, cover)
    return to_levels(unfused(image * (1.0 - cover)) + unfused(cover * _like(jnp.asarray(_MUD), image)))


def _add_water(image: Levels, layer: Float[Array, "height width"], constants: Constants) -> Levels:
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
