"""The slope of a function around a point: the talk's local Lipschitz constant, from below and with a witness."""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from lipjax import checks
from lipjax.attacks.climb import into_ball, into_box
from lipjax.batching import in_chunks
from lipjax.estimators.draws import Draw
from lipjax.estimators.growing import best_of, better, climb, growing_search
from lipjax.estimators.quotient import difference_quotient, sure_quotient
from lipjax.norms import Norm, l2
from lipjax.types import Bounds, Estimate, Estimator, KeyArray, Objective, Point, VectorFn

_AT_ONCE = 25
"""Random points evaluated at once, so that memory does not grow with their number."""


def best_sample(
    key: KeyArray, objective: Objective, x: Point, *, draw: Draw, radius: ArrayLike, num_samples: int, bounds: Bounds
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
    bounds: Bounds = (0.0, 1.0),
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
    num_samples: int = 16,
    num_steps: int = 20,
    num_restarts: int = 8,
    bounds: Bounds = (0.0, 1.0),
) -> Estimator:
    """Slope by projected ascent on the difference quotient `||f(x + e) - f(x)|| / ||e||` over `||e|| <= radius`.

    Every restart climbs from the steepest of `num_samples` perturbations, drawn from balls of radius r, r/2, r/4 and
    r/8 in turn, with steps that shrink. Then the best is refined by `num_steps` rounds of `num_samples`
    perturbations around it, ever nearer: functions with kinks are steepest on edges, which gradients do not follow.

    Args:
        radius: Radius of the ball in input units (pixels in [0, 1]); may be traced.
        norm_in: Norm of the ball, of perturbations and of steps.
        norm_out: Norm of output differences.
        num_samples: Perturbations drawn per restart, and per round of the refinement.
        num_steps: Gradient steps per restart, and rounds of the refinement.
        num_restarts: Independent runs, one after another, of which the best result is kept.
        bounds: Lowest and highest legal input value; None for no limits.

    Returns:
        An estimator `(key, f, x) -> Estimate`. The value is the quotient at the witness, a lower bound of the slope.
        For many radii at once use `slope_curve`.

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

    def estimate(key: KeyArray, f: VectorFn, x: Point) -> Estimate:
        climbed = sure_quotient(f, x, norm_in=norm_in, norm_out=norm_out)

        def run(restart_key: KeyArray, scale: Float[Array, ""]) -> Estimate:
            start = best_sample(
                restart_key,
                climbed,
                x,
                draw=norm_in.sample,
                radius=scale,
                num_samples=num_samples,
                bounds=bounds,
            )
            found = climb(
                climbed,
                start.witness,
                x,
                norm=norm_in,
                radius=radius,
                scale=scale,
                num_steps=num_steps,
                bounds=bounds,
            )
            return better(found, start)

        run_key, refine_key = jax.random.split(key)
        scales = radius * 0.5 ** (jnp.arange(num_restarts) % 4)
        estimates = jax.lax.map(lambda args: run(*args), (jax.random.split(run_key, num_restarts), scales))
        best = _refined(
            refine_key,
            climbed,
            best_of(estimates),
            x,
            num_samples,
            num_steps,
            norm=norm_in,
            radius=radius,
            bounds=bounds,
        )
        return Estimate(difference_quotient(f, x, norm_in=norm_in, norm_out=norm_out)(best.witness), best.witness)

    return estimate


def _refined(
    key: KeyArray,
    objective: Objective,
    start: Estimate,
    x: Point,
    num_samples: int,
    num_rounds: int,
    *,
    norm: Norm,
    radius: ArrayLike,
    bounds: Bounds,
) -> Estimate:
    """The best of random points around the best so far, at distances that shrink from the radius to a thousandth."""

    def step(best: Estimate, now: tuple[KeyArray, Float[Array, ""]]) -> tuple[Estimate, None]:
        round_key, scale = now
        noise = jax.vmap(lambda key: norm.sample(key, x.shape))(jax.random.split(round_key, num_samples))
        points = best.witness + radius * scale * noise.astype(x.dtype)
        points = jax.vmap(lambda point: into_ball(point, x, norm=norm, radius=radius, bounds=bounds))(points)
        return better(best_of(Estimate(jax.vmap(objective)(points), points)), best), None

    scales = jnp.geomspace(1.0, 1e-3, num_rounds, dtype=x.dtype)
    return jax.lax.scan(step, start, (jax.random.split(key, num_rounds), scales))[0]


def growing_slope(
    key: KeyArray,
    f: VectorFn,
    x: Point,
    radii: Float[Array, " radii"],
    *,
    norm_in: Norm,
    norm_out: Norm,
    num_samples: int = 8,
    num_steps: int = 5,
    num_restarts: int = 1,
    bounds: Bounds = (0.0, 1.0),
) -> Estimate:
    """Slopes at all radii by one search in growing balls; see `growing.growing_search` for settings and guarantees."""
    checks.at_least(1, num_steps=num_steps, num_restarts=num_restarts)
    checks.at_least(num_restarts, num_samples=num_samples)
    search = partial(growing_search, num_samples=num_samples, num_steps=num_steps, num_restarts=num_restarts)
    quotient = sure_quotient(f, x, norm_in=norm_in, norm_out=norm_out)
    return search(key, quotient, x, radii, norm=norm_in, bounds=bounds)
