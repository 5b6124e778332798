"""The two-dimensional convolution, computed the way that is fast on the device at hand."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Images = Float[Array, "batch _ _ channels"]
Maps = Float[Array, "batch _ _ features"]
Taps = Float[Array, "kernel_height kernel_width channels features"]


def convolve(images: Images, kernel: Taps, *, strides: int = 1, padding: str = "SAME") -> Maps:
    """Cross-correlation of images with a kernel, as in every deep learning library.

    On CPU the windows are gathered by slices and multiplied by the kernel as one matrix, since the gradients of XLA's
    convolution are slow there in loops other than those of `lipjax.loops`; elsewhere it is XLA's convolution.

    Args:
        images: Images `[batch, height, width, channel]`.
        kernel: Kernel `[height, width, channel, feature]`.
        strides: Step between windows, in pixels.
        padding: "SAME" (zeros outside, output size `ceil(size / strides)`) or "VALID" (whole windows only).

    Returns:
        Feature maps `[batch, height, width, feature]`.
    """
    compute = _by_slices if jax.default_backend() == "cpu" else _by_xla
    return compute(images, kernel, strides, padding)


def _by_xla(images: Images, kernel: Taps, strides: int, padding: str) -> Maps:
    dimensions = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(images, kernel, (strides, strides), padding, dimension_numbers=dimensions)


def _by_slices(images: Images, kernel: Taps, strides: int, padding: str) -> Maps:
    pads = jax.lax.padtype_to_pads(images.shape[1:3], kernel.shape[:2], (strides, strides), padding)
    padded = jnp.pad(images, ((0, 0), *pads, (0, 0)))
    rows, columns = ((n - k) // strides + 1 for n, k in zip(padded.shape[1:3], kernel.shape[:2], strict=True))
    taps = [
        padded[:, i : i + (rows - 1) * strides + 1 : strides, j : j + (columns - 1) * strides + 1 : strides]
        for i in range(kernel.shape[0])
        for j in range(kernel.shape[1])
    ]
    windows = jnp.concatenate(taps, axis=-1)
    return windows @ kernel.reshape(-1, kernel.shape[-1])
