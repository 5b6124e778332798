"""Projected gradient ascent whose direction averages the gradients of all earlier steps."""

import jax
import jax.numpy as jnp
from jaxtyping import ArrayLike

from lipjax import checks, norms
from lipjax.attacks.climb import Evaluated, better
from lipjax.attacks.pgd import pgd_step
from lipjax.norms import Norm, linf
from lipjax.types import Attack, Box, KeyArray, Objective, Point


def momentum_pgd(
    norm: Norm = linf,
    radius: ArrayLike = 8 / 255,
    *,
    momentum: float = 1.0,
    step_size: ArrayLike | None = None,
    num_steps: int = 10,
    bounds: Box = (0.0, 1.0),
) -> Attack:
    """Momentum iterative method (MIM, MI-FGSM): steepest ascent along a running sum of unit gradients.

    `v <- momentum * v + g / ||g||_1`, then `x <- P(x + step_size * argmax_{||d|| <= 1} <v, d>)`.

    Args:
        norm: Norm of the ball and of the step.
        radius: Radius of the ball in input units (pixels in [0, 1]); may be traced.
        momentum: Share of the earlier sum that is kept; 0 is `pgd`. The paper's value is 1.
        step_size: Length of a step in `norm`; default `radius / num_steps`, the paper's.
        num_steps: Number of gradient steps.
        bounds: Lowest and highest legal input value; None for no limits.

    Returns:
        An attack `(key, objective, center) -> point` that does not use its key. The point is in the ball and in the
        box, and the best of the center and all iterates (the paper returns the last); at radius 0 it is the center,
        bit for bit.

    Raises:
        ValueError: If momentum is not in [0, 1], radius or step_size is negative, or num_steps is not a whole number
            of at least 1.

    References:
        Dong et al. 2018, "Boosting adversarial attacks with momentum" (arXiv 1710.06081), algorithm 1.

    Example:
        >>> attack = momentum_pgd(linf, radius=0.1)
        >>> attack(jax.random.key(0), lambda x: x[0] - x[1], jnp.array([0.5, 0.5]))
        Array([0.6, 0.4], dtype=float32)
    """
    checks.not_negative(radius=radius)
    checks.fraction(momentum=momentum)
    checks.at_least(1, num_steps=num_steps)
    if step_size is None:
        step_size = radius / num_steps
    checks.not_negative(step_size=step_size)

    def attack(key: KeyArray, objective: Objective, center: Point) -> Point:
        value_and_grad = jax.value_and_grad(objective)

        def step(carry: tuple[Point, Point, Evaluated], _: None) -> tuple[tuple[Point, Point, Evaluated], None]:
            point, velocity, best = carry
            value, gradient = value_and_grad(point)
            length = norms.l1.value(gradient)
            velocity = momentum * velocity + gradient / jnp.where(length == 0.0, 1.0, length)
            following = pgd_step(point, velocity, center, norm=norm, radius=radius, step_size=step_size, bounds=bounds)
            return (following, velocity, better(Evaluated(point, value), best)), None

        carry = (center, jnp.zeros_like(center), Evaluated(center, jnp.array(-jnp.inf)))
        (last, _, best), _ = jax.lax.scan(step, carry, length=num_steps)
        return better(Evaluated(last, objective(last)), best).point

    return attack
