"""Upper bounds over many points and radii, and the check that no lower value exceeds them."""

import itertools
import math
import time
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

METHODS = ("interval", "expansion", "linear", "sdp")
"""The methods of local bounds, the cheapest first; each is the smaller of its own bound and those of cheaper ones."""


class LocalBounds(NamedTuple):
    """Which points get local bounds besides the global one, and how: by one method after another, the cheapest first.

    A point is given to the next method while one of its bounds is more than `ratio` times its lower value; where no
    lower values are given, to all of them.

    Attributes:
        num_points: Number of points, the first ones: local bounds cost far more than the global one.
        methods: Methods of `local_bound`, in this order; `METHODS` are all.
        lower: Lower values of the same constants `[points, radii]`, from an estimator.
        ratio: Upper over lower value that is close enough.
        seconds: After so long, compilation included, no further point is begun, and all bounds so far are valid. None
            for no limit.

    Examples:
        >>> f, xs = lambda x: jax.nn.relu(x) + 3 * jax.nn.relu(x - 1), np.array([[0.5], [1.0]])
        >>> upper_curve(f, xs, [0.25], local=LocalBounds(2, METHODS, np.array([[1.0], [4.0]]))).methods
        array([['interval'],
               ['global']], dtype='<U9')
    """

    num_points: int
    methods: tuple[str, ...] = ("interval",)
    lower: Float[Array | np.ndarray, "points radii"] | None = None
    ratio: float = 1.5
    seconds: float | None = None

    def check(self, shape: tuple[int, int]) -> None:
        """Raises ValueError if these are no local bounds of so many points and radii."""
        checks.at_least(0, num_points=self.num_points)
        checks.of_type(tuple[str, ...], methods=self.methods)
        checks.at_least(1, **{"the number of methods": len(self.methods)})
        for word in self.methods:
            checks.one_of("method", word, METHODS)
        checks.positive(ratio=self.ratio)
        if self.seconds is not None:
            checks.not_negative(seconds=self.seconds)
        if self.lower is not None and np.shape(self.lower) != shape:
            raise ValueError(f"lower must be [points, radii], here {shape}, got {np.shape(self.lower)}")


class UpperCurve(NamedTuple):
    """What pairwise Lipschitz constants, and so slopes, are at most.

    Attributes:
        values: Upper bounds `[points, radii]`.
        of_network: The global bound of the logits, the same for all points and radii.
        num_local: Number of points, the first ones, that have local bounds too.
        methods: How each was found: by a method of `local_bound`, or "global" `[points, radii]`.

    Examples:
        >>> f, xs = lambda x: 2 * jax.nn.relu(x - 1), np.zeros((2, 1))
        >>> upper_curve(f, xs, [0.5, 2.0], local=LocalBounds(1))
        UpperCurve(values=array([[0., 2.],
               [2., 2.]]), of_network=2.0, num_local=1, methods=array([['interval', 'global'],
               ['global', 'global']], dtype='<U9'))
    """

    values: Float[np.ndarray, "points radii"]
    of_network: float
    num_local: int
    methods: np.ndarray


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
    constant: str = "pairwise",
    local: LocalBounds = LocalBounds(0),  # noqa: B008
) -> UpperCurve:
    """Upper bounds around many points: `min(global_bound, local_bound)` of the logits, carried through the softmax.

    Args:
        model: The network.
        xs: The points.
        radii: Radii in input units (pixels in [0, 1]).
        ball: Norm of radii and of input differences, and the box of legal inputs; every radius takes the place of its.
        norm_out: Norm of output differences; default the ball's.
        of_probabilities: Bound the probabilities, by `softmax_bound`; otherwise the logits.
        constant: "pairwise", or "slope", of which local bounds may be smaller; see `local_bound`.
        local: Which points get local bounds, and by which methods; "sdp" alone bounds the whole network so, too.

    Returns:
        The bounds, non-decreasing in the radius but for the softmax. What holds for "pairwise" holds for "slope"
        too.

    Raises:
        ValueError: If a point is not finite or outside the box, a radius is negative, or local bounds have a negative
            number of points, no method, one that is not a legal word, a ratio that is not positive, negative seconds
            or lower values of another shape.

    Examples:
        >>> upper_curve(lambda x: jnp.tanh(3 * x), np.zeros((1, 2)), [0.5, 1.0]).values
        array([[3., 3.]])
    """
    points, levels = jnp.asarray(xs), jnp.asarray(radii, jnp.result_type(float))
    checks.inside(ball.box, xs=points)
    checks.not_negative(radii=levels)
    checks.of_type(LocalBounds, local=local)
    local.check((len(points), levels.size))
    num_local, mesh = min(local.num_points, len(points)), parallel.current()
    close = -math.inf if local.lower is None else local.ratio * np.asarray(local.lower)
    of_network = "sdp" if local.methods == ("sdp",) else "average"
    everywhere = global_bound(model, points.shape[1:], norm_in=ball.norm, norm_out=norm_out, method=of_network)
    values = np.full((len(points), levels.size), everywhere)
    methods = np.full(values.shape, "global", "<U9")

    def finished() -> Float[np.ndarray, "points radii"]:
        """The bounds of what is asked for."""
        if not of_probabilities:
            return values
        out = unmasked(ball.norm) if norm_out is None else norm_out
        constants = jnp.asarray(values, points.dtype)
        return np.asarray(_through_softmax(single(model), points, constants, levels, out, mesh=mesh), np.float64)

    start = time.monotonic()
    for word in local.methods:
        is_loose = (finished() > close)[:num_local]
        rows = np.flatnonzero(is_loose.any(axis=1))
        size = max(len(rows), 1) if local.seconds is None else parallel.filled(1)
        for part in (rows[first : first + size] for first in range(0, len(rows), size)):
            if local.seconds is not None and time.monotonic() - start >= local.seconds:
                break
            given = single(model), points[part], levels, ball, norm_out
            if word == "sdp":
                found = _by_multipliers(*given, constant, is_loose[part])
            else:
                found = np.asarray(_local(*given, method=word, constant=constant, mesh=mesh))
            is_less = found < values[part]
            values[part] = np.where(is_less, found, values[part])
            methods[part] = np.where(is_less, word, methods[part])
        _make_monotone(values, methods, np.asarray(levels))
    return UpperCurve(finished(), everywhere, num_local, methods)


def _make_monotone(values: np.ndarray, methods: np.ndarray, radii: Float[np.ndarray, " radii"]) -> None:
    """Where the bound of a larger ball is less, it holds on the smaller one too."""
    for larger, smaller in itertools.pairwise(np.argsort(-radii, kind="stable")):
        is_less = values[:, larger] < values[:, smaller]
        values[is_less, smaller], methods[is_less, smaller] = values[is_less, larger], methods[is_less, larger]


def _by_multipliers(
    f: VectorFn, xs: Array, radii: Array, ball: Ball, norm_out: Norm | None, constant: str, is_asked: np.ndarray
) -> Float[np.ndarray, "points radii"]:
    """Semidefinite bounds, one by one; infinity for those that are not asked."""
    found = np.full(is_asked.shape, math.inf)
    for point, index in np.argwhere(is_asked):
        own_ball = ball.replace(radius=radii[index])
        found[point, index] = local_bound(f, xs[point], own_ball, norm_out=norm_out, method="sdp", constant=constant)
    return found


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
