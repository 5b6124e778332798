"""Projected gradient ascent on any scalar function of one input, inside a ball and a box."""

from collections.abc import Callable
from dataclasses import KW_ONLY

import jax
import jax.numpy as jnp

from lipjax import checks, loops
from lipjax.attacks.climb import Evaluated, better, restarted
from lipjax.norms import Ball, linf
from lipjax.types import Attack, KeyArray, Objective, Point
from lipjax.values import Number, count, number, setting


class pgd(Attack):
    """Projected gradient descent (PGD) on the negative objective: Madry et al.'s attack, for any objective.

    The point is in the ball and in the box; at radius 0 it is the center, bit for bit. With `best_iterate` the
    objective there is never below its value at the center or at the start.

    Attributes:
        ball: Where points may go. In l1 a step moves one pixel only, and `apgd` finds much larger values.
        step_size: Length of a step in the ball's norm; default `2.5 * radius / num_steps` (2/255 for Madry's CIFAR-10
            setting).
        num_steps: Number of gradient steps.
        num_restarts: Independent runs, of which the best result is returned.
        random_start: Start from a uniform point of the ball; if False, from the center; if a function
            `(key, shape) -> noise`, from the center plus noise, moved into the ball and the box.
        best_iterate: Return the best of the center, the start and all iterates; otherwise the last iterate, as in
            adversarial training.

    Raises:
        ValueError: If step_size is negative, or a count is not a whole number of at least 1.

    References:
        Madry et al. 2018, "Towards deep learning models resistant to adversarial attacks" (arXiv 1706.06083).

    Examples:
        >>> attack = pgd(linf.ball(0.1), num_steps=5)
        >>> attack(jax.random.key(0), lambda x: x.sum(), jnp.array([0.5, 0.95]))
        Array([0.6, 1. ], dtype=float32)
    """

    ball: Ball = linf.ball(8 / 255)
    _: KW_ONLY
    step_size: Number | None = number(None, checks.not_negative, unit="pixels in [0, 1]")
    num_steps: int = count(10)
    num_restarts: int = count(1)
    random_start: bool | Callable[[KeyArray, tuple[int, ...]], Point] = setting(True)
    best_iterate: bool = setting(True)

    def __call__(self, key: KeyArray, objective: Objective, center: Point) -> Point:
        return restarted(self._run, self.num_restarts)(key, objective, center)

    def _run(self, key: KeyArray, objective: Objective, center: Point) -> Point:
        value_and_grad = jax.value_and_grad(objective)
        step_size = 2.5 * self.ball.radius / self.num_steps if self.step_size is None else self.step_size

        def step(carry: tuple[Point, Evaluated], _: None) -> tuple[tuple[Point, Evaluated], None]:
            point, best = carry
            value, gradient = value_and_grad(point)
            following = self.ball.step(point, gradient, center, step_size)
            return (following, better(Evaluated(point, value), best)), None

        start = self._start(key, center)
        lowest = objective(center) if self.best_iterate and self.random_start else jnp.array(-jnp.inf)
        (last, best), _ = loops.scan(step, (start, Evaluated(center, lowest)), length=self.num_steps)
        return better(Evaluated(last, objective(last)), best).point if self.best_iterate else last

    def _start(self, key: KeyArray, center: Point) -> Point:
        if callable(self.random_start):
            return self.ball.project(center + self.random_start(key, center.shape), center)
        return self.ball.sample(key, center) if self.random_start else center
