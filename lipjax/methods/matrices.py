"""The matrices among a network's parameters: every array with two or more axes, convolution kernels unfolded."""

from collections.abc import Callable
from typing import Any

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


def map_matrices(fn: Callable[[Matrix], Matrix], params: Params, *, skip: str | None = None) -> Params:
    """The parameters with `fn` applied to each unfolded matrix; vectors and numbers stay.

    Args:
        fn: Function of one matrix.
        params: A tree of parameters.
        skip: Parameters below a module of this name stay too.

    Examples:
        >>> import jax.numpy as jnp
        >>> map_matrices(lambda matrix: 2 * matrix, {"kernel": jnp.ones((1, 2)), "bias": jnp.ones(2)})
        {'bias': Array([1., 1.], dtype=float32), 'kernel': Array([[2., 2.]], dtype=float32)}
    """

    def mapped(path: tuple[Any, ...], leaf: Float[Array, "..."]) -> Float[Array, "..."]:
        stays = leaf.ndim < 2 or any(getattr(entry, "key", None) == skip for entry in path)
        return leaf if stays else fn(unfold(leaf)).T.reshape(leaf.shape)

    return jax.tree_util.tree_map_with_path(mapped, params)
