"""DeepFool: steps to the nearest of the linearised boundaries until one is crossed."""

from dataclasses import KW_ONLY
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from lipjax import checks, loops
from lipjax.attacks.boundary import nearest_boundary
from lipjax.norms import Ball, l2
from lipjax.types import BoundaryAttack, KeyArray, Point, VectorFn
from lipjax.values import Number, count, number

_EXTRA = 1e-4
"""Every step is longer by this, so that iterates held back by the box end beyond the boundary, not just before it."""


class _State(NamedTuple):
    point: Point
    total: Point
    num_done: Int[Array, ""]


class deepfool(BoundaryAttack):
    """DeepFool: the sum of shortest steps to the nearest linearised boundary, until one of the margins is positive.

    `e <- e + |g_k| / ||grad g_k||_* d`, with k the entry whose linear model has the nearest zero and d the steepest
    unit direction; the next point is `c + 1.02 e`, moved into the box. It does not use its key. The point is in the
    ball and in the box; it is the center, bit for bit, where that is beyond a boundary.

    Attributes:
        ball: Its norm is that in which the steps are shortest, without regard to the box: in l1 a step moves one pixel,
            and may end at the box (`fab` does not). The result is pulled back to its radius; infinite by default, for
            the small perturbation that the attack is known for.
        num_steps: Largest number of steps.
        overshoot: The perturbation is lengthened by this share, to end beyond the boundary.

    Raises:
        ValueError: If overshoot is negative, or num_steps is not a whole number of at least 1.

    References:
        Moosavi-Dezfooli et al. 2016, "DeepFool: a simple and accurate method to fool deep neural networks"
        (arXiv 1511.04599), algorithm 2; as in the authors' code, every iterate is the overshot one and every step is
        1e-4 longer.

    Examples:
        >>> import jax
        >>> attack = deepfool()
        >>> attack(jax.random.key(0), lambda x: x - 0.8, jnp.array([0.5, 0.6]))  # x[1] is nearer to its boundary
        Array([0.5    , 0.80410], dtype=float32)
    """

    ball: Ball = l2.ball(jnp.inf)
    _: KW_ONLY
    num_steps: int = count(50)
    overshoot: Number = number(0.02, checks.not_negative)

    def __call__(self, key: KeyArray, margins: VectorFn, center: Point) -> Point:
        norm = self.ball.norm

        def is_unfinished(state: _State) -> Bool[Array, ""]:
            return (state.num_done < self.num_steps) & (jnp.max(margins(state.point)) <= 0.0)

        def step(state: _State) -> _State:
            value, gradient = nearest_boundary(margins, state.point, norm)
            slope = norm.dual(gradient)
            length = jnp.abs(value) / jnp.where(slope == 0.0, 1.0, slope)
            total = state.total + (length + _EXTRA) * norm.steepest(gradient)
            return _State(self.ball.clip(center + (1.0 + self.overshoot) * total), total, state.num_done + 1)

        start = _State(center, jnp.zeros_like(center), jnp.array(0))
        point = loops.while_loop(is_unfinished, step, start).point
        return self.ball.project(point, center)
