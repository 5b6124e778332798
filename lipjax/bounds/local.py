"""Upper bounds of the local Lipschitz constant on a ball."""

import math
from collections.abc import Callable
from functools import partial, reduce

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from lipjax import checks
from lipjax.bounds import linear
from lipjax.bounds.backward import output_derivative
from lipjax.bounds.carried import Region
from lipjax.bounds.expansion import Expansion, changes_of, expand, measure, slopes_and_norm
from lipjax.bounds.forward import Refine, forward, input_region, keep
from lipjax.bounds.program import Program, Wire, confined, trace
from lipjax.bounds.rounding import eps, spectral
from lipjax.bounds.rules import has_local_rule, recognize
from lipjax.norms import Ball, Norm, l2
from lipjax.operators import is_plain
from lipjax.types import Model, Point, Scalar, VectorFn

Matrix = Float[Array, "outputs inputs"]


def _entrywise(matrix: Matrix, norm_in: Norm, norm_out: Norm) -> Scalar:
    """A bound of the operator norm of all matrices with entries of at most these sizes; exact from l1 and to linf."""
    of_rows = norm_out.value(jax.vmap(norm_in.dual)(matrix))
    of_columns = norm_in.dual(jax.vmap(norm_out.value, in_axes=1)(matrix))
    return jnp.minimum(of_rows, of_columns) * (1 + (sum(matrix.shape) + 8) * eps())


def _matrix_norm(matrix: Matrix, norm_in: Norm, norm_out: Norm) -> Scalar:
    return jnp.minimum(_entrywise(matrix, norm_in, norm_out), _through_l2(matrix, norm_in, norm_out) * spectral(matrix))


def _through_l2(matrix: Matrix, norm_in: Norm, norm_out: Norm) -> float:
    """What an l2 operator norm of a matrix of this shape is at most multiplied with, in other norms."""
    return norm_in.conversion(l2, matrix.shape[1]) * l2.conversion(norm_out, matrix.shape[0])


def _least(*bounds: Scalar) -> Scalar:
    # A bound that is not a number (0 times inf) says nothing.
    return jnp.nanmin(jnp.stack([jnp.asarray(jnp.inf), *bounds])) * (1 + 4 * eps())


def _interval(program: Program, x: Point, ball: Ball, norm_out: Norm) -> Scalar:
    norm_in, regions = ball.norm, forward(program, input_region(x, ball))
    derivative = output_derivative(program, regions)
    center, lower, upper = (rows.reshape(rows.shape[0], -1) for rows in derivative[:3])
    factor = _through_l2(center, norm_in, norm_out)
    at_center = _matrix_norm(center, norm_in, norm_out)
    moved = jnp.maximum(jnp.maximum(upper - center, center - lower), 0.0)
    return _least(
        _matrix_norm(jnp.maximum(jnp.abs(lower), jnp.abs(upper)), norm_in, norm_out),
        at_center + _matrix_norm(moved, norm_in, norm_out),
        at_center + factor * derivative.change,
        factor * jnp.fmin(derivative.norm, regions[program.output.index].norm),
    )


def expanded(program: Program, regions: list[Region], norm_in: Norm, norm_out: Norm) -> Scalar:
    """A bound of the operator norm of the derivative, by its expansion."""
    count = math.prod(program.shape(program.output))
    rows = jnp.eye(count).reshape(count, *program.shape(program.output))
    expansion = expand(program, regions, program.output, rows, norm_in)
    return _norm_of(expansion, norm_in, norm_out)


@partial(jax.jit, static_argnames=("norm_in", "norm_out"))
def _norm_of(expansion: Expansion, norm_in: Norm, norm_out: Norm) -> Scalar:
    count, factor = expansion.middle.shape[0], _through_l2(expansion.middle, norm_in, norm_out)
    changes = changes_of(expansion, norm_in)
    return _least(
        _matrix_norm(expansion.middle, norm_in, norm_out)
        + sum(jnp.fmin(norm_out.value(change.rows), factor * change.norm) for change in changes),
        norm_out.value(slopes_and_norm(expansion, norm_in).rows) * (1 + (count + 8) * eps()),
    )


