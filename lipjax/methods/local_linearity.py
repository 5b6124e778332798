"""Local linearity regularisation: the loss shall be linear around training points, and not steep."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Int

from lipjax import attacks, checks
from lipjax.batching import over_examples
from lipjax.losses import cross_entropy
from lipjax.norms import Norm, linf
from lipjax.types import Batch, Box, KeyArray, Method, Model, Objective, Output, Point, Scalar, Terms


def linearity_violation(loss: Objective, x: Point) -> Objective:
    """How far a function of one input is from its tangent at x, `u -> |l(u) - l(x) - <u - x, grad l(x)>|`.

    Args:
        loss: The function l.
        x: Where the tangent touches.

    Returns:
        A scalar function of one input, 0 at x; 0 everywhere for a linear function.

    References:
        Qin et al. 2019, "Adversarial Robustness through Local Linearization" (arXiv 1907.02610).

    Example:
        >>> linearity_violation(lambda x: jnp.sum(x**2), jnp.array([1.0, 0.0]))(jnp.array([1.0, 3.0]))
        Array(9., dtype=float32)
    """
    value, gradient = jax.value_and_grad(loss)(x)
    return lambda point: jnp.abs(loss(point) - value - jnp.sum((point - x) * gradient))


def local_linearity(
    weight: float = 4.0,
    *,
    gradient_weight: float = 3.0,
    norm: Norm = linf,
    radius: ArrayLike = 8 / 255,
    step_size: ArrayLike | None = None,
    num_steps: int = 10,
    bounds: Box = (0.0, 1.0),
) -> Method:
    """Local linearity regularisation: `weight * |l(x') - l(x) - <x' - x, g>| + gradient_weight * |<x' - x, g>|`.

    l is the cross-entropy, g its gradient at x, and x' the last iterate of PGD on `linearity_violation`, with the
    network in evaluation mode; the terms are computed in training mode, and x' is held fixed.

    Args:
        weight: Weight of the violation, the paper's lambda.
        gradient_weight: Weight of the loss's linear change, the paper's mu.
        norm: Norm of the ball.
        radius: Radius of the ball, in pixels in [0, 1]; may be traced.
        step_size: Length of a step; default `2.5 * radius / num_steps`.
        num_steps: Number of gradient steps.
        bounds: Lowest and highest legal input value; None for no limits.

    Returns:
        A method with the penalty terms `local_linearity` and `local_gradient`, both at least 0. A soft promise, around
        the training points: without their weights, the two add up to at least `|l(x') - l(x)|`.

    Raises:
        ValueError: If a weight, radius or step_size is negative, or num_steps is not a whole number of at least 1.

    References:
        Qin et al. 2019 (arXiv 1907.02610). The default weights and number of steps are those of Yang et al.'s code
        (arXiv 2003.02460); its steps are normalised too, but its term leaves l(x) out, and its change has a sign.

    Example:
        >>> method = local_linearity(radius=4 / 255, num_steps=2)
    """
    checks.not_negative(weight=weight, gradient_weight=gradient_weight)
    attack = attacks.pgd(norm.ball(radius, bounds), step_size=step_size, num_steps=num_steps, best_iterate=False)

    def penalize(key: KeyArray, model: Model, batch: Batch, output: Output) -> Terms:
        fixed = jax.lax.stop_gradient(model)

        def worst(key: KeyArray, x: Point, label: Int[Array, ""]) -> Point:
            return attack(key, linearity_violation(lambda point: cross_entropy(fixed.single(point), label), x), x)

        def losses(inputs: Float[Array, "batch ..."]) -> Float[Array, " batch"]:
            return jax.vmap(cross_entropy)(model(inputs, train=True)[0].logits, batch.labels)

        def total(inputs: Float[Array, "batch ..."]) -> tuple[Scalar, Float[Array, " batch"]]:
            values = losses(inputs)
            return jnp.sum(values), values

        points = over_examples(worst)(key, batch.inputs, batch.labels)
        gradients, values = jax.grad(total, has_aux=True)(batch.inputs)
        changes = jnp.sum(((points - batch.inputs) * gradients).reshape(len(values), -1), axis=1)
        violations = jnp.abs(losses(points) - values - changes)
        return {
            "local_linearity": weight * jnp.mean(violations),
            "local_gradient": gradient_weight * jnp.mean(jnp.abs(changes)),
        }

    return Method(penalize=penalize)
