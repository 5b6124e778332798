"""The slope of a function around a point: the talk's local Lipschitz constant, from below and with a witness."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import ArrayLike

from lipjax import checks
from lipjax.attacks.climb import into_box
from lipjax.attacks.pgd import pgd_step
from lipjax.estimators.quotient import difference_quotient
from lipjax.norms import Norm, l2
from lipjax.types import Bounds, Estimate, Estimator, KeyArray, Objective, Point, VectorFn

Draw = Callable[[KeyArray, tuple[int, ...]], Point]
"""`(key, shape) -> point` of the unit ball: how perturbations are drawn."""


def best_sample(
    key: KeyArray, objective: Objective, x: Point, *, draw: Draw, radius: ArrayLike, num_samples: int, bounds: Bounds
) -> Estimate:
    """The largest value of the objective at `num_samples` random points around x, and that point."""

    def at(sample_key: KeyArray) -> Point:
        return into_box(x + radius * draw(sample_key, x.shape).astype(x.dtype), bounds)

    keys = jax.random.split(key, num_samples)
    values = jax.vmap(lambda sample_key: objective(at(sample_key)))(keys)
    best = jnp.argmax(values)
    return Estimate(values[best], at(keys[best]))


def climb(
    objective: Objective, start: Estimate, x: Point, *, norm: Norm, radius: ArrayLike, num_steps: int, bounds: Bounds
) -> Estimate:
    """Projected ascent from `start` with steps that shrink from 8 radii to a hundredth; the best iterate."""
    value_and_grad = jax.value_and_grad(objective)

    def step(carry: tuple[Point, Estimate], size: ArrayLike) -> tuple[tuple[Point, Estimate], None]:
        point, best = carry
        value, gradient = value_and_grad(point)
        best = better(Estimate(value, point), best)
        point = pgd_step(point, gradient, x, norm=norm, radius=radius, step_size=radius * size, bounds=bounds)
        return (point, best), None

    (point, best), _ = jax.lax.scan(step, (start.witness, start), jnp.geomspace(8.0, 0.01, num_steps))
    return better(Estimate(objective(point), point), best)


def better(one: Estimate, other: Estimate) -> Estimate:
    """The estimate with the larger value; the second on a tie."""
    wins = one.value > other.value
    return jax.tree.map(lambda mine, theirs: jnp.where(wins, mine, theirs), one, other)


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
        draw: Law of perturbations on the unit ball; default uniform, `norm_in.sample`.
        bounds: Lowest and highest legal input value; None for no limits. Perturbed points are clipped, and the quotient
            is taken with the clipped perturbation.

    Returns:
        An estimator `(key, f, x) -> Estimate`. The value is the quotient at the witness, a lower bound of the slope.

    Raises:
        ValueError: If radius is not positive or num_samples is not a whole number of at least 1.

    Example:
        >>> estimator = sampled_slope(0.5, num_samples=10, bounds=None)
        >>> estimator(jax.random.key(0), lambda x: 3.0 * x, jnp.zeros(4)).value
        Array(3., dtype=float32)

    References:
        Lassance et al. 2019, "Structural robustness for deep learning architectures" (arXiv 1909.05095).
    """
    checks.positive(radius=radius)
    checks.at_least(1, num_samples=num_samples)

    def estimate(key: KeyArray, f: VectorFn, x: Point) -> Estimate:
        quotient = difference_quotient(f, x, norm_in=norm_in, norm_out=norm_out)
        return best_sample(
            key, quotient, x, draw=draw or norm_in.sample, radius=radius, num_samples=num_samples, bounds=bounds
        )

    return estimate


def ascent_slope(
    radius: ArrayLike,
    *,
    norm_in: Norm = l2,
    norm_out: Norm = l2,
    num_samples: int = 4,
    num_steps: int = 20,
    num_restarts: int = 4,
    bounds: Bounds = (0.0, 1.0),
) -> Estimator:
    """Slope by projected ascent on the difference quotient `||f(x + e) - f(x)|| / ||e||` over `||e|| <= radius`.

    Every restart draws `num_samples` perturbations and climbs from the steepest of them.

    Args:
        radius: Radius of the ball in input units (pixels in [0, 1]); may be traced.
        norm_in: Norm of the ball, of perturbations and of steps.
        norm_out: Norm of output differences.
        num_samples: Perturbations drawn per restart.
        num_steps: Gradient steps per restart.
        num_restarts: Independent runs, of which the best result is kept.
        bounds: Lowest and highest legal input value; None for no limits.

    Returns:
        An estimator `(key, f, x) -> Estimate`. The value is the quotient at the witness, a lower bound of the slope.

    Raises:
        ValueError: If radius is not positive or a count is not a whole number of at least 1.

    Example:
        >>> estimator = ascent_slope(0.5, bounds=None)
        >>> matrix = jnp.array([[2.0, 0.0], [0.0, 1.0]])
        >>> estimator(jax.random.key(0), lambda x: matrix @ x, jnp.ones(2)).value
        Array(2., dtype=float32)
    """
    checks.positive(radius=radius)
    checks.at_least(1, num_samples=num_samples, num_steps=num_steps, num_restarts=num_restarts)

    def estimate(key: KeyArray, f: VectorFn, x: Point) -> Estimate:
        quotient = difference_quotient(f, x, norm_in=norm_in, norm_out=norm_out)

        def run(restart_key: KeyArray) -> Estimate:
            start = best_sample(
                restart_key,
                quotient,
                x,
                draw=norm_in.sample,
                radius=radius,
                num_samples=num_samples,
                bounds=bounds,
            )
            return climb(quotient, start, x, norm=norm_in, radius=radius, num_steps=num_steps, bounds=bounds)

        estimates = jax.vmap(run)(jax.random.split(key, num_restarts))
        best = jnp.argmax(estimates.value)
        return jax.tree.map(lambda leaf: leaf[best], estimates)

    return estimate
