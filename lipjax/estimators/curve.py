"""Curves: an estimator over points and radii, compiled once, in bounded memory."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Int, Num

from lipjax import checks
from lipjax.batching import in_chunks
from lipjax.estimators.growing import best_of, better
from lipjax.estimators.record import Curve
from lipjax.estimators.slope import growing_slope
from lipjax.norms import Norm, l2
from lipjax.parallel import Mesh, on_parts
from lipjax.types import Box, Estimate, Estimator, KeyArray, Point, Scalar, VectorFn, pixels, single


def _running_maximum(radii: Float[Array, " radii"], estimates: Estimate) -> Estimate:
    """Carries the best of smaller radii forward: entry j becomes the best of all entries with radius <= radii[j]."""
    reachable = radii[None, :] <= radii[:, None]
    best = jnp.argmax(jnp.where(reachable, estimates.value, -jnp.inf), axis=1)
    return jax.tree.map(lambda leaf: leaf[best], estimates)


Search = Callable[..., Estimate]
"""`(key, f, x, radii, **settings) -> Estimate` with a leading axis of radii."""


@partial(jax.jit, static_argnames=("search", "settings", "chunk_size", "keep_witnesses", "mesh"))
def _curve(
    key: KeyArray,
    f: VectorFn,
    xs: Float[Array, "points *dims"],
    radii: Float[Array, "#points radii"],
    labels: Int[Array, " points"] | None,
    *,
    search: Search,
    settings: tuple[tuple[str, Any], ...],
    chunk_size: int,
    keep_witnesses: bool,
    mesh: Mesh | None,
) -> tuple[Float[Array, "points radii"], Int[Array, " radii"], Float[Array, "..."]]:
    num_points = xs.shape[0]

    def of_point(index: Int[Array, ""]) -> Estimate:
        of_x = f if labels is None else jax.tree_util.Partial(_with_label, f, labels[index])
        own = radii[0] if radii.shape[0] == 1 else radii[index]
        found = search(jax.random.fold_in(key, index), of_x, xs[index], own, **dict(settings))
        is_defined = jnp.all(jnp.isfinite(of_x(xs[index])))  # searches pass over what is not a number
        return found._replace(value=jnp.where(is_defined, found.value, jnp.nan))

    num_parts = 1 if mesh is None else mesh.size
    chunk_size = min(chunk_size, -(-num_points // num_parts))
    num_chunks = -(-num_points // (chunk_size * num_parts))
    rows = jnp.minimum(jnp.arange(num_parts * num_chunks * chunk_size), num_points - 1)
    if keep_witnesses:
        estimates = on_parts(in_chunks(of_point, chunk_size), mesh)(rows)
        estimates = jax.tree.map(lambda leaf: leaf[:num_points], estimates)
        return estimates.value, jnp.argmax(estimates.value, axis=0), estimates.witness

    def absorb(best: _Steepest, rows: Int[Array, " chunk"]) -> tuple[_Steepest, Float[Array, "chunk radii"]]:
        estimates = jax.vmap(of_point)(rows)
        top = jnp.argmax(estimates.value, axis=0)
        of_chunk = jax.tree.map(lambda leaf: leaf[top, jnp.arange(top.size)], estimates)
        return jax.vmap(better)(_Steepest(of_chunk.value, of_chunk.witness, rows[top]), best), estimates.value

    def of_part(rows: Int[Array, " part"]) -> tuple[_Steepest, Float[Array, "part radii"]]:
        first = jax.eval_shape(of_point, rows[0])
        nothing = _Steepest(
            jnp.full_like(first.value, -jnp.inf),
            jnp.zeros_like(first.witness),
            jnp.zeros(first.value.shape, rows.dtype),
        )
        steepest, values = jax.lax.scan(absorb, nothing, rows.reshape(num_chunks, chunk_size))
        return jax.tree.map(lambda leaf: leaf[None], steepest), values.reshape(-1, values.shape[-1])

    of_parts, values = on_parts(of_part, mesh)(rows)
    steepest = jax.vmap(best_of, in_axes=1)(of_parts)
    return values[:num_points], steepest.point, steepest.witness


def _with_label(f: Callable, label: Int[Array, ""], x: Point) -> Float[Array, "..."]:
    return f(x, label)


class _Steepest(NamedTuple):
    """The largest value over points so far, its witness, and which point it was."""

    value: Scalar
    witness: Point
    point: Int[Array, ""]


def _each_radius(
    key: KeyArray,
    f: VectorFn,
    x: Point,
    radii: Float[Array, " radii"],
    *,
    estimator: Callable[..., Estimator],
    **settings: Any,
) -> Estimate:
    def at(radius: Scalar) -> Estimate:
        # The radius' bits make its own key, so that searches are independent of one another, whatever else is asked.
        bits = jax.lax.bitcast_convert_type(radius.astype(jnp.float32), jnp.uint32)
        return estimator(radius, **settings)(jax.random.fold_in(key, bits), f, x)

    estimates = jax.lax.map(at, radii)
    return _running_maximum(radii, estimates)


def curve(
    key: KeyArray,
    estimator: Callable[..., Estimator],
    f: VectorFn,
    xs: Num[Array | np.ndarray, "points ..."],
    radii: Float[ArrayLike, "*points radii"] | Sequence[float],
    *,
    norm_in: Norm = l2,
    norm_out: Norm = l2,
    labels: Int[Array | np.ndarray, " points"] | None = None,
    chunk_size: int = 64,
    keep_witnesses: bool = False,
    mesh: Mesh | None = None,
    **settings: Any,
) -> Curve:
    """Any estimator over points and radii, one search per radius, in one compiled program whatever the radii are.

    Args:
        key: A typed key. What is found at a point and radius depends on the key, the point's index, the point and the
            radius only: not on the other points or radii, nor on the chunk size.
        estimator: Constructor of the estimator, called as `estimator(radius, norm_in=..., norm_out=..., **settings)`.
        f: The function, one input to one array. A bound method of a pytree (`model.single`) is compiled once for all
            values of its leaves.
        xs: The points; uint8 levels count as level / 255.
        radii: Radii `[radii]` in input units (pixels in [0, 1]) in any order, or `[points, radii]`.
        norm_in: Norm of radii and of input differences.
        norm_out: Norm of output differences.
        labels: One label per point, for an f of an input and its label, such as `margins(logits)`.
        chunk_size: Points that a device computes at once: memory grows with it, and not with the number of points.
        keep_witnesses: Return the witness of every value; otherwise of the steepest point at each radius.
        mesh: Devices that share the points, from `parallel.mesh`; None for the default device.
        **settings: Further settings of the estimator.

    Returns:
        The curve. Values never decrease with the radius: each is the best of the point's searches at this and at the
        smaller radii that were asked for, as in the talk's code. So a radius that is added changes no value at smaller
        radii, and can only raise values at larger ones, where their own search found less. NaN where f is not finite.

    Raises:
        ValueError: If there is no point or no radius, a point is not finite or outside `bounds`, a radius is not
            positive, or a setting is wrong.
    """
    settings = {"estimator": estimator, "norm_in": norm_in, "norm_out": norm_out, **settings}
    name = getattr(estimator, "__name__", repr(estimator))  # a functools.partial has none
    return _searched(key, _each_radius, f, xs, radii, name, settings, labels, chunk_size, keep_witnesses, mesh)


def slope_curve(
    key: KeyArray,
    f: VectorFn,
    xs: Num[Array | np.ndarray, "points ..."],
    radii: Float[ArrayLike, "*points radii"] | Sequence[float],
    *,
    norm_in: Norm = l2,
    norm_out: Norm = l2,
    num_samples: int = 16,
    num_steps: int = 5,
    num_restarts: int = 2,
    bounds: Box = (0.0, 1.0),
    labels: Int[Array | np.ndarray, " points"] | None = None,
    chunk_size: int = 64,
    keep_witnesses: bool = False,
    mesh: Mesh | None = None,
) -> Curve:
    """The talk's alpha(r) per point, by one search in balls that grow along a fixed grid of radii.

    The grid (3 radii below 0.01, then 20 per decade) does not depend on `radii`, so the cost does not grow with their
    number: about `(1 + num_restarts) * num_steps` gradients and `2 * num_samples` values of f per grid radius up to the
    largest radius, and 43 grid radii up to 1.

    Args:
        key: A typed key, from which every point gets its own.
        f: The function, one input to one array. A bound method of a pytree (`model.single`) is compiled once for all
            values of its leaves.
        xs: The points; uint8 levels count as level / 255.
        radii: Radii `[radii]` in input units (pixels in [0, 1]) in any order, or `[points, radii]`.
        norm_in: Norm of radii and of input differences.
        norm_out: Norm of output differences.
        num_samples: Random perturbations per grid radius, on the sphere and as many around the best so far.
        num_steps: Gradient steps per ascent, of which there are `1 + num_restarts` per grid radius.
        num_restarts: Ascents per grid radius that start from random perturbations.
        bounds: Lowest and highest legal input value; None for no limits.
        labels: One label per point, for an f of an input and its label, such as `margins(logits)`.
        chunk_size: Points that a device computes at once: memory grows with it, and not with the number of points.
        keep_witnesses: Return the witness of every value; otherwise of the steepest point at each radius.
        mesh: Devices that share the points, from `parallel.mesh`; None for the default device.

    Returns:
        The curve. A value is the quotient at its witness less what rounding may have added (`quotient.sure_quotient`):
        a lower bound of the slope. Values never decrease with the radius, and adding a radius changes no other value,
        unless both are between the same two grid radii: then the larger one is given at least the smaller one's value.
        NaN at points where f is not finite.

    Raises:
        ValueError: If there is no point or no radius, a point is not finite or outside `bounds`, a radius is not
            positive, or a count is wrong.

    Example:
        >>> xs = jnp.array([[0.0, 0.0], [3.0, 4.0]])
        >>> slopes = slope_curve(jax.random.key(0), lambda x: x @ x, xs, [0.5, 1.0], bounds=None)
        >>> slopes.values.round(2)  # 2 ||x|| + r
        Array([[ 0.5,  1. ],
               [10.5, 11. ]], dtype=float32)
    """
    settings = {
        "norm_in": norm_in,
        "norm_out": norm_out,
        "num_samples": num_samples,
        "num_steps": num_steps,
        "num_restarts": num_restarts,
        "bounds": bounds,
    }
    return _searched(key, growing_slope, f, xs, radii, "slope", settings, labels, chunk_size, keep_witnesses, mesh)


def _searched(
    key: KeyArray,
    search: Search,
    f: VectorFn,
    xs: Num[Array | np.ndarray, "points ..."],
    radii: Float[ArrayLike, "*points radii"] | Sequence[float],
    definition: str,
    settings: dict[str, Any],
    labels: Int[Array | np.ndarray, " points"] | None,
    chunk_size: int,
    keep_witnesses: bool,
    mesh: Mesh | None,
) -> Curve:
    points, levels = pixels(jnp.asarray(xs)), jnp.asarray(radii, jnp.result_type(float))
    if not points.size or not levels.size:
        raise ValueError(f"need at least one point and one radius, got {len(points)} points and {levels.size} radii")
    checks.positive(radii=levels)
    checks.at_least(1, chunk_size=chunk_size)
    checks.inside(settings.get("bounds"), xs=points)
    values, steepest, witnesses = _curve(
        key,
        single(f),
        points,
        jnp.atleast_2d(levels),
        None if labels is None else jnp.asarray(labels),
        search=search,
        settings=tuple(sorted(settings.items())),
        chunk_size=chunk_size,
        keep_witnesses=keep_witnesses,
        mesh=mesh,
    )
    norms = settings["norm_in"].name, settings["norm_out"].name
    return Curve(levels, values, steepest, witnesses, definition, *norms)
