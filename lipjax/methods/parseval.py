"""Parseval training: kernels are kept near matrices with orthonormal rows or columns."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from lipjax import checks
from lipjax.methods.matrices import map_matrices, matrices
from lipjax.networks.parseval import AGGREGATION
from lipjax.types import Method, Params, Scalar

Matrix = Float[Array, "rows columns"]


def parseval_penalty(params: Params, beta: float = 0.01) -> Scalar:
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

    Example:
        >>> parseval_penalty(2.0 * jnp.eye(2, 3), beta=1.0)  # singular values 2 and 2: (4 - 1)^2 / 2 each
        Array(9., dtype=float32)
    """

    def deviation(matrix: Matrix) -> Scalar:
        short = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
        return jnp.sum((short @ short.T - jnp.eye(len(short))) ** 2)

    return beta / 2 * sum(map(deviation, matrices(params)), jnp.zeros(()))


def parseval_retraction(matrix: Matrix, beta: float = 0.01) -> Matrix:
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

    Example:
        >>> parseval_retraction(2.0 * jnp.eye(1, 2), beta=0.25)
        Array([[0.5, 0. ]], dtype=float32)
    """
    is_tall = matrix.shape[0] > matrix.shape[1]
    cubed = matrix @ (matrix.T @ matrix) if is_tall else (matrix @ matrix.T) @ matrix
    return (1 + beta) * matrix - beta * cubed


def parseval(beta: float = 0.01) -> Method:
    """Parseval training: after every update, a retraction of each matrix and the aggregations back on the simplex.

    To be used with a network of Parseval layers, `networks.parseval` or `networks.parseval_lassance`.

    Args:
        beta: Strength of the retraction. 0.01 in Lassance et al.'s CIFAR code; 1e-4 to 1e-3 in most
            reimplementations of the paper.

    Returns:
        A method whose `project` hook applies `parseval_retraction` to every parameter with two or more axes,
        convolutions unfolded, the classifier included; and the Euclidean projection on the simplex to every
        parameter named `aggregation`.

    Raises:
        ValueError: If beta is negative.

    References:
        Cisse et al. 2017 (arXiv 1704.08847), algorithm 1. There the retraction acts on a random set of the rows of
        hidden layers; here on all rows of all layers, as in Lassance et al.'s code (arXiv 1805.10133).

    Example:
        >>> project = parseval(beta=0.1).project
        >>> float(project({"kernel": jnp.array([[2.0]])})["kernel"][0, 0])
        1.4
    """
    checks.not_negative(beta=beta)

    def project(params: Params) -> Params:
        params = map_matrices(lambda matrix: parseval_retraction(matrix, beta), params)
        return jax.tree_util.tree_map_with_path(_onto_simplex, params)

    return Method(project=project)


def _onto_simplex(path: tuple[Any, ...], leaf: Float[Array, "..."]) -> Float[Array, "..."]:
    named = bool(path) and getattr(path[-1], "key", None) == AGGREGATION
    return optax.projections.projection_simplex(leaf) if named else leaf
