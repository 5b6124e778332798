"""Orthogonal layers: they keep every L2 distance, as far as the numbers of features and the image's edge allow."""

import math
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from lipjax.layers.nonexpansive import Nonexpansive, norm_bound
from lipjax.layers.phases import join_phases
from lipjax.layers.vanilla import Hidden, Kernel, convolve_biased

Matrix = Float[Array, "rows columns"]
Projections = Float[Array, "number side half"]

_product = partial(jnp.matmul, precision="highest")

_NUM_GRAM_STEPS = 13
_NUM_STEPS = 2


def orthonormal(matrix: Matrix) -> Matrix:
    """The nearest matrix with orthonormal rows or columns, by 15 steps `W <- (3/2 I - 1/2 W W^T) W`.

    All but the last two are made on the smaller Gram matrix, whose powers they are; those two mend the rounding.

    Args:
        matrix: Any matrix.

    Returns:
        A matrix with singular values of at most 1 up to rounding, whatever the matrix: each step maps them by
        `3/2 s - 1/2 s^3`, and the first is made from `W / norm_bound(W)`. Those above a two-hundredth of that bound end
        within a hundredth of 1.

    References:
        Björck and Bowie 1971, "An iterative algorithm for computing the best estimate of an orthogonal matrix".

    Examples:
        >>> orthonormal(jnp.array([[3.0, 0.0], [0.0, 1.0]]))
        Array([[1., 0.], [0., 1.]], dtype=float32)
    """
    short = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    bound = norm_bound(short)
    start = short / jnp.where(bound == 0.0, 1.0, bound)
    identity = jnp.eye(len(short))

    def gram_step(_: Any, state: tuple[Matrix, Matrix]) -> tuple[Matrix, Matrix]:
        gram, factor = state
        step = 1.5 * identity - 0.5 * gram
        return _product(_product(step, gram), step), _product(step, factor)

    def step(_: Any, rows: Matrix) -> Matrix:
        return 1.5 * rows - 0.5 * _product(_product(rows, rows.T), rows)

    _, factor = jax.lax.fori_loop(0, _NUM_GRAM_STEPS, gram_step, (_product(start, start.T), identity))
    nearest = jax.lax.fori_loop(0, _NUM_STEPS, step, _product(factor, start))
    return nearest if matrix.shape[0] <= matrix.shape[1] else nearest.T


def orthogonal_taps(kernel: Matrix, projections: Projections) -> Kernel:
    """A convolution without stride that keeps distances, with `number / 2 + 1` taps along each axis.

    For each pair of projections P and Q the convolution by `[[P Q, P (I - Q)], [(I - P) Q, (I - P) (I - Q)]]` follows,
    2 x 2 taps: `P + (I - P) e^(i t)` is unitary at every frequency t. On images with zeros around, parts are lost and
    distances may shrink, but none grows.

    Args:
        kernel: The matrix `[in_features, features]` that changes the number of features.
        projections: Matrices R whose columns span what `P = R R^T` projects on, on the larger number of features.

    Returns:
        The kernel `[taps, taps, in_features, features]`.

    References:
        Xiao et al. 2018 (arXiv 1806.05393), algorithm 1; Li et al. 2019, "Preventing Gradient Attenuation in Lipschitz
        Constrained Convolutional Networks" (arXiv 1911.00937), section 3: BCOP. There the larger number of features is
        cut to the wanted one at the end; here a matrix with orthonormal rows or columns changes it.
    """
    halves = jax.vmap(orthonormal)(projections)
    ranges = _product(halves, halves.swapaxes(1, 2))
    taps = orthonormal(kernel)[None, None]
    for index, onto in enumerate(ranges):
        taps = _longer(taps, jnp.stack([onto, jnp.eye(len(onto)) - onto]), index % 2)
    return taps


def _longer(
    taps: Float[Array, "rows columns inputs outputs"], pair: Float[Array, "2 side side"], axis: int
) -> Float[Array, "_ _ inputs outputs"]:
    """One more convolution, of two taps along an axis, where there are more features."""
    inputs, outputs = taps.shape[2:]
    here, there = (_product(matrix, taps) if inputs > outputs else _product(taps, matrix) for matrix in pair)
    before, after = [(0, 0)] * 4, [(0, 0)] * 4
    before[axis], after[axis] = (0, 1), (1, 0)
    return jnp.pad(here, before) + jnp.pad(there, after)


class OrthogonalConv(nn.Module):
    """A convolution that keeps distances but at the image's edge; its side is rounded up to a multiple of the stride.

    With stride s it is a convolution without stride of `ceil(kernel_size / s)` taps on the s * s phases of the image.
    """

    features: int
    kernel_size: int
    strides: int = 1
    padding: str = "SAME"
    use_bias: bool = True
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Hidden) -> Hidden:
        """Applies the layer."""
        inputs, count = x.shape[-1] * self.strides**2, math.ceil(self.kernel_size / self.strides)
        side = max(inputs, self.features)
        kernel = self.param("kernel", nn.initializers.orthogonal(), (inputs, self.features))
        halves = self.param("projections", nn.initializers.normal(1.0), (2 * (count - 1), side, (side + 1) // 2))
        return convolve_biased(self, x, join_phases(orthogonal_taps(kernel, halves), self.strides))


class Orthogonal(Nonexpansive):
    """Orthogonal layers: they keep distances.

    BCOP convolutions of Li et al. 2019 (arXiv 1911.00937), dense layers of Anil et al. 2019 (arXiv 1811.05381). The
    two-sided ReLU takes the place of GroupSort: it keeps the length of every step forward, as GroupSort does, but the
    layer after it has twice as many inputs, so lengths are lost there. Norm pooling and branches that are scaled twice
    are those of `nonexpansive`.

    Examples:
        >>> kernel = orthogonal.reparametrize(jnp.array([[3.0, 0.0], [0.0, -0.5]]), 1)
        >>> jnp.array([3.0, 4.0]) @ kernel
        Array([ 3., -4.], dtype=float32)
    """

    name = "orthogonal"
    reparametrize = staticmethod(lambda kernel, strides: orthonormal(kernel))
    frozen_as = Nonexpansive

    def conv(self, features: int, kernel_size: int, strides: int = 1, **options: Any) -> nn.Module:
        """A convolution that keeps distances but at the image's edge."""
        if self.is_frozen:
            return super().conv(features, kernel_size, strides, **options)
        return OrthogonalConv(features, kernel_size, strides, **options)


orthogonal = Orthogonal()
