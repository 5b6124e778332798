"""Curves: an estimator over points and radii, compiled once, in bounded memory."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Int, Num

from lipjax import checks, loops
from lipjax.batching import in_chunks
from lipjax.estimators.estimator import LocalEstimator, defined, larger, largest
from lipjax.estimators.outputs import check_labels
from lipjax.estimators.precision import in_full
from lipjax.estimators.record import Curve
from lipjax.estimators.slope import growing_slope
from lipjax.norms import Norm, l2
from lipjax.parallel import Mesh, current, gathered, on_parts
from lipjax.types import Batch, Box, Estimate, Estimator, KeyArray, Point, Scalar, VectorFn, pixels, single

Points = Num[Array | np.ndarray, "points ..."]
Radii = Float[ArrayLike, "*points radii"] | Sequence[float]


def curve(
    key: KeyArray,
    estimator: Estimator,
    f: VectorFn,
    xs: Points | Batch,
    radii: Radii,
    *,
    chunk_size: int = 64,
    keep_witnesses: bool = False,
    mesh: Mesh | None = None,
) -> Curve:
    """Any estimator over points and radii, in one compiled program whatever the radii and the estimator's numbers are.

    Args:
        key: A typed key. What is found at a point and radius depends on the key, the point's index, the point and the
            radius only: not on the other points or radii, nor on the chunk size.
        estimator: The estimator; each of the radii takes the place of its ball's.
        f: The function, one input to one array. A bound method of a pytree (`model.single`) is compiled once for all
            values of its leaves.
        xs: The points; uint8 levels count as level / 255. A `Batch` for an f of an input and its label, such as
            `logit_gaps(logits)`.
        radii: Radii `[radii]` in input units (pixels in [0, 1]) in any order, or `[points, radii]`.
        chunk_size: Points that a device computes at once: memory grows with it, and not with the number of points.
        keep_witnesses: Return the witness of every value; otherwise of the steepest point at each radius.
        mesh: Devices that share the points, from `parallel.mesh`; None for `parallel.current`.

    Returns:
        The curve. Values never decrease with the radius: each is the best of the point's searches at this and at the
        smaller radii that were asked for, as in the talk's code. So a radius that is added changes no value at smaller
        radii, and can only raise values at larger ones, where their own search found less; `growing_slope` has one
        search for all radii and changes neither. NaN where f is not finite.

    Raises:
        ValueError: If there is no point or no radius, a point is not finite or outside the box, or a radius is not
            positive.
        TypeError: If the estimator has no ball, as `jacobian_norm`.

    Examples:
        >>> from lipjax.estimators import sampled_slope
        >>> xs = jnp.array([[0.1, 0.2], [0.3, 0.4]])
        >>> curve(jax.random.key(0), sampled_slope(), lambda x: 3.0 * x, xs, [0.5, 1.0]).values.round(3)
        Array([[3., 3.],
               [3., 3.]], dtype=float32)
    """
    if not isinstance(estimator, LocalEstimator):
        raise TypeError(f"a curve needs an estimator of a ball, a LocalEstimator, got {estimator!r}")
    inputs, labels = xs if isinstance(xs, Batch) else (xs, None)
    if labels is not None:
        check_labels(f, inputs, labels)
    checks.numbers(xs=inputs, radii=radii)
    points, levels = pixels(jnp.asarray(inputs)), jnp.asarray(radii, jnp.result_type(float))
    if not points.ndim or not points.size or not levels.size:
        raise ValueError(f"need at least one point and one radius, got shapes {points.shape} and {levels.shape}")
    if levels.ndim > 1 and levels.shape[:-1] not in ((1,), (len(points),)):
        raise ValueError(f"radii must be [radii] or [points, radii], got shape {levels.shape} for {len(points)} points")
    checks.positive(radii=levels)
    checks.at_least(1, chunk_size=chunk_size)
    checks.inside(estimator.ball.box, xs=points)
    options: dict[str, Any] = {"chunk_size": chunk_size, "keep_witnesses": keep_witnesses, "mesh": mesh or current()}
    labels = None if labels is None else jnp.asarray(labels)
    values, steepest, witnesses = _curve(key, estimator, single(f), points, jnp.atleast_2d(levels), labels, **options)
    norms = estimator.ball.norm, estimator.norm_out
    return Curve(levels, values, steepest, witnesses, *norms, estimator.constant)


def slope_curve(
    key: KeyArray,
    f: VectorFn,
    xs: Points | Batch,
    radii: Radii,
    *,
    norm_in: Norm = l2,
    norm_out: Norm = l2,
    box: Box = (0.0, 1.0),
    **options: Any,
) -> Curve:
    """The talk's alpha(r) per point: the `curve` of `growing_slope`, one search for all radii.

    Args:
        key: A typed key, from which every point gets its own.
        f: The function, one input to one array.
        xs: The points; a `Batch` for an f of an input and its label.
        radii: Radii `[radii]` in input units (pixels in [0, 1]) in any order, or `[points, radii]`.
        norm_in: Norm of radii and of input differences.
        norm_out: Norm of output differences.
        box: Lowest and highest legal input value; None for no limits.
        **options: `chunk_size`, `keep_witnesses` and `mesh` of `curve`.

    Returns:
        The curve. A value is the quotient at its witness less what rounding may have added (`quotient.sure_quotient`):
        a lower bound of the slope. Values never decrease with the radius, and adding a radius changes no other value,
        unless both are between the same two grid radii: then the larger one is given at least the smaller one's value.
        NaN at points where f is not finite.

    Raises:
        ValueError: As `curve`.

    Examples:
        >>> xs = jnp.array([[0.0, 0.0], [3.0, 4.0]])
        >>> slopes = slope_curve(jax.random.key(0), lambda x: x @ x, xs, [0.5, 1.0], box=None)
        >>> slopes.values.round(2)  # 2 ||x|| + r
        Array([[ 0.5,  1. ],
               [10.5, 11. ]], dtype=float32)
    """
    return curve(key, growing_slope(norm_in.ball(1.0, box), norm_out=norm_out), f, xs, radii, **options)


@partial(jax.jit, static_argnames=("chunk_size", "keep_witnesses", "mesh"))
def _curve(
    key: KeyArray,
    estimator: LocalEstimator,
    f: VectorFn,
    xs: Float[Array, "points *dims"],
    radii: Float[Array, "#points radii"],
    labels: Int[Array, " points"] | None,
    *,
    chunk_size: int,
    keep_witnesses: bool,
    mesh: Mesh | None,
) -> tuple[Float[Array, "points radii"], Int[Array, " radii"], Float[Array, "..."]]:
    num_points = xs.shape[0]

    def of_point(index: Int[Array, ""]) -> Estimate:
        of_x = f if labels is None else jax.tree_util.Partial(_with_label, f, labels[index])
        own = radii[0] if radii.shape[0] == 1 else radii[index]
        of_x, x = in_full(of_x, xs[index])
        return defined(of_x, x, estimator.along(jax.random.fold_in(key, index), of_x, x, own))

    num_parts = 1 if mesh is None else mesh.size
    chunk_size = min(chunk_size, -(-num_points // num_parts))
    num_chunks = -(-num_points // (chunk_size * num_parts))
    rows = jnp.minimum(jnp.arange(num_parts * num_chunks * chunk_size), num_points - 1)
    if keep_witnesses:
        estimates = gathered(on_parts(in_chunks(of_point, chunk_size), mesh)(rows), mesh)
        estimates = jax.tree.map(lambda leaf: leaf[:num_points], estimates)
        return estimates.value, jnp.argmax(estimates.value, axis=0), estimates.witness

    def absorb(best: _Steepest, rows: Int[Array, " chunk"]) -> tuple[_Steepest, Float[Array, "chunk radii"]]:
        estimates = jax.vmap(of_point)(rows)
        top = jnp.argmax(estimates.value, axis=0)
        of_chunk = jax.tree.map(lambda leaf: leaf[top, jnp.arange(top.size)], estimates)
        return jax.vmap(larger)(_Steepest(of_chunk.value, of_chunk.witness, rows[top]), best), estimates.value

    def of_part(rows: Int[Array, " part"]) -> tuple[_Steepest, Float[Array, "part radii"]]:
        first = jax.eval_shape(of_point, rows[0])
        nothing = _Steepest(
            jnp.full_like(first.value, -jnp.inf),
            jnp.zeros_like(first.witness),
            jnp.zeros(first.value.shape, rows.dtype),
        )
        steepest, values = loops.scan(absorb, nothing, rows.reshape(num_chunks, chunk_size))
        return jax.tree.map(lambda leaf: leaf[None], steepest), values.reshape(-1, values.shape[-1])

    of_parts, values = gathered(on_parts(of_part, mesh)(rows), mesh)
    steepest = jax.vmap(largest, in_axes=1)(of_parts)
    return values[:num_points], steepest.point, steepest.witness


def _with_label(f: Callable, label: Int[Array, ""], x: Point) -> Float[Array, "..."]:
    return f(x, label)


class _Steepest(NamedTuple):
    """The largest value over points so far, its witness, and which point it was."""

    value: Scalar
    witness: Point
    point: Int[Array, ""]
