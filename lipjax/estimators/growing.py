"""One search for all radii: ascent in balls that grow along a fixed grid of radii.

The best value found at grid radii up to r is non-decreasing in r and depends on r alone, whatever other radii are asked
for. It is also a better search than one run per radius: what is steep close to the center is found in small balls and
never lost, and each ball starts from the best of the smaller one.
"""

from functools import partial
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Int

from lipjax.attacks.climb import into_ball
from lipjax.attacks.pgd import pgd_step
from lipjax.norms import Norm
from lipjax.types import Bounds, Estimate, KeyArray, Objective, Point, Scalar

_MANTISSAS = (1, 1.1, 1.2, 1.3, 1.5, 1.7, 2, 2.2, 2.5, 2.8, 3, 3.5, 4, 4.5, 5, 5.5, 6, 7, 8, 9)
# Round numbers, since those are the radii that people ask for; spelled in decimals, so that they are equal to those.
GRID = np.array([1e-3, 2e-3, 5e-3] + [float(f"{digits}e{power}") for power in range(-2, 5) for digits in _MANTISSAS])

_STEP_SIZES = (8.0, 0.05)
"""First and last step of an ascent, as multiples of the radius. A first step of many radii lands on the boundary at the
steepest point of the linearised objective, as in the power method."""

_NEAREST = 1e-3
"""Smallest distance, as a multiple of the radius, at which points near the best one are tried."""


Found = TypeVar("Found", bound=tuple)


def better(candidate: Found, best: Found) -> Found:
    """The candidate where its field `value` is larger, otherwise the best so far."""
    wins = candidate.value > best.value  # type: ignore[attr-defined]
    return jax.tree.map(lambda new, old: jnp.where(wins, new, old), candidate, best)


def best_of(estimates: Estimate) -> Estimate:
    """The estimate with the largest value, of estimates with a leading axis."""
    best = jnp.argmax(estimates.value)
    return jax.tree.map(lambda leaf: leaf[best], estimates)


def climb(
    objective: Objective,
    start: Point,
    center: Point,
    lift: ArrayLike = 0.0,
    *,
    norm: Norm,
    radius: ArrayLike,
    scale: ArrayLike,
    num_steps: int,
    bounds: Bounds,
) -> Estimate:
    """Projected ascent with steps that shrink geometrically from 8 to 0.05 times `scale`; its best iterate.

    With `lift = 0` the steps follow the gradient of the quotient, which finds what is steep anywhere in the ball; with
    `lift = 1` that of its numerator, which stays on the boundary and converges there like the power method.
    """

    def height(point: Point) -> tuple[Scalar, Scalar]:
        value = objective(point)
        return value * (1.0 - lift + lift * norm.value(point - center)), value

    def step(carry: tuple[Point, Estimate], size: Float[Array, ""]) -> tuple[tuple[Point, Estimate], None]:
        point, best = carry
        (_, value), gradient = jax.value_and_grad(height, has_aux=True)(point)
        moved = pgd_step(point, gradient, center, norm=norm, radius=radius, step_size=scale * size, bounds=bounds)
        return (moved, better(Estimate(value, point), best)), None

    nothing = Estimate(jnp.array(-jnp.inf, start.dtype), start)
    sizes = jnp.geomspace(*_STEP_SIZES, num_steps, dtype=start.dtype)
    return jax.lax.scan(step, (start, nothing), sizes)[0][1]


class _Reach(NamedTuple):
    """The number of grid radii searched so far, the best of all of them, and (`below`) of all but the last."""

    searched: Int[Array, ""]
    below: Estimate
    best: Estimate


