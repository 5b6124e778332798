"""DeepFool: steps to the nearest of the linearised boundaries until one is crossed."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool, Int

from lipjax import checks
from lipjax.attacks.boundary import nearest_boundary
from lipjax.attacks.climb import into_ball, into_box
from lipjax.norms import Norm, l2
from lipjax.types import Attack, Box, KeyArray, Point, VectorFn

_EXTRA = 1e-4
"""Every step is longer by this, so that iterates held back by the box end beyond the boundary, not just before it."""


class _State(NamedTuple):
    point: Point
    total: Point
    num_done: Int[Array, ""]


def deepfool(
    norm: Norm = l2,
    radius: ArrayLike = jnp.inf,
    *,
    num_steps: int = 50,
    overshoot: float = 0.02,
    bounds: Box = (0.0, 1.0),
) -> Attack:
    """DeepFool: the sum of shortest steps to the nearest linearised boundary, until the objective is positive.

    `e <- e + |g_k| / ||grad g_k||_* d`, with k the entry whose linear model has the nearest zero and d the steepest
    unit direction; the next point is `c + 1.02 e`, moved into the box.

    Args:
        norm: Norm in which the steps are shortest, without regard to the box: in l1 a step moves one pixel, and may
            end at the box (`fab` does not).
        radius: The result is pulled back to the ball of this radius (input units, may be traced); infinite by default,
            for the small perturbation that the attack is known for.
        num_steps: Largest number of steps.
        overshoot: The perturbation is lengthened by this share, to end beyond the boundary.
        bounds: Lowest and highest legal input value; None for no limits.

    Returns:
        An attack `(key, objective, center) -> point` that does not use its key. The objective has one or several
        entries, each of which changes its sign at a boundary: `objectives.margins` for the attack of the paper. The
        point is in the ball and in the box; it is the center, bit for bit, where that is beyond a boundary.

    Raises:
        ValueError: If radius or overshoot is negative, or num_steps is not a whole number of at least 1.

    References:
        Moosavi-Dezfooli et al. 2016, "DeepFool: a simple and accurate method to fool deep neural networks"
        (arXiv 1511.04599), algorithm 2; as in the authors' code, every iterate is the overshot one and every step is
        1e-4 longer.

    Example:
        >>> attack = deepfool(l2)
        >>> attack(jax.random.key(0), lambda x: x - 0.8, jnp.array([0.5, 0.6]))  # x[1] is nearer to its boundary
        Array([0.5    , 0.80410], dtype=float32)
    """
    checks.not_negative(radius=radius, overshoot=overshoot)
    checks.at_least(1, num_steps=num_steps)

    def attack(key: KeyArray, objective: VectorFn, center: Point) -> Point:
        def is_unfinished(state: _State) -> Bool[Array, ""]:
            return (state.num_done < num_steps) & (jnp.max(objective(state.point)) <= 0.0)

        def step(state: _State) -> _State:
            value, gradient = nearest_boundary(objective, state.point, norm)
            slope = norm.dual(gradient)
            length = jnp.abs(value) / jnp.where(slope == 0.0, 1.0, slope)
            total = state.total + (length + _EXTRA) * norm.steepest(gradient)
            return _State(into_box(center + (1.0 + overshoot) * total, bounds), total, state.num_done + 1)

        start = _State(center, jnp.zeros_like(center), jnp.array(0))
        point = jax.lax.while_loop(is_unfinished, step, start).point
        return into_ball(point, center, norm=norm, radius=radius, bounds=bounds)

    return attack
