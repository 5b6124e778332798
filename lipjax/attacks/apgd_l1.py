"""APGD for the l1 ball: sparse steps, exact projections on ball and box together, and a shrinking radius."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool, Int

from lipjax import loops
from lipjax.attacks.climb import Differentiated, Evaluated, better, differentiated, select
from lipjax.chance import drawn
from lipjax.norms import Ball
from lipjax.types import KeyArray, Objective, Point, Scalar

_PHASES = ((3.0, 0.3), (2.0, 0.3), (1.0, 0.4))
"""The radius comes down in three phases: factor of the radius, share of the steps."""


def into_ball_and_box(point: Point, center: Point, ball: Ball) -> Point:
    """The nearest point that is in the l1 ball around `center` and in the box.

    Every entry of `point - center` is shrunk by one threshold and then cut at the box; the threshold that leaves a
    length of `radius` is found by bisection, from the side of the ball.

    Args:
        point: Any point.
        center: Center of the ball, inside the box.
        ball: A ball in l1.

    Returns:
        The projection on the intersection. (Projecting on one after the other gives a point that is not the nearest.)

    References:
        Croce and Hein 2021, "Mind the box: l1-APGD for sparse adversarial attacks on image classifiers"
        (arXiv 2103.01208), proposition 2.1; they sort where we bisect.

    Examples:
        >>> from lipjax.norms import l1
        >>> into_ball_and_box(jnp.array([2.0, 0.7]), jnp.array([0.5, 0.5]), l1.ball(0.6))
        Array([1. , 0.6], dtype=float32)
    """
    offset = jnp.where(ball.norm.movable(center.shape), point - center, 0.0)
    limit = jnp.inf if ball.box is None else jnp.where(offset > 0, ball.box[1] - center, center - ball.box[0])

    def shrunk(threshold: ArrayLike) -> Point:
        return jnp.clip(jnp.abs(offset) - threshold, 0.0, limit)

    def bisect(_: ArrayLike, bracket: tuple[Scalar, Scalar]) -> tuple[Scalar, Scalar]:
        low, high = bracket
        middle = (low + high) / 2.0
        is_long = jnp.sum(shrunk(middle)) > ball.radius
        return jnp.where(is_long, middle, low), jnp.where(is_long, high, middle)

    largest = jnp.max(jnp.abs(offset))
    threshold = loops.fori_loop(0, 40, bisect, (jnp.zeros_like(largest), largest))[1]
    threshold = jnp.where(jnp.sum(shrunk(0.0)) <= ball.radius, 0.0, threshold)
    return ball.clip(center + jnp.sign(offset) * shrunk(threshold)).astype(center.dtype)


class _State(NamedTuple):
    current: Differentiated
    best: Differentiated
    step_size: Scalar
    support: Scalar
    num_done: Int[Array, ""]


def sparse_ascent(key: KeyArray, objective: Objective, center: Point, *, ball: Ball, num_steps: int) -> Evaluated:
    """The l1 variant of `apgd`: steps along the largest entries of the gradient, as many as suit the best point.

    A step moves `support / 1.5` entries, where the support is the number of entries that the best point has changed. At
    checkpoints the step size is the radius again if the support has shrunk by more than 5 %, else it is divided by 1.5,
    down to a tenth of the radius. The search begins in the ball of three times the radius, goes on in that of twice the
    radius and ends in the ball itself.

    Args:
        key: A typed key.
        objective: A scalar function of one input.
        center: Center of the ball.
        ball: A ball in l1.
        num_steps: Number of gradient steps over the three phases.

    Returns:
        The best point of the ball itself, in the ball and in the box, with its value.

    References:
        Croce and Hein 2021, "Mind the box" (arXiv 2103.01208), algorithm 1 and the larger radii of section 3.4;
        constants are those of the authors' code.
    """
    point = center + drawn(jax.random.normal, key, center.shape, center.dtype)
    for factor, share in _PHASES:
        steps = max(round(share * num_steps), 1)
        best = _phase(objective, point, center, ball.replace(radius=factor * ball.radius), steps)
        point = best.point
    return Evaluated(best.point, best.value)


def _phase(objective: Objective, start: Point, center: Point, ball: Ball, num_steps: int) -> Differentiated:
    period, movable = max(int(0.04 * num_steps), 1), ball.norm.movable(center.shape)

    def evaluate(point: Point) -> Differentiated:
        found = differentiated(objective, into_ball_and_box(point, center, ball))
        return found._replace(gradient=jnp.where(movable, found.gradient, 0.0))

    def step(state: _State) -> _State:
        direction = _sparse_sign(state.current.gradient, state.support / 1.5)
        current = evaluate(state.current.point + state.step_size * direction)
        moved = state._replace(current=current, best=better(current, state.best), num_done=state.num_done + 1)
        return select(moved.num_done % period == 0, _check(moved, center, ball.radius), moved)

    def is_unfinished(state: _State) -> Bool[Array, ""]:
        return (state.num_done < num_steps) & (state.best.value < jnp.inf)

    first = evaluate(start)
    step_size = jnp.asarray(ball.radius, center.dtype)
    state = _State(first, first, step_size, _support(first.point, center), jnp.array(0))
    return loops.while_loop(is_unfinished, step, state).best


def _support(point: Point, center: Point) -> Scalar:
    return jnp.sum(point != center).astype(center.dtype)


def _sparse_sign(gradient: Point, count: Scalar) -> Point:
    """Signs of the `count` largest entries (rounded up), as a vector of l1 length 1."""
    magnitudes = jnp.abs(gradient)
    index = jnp.clip(gradient.size - count, 0, gradient.size - 1).astype(int)
    signs = jnp.where(magnitudes >= jnp.sort(magnitudes.ravel())[index], jnp.sign(gradient), 0.0)
    return signs / jnp.maximum(jnp.sum(jnp.abs(signs)), 1.0)


def _check(state: _State, center: Point, radius: ArrayLike) -> _State:
    support = _support(state.best.point, center)
    has_shrunk = support < 0.95 * state.support
    return state._replace(
        current=select(has_shrunk, state.best, state.current),
        step_size=jnp.where(has_shrunk, radius, jnp.maximum(state.step_size / 1.5, 0.1 * radius)).astype(center.dtype),
        support=support,
    )
