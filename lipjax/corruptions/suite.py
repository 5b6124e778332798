"""The benchmark: nineteen corruptions by name, each at five severities, drawn, applied, or both for a whole batch."""

import functools
from collections.abc import Mapping
from types import MappingProxyType

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Num, UInt8

from lipjax import batching, checks, parallel
from lipjax.corruptions.corruption import Constants, Corruption, Draws, Image, Levels, Shape, constants_of
from lipjax.corruptions.severities import NATIVE_SIZE, SEVERITIES
from lipjax.types import KeyArray

NAMES: tuple[str, ...] = tuple(SEVERITIES["cifar"])
"""All names, in the benchmark's order: fifteen, then the four extra ones."""

BENCHMARK: tuple[str, ...] = NAMES[:15]
"""The corruptions that mean corruption accuracy and error are taken over."""

FAMILIES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "noise": NAMES[:3],
        "blur": NAMES[3:7],
        "weather": NAMES[7:11],
        "digital": NAMES[11:15],
        "extra": NAMES[15:],
    }
)
"""The published families of the benchmark, and the extra corruptions, which belong to none."""


def nearest_table(shape: Shape) -> str:
    """The table whose native size is nearest to an image's shorter side.

    Examples:
        >>> nearest_table((28, 28, 1)), nearest_table((96, 96, 3)), nearest_table((224, 256, 3))
        ('cifar', 'tiny', 'imagenet')
    """
    return min(NATIVE_SIZE, key=lambda table: abs(NATIVE_SIZE[table] - min(shape[:2])))


def published(name: str, severity: int | None, table: str) -> Corruption:
    """A corruption of the published strength.

    Args:
        name: One of `NAMES`.
        severity: 1 (weak) to 5 (strong).
        table: One of `SEVERITIES`.

    Raises:
        ValueError: If the name or the table is unknown, or severity is not one of 1, 2, 3, 4, 5.

    Examples:
        >>> published("gaussian_noise", 6, "cifar")
        Traceback (most recent call last):
        ValueError: severity must be one of 1, 2, 3, 4, 5; got 6
    """
    checks.one_of("name", name, NAMES)
    checks.one_of("table", table, tuple(SEVERITIES))
    if severity not in (1, 2, 3, 4, 5):
        raise ValueError(f"severity must be one of 1, 2, 3, 4, 5; got {severity!r}")
    return SEVERITIES[table][name][severity - 1]


def draw(key: KeyArray, shape: Shape, name: str, severity: int, table: str | None = None) -> Draws:
    """Everything random that a corruption of one image needs, by name.

    Args:
        key: A typed key.
        shape: Height, width and channels (1 or 3) of the image.
        name: One of `NAMES`.
        severity: 1 (weak) to 5 (strong).
        table: One of `SEVERITIES`; None takes the table whose native size is nearest.

    Returns:
        Named arrays, which `apply` consumes; the corruption's docstring lists them. `{}` if nothing is random.

    Raises:
        ValueError: If an argument is not one of the legal values, which the message lists.

    Examples:
        >>> draw(jax.random.key(0), (8, 8, 1), "gaussian_noise", 1)["noise"].shape
        (8, 8, 1)
    """
    _check_shape(shape)
    return published(name, severity, table or nearest_table(shape)).draw(key, tuple(shape))


def apply(image: Image, draws: Draws, name: str, severity: int, table: str | None = None) -> Levels:
    """Corrupts one image with given draws: a deterministic function.

    Args:
        image: Levels 0..255 `[height, width, channel]`.
        draws: What `draw` returned for the image's shape, or recorded arrays of the same meaning.
        name: One of `NAMES`.
        severity: 1 (weak) to 5 (strong).
        table: One of `SEVERITIES`; None takes the table whose native size is nearest.

    Returns:
        Levels 0..255, of the image's shape.

    Raises:
        ValueError: If an argument is not one of the legal values, which the message lists.

    Examples:
        >>> apply(np.full((8, 8, 3), 100, np.uint8), {}, "brightness", 5, "cifar")[0, 0]
        Array([176, 176, 176], dtype=uint8)
    """
    _check_shape(image.shape)
    return published(name, severity, table or nearest_table(image.shape)).apply(image, draws)


def corrupt(
    key: KeyArray,
    images: Num[Array | np.ndarray, "batch height width channel"],
    corruption: Corruption | str,
    severity: int | None = None,
    table: str | None = None,
    *,
    chunk_size: int = 128,
    start: int = 0,
) -> UInt8[Array, "batch height width channel"]:
    """Corrupts a batch of images, each with chance of its own.

    Args:
        key: A typed key. Image i uses `fold_in(key, i)`.
        images: Levels 0..255 (uint8), or floats in [0, 1], which are rounded to the nearest level first (exact for
            floats that are level / 255, as `datasets.load` gives them).
        corruption: A corruption, or one of `NAMES`.
        severity: 1 (weak) to 5 (strong), of a corruption by name.
        table: One of `SEVERITIES`, of a corruption by name; None takes the table whose native size is nearest.
        chunk_size: Images that are computed at once; bounds the memory.
        start: Index of the first image, where they are a part of a larger set.

    Returns:
        Levels 0..255 of the images' shape. Image i depends on the key, on i and on image i only.

    Raises:
        ValueError: If an argument is not one of the legal values, which the message lists.

    Examples:
        >>> images = np.full((4, 8, 8, 1), 100, np.uint8)
        >>> corrupt(jax.random.key(0), images, "gaussian_noise", severity=3).shape
        (4, 8, 8, 1)
    """
    checks.numbers(images=images)
    images = images if isinstance(images, jax.Array) else np.asarray(images)
    _check_shape(images.shape[1:])
    if images.dtype != np.uint8:
        checks.inside((0.0, 1.0), images=images)
    if isinstance(corruption, str):
        corruption = published(corruption, severity, table or nearest_table(images.shape[1:]))
    constants = constants_of(corruption, images.shape[1:])
    keys = batching.example_keys(key, len(images), start)
    return _corrupt(keys, images, corruption, constants, chunk_size=chunk_size, mesh=parallel.current())


@functools.partial(jax.jit, static_argnames=("chunk_size", "mesh"))
def _corrupt(
    keys: Array,
    images: Num[Array | np.ndarray, "batch height width channel"],
    corruption: Corruption,
    constants: Constants,
    *,
    chunk_size: int,
    mesh: Mesh | None,
) -> UInt8[Array, "batch height width channel"]:
    def one(image_key: KeyArray, image: Num[Array, "height width channel"]) -> Levels:
        # The barrier keeps the compiler from rewriting the two parts as one, which would round differently.
        draws = jax.lax.optimization_barrier(corruption.sample(image_key, image.shape, constants))
        return corruption.transform(_as_levels(image), draws, constants)

    return parallel.shared_out(batching.in_chunks(one, chunk_size), mesh)(keys, images)


def _as_levels(image: Num[Array, "height width channel"]) -> Levels:
    if image.dtype == jnp.uint8:
        return image
    return jnp.round(255.0 * jnp.clip(image, 0.0, 1.0)).astype(jnp.uint8)


def _check_shape(shape: tuple[int, ...]) -> None:
    if len(shape) != 3 or min(shape[:2]) < 8 or shape[2] not in (1, 3):
        raise ValueError(f"an image must be at least 8 x 8 with 1 or 3 channels, got shape {tuple(shape)}")