def _expansion(program: Program, x: Point, ball: Ball, norm_out: Norm, cut: Refine = keep) -> Scalar:
    at_center = forward(program, input_region(x, ball.replace(radius=0.0)))

    def refine(program: Program, regions: list[Region], wire: Wire) -> Region:
        region, center = measure(program, regions, wire, norm_in=ball.norm), at_center[wire.index]
        reach = region.slopes * ball.radius * (1 + 4 * eps()) + 4 * eps() * region.magnitude
        lower, upper = jnp.fmax(region.lower, center.lower - reach), jnp.fmin(region.upper, center.upper + reach)
        regions[wire.index] = region._replace(lower=lower, upper=upper).within(math.inf)
        return cut(program, regions, wire)

    return expanded(program, forward(program, input_region(x, ball), refine), ball.norm, norm_out)


# Tighter values move the middles of slopes too, which may loosen an expansion: a method takes the least of all before.
_METHODS: dict[str, tuple[Callable[[Program, Point, Ball, Norm], Scalar], ...]] = {
    "interval": (_interval,),
    "expansion": (_interval, _expansion),
    "linear": (_interval, _expansion, partial(_expansion, cut=linear.cut)),
}


def local_bound(
    f: VectorFn | Model,
    x: Point,
    ball: Ball,
    *,
    norm_out: Norm | None = None,
    method: str = "interval",
) -> Scalar:
    """An upper bound of the pairwise Lipschitz constant of f on a ball: no two points of it violate it.

    `sup ||f(u) - f(v)||_out / ||u - v||_in <= sup ||J(z)|| <= local_bound`, over u, v, z with `||z - x||_in <= radius`,
    J the Jacobian. Values of all layers are enclosed on the ball, hence the slopes of nonlinearities, hence J.

    Args:
        f: A model, or any function of one input without a batch axis.
        x: Center of the ball, within its box.
        ball: Its norm (l1, l2, linf, or one of them `masked`) is that of input differences; the radius may be traced.
        norm_out: Norm of output differences: l1, l2 or linf; default the ball's (of the entries that may move).
        method: "interval" encloses values and derivatives by intervals and by l2 distances from those at x.
            "expansion" adds the expansion of every derivative around slopes in the middle of their ranges; it is never
            above "interval" and often several times below, at the cost of a gradient for every entry of every hidden
            layer. "linear" adds linear relaxations of values, never above "expansion", for four times the gradients.

    Returns:
        The bound; inf where a layer has no rule (`audit` says which). As the radius goes to 0 it tends to the norm of
        the Jacobian at x, where x is on no kink and that norm is l2 to l2, from l1 or to linf (others are NP-hard). For
        l2 it is at most the product of the layers' norms. With "interval" it never decreases with the radius.
        The bound is of the function in exact arithmetic. Rounding of the bound is added to the bound, by the worst case
        for sums in any order, so many layers in float32 need a radius that is not tiny: `jax_enable_x64` helps.

    Raises:
        TypeError: If ball or norm_out is not a value of that kind.
        ValueError: If a norm is another one, or method is not a legal word.

    Example:
        >>> def f(x):
        ...     return jnp.array([[3.0, 0.0], [0.0, 4.0]]) @ jax.nn.relu(x)
        >>> x, balls = jnp.array([1.0, -1.0]), [l2.ball(radius, box=None) for radius in (0.5, 2.0)]
        >>> [round(float(local_bound(f, x, ball)), 3) for ball in balls]  # the second unit is off, then on
        [3.0, 4.0]

    References:
        Weng et al. 2018, "Towards Fast Computation of Certified Robustness for ReLU Networks" (arXiv 1804.09699), for
        intervals of Jacobians. Zhang et al. 2018, "Efficient Neural Network Robustness Certification with General
        Activation Functions" (arXiv 1811.00866), for the relaxation. The l2 distances and the expansion are ours.
    """
    if not isinstance(ball, Ball):
        raise TypeError(f"ball must be a ball such as lipjax.norms.l2.ball(0.1), got {ball!r}")
    f, x, norm_in = confined(f, x, ball.norm)
    norm_out = norm_in if norm_out is None else norm_out
    is_plain(norm=norm_in, norm_out=norm_out)
    checks.one_of("method", method, list(_METHODS))
    program = recognize(trace(f, x.shape))
    if not isinstance(program.output, Wire):
        return jnp.zeros(())
    if not all(map(has_local_rule, program.steps)):
        return jnp.array(jnp.inf)
    bounds = [bound(program, x, ball.replace(norm=norm_in), norm_out) for bound in _METHODS[method]]
    return reduce(jnp.minimum, bounds)
