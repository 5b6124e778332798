"""Curves: an estimator over points and radii, compiled once, in bounded memory."""

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Int

from lipjax import checks
from lipjax.batching import in_chunks
from lipjax.estimators.slope import ascent_slope, better
from lipjax.norms import Norm, l2
from lipjax.types import Estimate, Estimator, KeyArray, VectorFn


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Curve:
    """Local Lipschitz constants of one function at many points and radii.

    Attributes:
        radii: `[radii]`, or `[points, radii]` where every point has its own, in input units (pixels in [0, 1]).
        values: `[points, radii]`, lower bounds, non-decreasing in the radius.
        steepest: `[radii]`, index of the point with the largest value at each radius.
        witnesses: Where values are attained: of every value `[points, radii, ...]` if that was asked for, else of the
            steepest point at each radius `[radii, ...]`.
        definition: Which constant this is: the name of its estimator.
        norm_in: Name of the norm of radii and of input differences.
        norm_out: Name of the norm of output differences.
    """

    radii: Float[Array, "*points radii"]
    values: Float[Array, "points radii"]
    steepest: Int[Array, " radii"]
    witnesses: Float[Array, "..."]
    definition: str = dataclasses.field(metadata={"static": True})
    norm_in: str = dataclasses.field(metadata={"static": True})
    norm_out: str = dataclasses.field(metadata={"static": True})

    @property
    def maximum(self) -> Float[Array, " radii"]:
        """The largest value over points: alpha_lim(r) of the talk."""
        return jnp.max(self.values, axis=0)

    @property
    def mean(self) -> Float[Array, " radii"]:
        """The mean value over points."""
        return jnp.mean(self.values, axis=0)


def _as_data(f: VectorFn) -> VectorFn:
    # A bound method of a model becomes a function of the model's leaves, so that a program compiled for one set of
    # weights serves the next one.
    owner, function = getattr(f, "__self__", f), getattr(f, "__func__", type(f).__call__)
    is_leaf = jax.tree_util.all_leaves([owner])
    return jax.tree_util.Partial(f) if is_leaf else jax.tree_util.Partial(function, owner)


def _running_maximum(radii: Float[Array, " radii"], estimates: Estimate) -> Estimate:
    """Carries the best of smaller radii forward: entry j becomes the best of all entries with radius <= radii[j]."""
    reachable = radii[None, :] <= radii[:, None]
    best = jnp.argmax(jnp.where(reachable, estimates.value, -jnp.inf), axis=1)
    return jax.tree.map(lambda leaf: leaf[best], estimates)


