"""What methods that search a ball around each training example have in common."""

import dataclasses
from typing import Any

from lipjax import attacks, checks
from lipjax.norms import Ball, linf
from lipjax.types import Attack, Method
from lipjax.values import Number, count, number, setting


class InBall(Method):
    """Base of the methods that climb something in a ball around each example, by projected gradient descent.

    Attributes:
        ball: Where an example may go.
        step_size: Length of a step in the ball's norm; default `2.5 * radius / num_steps`.
        num_steps: Number of gradient steps.

    Raises:
        ValueError: If step_size is negative, or num_steps is not a whole number of at least 1.
    """

    ball: Ball = setting(linf.ball(8 / 255))
    _: dataclasses.KW_ONLY
    step_size: Number | None = number(None, checks.not_negative, unit="pixels in [0, 1]")
    num_steps: int = count(10)

    def attack(self, **options: Any) -> Attack:
        """The search, which ends at its last iterate."""
        return attacks.pgd(self.ball, step_size=self.step_size, num_steps=self.num_steps, best_iterate=False, **options)
