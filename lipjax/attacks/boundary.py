"""Linear models of a decision boundary, and the shortest way to it within the box."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from lipjax import norms
from lipjax.norms import Norm
from lipjax.types import Box, Point, Scalar, VectorFn

Vector = Float[Array, " entries"]


def nearest_boundary(objective: VectorFn, point: Point, norm: Norm) -> tuple[Scalar, Point]:
    """Value and gradient, at a point, of the entry of the objective whose linear model has the nearest zero.

    Args:
        objective: One or several functions of the input; each changes its sign at a boundary.
        point: Where they are replaced by their linear models.
        norm: Norm in which distances are measured.

    Returns:
        The entry's value and gradient: its model is zero at a distance of `|value| / norm.dual(gradient)`.

    Example:
        >>> two = lambda x: jnp.array([x[0] - 3.0, x[1] - 2.0])
        >>> nearest_boundary(two, jnp.zeros(2), norms.l2)
        (Array(-2., dtype=float32), Array([0., 1.], dtype=float32))
    """

    def entries(x: Point) -> tuple[Vector, Vector]:
        values = jnp.ravel(objective(x))
        return values, values

    gradients, values = jax.jacrev(entries, has_aux=True)(point)
    index = jnp.argmin(jnp.abs(values) / jax.vmap(norm.dual)(gradients))
    return values[index], gradients[index]


def step_to_hyperplane(norm: Norm, point: Point, value: Scalar, normal: Point, bounds: Box) -> Point:
    """The shortest step e with `value + <normal, e> = 0` that stays in the box.

    Args:
        norm: l1, l2 or linf: the norm in which the step is shortest.
        point: Where to step from, inside the box.
        value: Value at the point of the function whose zero is looked for.
        normal: Its gradient.
        bounds: Lowest and highest legal input value; None for no limits.

    Returns:
        The step; where the hyperplane doesn't meet the box, the step that comes nearest to it.

    References:
        Croce and Hein 2020, "Minimally distorted adversarial examples with a fast adaptive boundary attack"
        (arXiv 1907.02044), section 2.2: the projection on a hyperplane within box constraints.

    Example:
        >>> step_to_hyperplane(norms.linf, jnp.array([0.5, 0.9]), jnp.array(-0.4), jnp.ones(2), (0.0, 1.0))
        Array([0.3, 0.1], dtype=float32)
    """
    ascent = -jnp.sign(value) * normal
    room = jnp.full_like(point, jnp.inf)
    if bounds is not None:
        room = jnp.where(ascent > 0, bounds[1] - point, point - bounds[0])
    lengths = _FILL[norm.name](jnp.abs(ascent).ravel(), room.ravel(), jnp.abs(value))
    return jnp.sign(ascent) * lengths.reshape(point.shape)


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
    _, level = jax.lax.while_loop(lambda pair: pair[1] > pair[0], lambda pair: (pair[1], refined(pair[1])), levels)
    return jnp.minimum(level * profile, room)


def _fill_linf(slopes: Vector, room: Vector, gap: Scalar) -> Vector:
    return _fill_to_level(jnp.sign(slopes), slopes, room, gap)


def _fill_l2(slopes: Vector, room: Vector, gap: Scalar) -> Vector:
    return _fill_to_level(slopes, slopes, room, gap)


def _fill_l1(slopes: Vector, room: Vector, gap: Scalar) -> Vector:
    # The steepest entry goes as far as it may, then the next.
    order = jnp.argsort(-slopes)
    steep = slopes[order]
    gains = jnp.where(steep > 0.0, steep * room[order], 0.0)
    rest = gap - jnp.concatenate([jnp.zeros(1), jnp.cumsum(gains)[:-1]])
    lengths = jnp.where(steep > 0.0, rest / jnp.where(steep > 0.0, steep, 1.0), 0.0)
    return jnp.zeros_like(room).at[order].set(jnp.clip(lengths, 0.0, room[order]))


_FILL: dict[str, Callable[[Vector, Vector, Scalar], Vector]] = {
    norms.linf.name: _fill_linf,
    norms.l2.name: _fill_l2,
    norms.l1.name: _fill_l1,
}
NORMS = tuple(_FILL)
"""Names of the norms in which `step_to_hyperplane` is defined."""
