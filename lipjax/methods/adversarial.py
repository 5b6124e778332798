"""Adversarial training: every batch is replaced by examples that maximise the loss inside a ball."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from lipjax import attacks, losses
from lipjax.batching import over_examples
from lipjax.methods.in_ball import InBall
from lipjax.norms import Ball, Largest, linf
from lipjax.types import Batch, KeyArray, Label, Method, Model, Point, Scalar
from lipjax.values import setting


def _while_right(logits: Float[Array, " classes"], label: ArrayLike) -> Scalar:
    return attacks.evasion(lambda logits: logits, label)(logits)


class adversarial(InBall):
    """Adversarial training with projected gradient descent (PGD).

    Approximates `min_theta E max_{||d|| <= radius} loss(f_theta(x + d), y)` by training on the last iterate of PGD on
    the cross-entropy. The update runs in training mode. The attack sees the network in evaluation mode (running batch
    statistics), so that an example's perturbation depends on that example alone; or, with `batch_statistics`, in
    training mode, without moving the running statistics. No gradient flows through the perturbation.

    Attributes:
        ball: Where an example may go. Madry et al.: L-infinity, 8/255 on CIFAR-10, 0.3 on MNIST; all their settings are
            `MADRY_CIFAR10` and `MADRY_MNIST`.
        step_size: Length of a step; default `2.5 * radius / num_steps`, which is Madry et al.'s 2/255 for 8/255 and ten
            steps. They use 0.01 with 40 steps on MNIST.
        random_start: Start from a uniform point of the ball.
        early_stop: Each example stops where it is first misclassified (and does not move if it is from the start):
            "friendly" adversarial training. It saves no time: the batch waits for its last example.
        batch_statistics: Attack the batch as a whole, normalised by its own statistics, as Madry et al.'s and Wong et
            al.'s CIFAR-10 code does. Without batch normalisation only the random starts differ.

    References:
        Madry et al. 2018, "Towards deep learning models resistant to adversarial attacks" (arXiv 1706.06083),
        equation 2.1. Zhang et al. 2020, "Attacks which do not kill training make adversarial training stronger" (arXiv
        2002.11242), for early stopping, without their extra steps tau.

    Examples:
        >>> from lipjax.norms import l2
        >>> method = adversarial(l2.ball(0.5), num_steps=7)
    """

    _: dataclasses.KW_ONLY
    random_start: bool = setting(True)
    early_stop: bool = setting(False)
    batch_statistics: bool = setting(False)

    def perturb(self, key: KeyArray, model: Model, batch: Batch) -> Batch:
        """The worst examples that are found."""
        search = self._together if self.batch_statistics else self._alone
        return batch._replace(inputs=jax.lax.stop_gradient(search(key, model, batch)))

    def _loss(self, logits: Float[Array, " classes"], label: ArrayLike) -> Scalar:
        return (_while_right if self.early_stop else losses.cross_entropy)(logits, label)

    def _alone(self, key: KeyArray, model: Model, batch: Batch) -> Float[Array, "batch ..."]:
        attack = self.attack(random_start=self.random_start)

        def worst(key: KeyArray, x: Point, label: Label) -> Point:
            return attack(key, lambda point: self._loss(model.single(point), label), x)

        return over_examples(worst)(key, batch.inputs, batch.labels)

    def _together(self, key: KeyArray, model: Model, batch: Batch) -> Float[Array, "batch ..."]:
        def total(points: Float[Array, "batch ..."]) -> Scalar:
            return jnp.sum(jax.vmap(self._loss)(model(points, train=True)[0].logits, batch.labels))

        of_batch = self.replace(ball=self.ball.replace(norm=Largest(self.ball.norm)))
        return of_batch.attack(random_start=self.random_start)(key, total, jnp.asarray(batch.inputs))


MADRY_CIFAR10 = adversarial(linf.ball(8 / 255), step_size=2 / 255, num_steps=10, batch_statistics=True)
"""As in Madry et al.'s code for CIFAR-10 (batches of 128, 80 000 steps)."""

MADRY_MNIST = adversarial(linf.ball(0.3), step_size=0.01, num_steps=40)
"""As in Madry et al.'s code for MNIST (batches of 50, 100 000 steps)."""


class fast_adversarial(Method):
    """Adversarial training that is "fast": one step of length `1.25 * radius` from a uniform point of the ball.

    Attributes:
        ball: Where an example may go; in the paper's L-infinity this is FGSM with a random start.
        batch_statistics: See `adversarial`.

    References:
        Wong, Rice and Kolter 2020, "Fast is better than free: revisiting adversarial training" (arXiv 2001.03994).

    Examples:
        >>> method = fast_adversarial(linf.ball(4 / 255))
    """

    ball: Ball = setting(linf.ball(8 / 255))
    _: dataclasses.KW_ONLY
    batch_statistics: bool = setting(True)

    def perturb(self, key: KeyArray, model: Model, batch: Batch) -> Batch:
        """The perturbation of `adversarial` with one step."""
        settings: dict[str, Any] = {"step_size": 1.25 * self.ball.radius, "batch_statistics": self.batch_statistics}
        return adversarial(self.ball, num_steps=1, **settings).perturb(key, model, batch)
