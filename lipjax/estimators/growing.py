"""One search for all radii: ascent in balls that grow along a fixed grid of radii.

The best value found at grid radii up to r is non-decreasing in r and depends on r alone, whatever other radii are asked
for. It is also a better search than one run per radius: what is steep close to the center is found in small balls and
never lost, and each ball starts from the best of the smaller one.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Int

from lipjax import loops
from lipjax.batching import in_chunks
from lipjax.chance import drawn
from lipjax.estimators.estimator import larger, largest
from lipjax.norms import Ball
from lipjax.types import Estimate, KeyArray, Objective, Point, Scalar

_MANTISSAS = (1, 1.1, 1.2, 1.3, 1.5, 1.7, 2, 2.2, 2.5, 2.8, 3, 3.5, 4, 4.5, 5, 5.5, 6, 7, 8, 9)
# Round numbers, since those are the radii that people ask for; spelled in decimals, so that they are equal to those.
GRID = np.array([1e-3, 2e-3, 5e-3] + [float(f"{digits}e{power}") for power in range(-2, 5) for digits in _MANTISSAS])

_STEP_SIZES = (8.0, 0.05)
"""First and last step of an ascent, as multiples of the radius. A first step of many radii lands on the boundary at the
steepest point of the linearised objective, as in the power method."""

_NEAREST = 1e-3
"""Smallest distance, as a multiple of the radius, at which points near the best one are tried."""

_AT_ONCE = 25
"""Random points evaluated at once, so that memory does not grow with their number."""


def climb(
    objective: Objective, start: Point, center: Point, lift: ArrayLike, *, ball: Ball, num_steps: int
) -> Estimate:
    """Projected ascent with steps that shrink geometrically from 8 to 0.05 radii; its best iterate.

    With `lift = 0` the steps follow the gradient of the quotient, which finds what is steep anywhere in the ball; with
    `lift = 1` that of its numerator, which stays on the boundary and converges there like the power method.
    """

    def height(point: Point) -> tuple[Scalar, Scalar]:
        value = objective(point)
        return value * (1.0 - lift + lift * ball.norm.value(point - center)), value

    def step(carry: tuple[Point, Estimate], size: Scalar) -> tuple[tuple[Point, Estimate], None]:
        point, best = carry
        (_, value), gradient = jax.value_and_grad(height, has_aux=True)(point)
        moved = ball.step(point, gradient, center, ball.radius * size)
        return (moved, larger(Estimate(value, point), best)), None

    nothing = Estimate(jnp.array(-jnp.inf, start.dtype), start)
    sizes = jnp.geomspace(*_STEP_SIZES, num_steps, dtype=start.dtype)
    return loops.scan(step, (start, nothing), sizes)[0][1]


def search_ball(
    key: KeyArray,
    objective: Objective,
    center: Point,
    best: Estimate,
    ball: Ball,
    *,
    num_samples: int,
    num_steps: int,
    num_restarts: int,
) -> Estimate:
    """The best of what is known from smaller balls and of what a search of this ball finds.

    `num_samples` points of the sphere and as many near the best so far are tried. Ascents start from the best so far,
    moved out to the boundary and climbing the numerator, and from the `num_restarts` best of the new points, climbing
    the quotient.
    """
    ascend = partial(climb, objective, ball=ball, num_steps=num_steps)
    around_center, around_best = _draws(key, best.witness, center, ball, num_samples)
    step = best.witness - center
    length = ball.norm.value(step)
    outwards = step * (ball.radius / jnp.where(length == 0.0, 1.0, length))
    # The mirror image: to first order as steep, so what makes one of the two steeper decides.
    tried_points = jnp.concatenate([around_center, around_best, (center - outwards)[None]])
    points = jax.vmap(lambda point: ball.project(point, center))(tried_points)
    tried = Estimate(in_chunks(objective, _AT_ONCE)(points), points)
    steepest = points[jax.lax.top_k(tried.value[:num_samples], num_restarts)[1]]
    first = jnp.where(length == 0.0, steepest[0], ball.project(center + outwards, center))
    starts = jnp.concatenate([first[None], steepest])
    climbed = jax.vmap(lambda start, lift: ascend(start, center, lift))(starts, jnp.arange(len(starts)) == 0)
    return larger(largest(climbed), larger(largest(tried), best))


class _Reach(NamedTuple):
    """The number of grid radii searched so far, the best of all of them, and (`below`) of all but the last."""

    searched: Int[Array, ""]
    below: Estimate
    best: Estimate


def growing_search(
    key: KeyArray, objective: Objective, center: Point, radii: Float[Array, " radii"], ball: Ball, **counts: int
) -> Estimate:
    """Climbs an objective in balls of growing radius.

    `search_ball` searches the balls of the grid radii, one after another. A radius r between two of them gets the best
    of the smaller ones, or the best of the next one moved into the ball of r; that counts only where it isn't above
    what it came from.

    Args:
        key: A typed key.
        objective: The quotient to climb; not negative, 0 at the center.
        center: Center of the balls.
        radii: The radii, in any order.
        ball: Norm and box of the balls; its own radius does not matter.
        **counts: Those of `search_ball`, per grid radius.

    Returns:
        The best value and its point, at every radius: non-decreasing in the radius. Each depends on the key and its own
        radius only, with one exception: of radii between the same two grid radii, the larger ones are given at least
        the value of the smaller ones.
    """
    grid = jnp.asarray(GRID, radii.dtype)

    def grow(reach: _Reach) -> _Reach:
        level_key, level = jax.random.fold_in(key, reach.searched), ball.replace(radius=grid[reach.searched])
        found = search_ball(level_key, objective, center, reach.best, level, **counts)
        return _Reach(reach.searched + 1, reach.best, found)

    def at(carry: tuple[_Reach, Estimate], radius: Float[Array, ""]) -> tuple[tuple[_Reach, Estimate], Estimate]:
        def is_short(reach: _Reach) -> Array:
            return (reach.searched < grid.size) & ((reach.searched == 0) | (grid[reach.searched - 1] < radius))

        reach = loops.while_loop(is_short, grow, carry[0])
        inside = ball.replace(radius=radius).project(reach.best.witness, center)
        value = objective(inside)
        fits = (grid[reach.searched - 1] <= radius) | (ball.norm.value(reach.best.witness - center) <= radius)
        moved = larger(Estimate(jnp.where(value <= reach.best.value, value, 0.0), inside), reach.below)
        found = jax.tree.map(lambda best, other: jnp.where(fits, best, other), reach.best, moved)
        found = larger(found, carry[1])
        return (reach, found), found

    nothing = Estimate(jnp.zeros((), center.dtype), center)
    order = jnp.argsort(radii)
    _, found = loops.scan(at, (_Reach(jnp.array(0), nothing, nothing), nothing), radii[order])
    return jax.tree.map(lambda leaf: leaf[jnp.argsort(order)], found)


def _draws(
    key: KeyArray, best: Point, center: Point, ball: Ball, num_samples: int
) -> tuple[Float[Array, "samples *dims"], Float[Array, "samples *dims"]]:
    """Points at the radius around the center, and points near the best one at distances of all orders of magnitude."""
    noise_key, scale_key = jax.random.split(key)
    keys = jax.random.split(noise_key, 2 * num_samples)
    noise = jax.vmap(lambda sample_key: ball.norm.sample(sample_key, center.shape))(keys).astype(center.dtype)
    # On the sphere, since smaller balls had their samples: it reaches further into what begins only now.
    outer = noise[:num_samples] / jax.vmap(ball.norm.value)(noise[:num_samples]).reshape(-1, *(1,) * center.ndim)
    scales = _NEAREST ** drawn(jax.random.uniform, scale_key, (num_samples, *(1,) * center.ndim), center.dtype)
    # Nothing is known yet where the best is the center itself, and differences very close to it are all rounding.
    scales = jnp.where(jnp.all(best == center), 1.0, scales)
    return center + ball.radius * outer, best + ball.radius * scales * noise[num_samples:]