def growing_search(
    key: KeyArray,
    objective: Objective,
    center: Point,
    radii: Float[Array, " radii"],
    *,
    norm: Norm,
    num_samples: int,
    num_steps: int,
    num_restarts: int,
    bounds: Bounds,
) -> Estimate:
    """Climbs an objective in balls of growing radius.

    At every grid radius, `num_samples` points of the ball and as many near the best so far are tried. Ascents start
    from the best so far, moved out to the boundary and climbing the numerator, and from the `num_restarts` best of the
    new points, climbing the quotient. A radius r between two grid radii gets the best of the smaller ones, or the best
    of the next one moved into the ball of r; that counts only where it isn't above what it came from.

    Args:
        key: A typed key.
        objective: The quotient to climb; not negative, 0 at the center.
        center: Center of the balls.
        radii: The radii, in any order.
        norm: Norm of the balls.
        num_samples: Random points of each kind per grid radius.
        num_steps: Gradient steps per ascent.
        num_restarts: Ascents from random points per grid radius.
        bounds: Lowest and highest legal input value; None for no limits.

    Returns:
        The best value and its point, at every radius: non-decreasing in the radius. Each depends on the key and its own
        radius only, with one exception: of radii between the same two grid radii, the larger ones are given at least
        the value of the smaller ones.
    """
    grid = jnp.asarray(GRID, radii.dtype)
    within = partial(into_ball, center=center, norm=norm, bounds=bounds)

    def ascend(start: Point, lift: Scalar, radius: Scalar) -> Estimate:
        return climb(
            objective,
            start,
            center,
            lift,
            norm=norm,
            radius=radius,
            scale=radius,
            num_steps=num_steps,
            bounds=bounds,
        )

    def search(level_key: KeyArray, radius: Float[Array, ""], best: Estimate) -> Estimate:
        around_center, around_best = _draws(level_key, best.witness, center, radius, norm, num_samples)
        step = best.witness - center
        length = norm.value(step)
        outwards = step * (radius / jnp.where(length == 0.0, 1.0, length))
        # The mirror image: to first order as steep, so what makes one of the two steeper decides.
        points = jnp.concatenate([around_center, around_best, (center - outwards)[None]])
        points = jax.vmap(partial(within, radius=radius))(points)
        tried = Estimate(jax.vmap(objective)(points), points)
        steepest = jax.lax.top_k(tried.value[:num_samples], num_restarts)[1]
        starts = jnp.concatenate([within(center + outwards, radius=radius)[None], points[steepest]])
        lifts = jnp.zeros(len(starts)).at[0].set(1.0)
        climbed = jax.vmap(partial(ascend, radius=radius))(starts, lifts)
        return better(best_of(climbed), better(best_of(tried), best))

    def grow(reach: _Reach) -> _Reach:
        found = search(jax.random.fold_in(key, reach.searched), grid[reach.searched], reach.best)
        return _Reach(reach.searched + 1, reach.best, found)

    def at(carry: tuple[_Reach, Estimate], radius: Float[Array, ""]) -> tuple[tuple[_Reach, Estimate], Estimate]:
        def is_short(reach: _Reach) -> Array:
            return (reach.searched < grid.size) & ((reach.searched == 0) | (grid[reach.searched - 1] < radius))

        reach = jax.lax.while_loop(is_short, grow, carry[0])
        inside = within(reach.best.witness, radius=radius)
        value = objective(inside)
        fits = (grid[reach.searched - 1] <= radius) | (norm.value(reach.best.witness - center) <= radius)
        moved = better(Estimate(jnp.where(value <= reach.best.value, value, 0.0), inside), reach.below)
        found = jax.tree.map(lambda best, other: jnp.where(fits, best, other), reach.best, moved)
        found = better(found, carry[1])
        return (reach, found), found

    nothing = Estimate(jnp.zeros((), center.dtype), center)
    order = jnp.argsort(radii)
    _, found = jax.lax.scan(at, (_Reach(jnp.array(0), nothing, nothing), nothing), radii[order])
    return jax.tree.map(lambda leaf: leaf[jnp.argsort(order)], found)


def _draws(
    key: KeyArray, best: Point, center: Point, radius: Float[Array, ""], norm: Norm, num_samples: int
) -> tuple[Float[Array, "samples *dims"], Float[Array, "samples *dims"]]:
    """Points around the center, and points near the best one at distances of all orders of magnitude."""
    global_key, local_key, scale_key = jax.random.split(key, 3)

    def unit(key: KeyArray) -> Float[Array, "samples *dims"]:
        keys = jax.random.split(key, num_samples)
        return jax.vmap(lambda sample_key: norm.sample(sample_key, center.shape))(keys).astype(center.dtype)

    scales = _NEAREST ** jax.random.uniform(scale_key, (num_samples, *(1,) * center.ndim), center.dtype)
    return center + radius * unit(global_key), best + radius * scales * unit(local_key)
