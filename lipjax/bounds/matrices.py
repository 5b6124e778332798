"""Bounds of operator norms of matrices, from any norm to any other, rounded up."""

from functools import partial, reduce

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from lipjax.bounds.rounding import eps, length, spectral
from lipjax.norms import Norm, l2
from lipjax.types import Point, Scalar

Matrix = Float[Array, "outputs inputs"]


def value(norm: Norm, x: Point) -> Scalar:
    """The norm, rounded up."""
    return length(x) if norm == l2 else norm.value(x) * (1 + (x.size + 8) * eps())


def dual(norm: Norm, gradient: Point) -> Scalar:
    """The dual norm, rounded up."""
    return length(gradient) if norm == l2 else norm.dual(gradient) * (1 + (gradient.size + 8) * eps())


def _entrywise(matrix: Matrix, norm_in: Norm, norm_out: Norm) -> Scalar:
    """A bound of the operator norm of all matrices with entries of at most these sizes; exact from l1 and to linf."""
    rows, columns = jax.vmap(partial(dual, norm_in))(matrix), jax.vmap(partial(value, norm_out), in_axes=1)(matrix)
    return jnp.minimum(value(norm_out, rows), dual(norm_in, columns))


def matrix_norm(matrix: Matrix, norm_in: Norm, norm_out: Norm) -> Scalar:
    """A bound of the operator norm of a matrix, the smaller of two."""
    return jnp.minimum(_entrywise(matrix, norm_in, norm_out), through_l2(matrix, norm_in, norm_out) * spectral(matrix))


def through_l2(matrix: Matrix, norm_in: Norm, norm_out: Norm) -> float:
    """What an l2 operator norm of a matrix of this shape is at most multiplied with, in other norms."""
    return norm_in.conversion(l2, matrix.shape[1]) * l2.conversion(norm_out, matrix.shape[0])


def least(*bounds: Scalar | float) -> Scalar:
    """The smallest bound; one that is not a number (0 times inf) says nothing."""
    return reduce(jnp.fmin, bounds, jnp.asarray(jnp.inf)) * (1 + 4 * eps())
