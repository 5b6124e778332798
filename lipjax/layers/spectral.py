"""Spectral normalisation by the norm of the convolution itself, and not of its flattened kernel."""

import math

import jax
import jax.numpy as jnp

from lipjax.layers.nonexpansive import Nonexpansive
from lipjax.layers.vanilla import Kernel
from lipjax.operators import conv_norm, gram
from lipjax.types import Scalar

_NUM_STEPS = 6
_OVERSAMPLING = 8


def spectral_bound(kernel: Kernel, strides: int) -> Scalar:
    """An upper bound of the norm of a convolution, or of a dense layer, whatever the image size and the zeros around.

    A convolution with zeros around its input is part of the one on the infinite grid, whose norm is the largest
    `||F(t)||` over frequencies t, F the matrix of trigonometric polynomials with q taps. With n frequencies per axis,
    `sup ||F|| <= max over the grid ||F|| / cos(pi (q - 1) / (2 n))^2`. For then `Re(c u^* F(t) v)`, with singular
    vectors u and v of the supremum, is such a polynomial of degree (q - 1) / 2 along each axis, and what it exceeds its
    largest value on the grid by is bounded.

    Args:
        kernel: `[*taps, in_features, features]`, with two window axes or none.
        strides: Step of the window.

    Returns:
        The bound, differentiable. With `8 (q - 1)` frequencies and 6 steps of Gram iteration it is at most
        `1.04 n^(1 / 128)` times the norm on the infinite grid, n the smaller number of features, up to rounding.

    References:
        Delattre et al. 2023 (arXiv 2305.16173) for Gram iteration; Ehlich and Zeller 1964, "Schwankung von Polynomen
        zwischen Gitterpunkten", for polynomials between the points of a grid. Together they are ours.

    Examples:
        >>> kernel = jnp.ones((3, 3, 1, 1))  # norm 9 on the infinite grid; 3 when flattened
        >>> 9.0 <= float(spectral_bound(kernel, 1)) < 9.4
        True
    """
    taps = [math.ceil(size / strides) for size in kernel.shape[:-2]]
    counts = [max(_OVERSAMPLING * (count - 1), 1) for count in taps]
    with jax.default_matmul_precision("highest"):
        shape = (*[strides * count for count in counts], kernel.shape[-2])
        sampled = conv_norm(kernel, shape, strides=strides, padding="CIRCULAR", method=gram(_NUM_STEPS))
    between = [math.cos(math.pi * (q - 1) / (2 * n)) for q, n in zip(taps, counts, strict=True)]
    return jnp.asarray(sampled / math.prod(between))


def spectral_kernel(kernel: Kernel, strides: int) -> Kernel:
    """The kernel over `spectral_bound`: norm at most 1, and near it. Zeros stay zeros."""
    bound = spectral_bound(kernel, strides)
    return kernel / jnp.where(bound == 0.0, 1.0, bound)


class Spectral(Nonexpansive):
    """Layers normalised by their spectral norm, after Miyato et al. 2018, "Spectral Normalization" (arXiv 1802.05957).

    There the kernel is flattened and its norm found from below by power iteration, which bounds no convolution; here it
    is divided by a bound of the convolution's own norm. Two-sided ReLU, norm pooling and branches that are scaled twice
    are those of `nonexpansive`.

    Examples:
        >>> spectral.reparametrize(jnp.array([[3.0, 0.0], [0.0, 4.0]]), 1)
        Array([[0.75, 0.  ],
               [0.  , 1.  ]], dtype=float32)
    """

    name = "spectral"
    reparametrize = staticmethod(spectral_kernel)
    frozen_as = Nonexpansive


spectral = Spectral()
