"""Projected gradient ascent whose direction averages the gradients of all earlier steps."""

from dataclasses import KW_ONLY

import jax
import jax.numpy as jnp

from lipjax import checks, loops, norms
from lipjax.attacks.climb import Evaluated, better
from lipjax.norms import Ball, linf
from lipjax.types import Attack, KeyArray, Objective, Point
from lipjax.values import Number, count, number


class momentum_pgd(Attack):
    """Momentum iterative method (MIM, MI-FGSM): steepest ascent along a running sum of unit gradients.

    `v <- momentum * v + g / ||g||_1`, then `x <- P(x + step_size * argmax_{||d|| <= 1} <v, d>)`. It does not use its
    key. The point is in the ball and in the box, and the best of the center and all iterates (the paper returns the
    last); at radius 0 it is the center, bit for bit.

    Attributes:
        ball: Where points may go; its norm is also that of the step.
        momentum: Share of the earlier sum that is kept; 0 is `pgd`. The paper's value is 1.
        step_size: Length of a step in the ball's norm; default `radius / num_steps`, the paper's.
        num_steps: Number of gradient steps.

    Raises:
        ValueError: If momentum is not in [0, 1], step_size is negative, or num_steps is not a whole number of at
            least 1.

    References:
        Dong et al. 2018, "Boosting adversarial attacks with momentum" (arXiv 1710.06081), algorithm 1.

    Examples:
        >>> attack = momentum_pgd(linf.ball(0.1))
        >>> attack(jax.random.key(0), lambda x: x[0] - x[1], jnp.array([0.5, 0.5]))
        Array([0.6, 0.4], dtype=float32)
    """

    ball: Ball = linf.ball(8 / 255)
    _: KW_ONLY
    momentum: Number = number(1.0, checks.fraction)
    step_size: Number | None = number(None, checks.not_negative, unit="pixels in [0, 1]")
    num_steps: int = count(10)

    def __call__(self, key: KeyArray, objective: Objective, center: Point) -> Point:
        value_and_grad, movable = jax.value_and_grad(objective), self.ball.norm.movable(center.shape)
        step_size = self.ball.radius / self.num_steps if self.step_size is None else self.step_size

        def step(carry: tuple[Point, Point, Evaluated], _: None) -> tuple[tuple[Point, Point, Evaluated], None]:
            point, velocity, best = carry
            value, gradient = value_and_grad(point)
            length = norms.l1.value(jnp.where(movable, gradient, 0.0))
            velocity = self.momentum * velocity + gradient / jnp.where(length == 0.0, 1.0, length)
            following = self.ball.step(point, velocity, center, step_size)
            return (following, velocity, better(Evaluated(point, value), best)), None

        carry = (center, jnp.zeros_like(center), Evaluated(center, jnp.array(-jnp.inf)))
        (last, _, best), _ = loops.scan(step, carry, length=self.num_steps)
        return better(Evaluated(last, objective(last)), best).point
