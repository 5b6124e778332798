"""FMN: gradient steps in a ball that grows until a boundary is crossed and shrinks beyond it."""

from dataclasses import KW_ONLY
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool

from lipjax import checks, loops
from lipjax.norms import Ball, l2
from lipjax.types import BoundaryAttack, KeyArray, Point, Scalar, VectorFn
from lipjax.values import Number, count, number


class _State(NamedTuple):
    point: Point
    radius: Scalar
    nearest: Point
    distance: Scalar


class fmn(BoundaryAttack):
    """Fast minimum-norm attack: steps along the gradient of the largest margin, projected on a ball that adapts.

    With m the largest margin, the next iterate is `P(x + s grad m / ||grad m||_2)`, where P projects on the ball of
    radius e around the center and on the box. On this side of the boundary e becomes `e (1 + a)`, and before the first
    crossing at least what reaches to the linear model of the boundary, `||x - c|| + |m| / ||grad m||_*`; beyond the
    boundary it becomes `min(e (1 - a), least distance so far)`. Both s and a fall to 0 like a cosine. It does not use
    its key. The point is the nearest of all iterates beyond a boundary, or the center if there is none or if the center
    is beyond it; it is in the ball and in the box.

    Attributes:
        ball: Its norm is that in which the point is nearest; the result is pulled back to its radius, infinite by
            default, for the minimal perturbation.
        num_steps: Number of gradient steps.
        step_size: Length of the first step in l2 (alpha in the paper).
        adaptation: First share by which the radius grows and shrinks (gamma in the paper).

    Raises:
        ValueError: If num_steps is not a whole number of at least 1, step_size is not positive, or adaptation is not in
            [0, 1].

    References:
        Pintor et al. 2021, "Fast minimum-norm adversarial attacks through adaptive norm constraints"
        (arXiv 2102.12827), algorithm 1, started at the center.

    Examples:
        >>> point = fmn()(jax.random.key(0), lambda x: x[0] - 0.8, jnp.array([0.5, 0.5]))
        >>> bool(point[0] > 0.8), float(l2.value(point - 0.5))
        (True, 0.300)
    """

    ball: Ball = l2.ball(jnp.inf)
    _: KW_ONLY
    num_steps: int = count(100)
    step_size: Number = number(1.0, checks.positive, unit="pixels in [0, 1]")
    adaptation: Number = number(0.05, checks.fraction)

    def __call__(self, key: KeyArray, margins: VectorFn, center: Point) -> Point:
        norm, movable = self.ball.norm, self.ball.norm.movable(center.shape)
        value_and_grad = jax.value_and_grad(lambda point: jnp.max(margins(point)).astype(center.dtype))

        def step(index: ArrayLike, state: _State) -> _State:
            margin, gradient = value_and_grad(state.point)
            found = _nearer(margin > 0.0, norm.value(state.point - center), state)
            decay = (1.0 + jnp.cos(jnp.pi * index / self.num_steps)) / 2.0
            slope = norm.dual(gradient)
            reach = norm.value(state.point - center) + jnp.abs(margin) / jnp.where(slope == 0.0, 1.0, slope)
            share = self.adaptation * decay
            outwards = jnp.maximum(state.radius * (1.0 + share), jnp.where(jnp.isinf(found.distance), reach, 0.0))
            inwards = jnp.minimum(state.radius * (1.0 - share), found.distance)
            radius = jnp.where(margin > 0.0, inwards, outwards)
            moved = state.point + self.step_size * decay * l2.steepest(jnp.where(movable, gradient, 0.0))
            # In the box first: in l1 the ball would keep the one entry that the box stops.
            point = self.ball.replace(radius=radius).project(self.ball.clip(moved), center)
            return found._replace(point=point, radius=radius)

        nothing = jnp.zeros((), center.dtype)
        state = loops.fori_loop(0, self.num_steps, step, _State(center, nothing, center, nothing + jnp.inf))
        is_beyond = jnp.max(margins(state.point)) > 0.0
        return self.ball.project(_nearer(is_beyond, norm.value(state.point - center), state).nearest, center)


def _nearer(is_beyond: Bool[Array, ""], distance: Scalar, state: _State) -> _State:
    """The state with its iterate as the nearest point if it is that."""
    wins = is_beyond & (distance < state.distance)
    return state._replace(
        nearest=jnp.where(wins, state.point, state.nearest), distance=jnp.where(wins, distance, state.distance)
    )
