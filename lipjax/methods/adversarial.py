"""Adversarial training: every batch is replaced by examples that maximise the loss inside a ball."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Int

from lipjax import attacks, losses, norms
from lipjax.batching import over_examples
from lipjax.norms import Norm, linf
from lipjax.types import Batch, Box, KeyArray, Method, Model, Point, Scalar

MADRY_CIFAR10: dict[str, Any] = {"radius": 8 / 255, "step_size": 2 / 255, "num_steps": 10, "batch_statistics": True}
"""Options of `adversarial` as in Madry et al.'s code for CIFAR-10 (L-infinity; batches of 128, 80 000 steps)."""

MADRY_MNIST: dict[str, Any] = {"radius": 0.3, "step_size": 0.01, "num_steps": 40}
"""Options of `adversarial` as in Madry et al.'s code for MNIST (L-infinity; batches of 50, 100 000 steps)."""


def _while_right(logits: Float[Array, " classes"], label: ArrayLike) -> Scalar:
    return attacks.evasion(lambda logits: logits, label)(logits)


def adversarial(
    norm: Norm = linf,
    radius: ArrayLike = 8 / 255,
    *,
    step_size: ArrayLike | None = None,
    num_steps: int = 10,
    random_start: bool = True,
    early_stop: bool = False,
    batch_statistics: bool = False,
    bounds: Box = (0.0, 1.0),
) -> Method:
    """Adversarial training with projected gradient descent (PGD).

    Approximates `min_theta E max_{||d|| <= radius} loss(f_theta(x + d), y)` by training on the last iterate of PGD
    on the cross-entropy. The update runs in training mode. The attack sees the network in evaluation mode (running
    batch statistics), so that an example's perturbation depends on that example alone; or, with `batch_statistics`,
    in training mode, without moving the running statistics.

    Args:
        norm: Norm of the ball.
        radius: Radius of the ball, in pixels in [0, 1]; may be traced. Madry et al.: 8/255 on CIFAR-10, 0.3 on
            MNIST; all their settings are `MADRY_CIFAR10` and `MADRY_MNIST`.
        step_size: Length of a step in pixels; default `2.5 * radius / num_steps`, which is Madry et al.'s 2/255
            for 8/255 and ten steps. They use 0.01 with 40 steps on MNIST.
        num_steps: Number of gradient steps.
        random_start: Start from a uniform point of the ball.
        early_stop: Each example stops where it is first misclassified (and does not move if it is from the start):
            "friendly" adversarial training. It saves no time: the batch waits for its last example.
        batch_statistics: Attack the batch as a whole, normalised by its own statistics, as Madry et al.'s and Wong et
            al.'s CIFAR-10 code does. Without batch normalisation only the random starts differ.
        bounds: Lowest and highest legal input value; None for no limits.

    Returns:
        A method whose `perturb` hook moves each input at most `radius` away, within the bounds; labels stay. No
        gradient flows through the perturbation.

    Raises:
        ValueError: If radius or step_size is negative, or num_steps is not a whole number of at least 1.

    References:
        Madry et al. 2018, "Towards deep learning models resistant to adversarial attacks" (arXiv 1706.06083),
        equation 2.1. Zhang et al. 2020, "Attacks which do not kill training make adversarial training stronger" (arXiv
        2002.11242), for early stopping, without their extra steps tau.

    Example:
        >>> from lipjax.norms import l2
        >>> method = adversarial(l2, radius=0.5, num_steps=7)
        >>> mnist = adversarial(**MADRY_MNIST)
    """
    loss = _while_right if early_stop else losses.cross_entropy
    attack = attacks.pgd(
        (norms.Largest(norm) if batch_statistics else norm).ball(radius, bounds),
        step_size=step_size,
        num_steps=num_steps,
        random_start=random_start,
        best_iterate=False,
    )

    def alone(key: KeyArray, model: Model, batch: Batch) -> Float[Array, "batch ..."]:
        def worst(key: KeyArray, x: Point, label: Int[Array, ""]) -> Point:
            return attack(key, lambda point: loss(model.single(point), label), x)

        return over_examples(worst)(key, batch.inputs, batch.labels)

    def together(key: KeyArray, model: Model, batch: Batch) -> Float[Array, "batch ..."]:
        def total(points: Float[Array, "batch ..."]) -> Scalar:
            return jnp.sum(jax.vmap(loss)(model(points, train=True)[0].logits, batch.labels))

        return attack(key, total, jnp.asarray(batch.inputs))

    search = together if batch_statistics else alone

    def perturb(key: KeyArray, model: Model, batch: Batch) -> Batch:
        return batch._replace(inputs=jax.lax.stop_gradient(search(key, model, batch)))

    return Method(perturb=perturb)


def fast_adversarial(
    norm: Norm = linf,
    radius: ArrayLike = 8 / 255,
    *,
    batch_statistics: bool = True,
    bounds: Box = (0.0, 1.0),
) -> Method:
    """Adversarial training that is "fast": one step of length `1.25 * radius` from a uniform point of the ball.

    Args:
        norm: Norm of the ball; the paper's is L-infinity, where this is FGSM with a random start.
        radius: Radius of the ball, in pixels in [0, 1]; may be traced.
        batch_statistics: See `adversarial`.
        bounds: Lowest and highest legal input value; None for no limits.

    Returns:
        The method of `adversarial` with one step.

    Raises:
        ValueError: If radius is negative.

    References:
        Wong, Rice and Kolter 2020, "Fast is better than free: revisiting adversarial training" (arXiv 2001.03994).

    Example:
        >>> method = fast_adversarial(radius=4 / 255)
    """
    step_size = 1.25 * radius
    return adversarial(norm, radius, step_size=step_size, num_steps=1, batch_statistics=batch_statistics, bounds=bounds)
