"""Layers that never expand an L2 distance, at any moment of training: Qian and Wegman's L2-nonexpansive networks.

Every linear layer is divided by a bound of its norm, inside the forward pass. So the promise is about whatever
parameters the network has, up to the rounding of its `dtype`, and no step of training can break it.
"""

import math
from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from lipjax.layers.vanilla import (
    Channels,
    Hidden,
    Kernel,
    Layers,
    Weights,
    per_channel,
    split_windows,
    weights,
)
from lipjax.types import Scalar

Matrix = Float[Array, "rows columns"]

_LARGEST_GRAM = 512


def grams(matrix: Matrix) -> list[Float[Array, "side side"]]:
    """`W W^T` and `W^T W`, without the larger one where it has over 512 rows.

    There it costs more than the layer itself, and only ever lowers a minimum over both.
    """
    short = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    # In full precision, since an accelerator's default would put the bound up to a thousandth too low.
    product = partial(jnp.matmul, precision="highest")
    small = product(short, short.T)
    return [small, product(short.T, short)] if short.shape[1] <= _LARGEST_GRAM else [small]


def norm_bound(matrix: Matrix) -> Scalar:
    """An upper bound of a spectral norm, `b(W) = sqrt(min(r(W^T W), r(W W^T)))`, r the largest absolute row sum.

    Args:
        matrix: The matrix `[rows, columns]`.

    Returns:
        A number that is at least the largest singular value, with equality for orthonormal rows or columns.

    References:
        Qian and Wegman 2019, "L2-Nonexpansive Neural Networks" (arXiv 1802.07896). Where a Gram matrix has more
        than 512 rows we take the smaller one alone: still an upper bound.

    Examples:
        >>> norm_bound(jnp.array([[3.0, 0.0], [0.0, 4.0]]))
        Array(4., dtype=float32)
    """
    bounds = [jnp.max(jnp.sum(jnp.abs(gram), axis=1)) for gram in grams(matrix)]
    square = jnp.min(jnp.stack(bounds))
    is_zero = square == 0.0
    return jnp.where(is_zero, 0.0, jnp.sqrt(jnp.where(is_zero, 1.0, square)))


def nonexpansive_kernel(kernel: Kernel, strides: int) -> Kernel:
    """The kernel divided by `max(1, b(W))`, W its unfolding, and by the root of how many windows cover an entry.

    With stride s, a window of side k covers an entry at most `ceil(k / s)` times along each axis: for s = 1 this is the
    authors' division by k. (`k / s`, where s does not divide k, would be too little.)
    """
    cover = math.prod(math.ceil(taps / strides) for taps in kernel.shape[:-2])
    bound = norm_bound(kernel.reshape(-1, kernel.shape[-1]))
    return kernel / (jnp.maximum(bound, 1.0) * math.sqrt(cover))


class Shift(nn.Module):
    """Adds a trained number to each channel, in the place of a normalisation."""

    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Hidden) -> Hidden:
        """Applies the layer."""
        return x + self.param("bias", nn.initializers.zeros, (x.shape[-1],)).astype(self.dtype)


def two_sided_relu(x: Float[Array, "... channels"]) -> Float[Array, "... both"]:
    """`(relu(x), relu(-x))` along the channels, whose number doubles; nothing is lost but nothing expands.

    Examples:
        >>> two_sided_relu(jnp.array([2.0, -3.0]))
        Array([2., 0., 0., 3.], dtype=float32)
    """
    return jnp.concatenate([nn.relu(x), nn.relu(-x)], axis=-1)


def norm_pool(x: Hidden, window: tuple[int, int]) -> Hidden:
    """L2 norms of non-overlapping windows; the derivative at a window of zeros is 0.

    Examples:
        >>> norm_pool(jnp.array([3.0, 4.0]).reshape(1, 1, 2, 1), (1, 2)).ravel()
        Array([5.], dtype=float32)
    """
    squares = jnp.sum(split_windows(x, window) ** 2, axis=(2, 4))
    is_zero = squares == 0.0
    return jnp.where(is_zero, 0.0, jnp.sqrt(jnp.where(is_zero, 1.0, squares)))


class BranchAndMerge(nn.Module):
    """`t body(t x) + s skip(s x)` with `t = cos(angle)`, `s = sin(angle)`: scaled on splitting and on merging.

    Nonexpansive where both branches are, since `t^2 + s^2 = 1`. Scaled once only, it would expand by up to sqrt(2).
    """

    @nn.compact
    def __call__(self) -> Weights:
        """The scales."""
        angle = self.param("angle", nn.initializers.constant(math.pi / 4), ())
        t, s = jnp.cos(angle), jnp.sin(angle)
        return weights(self, t, s, t, s)


class Nonexpansive(Layers):
    """Layers of Qian and Wegman 2019, "L2-Nonexpansive Neural Networks" (arXiv 1802.07896).

    None expands an L2 distance. Kernels start orthonormal, where the bound is 1 and exact. Pixels are centred and not
    divided by their standard deviation.

    Examples:
        >>> kernel = nonexpansive.reparametrize(jnp.array([[3.0, 0.0], [0.0, 0.5]]), 1)
        >>> nonexpansive.activation(jnp.array([[3.0, -4.0]]) @ kernel)
        Array([[3.       , 0.       , 0.       , 0.6666667]], dtype=float32)
        >>> nonexpansive.pool(jnp.array([3.0, 4.0]).reshape(1, 1, 2, 1), (1, 2)).ravel()
        Array([5.], dtype=float32)
    """

    name = "nonexpansive"
    reparametrize = staticmethod(nonexpansive_kernel)
    kernel_init = staticmethod(nn.initializers.orthogonal())
    residual = BranchAndMerge

    def standardize(self, inputs: Hidden, mean: Channels, std: Channels) -> Hidden:
        """Pixels to `(pixels - mean) / max(std, 1)`: a standard deviation below 1 would expand, so it does nothing."""
        return (inputs - per_channel(mean, inputs)) / jnp.maximum(per_channel(std, inputs), 1.0)

    def normalize(self, train: bool, **options: Any) -> nn.Module:
        """A trained number is added to each channel: that alone keeps distances."""
        return Shift(**options)

    def activation(self, x: Hidden) -> Hidden:
        """The two-sided ReLU."""
        return two_sided_relu(x)

    def pool(self, x: Hidden, window: tuple[int, int]) -> Hidden:
        """L2 norms of windows."""
        return norm_pool(x, window)


nonexpansive = Nonexpansive()
