"""Arithmetic whose rounding is part of the result: sums, lengths, products of intervals and norms, rounded outwards.

A computed sum of n products is off by at most about `n u` times the sum of their absolute values, u half a unit in the
last place, in whatever order it was summed.
"""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp

from lipjax import loops
from lipjax.types import Scalar

_NUM_SQUARES = 13


def eps() -> float:
    """Twice the largest relative error of one operation: 1.2e-7 in float32, 2.2e-16 where JAX computes in float64."""
    return float(jnp.finfo(jnp.result_type(float)).eps)


def total(*products: Any) -> Scalar:
    """The sum of all entries, rounded up."""
    sums = [jnp.sum(x + (x.size + 12) * eps() * jnp.abs(x)) for x in products]
    return sum(sums[1:], sums[0])


def weighed(form: Any, above: Any, below: Any, noise: Any = 0.0) -> Scalar:
    """`<max(form, 0), above> + <min(form, 0), below> + <|form|, noise>`, rounded up.

    By matrix products: XLA sums by itself one number after another.
    """
    lost = 0.55 * (form.size + 16) * eps() * jnp.maximum(jnp.abs(above), jnp.abs(below))
    half = (above - below) / 2 + lost + noise * (1 + (form.size + 16) * eps())
    is_first = jnp.arange(2).reshape(2, *[1] * half.ndim) == 0
    weights = jnp.where(is_first, (above + below) / 2, half)
    return _products(form, weights)[0] + _products(jnp.abs(form), weights)[1]


def of_sizes(form: Any, weights: Any) -> Scalar:
    """`<|form|, weights>` of weights that are not negative, rounded up."""
    both = jnp.broadcast_to(weights, (2, *weights.shape))
    return _products(jnp.abs(form), both)[0] * (1 + (form.size + 16) * eps())


def _products(form: Any, weights: Any) -> Any:
    """Products with two vectors: for one alone XLA compiles a kernel of its own each time."""
    return jnp.matmul(weights.reshape(2, -1), form.ravel(), precision=jax.lax.Precision.HIGHEST)


@jax.jit
def length(x: Any) -> Any:
    """The l2 norm of all entries, rounded up."""
    least = float(jnp.finfo(x.dtype).tiny) ** 0.5 * math.sqrt(x.size)  # what squares that underflow may hide
    return jnp.sqrt(jnp.sum(jnp.square(x))) * (1 + (x.size + 8) * eps()) + least


def hull(lower: Any, upper: Any, low: Any, high: Any) -> tuple[Any, Any]:
    """Bounds of the products of two intervals."""
    ends = lower * low, lower * high, upper * low, upper * high
    least, most = functools.reduce(jnp.minimum, ends), functools.reduce(jnp.maximum, ends)
    noise = 2 * eps() * jnp.maximum(-least, most)
    return least - noise, most + noise


def chord(at_low: Any, at_high: Any, low: Any, high: Any) -> tuple[Any, Any]:
    """Slope and shift of a line above a convex function on an interval, given its values at both ends."""
    width = high - low
    is_flat = width <= 1e-6 * jnp.maximum(jnp.abs(low), jnp.abs(high))
    slope = jnp.where(is_flat, 0.0, (at_high - at_low) / jnp.where(is_flat, 1.0, width))
    return slope, jnp.maximum(at_low - slope * low, at_high - slope * high)


@jax.jit
def middle_and_half(low: Any, high: Any) -> tuple[Any, Any]:
    """The middle of an interval, and how far its ends are from it."""
    return (low + high) / 2, (high - low) / 2 * (1 + 4 * eps()) + eps() * jnp.maximum(jnp.abs(low), jnp.abs(high))


@jax.jit
def spectral(rows: Any) -> Scalar:
    """An upper bound of the largest singular value of a matrix: 1.0004 times that of 10 rows, 1.08 of 784 orthogonal.

    By Gram iteration (see `conv_norm`). What rounding may hide of a computed product is added when the roots are taken,
    by the Frobenius norms of its factors: far less than the worst case of matrices of any spectrum.

    LAPACK's eigenvalues, batched in a compiled program, can stop it for ever on a CPU with few cores: they wait for
    threads of the pool that they run on themselves.
    """
    matrix = rows.reshape(rows.shape[0], -1)
    matrix = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    side, width = matrix.shape
    hidden = (side + 8) * eps() * (1 + side**2 * eps()) ** 2

    def square(gram: Any, _: None) -> tuple[Any, Any]:
        scale = _not_zero(jnp.sqrt(jnp.sum(jnp.square(gram))))
        return _gram_matrix(gram / scale), scale

    product = _gram_matrix(matrix)
    unit = jnp.max(jnp.abs(product))
    gram, scales = loops.scan(square, product / _not_zero(unit), None, _NUM_SQUARES)
    last = jnp.minimum(jnp.sqrt(jnp.sum(jnp.square(gram))), jnp.max(jnp.sum(jnp.abs(gram), 1)))
    bound = last * (1 + side**2 * eps())
    for scale in scales[::-1]:  # no loop, which would be compiled wherever it is
        bound = scale * (jnp.sqrt(bound + hidden) + 2 * hidden / side) * (1 + 4 * eps())
    lost = (width + 8) * eps() * jnp.trace(product) * (1 + matrix.size * eps())
    least = (matrix.size * float(jnp.finfo(matrix.dtype).tiny)) ** 0.5  # what products that underflow may hide
    return jnp.sqrt(unit * bound + lost) * (1 + 8 * eps()) + least


def _gram_matrix(matrix: Any) -> Any:
    product = jnp.matmul(matrix, matrix.T, precision=jax.lax.Precision.HIGHEST)
    return (product + product.T) / 2


def _not_zero(x: Any) -> Any:
    return jnp.where(x == 0.0, 1.0, x)
