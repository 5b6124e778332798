"""The two-dimensional convolution, computed the way that is fast on the device at hand."""

import math
from collections.abc import Sequence
from typing import TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Images = Float[Array, "batch _ _ channels"]
Maps = Float[Array, "batch _ _ features"]
Taps = Float[Array, "kernel_height kernel_width channels features"]
Pads: TypeAlias = Sequence[tuple[int, int]]


SMALL_WINDOWS = 2**13
"""So many values may all windows of one image have per step for slices to be the faster way on CPU. With strides of s
it is `s ** 2` times as many, since XLA spends as many products with zeros on the derivative by the images. From
`python -m benchmarks.convolutions`."""

FEW_CHANNELS = 4
"""Up to so many channels the columns of all windows are gathered first, then their rows, from copies of three times as
many values: a step over single pixels costs more than what it copies."""


def convolve(images: Images, kernel: Taps, *, strides: int = 1, padding: str = "SAME") -> Maps:
    """Cross-correlation of images with a kernel, as in every deep learning library.

    On CPU, small windows are gathered by slices and multiplied by the kernel as one matrix: those of 1x1 kernels, and
    those of which an image has at most `SMALL_WINDOWS * strides ** 2` values. All others are XLA's convolution, whose
    gradients are slow in JAX's own loops and fast in those of `lipjax.loops`. The choice is by the shapes of one image,
    so a batch gives what its images give.

    Args:
        images: Images `[batch, height, width, channel]`.
        kernel: Kernel `[height, width, channel, feature]`.
        strides: Step between windows, in pixels.
        padding: "SAME" (zeros outside, output size `ceil(size / strides)`) or "VALID" (whole windows only).

    Returns:
        Feature maps `[batch, height, width, feature]`.

    Examples:
        >>> convolve(jnp.ones((1, 3, 3, 1)), jnp.ones((3, 3, 1, 1)))[0, ..., 0]
        Array([[4., 6., 4.],
               [6., 9., 6.],
               [4., 6., 4.]], dtype=float32)
    """
    pads = jax.lax.padtype_to_pads(images.shape[1:3], kernel.shape[:2], (strides, strides), padding)
    by_slices = jax.default_backend() == "cpu" and _has_small_windows(images, kernel, strides, pads)
    return (_by_slices if by_slices else _by_xla)(images, kernel, strides, pads)


def _has_small_windows(images: Images, kernel: Taps, strides: int, pads: Pads) -> bool:
    sizes = zip(images.shape[1:3], kernel.shape[:2], pads, strict=True)
    num_windows = math.prod((size + sum(pad) - taps) // strides + 1 for size, taps, pad in sizes)
    taps = math.prod(kernel.shape[:2])
    return taps == 1 or num_windows * taps * kernel.shape[2] <= SMALL_WINDOWS * strides**2


def _by_xla(images: Images, kernel: Taps, strides: int, pads: Pads) -> Maps:
    dimensions = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(images, kernel, (strides, strides), pads, dimension_numbers=dimensions)


def _by_slices(images: Images, kernel: Taps, strides: int, pads: Pads) -> Maps:
    padded, (height, width) = jnp.pad(images, ((0, 0), *pads, (0, 0))), kernel.shape[:2]
    if images.shape[-1] <= FEW_CHANNELS:
        columns = _windows(padded, (1, width), (1, strides))
        windows = _windows(columns, (height, 1), (strides, 1))
    else:
        windows = _windows(padded, (height, width), (strides, strides))
    return windows @ kernel.reshape(-1, kernel.shape[-1])


def _windows(images: Images, taps: tuple[int, int], strides: tuple[int, int]) -> Maps:
    """All windows, what each of their taps sees as channels."""
    reach = [(n - k) // step * step + 1 for n, k, step in zip(images.shape[1:3], taps, strides, strict=True)]
    cut = [
        images[:, row : row + reach[0] : strides[0], column : column + reach[1] : strides[1]]
        for row in range(taps[0])
        for column in range(taps[1])
    ]
    return jnp.concatenate(cut, axis=-1)
