"""SDP-based Lipschitz layers: residual layers with one kernel for both ways, which never expand an L2 distance."""

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from lipjax.layers.aol import Aol, overlaps
from lipjax.layers.convolution import convolve
from lipjax.layers.vanilla import Hidden, Kernel, keep, stored


def way_back(kernel: Kernel, log_weights: Hidden) -> Kernel:
    """The kernel of `-2 A^T T^-1`, A the map of the given one and `T_ii = sum_j overlaps_ij w_j / w_i`.

    As `A A^T <= T`, the layer `x - 2 A^T T^-1 relu(A x + b)` never expands: its derivative is `I - 2 B^T D B` with
    `B = T^(-1/2) A` of norm at most 1 and D diagonal, between 0 and 1. Features of zeros are left out.

    Args:
        kernel: `[*taps, in_features, features]`, with an odd number of taps.
        log_weights: The logarithms of the weights w > 0, one per feature.
    """
    weights = jnp.exp(log_weights)
    total = overlaps(kernel) @ weights / weights
    is_zero = total == 0.0
    scales = jnp.where(is_zero, 0.0, -2.0 / jnp.where(is_zero, 1.0, total))
    return jnp.flip(kernel.swapaxes(-1, -2), range(kernel.ndim - 2)) * scales[:, None]


class _Residual(nn.Module):
    """The layer `x - 2 A^T T^-1 relu(A x + b)`, with as many features inside as outside."""

    taps: tuple[int, ...]
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Hidden) -> Hidden:
        features = x.shape[-1]
        kernel = self.param("kernel", nn.initializers.xavier_normal(), (*self.taps, features, features))
        bias = self.param("bias", nn.initializers.zeros, (features,))
        back = stored(self, "back")  # of a frozen network
        if back is None:
            back = way_back(kernel, self.param("log_weights", nn.initializers.normal(1.0), (features,)))
        keep(self, kernel=kernel, bias=bias, back=back)
        apply = convolve if self.taps else jnp.matmul
        inside = nn.relu(apply(x, kernel.astype(self.dtype)) + bias.astype(self.dtype))
        return x + apply(inside, back.astype(self.dtype))


class _Resized(nn.Module):
    """A residual layer, after one that changes the number of features and the size of the image."""

    resize: Callable[..., nn.Module]
    taps: tuple[int, ...] = ()
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Hidden) -> Hidden:
        return _Residual(self.taps, self.dtype, name="residual")(self.resize(dtype=self.dtype, name="resize")(x))


class Sll(Aol):
    """Layers of Araujo et al. 2023, "A Unified Algebraic Perspective on Lipschitz Neural Networks" (arXiv 2303.03169).

    The residual layers are those of theorem 3. They keep shapes, so where a family changes one, an almost-orthogonal
    layer (theorem 1 with weights of 1) comes first, in place of the paper's padding with zeros and pooling by sums; the
    last layer is such a pair too, where the paper normalises rows. Two-sided ReLU, norm pooling and branches that are
    scaled twice are those of `nonexpansive`.

    Examples:
        >>> import jax
        >>> layer = sll.dense(2)
        >>> variables = layer.init(jax.random.key(0), jnp.zeros((1, 2)))
        >>> here, there = jnp.array([[1.0, 2.0], [2.0, 4.0]])
        >>> step = layer.apply(variables, there[None]) - layer.apply(variables, here[None])
        >>> bool(jnp.linalg.norm(step) <= jnp.linalg.norm(there - here))
        True
    """

    name = "sll"

    def dense(self, features: int, **options: Any) -> nn.Module:
        """A residual layer after an almost-orthogonal one."""
        return _Resized(partial(super().dense, features), **options)

    def conv(self, features: int, kernel_size: int, strides: int = 1, **options: Any) -> nn.Module:
        """A residual convolution after an almost-orthogonal one."""
        # An odd side, so that the way back has the same zeros around the image.
        side = kernel_size // 2 * 2 + 1
        resize = partial(super().conv, features, kernel_size, strides, use_bias=options.pop("use_bias", True))
        return _Resized(resize, (side, side) if side > 1 else (), **options)


sll = Sll()
