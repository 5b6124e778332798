"""A loss for classifiers that can't be steep: cross-entropy until the margin is large enough to be certified."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from lipjax import checks
from lipjax.losses import cross_entropy, of_soft_labels
from lipjax.types import Batch, Method, Model, Output, Scalar, Terms
from lipjax.values import Number, number


@of_soft_labels
def offset_cross_entropy(
    logits: Float[Array, " classes"], label: ArrayLike, *, offset: ArrayLike, temperature: ArrayLike
) -> Scalar:
    """The cross-entropy `t * CE((z - u onehot(y)) / t, y)`: the right logit has to lead by u.

    Args:
        logits: The logits z.
        label: The label y.
        offset: The lead u, in units of the logits.
        temperature: The temperature t: the gradient fades where the lead exceeds u by a few t.

    Returns:
        The loss; for t to 0 it is `max_j (z_j - z_y + u)` over the other classes j, or 0.

    Examples:
        >>> float(offset_cross_entropy(jnp.array([1.0, 0.0]), 0, offset=1.0, temperature=0.5))  # log(2) / 2
        0.3465736
    """
    lowered = logits - offset * (jnp.arange(logits.size) == label)
    return jnp.asarray(temperature * cross_entropy(lowered / temperature, label))


class offset(Method):
    """Training for margins: the mean of `offset_cross_entropy` in place of the cross-entropy.

    For networks whose logits are jointly 1-Lipschitz, where a lead of `sqrt(2) r` certifies the radius r.

    Attributes:
        offset: How far the right logit has to lead; sqrt(2) asks for the radius 1.
        temperature: Over how much of a lead the loss fades.

    References:
        Prach and Lampert 2022 (arXiv 2208.03160), section 5, whose values are the defaults. Araujo et al. 2023 (arXiv
        2303.03169) take the offset `3 / sqrt(2)`, Prach et al. 2024 (arXiv 2311.16833) `2 sqrt(2) 36 / 255`.

    Examples:
        >>> method = offset(0.4)
    """

    offset: Number = number(math.sqrt(2.0), checks.not_negative, unit="logits")
    temperature: Number = number(0.25, checks.positive, unit="logits")

    def loss(self, model: Model, batch: Batch, output: Output) -> Terms:
        """The loss."""

        def of_example(logits: Float[Array, " classes"], label: ArrayLike) -> Scalar:
            return offset_cross_entropy(logits, label, offset=self.offset, temperature=self.temperature)

        return {"offset_cross_entropy": jnp.mean(jax.vmap(of_example)(output.logits, jnp.asarray(batch.labels)))}
