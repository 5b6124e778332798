"""Linear models of a decision boundary, and the shortest way to it within the box."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from lipjax import loops
from lipjax.norms import Ball, Norm
from lipjax.types import Point, Scalar, VectorFn

Vector = Float[Array, " entries"]


def nearest_boundary(objective: VectorFn, point: Point, norm: Norm) -> tuple[Scalar, Point]:
    """Value and gradient, at a point, of the entry of the objective whose linear model has the nearest zero.

    Args:
        objective: One or several functions of the input; each changes its sign at a boundary.
        point: Where they are replaced by their linear models.
        norm: Norm in which distances are measured.

    Returns:
        The entry's value and gradient: its model is zero at a distance of `|value| / norm.dual(gradient)`.

    Examples:
        >>> from lipjax import norms
        >>> two = lambda x: jnp.array([x[0] - 3.0, x[1] - 2.0])
        >>> nearest_boundary(two, jnp.zeros(2), norms.l2)
        (Array(-2., dtype=float32), Array([0., 1.], dtype=float32))
    """

    def entries(x: Point) -> tuple[Vector, Vector]:
        values = jnp.ravel(objective(x)).astype(x.dtype)  # a network may answer in a type that is not its input's
        return values, values

    gradients, values = jax.jacrev(entries, has_aux=True)(point)
    index = jnp.argmin(jnp.abs(values) / jax.vmap(norm.dual)(gradients))
    return values[index], gradients[index]


def step_to_hyperplane(ball: Ball, point: Point, value: Scalar, normal: Point) -> Point:
    """The shortest step e with `value + <normal, e> = 0` that stays in the box.

    Args:
        ball: Its norm is that in which the step is shortest, whatever the radius.
        point: Where to step from, inside the box.
        value: Value at the point of the function whose zero is looked for.
        normal: Its gradient.

    Returns:
        The step; where the hyperplane doesn't meet the box, the step that comes nearest to it.

    References:
        Croce and Hein 2020, "Minimally distorted adversarial examples with a fast adaptive boundary attack"
        (arXiv 1907.02044), section 2.2: the projection on a hyperplane within box constraints.

    Examples:
        >>> from lipjax import norms
        >>> step_to_hyperplane(norms.linf.ball(1.0), jnp.array([0.5, 0.9]), jnp.array(-0.4), jnp.ones(2))
        Array([0.3, 0.1], dtype=float32)
    """
    ascent = jnp.where(ball.norm.movable(point.shape), -jnp.sign(value) * normal, 0.0)
    room = jnp.full_like(point, jnp.inf)
    if ball.box is not None:
        room = jnp.where(ascent > 0, ball.box[1] - point, point - ball.box[0])
    lengths = _filled(ball.norm.exponent, jnp.abs(ascent).ravel(), room.ravel(), jnp.abs(value))
    return jnp.sign(ascent) * lengths.reshape(point.shape)


def _filled(exponent: float, slopes: Vector, room: Vector, gap: Scalar) -> Vector:
    """The t of least norm with `sum(slopes * t)` equal to the gap and `0 <= t <= room`."""
    if exponent == 1.0:
        return _fill_steepest(slopes, room, gap)
    if math.isinf(exponent):
        return _fill_to_level(jnp.sign(slopes), slopes, room, gap)
    return _fill_to_level(slopes ** (1.0 / (exponent - 1.0)), slopes, room, gap)


def _fill_to_level(profile: Vector, slopes: Vector, room: Vector, gap: Scalar) -> Vector:
    """`t = min(level * profile, room)` with the least level for which `sum(slopes * t)` reaches the gap.

    The sum is concave and piecewise linear in the level, so Newton's method from below reaches it exactly, in as many
    steps as it meets pieces.
    """

    def refined(level: Scalar) -> Scalar:
        is_full = level * profile >= room
        free = jnp.sum(jnp.where(is_full, 0.0, slopes * profile))
        rest = gap - jnp.sum(jnp.where(is_full, slopes * room, 0.0))
        return jnp.where(free > 0.0, rest / jnp.where(free > 0.0, free, 1.0), level)

    start = jnp.zeros_like(gap)
    levels = (start, refined(start))
    _, level = loops.while_loop(lambda pair: pair[1] > pair[0], lambda pair: (pair[1], refined(pair[1])), levels)
    return jnp.minimum(level * profile, room)


def _fill_steepest(slopes: Vector, room: Vector, gap: Scalar) -> Vector:
    # The steepest entry goes as far as it may, then the next.
    order = jnp.argsort(-slopes)
    steep = slopes[order]
    gains = jnp.where(steep > 0.0, steep * room[order], 0.0)
    rest = gap - jnp.concatenate([jnp.zeros(1, gains.dtype), jnp.cumsum(gains)[:-1]])
    lengths = jnp.where(steep > 0.0, rest / jnp.where(steep > 0.0, steep, 1.0), 0.0)
    return jnp.zeros_like(room).at[order].set(jnp.clip(lengths, 0.0, room[order]))
