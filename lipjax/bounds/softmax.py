"""From upper bounds of logits to upper bounds of probabilities."""

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from lipjax.norms import Norm, l2
from lipjax.operators import is_plain
from lipjax.types import Scalar


def softmax_bound(
    logits: Float[Array, " classes"], constant: ArrayLike, radius: ArrayLike, *, norm_out: Norm = l2
) -> Scalar:
    """An upper bound of the pairwise Lipschitz constant of the probabilities on a ball, from one of the logits.

    The softmax has the Jacobian `diag(p) - p p^T`, whose operator norm is at most `max_i 2 p_i (1 - p_i) <= 1/2` from
    l1 to l1, l2 to l2 and linf to linf (its rows' and columns' sums are that large, and l2 is between the two). On a
    ball on which the leading class keeps a probability q > 1/2, each `p_i (1 - p_i)` is at most `q (1 - q)`. Logits
    that move by at most `constant * radius` give the least such q, so confident points get a far smaller bound:

        constant * 2 q (1 - q),    q = 1 / (1 + sum_j exp(a * constant * radius - (z_top - z_j)))

    with `a = 2^(1 - 1/p)`, how far the difference of two logits moves where all of them move by 1 in lp; and
    `constant / 2` where that q isn't above 1/2.

    Args:
        logits: The logits at the center of the ball.
        constant: Upper bound of the logits' pairwise constant on the ball (local or global), from any input norm to
            `norm_out`.
        radius: Radius of the ball, in input units (pixels in [0, 1]).
        norm_out: Norm of output differences, of logits and of probabilities: l1, l2 or linf.

    Returns:
        The bound, from the same input norm to `norm_out`.

    Raises:
        TypeError: If the norm is no norm.
        ValueError: If it is another one.

    Examples:
        >>> unsure, sure = jnp.zeros(3), jnp.array([20.0, 0.0, 0.0])
        >>> [float(softmax_bound(logits, 4.0, 0.5).round(6)) for logits in (unsure, sure)]
        [2.0, 1e-06]
    """
    is_plain(norm_out=norm_out)
    apart = 2.0 ** (1.0 - 1.0 / norm_out.exponent)
    eps = jnp.finfo(logits.dtype).eps
    moved = jnp.nan_to_num(apart * constant * radius, nan=jnp.inf) + 8 * eps * jnp.max(jnp.abs(logits))
    gaps = jnp.max(logits) - logits
    is_top = jnp.arange(logits.size) == jnp.argmax(logits)
    others = jnp.sum(jnp.where(is_top, 0.0, jnp.exp(moved - gaps)))  # (1 - q) / q
    factor = jnp.where(others < 1.0, 2.0 * others / (1.0 + others) ** 2, 0.5)
    return constant * factor * (1 + 8 * logits.size * eps)