@partial(jax.jit, static_argnames=("constructor", "settings", "chunk_size", "keep_witnesses"))
def _curve(
    key: KeyArray,
    f: VectorFn,
    xs: Float[Array, "points *dims"],
    radii: Float[Array, "points radii"],
    *,
    constructor: Callable[..., Estimator],
    settings: tuple[tuple[str, Any], ...],
    chunk_size: int,
    keep_witnesses: bool,
) -> tuple[Float[Array, "points radii"], Int[Array, " radii"], Float[Array, "..."]]:
    num_points = xs.shape[0]

    def of_point(index: Int[Array, ""]) -> Estimate:
        point_key = jax.random.fold_in(key, index)
        estimates = jax.lax.map(
            lambda radius: constructor(radius, **dict(settings))(point_key, f, xs[index]), radii[index]
        )
        return _running_maximum(radii[index], estimates)

    if keep_witnesses:
        estimates = in_chunks(of_point, chunk_size)(jnp.arange(num_points))
        return estimates.value, jnp.argmax(estimates.value, axis=0), estimates.witness

    def absorb(best: tuple, rows: Int[Array, " chunk"]) -> tuple[tuple, Float[Array, "chunk radii"]]:
        estimates = jax.vmap(of_point)(rows)
        top = jnp.argmax(estimates.value, axis=0)
        of_chunk = jax.tree.map(lambda leaf: leaf[top, jnp.arange(top.size)], estimates)
        return jax.vmap(_first_or_second)((of_chunk, rows[top]), best), estimates.value

    num_chunks = -(-num_points // chunk_size)
    rows = jnp.minimum(jnp.arange(num_chunks * chunk_size), num_points - 1).reshape(num_chunks, chunk_size)
    first = jax.eval_shape(of_point, jnp.int32(0))
    nothing = Estimate(jnp.full_like(first.value, -jnp.inf), jnp.zeros_like(first.witness))
    (best, steepest), values = jax.lax.scan(absorb, (nothing, jnp.zeros(radii.shape[1], jnp.int32)), rows)
    return values.reshape(-1, values.shape[-1])[:num_points], steepest, best.witness


def _first_or_second(one: tuple[Estimate, Array], other: tuple[Estimate, Array]) -> tuple[Estimate, Array]:
    wins = one[0].value > other[0].value
    return better(one[0], other[0]), jnp.where(wins, one[1], other[1])


def curve(
    key: KeyArray,
    estimator: Callable[..., Estimator],
    f: VectorFn,
    xs: Float[Array | np.ndarray, "points ..."],
    radii: Float[ArrayLike, "*points radii"] | Sequence[float],
    *,
    norm_in: Norm = l2,
    norm_out: Norm = l2,
    chunk_size: int = 64,
    keep_witnesses: bool = False,
    **settings: Any,
) -> Curve:
    """Any estimator over points and radii, in one compiled program whatever the radii are.

    Args:
        key: A typed key. What is found at a point and radius depends on the key, the point's index, the point and the
            radius only: not on the other points or radii, nor on the chunk size.
        estimator: Constructor of the estimator, called as `estimator(radius, norm_in=..., norm_out=..., **settings)`.
        f: The function, one input to one array. A bound method of a pytree (`model.single`) is compiled once for all
            values of its leaves.
        xs: The points.
        radii: Radii `[radii]` in input units (pixels in [0, 1]) in any order, or `[points, radii]`.
        norm_in: Norm of radii and of input differences.
        norm_out: Norm of output differences.
        chunk_size: Points that are computed at once: memory grows with it, and not with the number of points.
        keep_witnesses: Return the witness of every value; otherwise of the steepest point at each radius.
        **settings: Further settings of the estimator.

    Returns:
        The curve. Values never decrease with the radius: each is the best of the point's searches at this and at the
        smaller radii that were asked for.

    Raises:
        ValueError: If a radius is not positive or a setting is wrong.
    """
    points, levels = jnp.asarray(xs), jnp.asarray(radii, jnp.result_type(float))
    checks.positive(radii=levels)
    checks.at_least(1, chunk_size=chunk_size)
    values, steepest, witnesses = _curve(
        key,
        _as_data(f),
        points,
        jnp.broadcast_to(levels, (points.shape[0], levels.shape[-1])),
        constructor=estimator,
        settings=tuple(sorted({"norm_in": norm_in, "norm_out": norm_out, **settings}.items())),
        chunk_size=min(chunk_size, points.shape[0]),
        keep_witnesses=keep_witnesses,
    )
    return Curve(levels, values, steepest, witnesses, estimator.__name__, norm_in.name, norm_out.name)


def slope_curve(
    key: KeyArray,
    f: VectorFn,
    xs: Float[Array | np.ndarray, "points ..."],
    radii: Float[ArrayLike, "*points radii"] | Sequence[float],
    *,
    norm_in: Norm = l2,
    norm_out: Norm = l2,
    chunk_size: int = 64,
    keep_witnesses: bool = False,
    **settings: Any,
) -> Curve:
    """The talk's alpha(r), per point: `curve` of `ascent_slope`, whose settings it takes.

    Example:
        >>> xs = jnp.array([[0.0, 0.0], [3.0, 4.0]])
        >>> slopes = slope_curve(jax.random.key(0), lambda x: x @ x, xs, [0.5, 1.0], bounds=None)
        >>> slopes.values.round(2)  # 2 ||x|| + r
        Array([[ 0.5,  1. ],
               [10.5, 11. ]], dtype=float32)
    """
    return curve(
        key,
        ascent_slope,
        f,
        xs,
        radii,
        norm_in=norm_in,
        norm_out=norm_out,
        chunk_size=chunk_size,
        keep_witnesses=keep_witnesses,
        **settings,
    )
