"""The slope of a function around a point: the talk's local Lipschitz constant, from below and with a witness."""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from lipjax import checks
from lipjax.attacks.climb import into_box
from lipjax.batching import in_chunks
from lipjax.estimators.draws import Draw
from lipjax.estimators.growing import growing_search, search_ball
from lipjax.estimators.quotient import difference_quotient, sure_quotient
from lipjax.norms import Norm, l2
from lipjax.types import Box, Estimate, Estimator, KeyArray, Objective, Point, VectorFn

_AT_ONCE = 25
"""Random points evaluated at once, so that memory does not grow with their number."""

_SMALLEST_BALL = 1.0 / 32.0
"""Radius of the first ball that `ascent_slope` searches, as a part of the radius."""


def best_sample(
    key: KeyArray, objective: Objective, x: Point, *, draw: Draw, radius: ArrayLike, num_samples: int, bounds: Box
) -> Estimate:
    """The largest value of the objective at `num_samples` random points around x, and that point."""

    def at(sample_key: KeyArray) -> Point:
        return into_box(x + radius * draw(sample_key, x.shape).astype(x.dtype), bounds)

    keys = jax.random.split(key, num_samples)
    values = in_chunks(lambda sample_key: objective(at(sample_key)), _AT_ONCE)(keys)
    best = jnp.argmax(values)
    return Estimate(values[best], at(keys[best]))


def sampled_slope(
    radius: ArrayLike,
    *,
    norm_in: Norm = l2,
    norm_out: Norm = l2,
    num_samples: int = 100,
    draw: Draw | None = None,
    bounds: Box = (0.0, 1.0),
) -> Estimator:
    """Slope from random perturbations, `max_n ||f(x + e_n) - f(x)|| / ||e_n||`.

    Args:
        radius: Radius of the ball in input units (pixels in [0, 1]); may be traced.
        norm_in: Norm of the ball and of perturbations.
        norm_out: Norm of output differences.
        num_samples: Number of perturbations.
        draw: Law of perturbations on the unit ball, see `estimators.draws`; default uniform, `norm_in.sample`.
        bounds: Lowest and highest legal input value; None for no limits. Perturbed points are clipped, and the quotient
            is taken with the clipped perturbation.

    Returns:
        An estimator `(key, f, x) -> Estimate`. The value is the quotient at the witness, a lower bound of the slope. In
        many dimensions it is far below: use it to repeat published protocols, and `ascent_slope` to measure.

    Raises:
        ValueError: If radius is not positive or num_samples is not a whole number of at least 1.

    References:
        Lassance et al. 2019, "Structural robustness for deep learning architectures" (arXiv 1909.05095).

    Example:
        >>> estimator = sampled_slope(0.5, num_samples=10, bounds=None)
        >>> estimator(jax.random.key(0), lambda x: 3.0 * x, jnp.zeros(4)).value
        Array(3., dtype=float32)
    """
    checks.positive(radius=radius)
    checks.at_least(1, num_samples=num_samples)

    def estimate(key: KeyArray, f: VectorFn, x: Point) -> Estimate:
        quotient = difference_quotient(f, x, norm_in=norm_in, norm_out=norm_out)
        law = norm_in.sample if draw is None else draw
        return best_sample(key, quotient, x, draw=law, radius=radius, num_samples=num_samples, bounds=bounds)

    return estimate


def ascent_slope(
    radius: ArrayLike,
    *,
    norm_in: Norm = l2,
    norm_out: Norm = l2,
    num_samples: int = 32,
    num_steps: int = 5,
    num_restarts: int = 24,
    bounds: Box = (0.0, 1.0),
) -> Estimator:
    """Slope by projected ascent on the difference quotient `||f(x + e) - f(x)|| / ||e||` over `||e|| <= radius`.

    The search runs in balls that grow from radius / 32 to the radius, so that what is steep close to x is found too. In
    every ball it tries random perturbations, around 0 and around the best one so far (functions with kinks are steepest
    on edges, which gradients do not follow), and climbs from the best of either kind.

    Args:
        radius: Radius of the ball in input units (pixels in [0, 1]); may be traced.
        norm_in: Norm of the ball, of perturbations and of steps.
        norm_out: Norm of output differences.
        num_samples: Perturbations of each kind per ball.
        num_steps: Gradient steps per ascent, of which there are two per ball.
        num_restarts: Number of balls; with 1 only that of the radius itself is searched.
        bounds: Lowest and highest legal input value; None for no limits.

    Returns:
        An estimator `(key, f, x) -> Estimate`. The value is the quotient at the witness less what rounding may have
        added (`quotient.sure_quotient`), a lower bound of the slope. For many radii at once use `slope_curve`.

    Raises:
        ValueError: If radius is not positive or a count is not a whole number of at least 1.

    References:
        Ours. Yang et al. 2020, "A closer look at accuracy vs. robustness" (arXiv 2003.02460), climb the same quotient
        for 10 sign steps of 0.003; their released code adds the gradient of the negated quotient, so it descends.

    Example:
        >>> estimator = ascent_slope(0.5, bounds=None)
        >>> matrix = jnp.array([[2.0, 0.0], [0.0, 1.0]])
        >>> estimator(jax.random.key(0), lambda x: matrix @ x, jnp.ones(2)).value.round(3)
        Array(2., dtype=float32)
    """
    checks.positive(radius=radius)
    checks.at_least(1, num_samples=num_samples, num_steps=num_steps, num_restarts=num_restarts)
    search = partial(search_ball, norm=norm_in, num_samples=num_samples, num_steps=num_steps, num_restarts=1)

    def estimate(key: KeyArray, f: VectorFn, x: Point) -> Estimate:
        climbed = sure_quotient(f, x, norm_in=norm_in, norm_out=norm_out)

        def grow(best: Estimate, ball: tuple[KeyArray, ArrayLike]) -> tuple[Estimate, None]:
            return search(ball[0], climbed, x, best, radius=ball[1], bounds=bounds), None

        radii = radius * jnp.geomspace(1.0, _SMALLEST_BALL, num_restarts, dtype=x.dtype)[::-1]
        nothing = Estimate(jnp.zeros((), x.dtype), x)
        return jax.lax.scan(grow, nothing, (jax.random.split(key, num_restarts), radii))[0]

    return estimate


def growing_slope(
    key: KeyArray,
    f: VectorFn,
    x: Point,
    radii: Float[Array, " radii"],
    *,
    norm_in: Norm,
    norm_out: Norm,
    num_samples: int = 16,
    num_steps: int = 5,
    num_restarts: int = 2,
    bounds: Box = (0.0, 1.0),
) -> Estimate:
    """Slopes at all radii by one search in growing balls; see `growing.growing_search` for settings and guarantees."""
    checks.at_least(1, num_steps=num_steps, num_restarts=num_restarts)
    checks.at_least(num_restarts, num_samples=num_samples)
    search = partial(growing_search, num_samples=num_samples, num_steps=num_steps, num_restarts=num_restarts)
    quotient = sure_quotient(f, x, norm_in=norm_in, norm_out=norm_out)
    return search(key, quotient, x, radii, norm=norm_in, bounds=bounds)
