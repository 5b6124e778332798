"""FAB: the nearest point beyond a boundary, by projecting on linear models of it and staying near the center."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool

from lipjax import checks
from lipjax.attacks import boundary
from lipjax.attacks.climb import into_ball, into_box
from lipjax.norms import Norm, linf
from lipjax.types import Attack, Box, KeyArray, Point, Scalar, VectorFn


class _State(NamedTuple):
    point: Point
    nearest: Point
    distance: Scalar


def fab(
    norm: Norm = linf,
    radius: ArrayLike = jnp.inf,
    *,
    num_steps: int = 100,
    bias: float = 0.1,
    overshoot: float = 1.05,
    retreat: float = 0.9,
    bounds: Box = (0.0, 1.0),
) -> Attack:
    """Fast adaptive boundary attack: looks for the nearest point at which the objective is positive.

    The objective must change its sign at the boundary: a logit minus the label's logit for the targeted attack
    (FAB-T), or several at once (`objectives.margins`) for the untargeted one, which walks to the nearest of them. With
    p and q the shortest steps from the iterate x and from the center c to the boundary's linear model,
    `x <- (1 - a)(x + 1.05 p) + a (c + 1.05 q)`, `a = min(||p|| / (||p|| + ||q||), 0.1)`; beyond the boundary the
    iterate goes back to `c + 0.9 (x - c)`.

    Args:
        norm: l1, l2 or linf: the norm in which the point is nearest.
        radius: The result is pulled back to the ball of this radius (input units, may be traced); infinite by default,
            for the minimal perturbation.
        num_steps: Number of linear models.
        bias: Largest share a of the center in a step (alpha_max in the paper).
        overshoot: Factor of the steps (eta in the paper).
        retreat: Share of the perturbation that is kept beyond the boundary (beta in the paper).
        bounds: Lowest and highest legal input value; None for no limits.

    Returns:
        An attack `(key, objective, center) -> point` that does not use its key. The point is the nearest of all
        iterates beyond the boundary, or the center if there is none or if the center is beyond it; it is in the ball
        and in the box.

    Raises:
        ValueError: If the norm is another one, radius is negative, num_steps is not a whole number of at least 1, bias
            or retreat is not in [0, 1], or overshoot is not positive.

    References:
        Croce and Hein 2020, "Minimally distorted adversarial examples with a fast adaptive boundary attack"
        (arXiv 1907.02044), algorithm 1, without random restarts and without the final search.

    Example:
        >>> from lipjax.norms import l2
        >>> attack = fab(l2)
        >>> point = attack(jax.random.key(0), lambda x: x[0] - 0.8, jnp.array([0.5, 0.5]))
        >>> bool(point[0] > 0.8), float(l2.value(point - 0.5))
        (True, 0.301)
    """
    checks.one_of("norm", norm.name, boundary.NORMS)
    checks.not_negative(radius=radius)
    checks.at_least(1, num_steps=num_steps)
    checks.fraction(bias=bias, retreat=retreat)
    checks.positive(overshoot=overshoot)

    def move(objective: VectorFn, point: Point, center: Point) -> Point:
        value, normal = boundary.nearest_boundary(objective, point, norm)
        value_at_center = value + jnp.vdot(normal, center - point)
        step = boundary.step_to_hyperplane(norm, point, value, normal, bounds)
        from_center = boundary.step_to_hyperplane(norm, center, value_at_center, normal, bounds)
        length, total = norm.value(step), norm.value(step) + norm.value(from_center)
        share = jnp.minimum(length / jnp.where(total == 0.0, 1.0, total), bias)
        return into_box((1.0 - share) * (point + overshoot * step) + share * (center + overshoot * from_center), bounds)

    def attack(key: KeyArray, objective: VectorFn, center: Point) -> Point:
        def is_beyond(point: Point) -> Bool[Array, ""]:
            return jnp.max(objective(point)) > 0.0

        def step(_: ArrayLike, state: _State) -> _State:
            point = move(objective, state.point, center)
            beyond, distance = is_beyond(point), norm.value(point - center)
            wins = beyond & (distance < state.distance)
            return _State(
                jnp.where(beyond, center + retreat * (point - center), point),
                jnp.where(wins, point, state.nearest),
                jnp.where(wins, distance, state.distance),
            )

        distance = jnp.where(is_beyond(center), 0.0, jnp.inf).astype(center.dtype)
        nearest = jax.lax.fori_loop(0, num_steps, step, _State(center, center, distance)).nearest
        return into_ball(nearest, center, norm=norm, radius=radius, bounds=bounds)

    return attack
