"""APGD: projected gradient ascent with momentum that chooses its step size while it runs."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Int

from lipjax import checks, norms
from lipjax.attacks.apgd_l1 import sparse_apgd
from lipjax.attacks.climb import (
    Differentiated,
    Evaluated,
    Search,
    better,
    differentiated,
    into_ball,
    not_below_center,
    random_point,
    restarted,
    select,
)
from lipjax.attacks.pgd import pgd_step
from lipjax.norms import Norm, linf
from lipjax.types import Attack, Box, KeyArray, Objective, Point, Scalar

_MOMENTUM = 0.75
_LEAST_SHARE_OF_RISES = 0.75


def apgd(
    norm: Norm = linf,
    radius: ArrayLike = 8 / 255,
    *,
    num_steps: int = 100,
    num_restarts: int = 1,
    bounds: Box = (0.0, 1.0),
) -> Attack:
    """Auto-PGD: momentum ascent whose step is halved, back at the best point, whenever progress stalls.

    `z = P(x_k + s g)`, `x_{k+1} = P(x_k + 0.75 (z - x_k) + 0.25 (x_k - x_{k-1}))`, with s from `2 radius` downwards. It
    stops as soon as the objective is infinite, since nothing is higher: see `objectives.evasion`.

    The objective decides which attack of the literature this is: APGD-CE climbs `losses.cross_entropy`, APGD-DLR
    `losses.dlr`, APGD-T `losses.targeted_dlr`.

    Args:
        norm: Norm of the ball. In l1 the steps are sparse and the radius comes down from three times its value, as
            published for that norm; see `apgd_l1.sparse_apgd`.
        radius: Radius of the ball in input units (pixels in [0, 1]); may be traced.
        num_steps: Number of gradient steps.
        num_restarts: Independent runs from random starts, of which the best result is returned.
        bounds: Lowest and highest legal input value; None for no limits.

    Returns:
        An attack `(key, objective, center) -> point`. The point is in the ball and in the box; at radius 0 it is the
        center, bit for bit. The objective there is never below its value at the center.

    Raises:
        ValueError: If radius is negative, or a count is not a whole number of at least 1.

    References:
        Croce and Hein 2020, "Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free
        attacks" (arXiv 2003.01690), algorithm 1; checkpoints and constants are those of the authors' code. Ours starts
        from a uniform point of the ball (theirs is scaled to its surface) and counts the center as an iterate.

    Example:
        >>> attack = apgd(linf, radius=0.1, num_steps=10)
        >>> attack(jax.random.key(0), lambda x: x[0] - x[1], jnp.array([0.5, 0.5]))
        Array([0.6, 0.4], dtype=float32)
    """
    checks.not_negative(radius=radius)
    checks.at_least(1, num_steps=num_steps)
    search = _VARIANTS.get(norm.name, _dense_apgd)(norm, radius, num_steps, bounds)
    return restarted(not_below_center(search), num_restarts)


class _State(NamedTuple):
    current: Differentiated
    previous: Point
    best: Differentiated
    step_size: Scalar
    num_rises: Int[Array, ""]
    best_at_check: Scalar
    halved_at_check: Bool[Array, ""]
    num_done: Int[Array, ""]


def _dense_apgd(norm: Norm, radius: ArrayLike, num_steps: int, bounds: Box) -> Search:
    lengths = jnp.asarray(window_lengths(num_steps))
    ball: Any = {"norm": norm, "radius": radius, "bounds": bounds}

    def move(state: _State, center: Point) -> Point:
        point, _, gradient = state.current
        stepped = pgd_step(point, gradient, center, step_size=state.step_size, **ball)
        weight = jnp.where(state.num_done == 0, 1.0, _MOMENTUM)
        moved = point + weight * (stepped - point) + (1.0 - weight) * (point - state.previous)
        return into_ball(moved, center, **ball)

    def search(key: KeyArray, objective: Objective, center: Point) -> Evaluated:
        def step(state: _State) -> _State:
            current = differentiated(objective, move(state, center))
            moved = state._replace(
                current=current,
                previous=state.current.point,
                best=better(current, state.best),
                num_rises=state.num_rises + (current.value > state.current.value),
                num_done=state.num_done + 1,
            )
            return _check(moved, lengths[state.num_done])

        def is_unfinished(state: _State) -> Bool[Array, ""]:
            return (state.num_done < num_steps) & (state.best.value < jnp.inf)

        start = differentiated(objective, random_point(key, center, **ball))
        step_size = jnp.asarray(2.0 * radius, center.dtype)
        state = _State(start, start.point, start, step_size, jnp.array(0), start.value, jnp.array(True), jnp.array(0))
        best = jax.lax.while_loop(is_unfinished, step, state).best
        return Evaluated(best.point, best.value)

    return search


def window_lengths(num_steps: int) -> np.ndarray:
    """For every step, the number of steps since the last checkpoint if one ends it, otherwise 0.

    Example:
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


_VARIANTS: dict[str, Callable[[Norm, ArrayLike, int, Box], Search]] = {norms.l1.name: sparse_apgd}
