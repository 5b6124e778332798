"""Parseval training: kernels are kept near matrices with orthonormal rows or columns."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from lipjax import checks
from lipjax.layers.parseval import AGGREGATION
from lipjax.methods.matrices import map_matrices, matrices
from lipjax.types import KeyArray, Method, Params, Scalar
from lipjax.values import Number, number, setting

Matrix = Float[Array, "rows columns"]
_CLASSIFIER = "logits"  # the last layer's name in the network families


def parseval_penalty(params: Params, beta: Number = 0.01) -> Scalar:
    """The regulariser `beta / 2 * ||W W^T - I||_F^2`, summed over the matrices among the parameters.

    A kernel of a convolution counts as its unfolding `[features, channels * taps]`. `W W^T` is taken on the
    shorter side of W, where it can equal I: on the longer one the value differs by a constant and the gradient not
    at all.

    Args:
        params: One matrix, or a tree of parameters; those with fewer than two axes do not count.
        beta: Strength.

    Returns:
        A number that is 0 exactly when every singular value of every matrix is 1. Its gradient for a matrix is
        `2 beta (W W^T - I) W`.

    References:
        Cisse et al. 2017, "Parseval Networks" (arXiv 1704.08847), section 4.2.

    Examples:
        >>> parseval_penalty(2.0 * jnp.eye(2, 3), beta=1.0)  # singular values 2 and 2: (4 - 1)^2 / 2 each
        Array(9., dtype=float32)
    """

    def deviation(matrix: Matrix) -> Scalar:
        short = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
        return jnp.sum((short @ short.T - jnp.eye(len(short))) ** 2)

    return sum(map(deviation, matrices(params)), jnp.zeros(())) * (beta / 2)


def parseval_retraction(matrix: Matrix, beta: Number = 0.01) -> Matrix:
    """One step towards orthonormality, `W <- (1 + beta) W - beta W W^T W`.

    It maps each singular value s to `s - beta s (s^2 - 1)` and leaves the singular vectors: towards 1, and not past
    it where `beta s (s + 1) <= 1`. From `s = sqrt(1 + 2 / beta)` on (14.2 for beta = 0.01), values would grow.

    Args:
        matrix: The matrix `[rows, columns]`.
        beta: Strength.

    Returns:
        The next matrix; half a gradient step on `parseval_penalty` with the same beta.

    References:
        Cisse et al. 2017 (arXiv 1704.08847), section 4.2.

    Examples:
        >>> parseval_retraction(2.0 * jnp.eye(1, 2), beta=0.25)
        Array([[0.5, 0. ]], dtype=float32)
    """
    is_tall = matrix.shape[0] > matrix.shape[1]
    cubed = matrix @ (matrix.T @ matrix) if is_tall else (matrix @ matrix.T) @ matrix
    return matrix * (1 + beta) - cubed * beta


def sampled_retraction(key: KeyArray, matrix: Matrix, beta: Number = 0.01, row_fraction: float = 0.3) -> Matrix:
    """`parseval_retraction` of the matrix made of some rows of W, chosen at random without repetition; others stay.

    Args:
        key: A typed key.
        matrix: The matrix `[rows, columns]`.
        beta: Strength.
        row_fraction: Share of the rows, rounded, but at least one row.

    Returns:
        The next matrix.

    References:
        Cisse et al. 2017 (arXiv 1704.08847), algorithm 1.
    """
    count = max(1, round(row_fraction * len(matrix)))
    rows = jax.random.choice(key, len(matrix), (count,), replace=False)
    return matrix.at[rows].set(parseval_retraction(matrix[rows], beta))


def _is_share(**named: float) -> None:
    checks.positive(**named)
    checks.fraction(**named)


class parseval(Method):
    """Parseval training: after every update, a retraction of each matrix and the aggregations back on the simplex.

    Retracted is every parameter with two or more axes, convolutions unfolded. Every parameter named `aggregation` goes
    back on the simplex by the Euclidean projection. To be used with a network of Parseval layers, `layers.parseval` or
    `layers.parseval_lassance`.

    Attributes:
        beta: Strength of the retraction. 0.01 in Lassance et al.'s CIFAR code; 1e-4 to 1e-3 in most
            reimplementations of the paper.
        row_fraction: Share of the rows of each matrix that a step retracts, new ones every time: 1 in Lassance et
            al.'s code; a random part in the paper, 0.3 in a reimplementation.
        hidden_only: Whether the classifier (parameters of the layer `logits`) is left out, as in the paper.

    References:
        Cisse et al. 2017 (arXiv 1704.08847), algorithm 1, is `row_fraction` below 1 and `hidden_only`; the default, all
        rows of all layers, is that of Lassance et al.'s code (arXiv 1805.10133).

    Examples:
        >>> project = parseval(beta=0.1).project
        >>> float(project({"kernel": jnp.array([[2.0]])})["kernel"][0, 0])
        1.4
    """

    beta: Number = number(0.01, checks.not_negative)
    _: dataclasses.KW_ONLY
    row_fraction: float = setting(1.0, _is_share)
    hidden_only: bool = setting(False)

    def retract(self, key: KeyArray, params: Params) -> Params:
        """`sampled_retraction` of each matrix, where `row_fraction` is below 1."""
        if self.row_fraction == 1.0:
            return params
        keys = iter(jax.random.split(key, len(jax.tree.leaves(params))))
        return self._map(lambda matrix: sampled_retraction(next(keys), matrix, self.beta, self.row_fraction), params)

    def project(self, params: Params) -> Params:
        """`parseval_retraction` of each matrix, if of all rows, and aggregations on the simplex."""
        if self.row_fraction == 1.0:
            params = self._map(lambda matrix: parseval_retraction(matrix, self.beta), params)
        return jax.tree_util.tree_map_with_path(_onto_simplex, params)

    def _map(self, fn: Callable[[Matrix], Matrix], params: Params) -> Params:
        return map_matrices(fn, params, skip=_CLASSIFIER if self.hidden_only else None)


def _onto_simplex(path: tuple[Any, ...], leaf: Float[Array, "..."]) -> Float[Array, "..."]:
    named = bool(path) and getattr(path[-1], "key", None) == AGGREGATION
    return optax.projections.projection_simplex(leaf) if named else leaf
