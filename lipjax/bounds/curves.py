"""Upper bounds over many points and radii, and the check that no lower value exceeds them."""

import math
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, ArrayLike, Float

from lipjax import checks, loops, parallel
from lipjax.bounds.everywhere import global_bound
from lipjax.bounds.local import local_bound
from lipjax.bounds.program import unmasked
from lipjax.bounds.softmax import softmax_bound
from lipjax.estimators.precision import in_full
from lipjax.norms import Ball, Norm, l2
from lipjax.types import Model, VectorFn, single


class UpperCurve(NamedTuple):
    """What pairwise Lipschitz constants, and so slopes, are at most.

    Attributes:
        values: Upper bounds `[points, radii]`.
        of_network: The global bound of the logits, the same for all points and radii.
        num_local: Number of points, the first ones, that have local bounds too.

    Examples:
        >>> f, xs = lambda x: 2 * jax.nn.relu(x - 1), np.zeros((2, 1))
        >>> upper_curve(f, xs, [0.5, 2.0], num_local=1)
        UpperCurve(values=array([[0., 2.],
               [2., 2.]]), of_network=2.0, num_local=1)
    """

    values: Float[np.ndarray, "points radii"]
    of_network: float
    num_local: int


class BracketError(RuntimeError):
    """A lower value exceeds an upper bound, so one of them is wrong.

    Examples:
        >>> check_bracket("slope", [0.5], lower=np.array([[2.0]]), upper=np.array([[1.0]]))
        Traceback (most recent call last):
            ...
        lipjax.bounds.curves.BracketError: slope: at point 0 and radius 0.5 the lower value 2 exceeds the upper bound 1
    """


def upper_curve(
    model: Model | VectorFn,
    xs: Float[Array | np.ndarray, "points ..."],
    radii: Float[ArrayLike, " radii"] | Sequence[float],
    *,
    ball: Ball = l2.ball(math.inf),  # noqa: B008
    norm_out: Norm | None = None,
    of_probabilities: bool = False,
    method: str = "interval",
    constant: str = "pairwise",
    num_local: int = 0,
) -> UpperCurve:
    """Upper bounds around many points: `min(global_bound, local_bound)` of the logits, carried through the softmax.

    Args:
        model: The network.
        xs: The points.
        radii: Radii in input units (pixels in [0, 1]).
        ball: Norm of radii and of input differences, and the box of legal inputs; every radius takes the place of its.
        norm_out: Norm of output differences; default the ball's.
        of_probabilities: Bound the probabilities, by `softmax_bound`; otherwise the logits.
        method: How local bounds are found, see `local_bound`.
        constant: "pairwise", or "slope", of which local bounds may be smaller; see `local_bound`.
        num_local: Number of points that get local bounds, the first ones: they cost far more than the global one.

    Returns:
        The bounds, non-decreasing in the radius but for the softmax. What holds for "pairwise" holds for "slope"
        too.

    Raises:
        ValueError: If a point is not finite or outside the box, a radius or num_local is negative, or method is not a
            legal word.

    Examples:
        >>> upper_curve(lambda x: jnp.tanh(3 * x), np.zeros((1, 2)), [0.5, 1.0]).values
        array([[3., 3.]])
    """
    checks.at_least(0, num_local=num_local)
    points, levels = jnp.asarray(xs), jnp.asarray(radii, jnp.result_type(float))
    checks.inside(ball.box, xs=points)
    checks.not_negative(radii=levels)
    num_local, mesh = min(num_local, len(points)), parallel.current()
    of_network = "sdp" if method == "sdp" else "average"
    everywhere = global_bound(model, points.shape[1:], norm_in=ball.norm, norm_out=norm_out, method=of_network)
    constants = np.full((len(points), levels.size), everywhere)
    if num_local:
        local = partial(_local, mesh=mesh) if method != "sdp" else _one_by_one
        found = local(single(model), points[:num_local], levels, ball, norm_out, method=method, constant=constant)
        constants[:num_local] = _monotone(np.minimum(everywhere, found), np.asarray(levels))
    if of_probabilities:
        norm_out = unmasked(ball.norm) if norm_out is None else norm_out
        of_points = jnp.asarray(constants, points.dtype)
        constants = _through_softmax(single(model), points, of_points, levels, norm_out, mesh=mesh)
    return UpperCurve(np.asarray(constants, np.float64), everywhere, num_local)


def _monotone(
    values: Float[np.ndarray, "points radii"], radii: Float[np.ndarray, " radii"]
) -> Float[np.ndarray, "points radii"]:
    """The least bound of the same or a larger ball, which holds on the smaller one too."""
    descending = np.argsort(-radii, kind="stable")
    least = np.minimum.accumulate(values[:, descending], axis=1)
    return least[:, np.argsort(descending)]


def _one_by_one(
    f: VectorFn, xs: Array, radii: Array, ball: Ball, norm_out: Norm | None, *, method: str, constant: str
) -> Float[np.ndarray, "points radii"]:
    bound = partial(local_bound, f, norm_out=norm_out, method=method, constant=constant)
    return np.array([[float(bound(x, ball.replace(radius=radius))) for radius in radii] for x in xs])


@partial(jax.jit, static_argnames=("method", "constant", "mesh"))
def _local(
    f: VectorFn,
    xs: Array,
    radii: Array,
    ball: Ball,
    norm_out: Norm | None,
    *,
    method: str,
    constant: str,
    mesh: Mesh | None,
) -> Float[Array, "points radii"]:
    bound = partial(local_bound, f, norm_out=norm_out, method=method, constant=constant)

    def of_points(xs: Array) -> Array:
        return loops.map(lambda x: loops.map(lambda radius: bound(x, ball.replace(radius=radius)), radii), xs)

    return parallel.shared_out(of_points, mesh)(xs)


@partial(jax.jit, static_argnames="mesh")
def _through_softmax(
    f: VectorFn, xs: Array, constants: Array, radii: Array, norm_out: Norm, *, mesh: Mesh | None
) -> Float[Array, "points radii"]:
    def of_point(point: tuple[Array, Array]) -> Float[Array, " radii"]:
        own_f, x = in_full(f, point[0])
        bound = partial(softmax_bound, own_f(x), norm_out=norm_out)
        return jax.vmap(bound)(point[1], radii)

    def of_points(*points: Array) -> Array:
        return loops.map(of_point, points, batch_size=64)

    return parallel.shared_out(of_points, mesh)(xs, constants)


def check_bracket(
    name: str,
    radii: Float[ArrayLike, " radii"] | Sequence[float],
    lower: Float[Array | np.ndarray, "points radii"],
    upper: Float[Array | np.ndarray, "points radii"],
) -> None:
    """Checks that no lower value exceeds its upper bound.

    Args:
        name: What was measured, for the message.
        radii: Radii `[radii]`.
        lower: Values that were attained, from an estimator.
        upper: Bounds of the same constants or of larger ones.

    Raises:
        BracketError: If one does; the message has the name, the point, the radius and both values.

    Examples:
        >>> check_bracket("V", [0.1], np.array([[2.0]]), np.array([[1.5]]))
        Traceback (most recent call last):
        lipjax.bounds.curves.BracketError: V: at point 0 and radius 0.1 the lower value 2 exceeds the upper bound 1.5
    """
    lower, upper = np.asarray(lower), np.asarray(upper)
    wrong = np.argwhere(~(lower <= upper))
    if len(wrong):
        point, index = wrong[0]
        raise BracketError(
            f"{name}: at point {point} and radius {np.asarray(radii)[index]:g} the lower value "
            f"{lower[point, index]:.9g} exceeds the upper bound {upper[point, index]:.9g}"
        )
