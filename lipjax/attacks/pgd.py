"""Projected gradient ascent on any scalar function of one input, inside a ball and a box."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import ArrayLike

from lipjax import checks
from lipjax.attacks.climb import Evaluated, better, into_ball, random_point, restarted
from lipjax.norms import Norm, linf
from lipjax.types import Attack, Box, KeyArray, Objective, Point


def pgd_step(
    point: Point,
    gradient: Point,
    center: Point,
    *,
    norm: Norm,
    radius: ArrayLike,
    step_size: ArrayLike,
    bounds: Box = (0.0, 1.0),
) -> Point:
    """One step of projected steepest ascent, `P(x + step_size * argmax_{||d|| <= 1} <g, d>)`.

    Args:
        point: Where to step from.
        gradient: Gradient of the objective at `point`.
        center: Center of the ball.
        norm: Norm of the ball and of the step.
        radius: Radius of the ball, in input units.
        step_size: Length of the step in `norm`, in input units.
        bounds: Lowest and highest legal input value.

    Returns:
        The next point, in the ball and in the box.

    Example:
        >>> x = jnp.array([0.5, 0.5])
        >>> pgd_step(x, jnp.array([2.0, -3.0]), x, norm=linf, radius=0.1, step_size=0.5)
        Array([0.6, 0.4], dtype=float32)
    """
    stepped = point + step_size * norm.steepest(gradient)
    return into_ball(stepped, center, norm=norm, radius=radius, bounds=bounds)


def pgd(
    norm: Norm = linf,
    radius: ArrayLike = 8 / 255,
    *,
    step_size: ArrayLike | None = None,
    num_steps: int = 10,
    num_restarts: int = 1,
    random_start: bool | Callable[[KeyArray, tuple[int, ...]], Point] = True,
    best_iterate: bool = True,
    bounds: Box = (0.0, 1.0),
) -> Attack:
    """Projected gradient descent (PGD) on the negative objective: Madry et al.'s attack, for any objective.

    Args:
        norm: Norm of the ball. In l1 a step moves one pixel only, and `apgd` finds much larger values.
        radius: Radius of the ball in input units (pixels in [0, 1]); may be traced.
        step_size: Length of a step in `norm`; default `2.5 * radius / num_steps` (2/255 for Madry's CIFAR-10 setting).
        num_steps: Number of gradient steps.
        num_restarts: Independent runs, of which the best result is returned.
        random_start: Start from a uniform point of the ball; if False, from the center; if a function
            `(key, shape) -> noise`, from the center plus noise, moved into the ball and the box.
        best_iterate: Return the best of the center, the start and all iterates; otherwise the last iterate, as in
            adversarial training.
        bounds: Lowest and highest legal input value; None for no limits.

    Returns:
        An attack `(key, objective, center) -> point`. The point is in the ball and in the box; at radius 0 it is the
        center, bit for bit. With `best_iterate` the objective there is never below its value at the center or at the
        start.

    Raises:
        ValueError: If radius or step_size is negative, or a count is not a whole number of at least 1.

    References:
        Madry et al. 2018, "Towards deep learning models resistant to adversarial attacks" (arXiv 1706.06083).

    Example:
        >>> attack = pgd(linf, radius=0.1, num_steps=5)
        >>> attack(jax.random.key(0), lambda x: x.sum(), jnp.array([0.5, 0.95]))
        Array([0.6, 1. ], dtype=float32)
    """
    checks.not_negative(radius=radius)
    checks.at_least(1, num_steps=num_steps)
    if step_size is None:
        step_size = 2.5 * radius / num_steps
    checks.not_negative(step_size=step_size)

    def first(key: KeyArray, center: Point) -> Point:
        if callable(random_start):
            noisy = center + random_start(key, center.shape)
            return into_ball(noisy, center, norm=norm, radius=radius, bounds=bounds)
        return random_point(key, center, norm=norm, radius=radius, bounds=bounds) if random_start else center

    def attack(key: KeyArray, objective: Objective, center: Point) -> Point:
        value_and_grad = jax.value_and_grad(objective)

        def step(carry: tuple[Point, Evaluated], _: None) -> tuple[tuple[Point, Evaluated], None]:
            point, best = carry
            value, gradient = value_and_grad(point)
            following = pgd_step(point, gradient, center, norm=norm, radius=radius, step_size=step_size, bounds=bounds)
            return (following, better(Evaluated(point, value), best)), None

        start = first(key, center)
        lowest = objective(center) if best_iterate and random_start else jnp.array(-jnp.inf)
        (last, best), _ = jax.lax.scan(step, (start, Evaluated(center, lowest)), length=num_steps)
        return better(Evaluated(last, objective(last)), best).point if best_iterate else last

    return restarted(attack, num_restarts)
