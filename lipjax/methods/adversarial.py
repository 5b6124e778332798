"""Adversarial training: every batch is replaced by examples that maximise the loss inside a ball."""

import jax
from jaxtyping import Array, ArrayLike, Float, Int

from lipjax import attacks, losses
from lipjax.batching import over_examples
from lipjax.norms import Norm, linf
from lipjax.types import Batch, Bounds, KeyArray, Method, Model, Point


def adversarial(
    norm: Norm = linf,
    radius: ArrayLike = 8 / 255,
    *,
    step_size: ArrayLike | None = None,
    num_steps: int = 10,
    random_start: bool = True,
    bounds: Bounds = (0.0, 1.0),
) -> Method:
    """Adversarial training with projected gradient descent (PGD).

    Approximates `min_theta E max_{||d|| <= radius} loss(f_theta(x + d), y)` by training on the last iterate of PGD
    on the cross-entropy. The attack sees the network in evaluation mode (running batch statistics), so that an
    example's perturbation depends on that example alone; the update then runs in training mode.

    Args:
        norm: Norm of the ball.
        radius: Radius of the ball, in pixels in [0, 1]; may be traced. Madry et al.: 8/255 on CIFAR-10, 0.3 on
            MNIST.
        step_size: Length of a step in pixels; default `2.5 * radius / num_steps`, which is Madry et al.'s 2/255
            for 8/255 and ten steps. They use 0.01 with 40 steps on MNIST.
        num_steps: Number of gradient steps; 1 with a step size of `1.25 * radius` is "fast" adversarial training.
        random_start: Start from a uniform point of the ball.
        bounds: Lowest and highest legal input value; None for no limits.

    Returns:
        A method whose `perturb` hook moves each input at most `radius` away, within the bounds; labels stay. No
        gradient flows through the perturbation.

    Raises:
        ValueError: If radius or step_size is negative, or num_steps is not a whole number of at least 1.

    References:
        Madry et al. 2018, "Towards deep learning models resistant to adversarial attacks" (arXiv 1706.06083),
        equation 2.1; the defaults are those of their CIFAR-10 code.

    Example:
        >>> from lipjax.norms import l2
        >>> method = adversarial(l2, radius=0.5, num_steps=7)
    """
    attack = attacks.pgd(
        norm,
        radius,
        step_size=step_size,
        num_steps=num_steps,
        random_start=random_start,
        best_iterate=False,
        bounds=bounds,
    )

    def perturb(key: KeyArray, model: Model, batch: Batch) -> Batch:
        def worst(key: KeyArray, x: Point, label: Int[Array, ""]) -> Point:
            def loss(point: Point) -> Float[Array, ""]:
                return losses.cross_entropy(model.single(point), label)

            return attack(key, loss, x)

        inputs = over_examples(worst)(key, batch.inputs, batch.labels)
        return batch._replace(inputs=jax.lax.stop_gradient(inputs))

    return Method(perturb=perturb)
