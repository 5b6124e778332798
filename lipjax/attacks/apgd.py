"""APGD: projected gradient ascent with momentum that chooses its step size while it runs."""

from dataclasses import KW_ONLY
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from lipjax import loops
from lipjax.attacks.apgd_l1 import sparse_ascent
from lipjax.attacks.climb import (
    Differentiated,
    Evaluated,
    better,
    differentiated,
    not_below_center,
    restarted,
    select,
)
from lipjax.norms import Ball, linf
from lipjax.types import Attack, KeyArray, Objective, Point, Scalar
from lipjax.values import count

_MOMENTUM = 0.75
_LEAST_SHARE_OF_RISES = 0.75


class apgd(Attack):
    """Auto-PGD: momentum ascent whose step is halved, back at the best point, whenever progress stalls.

    `z = P(x_k + s g)`, `x_{k+1} = P(x_k + 0.75 (z - x_k) + 0.25 (x_k - x_{k-1}))`, with s from `2 radius` downwards. It
    stops as soon as the objective is infinite, since nothing is higher: see `objectives.evasion`. The point is in the
    ball and in the box; at radius 0 it is the center, bit for bit. The objective there is never below its value at the
    center.

    The objective decides which attack of the literature this is: APGD-CE climbs `losses.cross_entropy`, APGD-DLR
    `losses.dlr`, APGD-T `losses.targeted_dlr`.

    Attributes:
        ball: Where points may go. In l1 the steps are sparse and the radius comes down from three times its value, as
            published for that norm; see `apgd_l1.sparse_ascent`.
        num_steps: Number of gradient steps.
        num_restarts: Independent runs from random starts, of which the best result is returned.

    Raises:
        ValueError: If a count is not a whole number of at least 1.

    References:
        Croce and Hein 2020, "Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free
        attacks" (arXiv 2003.01690), algorithm 1; checkpoints and constants are those of the authors' code. Ours starts
        from a uniform point of the ball (theirs is scaled to its surface) and counts the center as an iterate.

    Examples:
        >>> import jax
        >>> attack = apgd(linf.ball(0.1), num_steps=10)
        >>> attack(jax.random.key(0), lambda x: x[0] - x[1], jnp.array([0.5, 0.5]))
        Array([0.6, 0.4], dtype=float32)
    """

    ball: Ball = linf.ball(8 / 255)
    _: KW_ONLY
    num_steps: int = count(100)
    num_restarts: int = count(1)

    def __call__(self, key: KeyArray, objective: Objective, center: Point) -> Point:
        return restarted(not_below_center(self._search), self.num_restarts)(key, objective, center)

    def _search(self, key: KeyArray, objective: Objective, center: Point) -> Evaluated:
        ascent = sparse_ascent if self.ball.norm.exponent == 1.0 else dense_ascent
        return ascent(key, objective, center, ball=self.ball, num_steps=self.num_steps)


class _State(NamedTuple):
    following: Point  # where the objective is asked next
    current: Differentiated
    previous: Point
    best: Differentiated
    step_size: Scalar
    num_rises: Int[Array, ""]
    best_at_check: Scalar
    halved_at_check: Bool[Array, ""]
    num_done: Int[Array, ""]


def dense_ascent(key: KeyArray, objective: Objective, center: Point, *, ball: Ball, num_steps: int) -> Evaluated:
    """One run of `apgd` from a uniform point of the ball."""
    lengths = jnp.asarray([0, *window_lengths(num_steps)])

    def move(state: _State) -> Point:
        point, _, gradient = state.current
        stepped = ball.step(point, gradient, center, state.step_size)
        weight = jnp.where(state.num_done == 1, 1.0, _MOMENTUM)
        moved = point + weight * (stepped - point) + (1.0 - weight) * (point - state.previous)
        return ball.project(moved, center)

    def step(state: _State) -> _State:
        is_start = state.num_done == 0
        current = differentiated(objective, state.following)
        best = select(is_start, current, better(current, state.best))
        moved = state._replace(
            current=current,
            previous=state.current.point,
            best=best,
            num_rises=state.num_rises + (~is_start & (current.value > state.current.value)),
            best_at_check=jnp.where(is_start, current.value, state.best_at_check),
            num_done=state.num_done + 1,
        )
        checked = _check(moved, lengths[state.num_done])
        return checked._replace(following=move(checked))

    def is_unfinished(state: _State) -> Bool[Array, ""]:
        return (state.num_done <= num_steps) & (state.best.value < jnp.inf)

    # The start is the first turn of the loop, so that the objective and its gradient are compiled once.
    start, zero = ball.sample(key, center), jnp.zeros((), jax.eval_shape(objective, center).dtype)
    nowhere = Differentiated(start, zero, jnp.zeros_like(start))
    step_size = jnp.asarray(2.0 * ball.radius, center.dtype)
    state = _State(start, nowhere, start, nowhere, step_size, jnp.array(0), zero, jnp.array(True), jnp.array(0))
    best = loops.while_loop(is_unfinished, step, state).best
    return Evaluated(best.point, best.value)


def window_lengths(num_steps: int) -> np.ndarray:
    """For every step, the number of steps since the last checkpoint if one ends it, otherwise 0.

    Examples:
        >>> window_lengths(10)
        array([0, 2, 1, 1, 1, 1, 1, 1, 1, 1])
    """
    lengths = np.zeros(num_steps, int)
    length, shrinkage, least = (max(int(share * num_steps), 1) for share in (0.22, 0.03, 0.06))
    end = length
    while end <= num_steps:
        lengths[end - 1] = length
        length = max(length - shrinkage, least)
        end += length
    return lengths


def _check(state: _State, length: Int[Array, ""]) -> _State:
    """At a checkpoint, halves the step and goes back to the best point if progress stalled since the last one."""
    at_checkpoint = length > 0
    is_stalled = state.num_rises <= _LEAST_SHARE_OF_RISES * length
    is_useless = ~state.halved_at_check & (state.best.value <= state.best_at_check)
    halve = at_checkpoint & (is_stalled | is_useless)
    return state._replace(
        current=select(halve, state.best, state.current),
        step_size=jnp.where(halve, state.step_size / 2.0, state.step_size),
        num_rises=jnp.where(at_checkpoint, 0, state.num_rises),
        best_at_check=jnp.where(at_checkpoint, state.best.value, state.best_at_check),
        halved_at_check=jnp.where(at_checkpoint, halve, state.halved_at_check),
    )
