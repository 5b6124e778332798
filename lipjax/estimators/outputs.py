"""Which output of a classifier the constant is of: functions from logits to what is measured."""

import jax
from jaxtyping import Array, ArrayLike, Float

from lipjax.types import Point, VectorFn, single


def probabilities(logits: VectorFn) -> VectorFn:
    """The softmax of a function's outputs, as in the talk's code.

    Args:
        logits: The classifier, one input to its logits.

    Returns:
        One input to its class probabilities. From l2 to l2 their slope is at most sqrt(2) / ||e||.

    Example:
        >>> import jax.numpy as jnp
        >>> probabilities(lambda x: jnp.stack([x, x]))(jnp.array(3.0))
        Array([0.5, 0.5], dtype=float32)
    """
    return jax.tree_util.Partial(_probabilities, single(logits))


def logit_gaps(logits: VectorFn) -> VectorFn:
    """The gaps `z_y - z_j` between the logits of a label y and of every class j (0 for j = y).

    Args:
        logits: The classifier, one input to its logits.

    Returns:
        One input and its label to the gaps: curves take such functions with points that have labels.

    Example:
        >>> import jax.numpy as jnp
        >>> logit_gaps(lambda x: x)(jnp.array([3.0, 1.0, 2.0]), 0)
        Array([0., 2., 1.], dtype=float32)
    """
    return jax.tree_util.Partial(_logit_gaps, single(logits))


def _probabilities(logits: VectorFn, x: Point) -> Float[Array, " classes"]:
    return jax.nn.softmax(logits(x))


def _logit_gaps(logits: VectorFn, x: Point, label: ArrayLike) -> Float[Array, " classes"]:
    values = logits(x)
    return values[label] - values
