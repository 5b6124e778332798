"""Which output of a classifier the constant is of: functions from logits to what is measured."""

from collections.abc import Callable

import jax
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Num

from lipjax import checks
from lipjax.types import Point, VectorFn, pixels, single


def probabilities(logits: VectorFn) -> VectorFn:
    """The softmax of a function's outputs, as in the talk's code.

    Args:
        logits: The classifier, one input to its logits.

    Returns:
        One input to its class probabilities. From l2 to l2 their slope is at most sqrt(2) / ||e||.

    Examples:
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

    Examples:
        >>> import jax.numpy as jnp
        >>> logit_gaps(lambda x: x)(jnp.array([3.0, 1.0, 2.0]), 0)
        Array([0., 2., 1.], dtype=float32)
    """
    return jax.tree_util.Partial(_logit_gaps, single(logits))


def check_labels(f: Callable, inputs: Num[Array | np.ndarray, "points ..."], labels: ArrayLike) -> None:
    """Raises ValueError unless there is one label for every input, and for `logit_gaps` each is a class."""
    checks.examples(inputs, np.asarray(labels))
    if getattr(f, "func", None) is _logit_gaps:
        gaps = jax.eval_shape(lambda x: f(pixels(x), 0), inputs[0])
        checks.classes(gaps.size, labels)


def _probabilities(logits: VectorFn, x: Point) -> Float[Array, " classes"]:
    return jax.nn.softmax(logits(x))


def _logit_gaps(logits: VectorFn, x: Point, label: ArrayLike) -> Float[Array, " classes"]:
    values = logits(x)
    return values[label] - values
