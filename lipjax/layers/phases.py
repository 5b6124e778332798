"""Kernels of strided convolutions as kernels without stride, where theorems about convolutions apply.

A stride of s splits an image into s * s phases, the pixels whose row and column leave the same remainders. A strided
convolution is one without stride on these phases as channels.
"""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float

Kernel = Float[Array, "*taps in_features features"]
Phases = Float[Array, "*phase_taps phase_features features"]


def split_phases(kernel: Kernel, strides: int) -> Phases:
    """The kernel that acts on the phases, `ceil(k / strides)` taps along each axis for k; zeros fill the last taps.

    Examples:
        >>> split_phases(jnp.ones((3, 3, 5, 7)), 2).shape
        (2, 2, 20, 7)
    """
    if kernel.ndim == 2:
        return kernel
    rows, columns = (math.ceil(taps / strides) for taps in kernel.shape[:2])
    fill = [(0, strides * count - taps) for count, taps in zip((rows, columns), kernel.shape, strict=False)]
    whole = jnp.pad(kernel, (*fill, (0, 0), (0, 0)))
    split = whole.reshape(rows, strides, columns, strides, *kernel.shape[2:])
    return split.transpose(0, 2, 1, 3, 4, 5).reshape(rows, columns, -1, kernel.shape[-1])


def join_phases(phases: Phases, strides: int) -> Kernel:
    """The strided kernel that `split_phases` makes these from, filled taps included."""
    if phases.ndim == 2:
        return phases
    rows, columns, _, features = phases.shape
    split = phases.reshape(rows, columns, strides, strides, -1, features)
    return split.transpose(0, 2, 1, 3, 4, 5).reshape(rows * strides, columns * strides, -1, features)
