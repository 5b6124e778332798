"""FAB: the nearest point beyond a boundary, by projecting on linear models of it and staying near the center."""

from dataclasses import KW_ONLY
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool

from lipjax import checks, loops
from lipjax.attacks.boundary import nearest_boundary, step_to_hyperplane
from lipjax.norms import Ball, linf
from lipjax.types import BoundaryAttack, KeyArray, Point, Scalar, VectorFn
from lipjax.values import Number, count, number


class _State(NamedTuple):
    point: Point
    nearest: Point
    distance: Scalar


class fab(BoundaryAttack):
    """Fast adaptive boundary attack: looks for the nearest point at which a margin is positive.

    A margin must change its sign at the boundary: a logit minus the label's logit for the targeted attack (FAB-T), or
    several at once (`objectives.margins`) for the untargeted one, which walks to the nearest of them. With p and q the
    shortest steps from the iterate x and from the center c to the boundary's linear model,
    `x <- (1 - a)(x + 1.05 p) + a (c + 1.05 q)`, `a = min(||p|| / (||p|| + ||q||), 0.1)`; beyond the boundary the
    iterate goes back to `c + 0.9 (x - c)`. It does not use its key. The point is the nearest of all iterates beyond the
    boundary, or the center if there is none or if the center is beyond it; it is in the ball and in the box.

    Attributes:
        ball: Its norm is that in which the point is nearest; the result is pulled back to its radius, infinite by
            default, for the minimal perturbation.
        num_steps: Number of linear models.
        bias: Largest share a of the center in a step (alpha_max in the paper).
        overshoot: Factor of the steps (eta in the paper).
        retreat: Share of the perturbation that is kept beyond the boundary (beta in the paper).

    Raises:
        ValueError: If num_steps is not a whole number of at least 1, bias or retreat is not in [0, 1], or overshoot is
            not positive.

    References:
        Croce and Hein 2020, "Minimally distorted adversarial examples with a fast adaptive boundary attack"
        (arXiv 1907.02044), algorithm 1, without random restarts and without the final search.

    Examples:
        >>> import jax
        >>> from lipjax.norms import l2
        >>> attack = fab(l2.ball(jnp.inf))
        >>> point = attack(jax.random.key(0), lambda x: x[0] - 0.8, jnp.array([0.5, 0.5]))
        >>> bool(point[0] > 0.8), float(l2.value(point - 0.5))
        (True, 0.301)
    """

    ball: Ball = linf.ball(jnp.inf)
    _: KW_ONLY
    num_steps: int = count(100)
    bias: Number = number(0.1, checks.fraction)
    overshoot: Number = number(1.05, checks.positive)
    retreat: Number = number(0.9, checks.fraction)

    def __call__(self, key: KeyArray, margins: VectorFn, center: Point) -> Point:
        def is_beyond(point: Point) -> Bool[Array, ""]:
            return jnp.max(margins(point)) > 0.0

        def step(_: ArrayLike, state: _State) -> _State:
            point = self._move(margins, state.point, center)
            beyond, distance = is_beyond(point), self.ball.norm.value(point - center)
            wins = beyond & (distance < state.distance)
            return _State(
                jnp.where(beyond, center + self.retreat * (point - center), point),
                jnp.where(wins, point, state.nearest),
                jnp.where(wins, distance, state.distance),
            )

        distance = jnp.where(is_beyond(center), 0.0, jnp.inf).astype(center.dtype)
        start = _State(center, center, distance)
        return self.ball.project(loops.fori_loop(0, self.num_steps, step, start).nearest, center)

    def _move(self, margins: VectorFn, point: Point, center: Point) -> Point:
        ball, norm = self.ball, self.ball.norm
        value, normal = nearest_boundary(margins, point, norm)
        value_at_center = value + jnp.vdot(normal, center - point)
        step = step_to_hyperplane(ball, point, value, normal)
        from_center = step_to_hyperplane(ball, center, value_at_center, normal)
        length, total = norm.value(step), norm.value(step) + norm.value(from_center)
        share = jnp.minimum(length / jnp.where(total == 0.0, 1.0, total), self.bias)
        biased = (1.0 - share) * (point + self.overshoot * step) + share * (center + self.overshoot * from_center)
        # What can't move is the center's, bit for bit: shares of one number need not add up to it.
        return ball.clip(jnp.where(norm.movable(center.shape), biased, center))
