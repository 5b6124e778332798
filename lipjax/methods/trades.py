"""TRADES: clean accuracy, and predictions that stay the same in the ball, as two terms with a weight between them."""

import dataclasses

import jax
import jax.numpy as jnp

from lipjax import checks
from lipjax.batching import over_examples
from lipjax.chance import drawn
from lipjax.losses import kl_divergence
from lipjax.methods.in_ball import InBall
from lipjax.norms import Ball, linf
from lipjax.types import Batch, KeyArray, Model, Output, Point, Terms
from lipjax.values import Number, number, setting


def _near(key: KeyArray, shape: tuple[int, ...]) -> Point:
    # The divergence and its gradient are 0 at x itself: the attack has to start beside it.
    return 0.001 * drawn(jax.random.normal, key, shape)


class trades(InBall):
    """TRADES: the cross-entropy at x and `beta KL(softmax f(x) || softmax f(x'))`, x' where the divergence is largest.

    x' is the last iterate of PGD on the divergence, started at `x + 0.001 N(0, I)`, with the network in evaluation
    mode; the term `trades`, at least 0, is computed in training mode. Its gradient flows through both arguments of the
    divergence, and not through x'.

    Attributes:
        ball: Where an example may go. L-infinity, 0.3 on MNIST.
        beta: Weight of the divergence: 6 on CIFAR-10, 1 on MNIST.
        step_size: Length of a step; None for `2.5 * radius / num_steps`. 0.01 on MNIST.
        num_steps: Number of gradient steps; 40 on MNIST.

    References:
        Zhang et al. 2019, "Theoretically Principled Trade-off between Robustness and Accuracy" (arXiv 1901.08573);
        defaults and conventions are those of the CIFAR-10 training in their code. There the perturbed
        examples move the running statistics of batch normalisation too; here the clean ones alone do.

    Examples:
        >>> method = trades(linf.ball(0.3), beta=1.0, step_size=0.01, num_steps=40)  # MNIST
    """

    ball: Ball = setting(linf.ball(0.031))
    _: dataclasses.KW_ONLY
    beta: Number = number(6.0, checks.not_negative)
    step_size: Number | None = number(0.007, checks.not_negative, unit="pixels in [0, 1]")

    def penalize(self, key: KeyArray, model: Model, batch: Batch, output: Output) -> Terms:
        """The term."""
        attack, fixed = self.attack(random_start=_near), jax.lax.stop_gradient(model)

        def farthest(key: KeyArray, x: Point) -> Point:
            logits = fixed.single(x)
            return attack(key, lambda point: kl_divergence(logits, fixed.single(point)), x)

        moved, _ = model(over_examples(farthest)(key, batch.inputs), train=True)
        return {"trades": jnp.mean(jax.vmap(kl_divergence)(output.logits, moved.logits)) * self.beta}
