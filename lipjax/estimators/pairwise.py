"""The pairwise slope: the Lipschitz constant of a function on a ball, between any two of its points."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from lipjax import checks
from lipjax.attacks.climb import into_ball
from lipjax.batching import in_chunks
from lipjax.estimators.growing import best_of, better
from lipjax.estimators.quotient import rounding_error, safe_ratio
from lipjax.norms import Norm, l2
from lipjax.types import Bounds, Estimate, Estimator, KeyArray, Point, Scalar, VectorFn

_TURNS = 2
"""Power steps that turn a random direction towards the steepest one at a point."""

_SCALES = (1.0, 1e-3)
"""First and last distance of steps and of random points around the best one, as multiples of the radius."""

_AT_ONCE = 32
"""Random points whose Jacobians are applied at once, so that memory does not grow with their number."""

_HALVINGS = 12
"""How often the distance of the witnessing pair is halved, from the diameter of the ball."""


def pairwise_slope(
    radius: ArrayLike,
    *,
    norm_in: Norm = l2,
    norm_out: Norm = l2,
    num_samples: int = 128,
    num_steps: int = 20,
    num_restarts: int = 8,
    bounds: Bounds = (0.0, 1.0),
) -> Estimator:
    """Lipschitz constant on the ball, `sup ||f(u) - f(v)|| / ||u - v||` over two points u and v of the ball.

    It equals the largest operator norm of the Jacobian on the ball, so the search is for a point z and a direction d:
    z climbs `||f(z + t d) - f(z - t d)|| / 2t` for ever smaller t (which sees kinks from afar, where the Jacobian is
    constant) while d follows the power method. Then Jacobians at random points around the best one are tried, ever
    nearer.

    Args:
        radius: Radius of the ball in input units (pixels in [0, 1]); may be traced.
        norm_in: Norm of the ball and of input differences.
        norm_out: Norm of output differences.
        num_samples: Random points that an ascent starts from the steepest of; as many per round around the best one.
        num_steps: Gradient steps per ascent, and rounds around the best one.
        num_restarts: Ascents, one after another.
        bounds: Lowest and highest legal input value; None for no limits.

    Returns:
        An estimator `(key, f, x) -> Estimate`. The witness is the pair `[2, *dims]` of points of the ball and the box;
        the value is their quotient less what rounding may have added (`quotient.rounding_error`), a lower bound of the
        constant. A steep piece that is a tiny part of the ball (less than a hundredth of it in two dimensions) can be
        missed.

    Raises:
        ValueError: If radius is not positive or a count is not a whole number of at least 1.

    Example:
        >>> estimator = pairwise_slope(0.5, bounds=None)
        >>> x = jnp.array([3.0, 4.0])
        >>> estimator(jax.random.key(0), lambda x: x @ x, x).value.round(1)  # 2 (||x|| + r)
        Array(11., dtype=float32)
    """
    checks.positive(radius=radius)
    checks.at_least(1, num_samples=num_samples, num_steps=num_steps, num_restarts=num_restarts)

    def estimate(key: KeyArray, f: VectorFn, x: Point) -> Estimate:
        within = partial(into_ball, center=x, norm=norm_in, radius=radius, bounds=bounds)
        scales = jnp.geomspace(*_SCALES, num_steps, dtype=x.dtype)
        tangent = partial(_tangent, f, norm_in=norm_in, norm_out=norm_out)

        def at_random(key: KeyArray, center: Point, scale: ArrayLike) -> _Tangent:
            def draw(sample_key: KeyArray) -> _Tangent:
                point_key, turn_key = jax.random.split(sample_key)
                point = within(center + radius * scale * norm_in.sample(point_key, x.shape).astype(x.dtype))
                return tangent(point, norm_in.sample(turn_key, x.shape).astype(x.dtype), num_turns=_TURNS)

            return best_of(in_chunks(draw, _AT_ONCE)(jax.random.split(key, num_samples)))

        def climb(carry: tuple[_Tangent, _Tangent], size: Scalar) -> tuple[tuple[_Tangent, _Tangent], None]:
            now, best = carry
            rises = jax.grad(_apart, argnums=(1, 2))(f, now.point, now.direction, radius * size, norm_out)
            moved = within(now.point + radius * size * norm_in.steepest(rises[0]))
            now = tangent(moved, norm_in.steepest(rises[1]), num_turns=1)
            return (now, better(now, best)), None

        def run(restart_key: KeyArray) -> _Tangent:
            start = at_random(restart_key, x, 1.0)
            return jax.lax.scan(climb, (start, start), scales)[0][1]

        def refine(best: _Tangent, now: tuple[KeyArray, Scalar]) -> tuple[_Tangent, None]:
            return better(at_random(now[0], best.point, now[1]), best), None

        climb_key, refine_key = jax.random.split(key)
        best = best_of(jax.lax.map(run, jax.random.split(climb_key, num_restarts)))
        best, _ = jax.lax.scan(refine, best, (jax.random.split(refine_key, num_steps), scales))
        return _attained(f, best, radius, within, norm_in, norm_out)

    return estimate


class _Tangent(NamedTuple):
    """A point, a direction of length 1 and how steep the function is there in that direction."""

    value: Scalar
    point: Point
    direction: Point


def _tangent(f: VectorFn, point: Point, direction: Point, num_turns: int, norm_in: Norm, norm_out: Norm) -> _Tangent:
    """The direction after `num_turns` steps of the power method at a point."""
    _, push = jax.linearize(f, point)

    def steepness(direction: Point) -> Scalar:
        return norm_out.value(push(direction))

    for _ in range(num_turns):
        direction = norm_in.steepest(jax.grad(steepness)(direction))
    return _Tangent(safe_ratio(steepness(direction), norm_in.value(direction)), point, direction)


def _apart(f: VectorFn, point: Point, direction: Point, distance: ArrayLike, norm_out: Norm) -> Scalar:
    return norm_out.value(f(point + distance * direction) - f(point - distance * direction))


def _attained(
    f: VectorFn,
    tangent: _Tangent,
    radius: ArrayLike,
    within: Callable[[Point], Point],
    norm_in: Norm,
    norm_out: Norm,
) -> Estimate:
    """The steepest pair of points on the tangent, ahead of it, behind it, and on both sides.

    What rounding may have added is taken off, so of pairs about as steep the one further apart is chosen.
    """
    reaches = radius * 0.5 ** jnp.arange(_HALVINGS, dtype=tangent.point.dtype)
    error = 2.0 * rounding_error(f, tangent.point, norm_out)  # neither end is exact, as an anchor would be
    sides = jnp.array([[1.0, 0.0], [0.0, -1.0], [1.0, -1.0]], reaches.dtype)

    def quotient(ends: Float[Array, "2"]) -> Estimate:
        pair = jnp.stack([within(tangent.point + end * tangent.direction) for end in ends])
        first, second = jax.vmap(f)(pair)
        difference = jnp.maximum(norm_out.value(first - second) - error, 0.0)
        return Estimate(safe_ratio(difference, norm_in.value(pair[0] - pair[1])), pair)

    return best_of(in_chunks(quotient, _HALVINGS)((reaches[:, None, None] * sides).reshape(-1, 2)))
