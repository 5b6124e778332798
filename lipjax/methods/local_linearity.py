"""Local linearity regularisation: the loss shall be linear around training points, and not steep."""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from lipjax import checks
from lipjax.batching import over_examples
from lipjax.losses import cross_entropy
from lipjax.methods.in_ball import InBall
from lipjax.types import Batch, KeyArray, Label, Model, Objective, Output, Point, Scalar, Terms
from lipjax.values import Number, number


def linearity_violation(loss: Objective, x: Point) -> Objective:
    """How far a function of one input is from its tangent at x, `u -> |l(u) - l(x) - <u - x, grad l(x)>|`.

    Args:
        loss: The function l.
        x: Where the tangent touches.

    Returns:
        A scalar function of one input, 0 at x; 0 everywhere for a linear function.

    References:
        Qin et al. 2019, "Adversarial Robustness through Local Linearization" (arXiv 1907.02610).

    Examples:
        >>> linearity_violation(lambda x: jnp.sum(x**2), jnp.array([1.0, 0.0]))(jnp.array([1.0, 3.0]))
        Array(9., dtype=float32)
    """
    value, gradient = jax.value_and_grad(loss)(x)
    return lambda point: jnp.abs(loss(point) - value - jnp.sum((point - x) * gradient))


class local_linearity(InBall):
    """Local linearity regularisation: `weight * |l(x') - l(x) - <x' - x, g>| + gradient_weight * |<x' - x, g>|`.

    l is the cross-entropy, g its gradient at x, and x' the last iterate of PGD on `linearity_violation`, with the
    network in evaluation mode; the terms are computed in training mode, and x' is held fixed. A soft promise, around
    the training points: without their weights, the terms add up to at least `|l(x') - l(x)|`.

    Attributes:
        weight: Weight of the violation, the term `local_linearity`: the paper's lambda.
        gradient_weight: Weight of the loss's linear change, the term `local_gradient`: the paper's mu.

    References:
        Qin et al. 2019 (arXiv 1907.02610). The default weights and number of steps are those of Yang et al.'s code
        (arXiv 2003.02460); its steps are normalised too, but its term leaves l(x) out, and its change has a sign.

    Examples:
        >>> from lipjax.norms import linf
        >>> method = local_linearity(linf.ball(4 / 255), num_steps=2)
    """

    _: dataclasses.KW_ONLY
    weight: Number = number(4.0, checks.not_negative)
    gradient_weight: Number = number(3.0, checks.not_negative)

    def penalize(self, key: KeyArray, model: Model, batch: Batch, output: Output) -> Terms:
        """Both terms."""
        attack, fixed = self.attack(), jax.lax.stop_gradient(model)

        def worst(key: KeyArray, x: Point, label: Label) -> Point:
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
            "local_linearity": jnp.mean(violations) * self.weight,
            "local_gradient": jnp.mean(jnp.abs(changes)) * self.gradient_weight,
        }
