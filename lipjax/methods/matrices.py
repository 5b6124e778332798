"""The matrices among a network's parameters: every array with two or more axes, convolution kernels unfolded."""

from collections.abc import Callable

import jax
from jaxtyping import Array, Float

from lipjax.types import Params

Matrix = Float[Array, "rows columns"]


def unfold(kernel: Float[Array, "*taps in_features features"]) -> Matrix:
    """A kernel as the matrix `[features, in_features * taps]` that multiplies a window."""
    return kernel.reshape(-1, kernel.shape[-1]).T


def matrices(params: Params) -> list[Matrix]:
    """The unfolded matrices among the parameters."""
    return [unfold(leaf) for leaf in jax.tree.leaves(params) if leaf.ndim > 1]


def map_matrices(fn: Callable[[Matrix], Matrix], params: Params) -> Params:
    """The parameters with `fn` applied to each unfolded matrix; vectors and numbers stay.

    Example:
        >>> import jax.numpy as jnp
        >>> map_matrices(lambda matrix: 2 * matrix, {"kernel": jnp.ones((1, 2)), "bias": jnp.ones(2)})
        {'bias': Array([1., 1.], dtype=float32), 'kernel': Array([[2., 2.]], dtype=float32)}
    """

    def mapped(leaf: Float[Array, "..."]) -> Float[Array, "..."]:
        return fn(unfold(leaf)).T.reshape(leaf.shape) if leaf.ndim > 1 else leaf

    return jax.tree.map(mapped, params)
