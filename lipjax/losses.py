"""Losses of one example: logits `[classes]` and a label to a scalar. Larger is worse for the classifier, margin aside.

Batch versions are `jax.vmap` of these. What training minimises takes a soft label too: probabilities of the classes in
place of the one that is right.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool, Float, Int

Scalar = Float[Array, ""]
Logits = Float[Array, " classes"]


def of_soft_labels(loss: Callable[..., Scalar]) -> Callable[..., Scalar]:
    """A loss that also takes probabilities q `[classes]` as its label: its mean `sum_i q_i loss(z, i)`.

    Args:
        loss: `loss(logits, label, **options)` for the index of a class.

    Examples:
        >>> @of_soft_labels
        ... def loss(logits, label):
        ...     return -logits[label]
        >>> loss(jnp.array([1.0, 2.0]), 1), loss(jnp.array([1.0, 2.0]), jnp.array([0.5, 0.5]))
        (Array(-2., dtype=float32), Array(-1.5, dtype=float32))
    """

    @functools.wraps(loss)
    def extended(logits: Logits, label: ArrayLike, **options: ArrayLike) -> Scalar:
        if jnp.ndim(label) == 0:
            return loss(logits, label, **options)
        of_each = jax.vmap(lambda index: loss(logits, index, **options))(jnp.arange(logits.size))
        return jnp.dot(jnp.asarray(label), of_each)

    return extended


def likeliest(label: ArrayLike) -> Int[Array, ""]:
    """The class of a label, which for a soft label is the first one with the largest probability.

    Examples:
        >>> int(likeliest(2)), int(likeliest(jnp.array([0.2, 0.8])))
        (2, 1)
    """
    return jnp.asarray(label) if jnp.ndim(label) == 0 else jnp.argmax(jnp.asarray(label))


@of_soft_labels
def cross_entropy(logits: Logits, label: ArrayLike) -> Scalar:
    """Cross-entropy `-log softmax(z)_y`, computed as `log(1 + sum_{i != y} exp(z_i - z_y))`.

    This form has no cancellation: where the classifier is so sure that `softmax(z)_y` rounds to 1 (a logit 17 above the
    others, in float32), the value and the gradient are still right to rounding, and an attack sees where to go.

    Examples:
        >>> cross_entropy(jnp.zeros(4), 1)  # log 4
        Array(1.3862944, dtype=float32)
        >>> cross_entropy(jnp.array([30.0, 0.0]), 0)  # e^-30
        Array(9.357623e-14, dtype=float32)
        >>> cross_entropy(jnp.array([2.0, 0.0]), jnp.array([0.5, 0.5]))  # log(1 + e^2) - 1
        Array(1.126928, dtype=float32)
    """
    others = jnp.where(jnp.arange(logits.size) == label, -jnp.inf, logits - logits[label])
    return jax.nn.softplus(jax.nn.logsumexp(others))


def kl_divergence(logits: Logits, other: Logits) -> Scalar:
    """Kullback-Leibler divergence `sum_i p_i (log p_i - log q_i)` of p = softmax(logits), q = softmax(other).

    Examples:
        >>> kl_divergence(jnp.array([1.0, 2.0]), jnp.array([1.0, 2.0]))
        Array(0., dtype=float32)
    """
    log_p = jax.nn.log_softmax(logits)
    log_q = jax.nn.log_softmax(other)
    return jnp.sum(jnp.exp(log_p) * (log_p - log_q))


def margin(logits: Logits, label: ArrayLike) -> Scalar:
    """Margin `z_y - max_{i != y} z_i`: positive exactly when the example is classified correctly.

    An attack climbs its negative.

    Examples:
        >>> margin(jnp.array([3.0, 1.0, 2.0]), 0)
        Array(1., dtype=float32)
    """
    others = jnp.where(jnp.arange(logits.size) == label, -jnp.inf, logits)
    return logits[label] - jnp.max(others)


def is_correct(logits: Logits, label: ArrayLike) -> Bool[Array, ""]:
    """Whether the (likeliest) label has the largest logit, the first one in a tie; never where a logit is NaN.

    Examples:
        >>> is_correct(jnp.array([1.0, 2.0]), 1), is_correct(jnp.array([jnp.nan, 2.0]), 0)
        (Array(True, dtype=bool), Array(False, dtype=bool))
    """
    return (jnp.argmax(logits) == likeliest(label)) & ~jnp.isnan(jnp.max(logits))


def dlr(logits: Logits, label: ArrayLike) -> Scalar:
    """Difference of logits ratio `-(z_y - max_{i != y} z_i) / (z_(1) - z_(3))`, z_(k) the k-th largest logit.

    Invariant to shifts and to positive scalings of the logits. With two classes there is no third logit and the ratio
    to the second would be constant, so the loss is the negative margin.

    References:
        Croce and Hein 2020, "Reliable evaluation of adversarial robustness" (arXiv 2003.01690), equation 6.

    Examples:
        >>> dlr(jnp.array([3.0, 1.0, 2.0]), 0)
        Array(-0.5, dtype=float32)
    """
    loss = -margin(logits, label)
    if logits.size < 3:
        return loss
    top = jax.lax.top_k(logits, 3)[0]
    return loss / (top[0] - top[2] + 1e-12)


def targeted_dlr(logits: Logits, label: ArrayLike, target: ArrayLike) -> Scalar:
    """Targeted ratio `-(z_y - z_t) / (z_(1) - (z_(3) + z_(4)) / 2)`, larger when closer to the target class.

    With three classes the denominator is `z_(1) - z_(3)`; with two it is 1, as in `dlr`.

    References:
        Croce and Hein 2020 (arXiv 2003.01690), equation 7.

    Examples:
        >>> targeted_dlr(jnp.array([4.0, 1.0, 2.0, 1.0]), 0, 2)
        Array(-0.6666667, dtype=float32)
    """
    loss = logits[target] - logits[label]
    if logits.size < 3:
        return loss
    top = jax.lax.top_k(logits, min(logits.size, 4))[0]
    return loss / (top[0] - jnp.mean(top[2:]) + 1e-12)
