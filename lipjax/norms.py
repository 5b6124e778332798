"""Norms of one input, seen as a flat vector: the geometry in which balls, steps and slopes are measured.

A `Norm` is a record of pure functions of one example, so a new norm is one more record:

    value(x)                 ||x||, with derivative 0 at x = 0
    dual(g)                  the dual norm, sup of <g, x> over ||x|| <= 1
    project(x, radius)       the point of the ball ||.|| <= radius that is nearest to x in Euclidean distance
    steepest(g)              a unit vector d that maximises <g, d> (0 for g = 0)
    sample(key, shape)       a point drawn uniformly from the unit ball
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import ArrayLike

from lipjax.types import KeyArray, Point, Scalar


class Norm(NamedTuple):
    """A norm as five pure functions; see the module's docstring for their contracts."""

    name: str
    value: Callable[[Point], Scalar]
    dual: Callable[[Point], Scalar]
    project: Callable[[Point, ArrayLike], Point]
    steepest: Callable[[Point], Point]
    sample: Callable[[KeyArray, tuple[int, ...]], Point]


def _abs(x: Point) -> Point:
    # With derivative 0 at 0, where jnp.abs has 1. By comparisons, since sums and maxima of what comes from jnp.sign or
    # jnp.abs take XLA five to ten times as long on a CPU.
    return x * jnp.where(x > 0.0, 1.0, jnp.where(x < 0.0, -1.0, 0.0))


def _linf(x: Point) -> Scalar:
    return jnp.max(_abs(x), initial=0.0)


def _l1(x: Point) -> Scalar:
    return jnp.sum(_abs(x))


def _l2(x: Point) -> Scalar:
    # Scaled by the largest entry, so that tiny differences (slopes at small radii) do not underflow when squared;
    # the inner `where` keeps the derivative at 0 finite (it is 0 there).
    scale = jax.lax.stop_gradient(jnp.max(jnp.where(x < 0.0, -x, x), initial=0.0))
    is_zero = scale == 0.0
    safe = jnp.where(is_zero, 1.0, x / jnp.where(is_zero, 1.0, scale))
    return jnp.where(is_zero, 0.0, scale * jnp.sqrt(jnp.sum(safe**2)))


def _project_linf(x: Point, radius: ArrayLike) -> Point:
    return jnp.clip(x, jnp.negative(radius), radius)


def _project_l2(x: Point, radius: ArrayLike) -> Point:
    length = _l2(x)
    is_outside = length > radius
    return jnp.where(is_outside, x * (radius / jnp.where(is_outside, length, 1.0)), x)


def _project_l1(x: Point, radius: ArrayLike) -> Point:
    # The projection soft-thresholds |x| at the level that leaves a sum of `radius` (Duchi et al. 2008, figure 1). The
    # threshold's rounding counts once per entry that remains, 1e-5 of the radius in a large image: rescaling undoes it.
    descending = jnp.sort(jnp.abs(x).ravel())[::-1]
    excess = jnp.cumsum(descending) - radius
    counts = jnp.arange(1, descending.size + 1)
    last = jnp.max(jnp.where(descending * counts > excess, counts, 1))
    threshold = jnp.maximum(excess[last - 1] / last, 0.0)
    shrunk = jnp.sign(x) * jnp.maximum(jnp.abs(x) - threshold, 0.0)
    length = _l1(shrunk)
    shrunk = shrunk * (radius / jnp.where(length == 0.0, 1.0, length))
    return jnp.where(_l1(x) > radius, shrunk, x)


def _steepest_l2(gradient: Point) -> Point:
    length = _l2(gradient)
    return gradient / jnp.where(length == 0.0, 1.0, length)


def _steepest_l1(gradient: Point) -> Point:
    flat = gradient.ravel()
    index = jnp.argmax(jnp.abs(flat))
    return jnp.zeros_like(flat).at[index].set(jnp.sign(flat[index])).reshape(gradient.shape)


def _sample_linf(key: KeyArray, shape: tuple[int, ...]) -> Point:
    return jax.random.uniform(key, shape, minval=-1.0, maxval=1.0)


def _sample_l2(key: KeyArray, shape: tuple[int, ...]) -> Point:
    # A uniform direction; the radius U^(1/n) makes the density constant in the ball.
    direction_key, radius_key = jax.random.split(key)
    direction = _steepest_l2(jax.random.normal(direction_key, shape))
    return direction * jax.random.uniform(radius_key) ** (1.0 / math.prod(shape))


def _sample_l1(key: KeyArray, shape: tuple[int, ...]) -> Point:
    # Exponentials divided by their sum are uniform on the simplex; with random signs, on the l1 sphere.
    magnitude_key, sign_key, radius_key = jax.random.split(key, 3)
    magnitudes = jax.random.exponential(magnitude_key, shape)
    direction = jax.random.rademacher(sign_key, shape) * magnitudes / jnp.sum(magnitudes)
    return direction * jax.random.uniform(radius_key) ** (1.0 / math.prod(shape))


linf = Norm("linf", _linf, _l1, _project_linf, jnp.sign, _sample_linf)
l2 = Norm("l2", _l2, _l2, _project_l2, _steepest_l2, _sample_l2)
l1 = Norm("l1", _l1, _linf, _project_l1, _steepest_l1, _sample_l1)


def largest(norm: Norm) -> Norm:
    """The norm `max_i ||x_i||` of several points at once, stacked on a leading axis: its balls are products of balls.

    An attack in this norm moves the examples of a batch together, each in a ball of its own: for objectives in which
    they are not independent.

    Args:
        norm: Norm of one point.

    Returns:
        A norm of arrays `[points, ...]`.

    Example:
        >>> largest(l2).value(jnp.array([[3.0, 4.0], [0.0, 1.0]]))
        Array(5., dtype=float32)
    """

    def project(x: Point, radius: ArrayLike) -> Point:
        return jax.vmap(lambda point: norm.project(point, radius))(x)

    def sample(key: KeyArray, shape: tuple[int, ...]) -> Point:
        return jax.vmap(lambda key: norm.sample(key, shape[1:]))(jax.random.split(key, shape[0]))

    return Norm(
        f"largest {norm.name}",
        lambda x: jnp.max(jax.vmap(norm.value)(x), initial=0.0),
        lambda gradient: jnp.sum(jax.vmap(norm.dual)(gradient)),
        project,
        jax.vmap(norm.steepest),
        sample,
    )
