"""Input-gradient regularisation (double backpropagation): the loss may not change much where the input does."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from lipjax import checks
from lipjax.losses import cross_entropy
from lipjax.types import Batch, KeyArray, Labels, Method, Model, Output, Scalar, Terms
from lipjax.values import Number, number

Inputs = Float[Array, "batch ..."]


def input_gradient_penalty(
    f: Callable[[Inputs], Float[Array, "batch classes"]], inputs: Inputs, labels: Labels
) -> Scalar:
    """The mean over a batch of the squared Euclidean length of the loss's input gradient, `||grad_x H(y, f(x))||^2`.

    Args:
        f: Logits of a batch.
        inputs: The batch.
        labels: Class indices, or soft labels.

    Returns:
        A number that is at least 0. Where one example's logits depend on the others' inputs (batch statistics), the
        gradient is that of the sum of the losses.

    Examples:
        >>> f = lambda inputs: inputs @ jnp.array([[3.0, 0.0], [0.0, 0.0]])
        >>> input_gradient_penalty(f, jnp.zeros((1, 2)), jnp.array([0]))  # (3 (softmax_0 - 1))^2
        Array(2.25, dtype=float32)
    """

    def total(inputs: Inputs) -> Scalar:
        return jnp.sum(jax.vmap(cross_entropy)(f(inputs), labels))

    return jnp.sum(jax.grad(total)(inputs) ** 2) / len(labels)


class input_gradient(Method):
    """Input-gradient regularisation: the term `weight * mean_x ||grad_x H(y, f(x))||_2^2`, H the cross-entropy.

    To first order this is what a small perturbation can change of the loss. The gradient is taken in training mode,
    of the function that the update moves. A soft promise, at the training points only.

    Attributes:
        weight: Weight of the term `input_gradient`.

    References:
        Ross and Doshi-Velez 2018, "Improving the Adversarial Robustness and Interpretability of Deep Neural Networks by
        Regularizing their Input Gradients" (arXiv 1711.09404); Drucker and Le Cun 1992, "Improving
        generalization performance using double backpropagation". The authors' code weighs half the squared length of
        the gradient of the *mean* loss, by 1e2 to 1e5 with batches of 256: weights from 0.2 to 195 here. The default is
        ours, from one trial on Fashion-MNIST.

    Examples:
        >>> method = input_gradient(weight=10.0)
    """

    weight: Number = number(0.5, checks.not_negative)

    def penalize(self, key: KeyArray, model: Model, batch: Batch, output: Output) -> Terms:
        """The term."""

        def logits(inputs: Inputs) -> Float[Array, "batch classes"]:
            return model(inputs, train=True)[0].logits

        penalty = input_gradient_penalty(logits, jnp.asarray(batch.inputs), batch.labels)
        return {"input_gradient": penalty * self.weight}
