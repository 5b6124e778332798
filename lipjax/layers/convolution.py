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
    padded = jnp.pad(images, ((0, 0), *pads, (0, 0)))
    rows, columns = ((n - k) // strides + 1 for n, k in zip(padded.shape[1:3], kernel.shape[:2], strict=True))
    taps = [
        padded[:, i : i + (rows - 1) * strides + 1 : strides, j : j + (columns - 1) * strides + 1 : strides]
        for i in range(kernel.shape[0])
        for j in range(kernel.shape[1])
    ]
    windows = jnp.concatenate(taps, axis=-1)
    return windows @ kernel.reshape(-1, kernel.shape[-1])
