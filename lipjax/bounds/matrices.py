"""Bounds of operator norms of matrices, from any norm to any other, rounded up."""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from lipjax.bounds.rounding import eps, spectral
from lipjax.norms import Norm, l2
from lipjax.types import Scalar

Matrix = Float[Array, "outputs inputs"]


def _entrywise(matrix: Matrix, norm_in: Norm, norm_out: Norm) -> Scalar:
    """A bound of the operator norm of all matrices with entries of at most these sizes; exact from l1 and to linf."""
    of_rows = norm_out.value(jax.vmap(norm_in.dual)(matrix))
    of_columns = norm_in.dual(jax.vmap(norm_out.value, in_axes=1)(matrix))
    return jnp.minimum(of_rows, of_columns) * (1 + (sum(matrix.shape) + 8) * eps())


def matrix_norm(matrix: Matrix, norm_in: Norm, norm_out: Norm) -> Scalar:
    """A bound of the operator norm of a matrix, the smaller of two."""
    return jnp.minimum(_entrywise(matrix, norm_in, norm_out), through_l2(matrix, norm_in, norm_out) * spectral(matrix))


def through_l2(matrix: Matrix, norm_in: Norm, norm_out: Norm) -> float:
    """What an l2 operator norm of a matrix of this shape is at most multiplied with, in other norms."""
    return norm_in.conversion(l2, matrix.shape[1]) * l2.conversion(norm_out, matrix.shape[0])


def least(*bounds: Scalar | float) -> Scalar:
    """The smallest bound; one that is not a number (0 times inf) says nothing."""
    return functools.reduce(jnp.fmin, bounds, jnp.asarray(jnp.inf)) * (1 + 4 * eps())
