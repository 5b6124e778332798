"""Upper bounds of the local Lipschitz constant on a ball."""

import math
from collections.abc import Callable
from functools import partial, reduce
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from lipjax import checks, loops
from lipjax.bounds import linear
from lipjax.bounds.backward import output_derivative
from lipjax.bounds.carried import Derivative, Interval, Region
from lipjax.bounds.chords import Chords
from lipjax.bounds.everywhere import everywhere
from lipjax.bounds.expansion import expanded, measure
from lipjax.bounds.forward import forward, input_region
from lipjax.bounds.matrices import least, matrix_norm, through_l2, value
from lipjax.bounds.program import Program, Wire, confined, in_float64, is_traced, trace
from lipjax.bounds.rounding import eps
from lipjax.bounds.rules import find_sizes, has_local_rule, join_shifts, recognize, take_apart
from lipjax.bounds.semidefinite import semidefinite
from lipjax.norms import Ball, Norm
from lipjax.operators import is_plain
from lipjax.types import Model, Point, Scalar, VectorFn

T = TypeVar("T")


class _Turn(NamedTuple):
    """A way to find regions."""

    measures: Any  # whether derivatives bound how far entries move
    cuts: Any  # whether linear relaxation bounds entries as well


_AT_CENTER, _MEASURED, _CUT = _Turn(False, False), _Turn(True, False), _Turn(True, True)


def _refined(
    program: Program, start: Region, ball: Ball, centers: list[Interval], turn: _Turn, anchored: bool
) -> list[Region]:
    """Regions of all wires, given that of the input, with what nonlinear steps read refined, as the turn says.

    `centers` is where the values at the center are. Slopes are anchored there, or of all pairs.
    """

    def refine(regions: list[Region], wire: Wire) -> Region:
        return _either(turn.measures, lambda: measured(regions, wire), lambda: kept(regions[wire.index]))

    def kept(region: Region) -> Region:
        drift = jnp.zeros_like(region.center) if anchored else None
        return region._replace(slopes=jnp.full_like(region.center, math.inf), drift=drift)

    def measured(regions: list[Region], wire: Wire) -> Region:
        region, center = measure(program, regions, wire, ball.norm), centers[wire.index]
        reach = region.slopes * ball.radius * (1 + 4 * eps()) + 4 * eps() * region.magnitude
        drift = jnp.maximum(center.upper - region.center, region.center - center.lower) if anchored else None
        nothing = jnp.full((region.center.size, 2), math.inf)
        found = _either(turn.cuts, lambda: linear.highest(program, regions, wire), lambda: nothing)
        highest, lowest = (bounds.reshape(region.center.shape) for bounds in found.T)
        lower = jnp.fmax(jnp.fmax(region.lower, center.lower - reach), -lowest)
        upper = jnp.fmin(jnp.fmin(region.upper, center.upper + reach), highest)
        return region._replace(lower=lower, upper=upper, drift=drift).within(math.inf)

    return forward(program, start, refine)


def _either(condition: Any, one: Callable[[], T], other: Callable[[], T]) -> T:
    """`jax.lax.cond`, decided now where the condition is known now."""
    return (one if condition else other)() if isinstance(condition, bool) else jax.lax.cond(condition, one, other)


def _by_intervals(derivative: Derivative, result: Region, norm_in: Norm, norm_out: Norm) -> Scalar:
    center, lower, upper = (rows.reshape(rows.shape[0], -1) for rows in derivative[:3])
    factor = through_l2(center, norm_in, norm_out)
    at_center = matrix_norm(center, norm_in, norm_out)
    moved = jnp.maximum(jnp.maximum(upper - center, center - lower), 0.0)
    return least(
        matrix_norm(jnp.maximum(jnp.abs(lower), jnp.abs(upper)), norm_in, norm_out),
        at_center + matrix_norm(moved, norm_in, norm_out),
        at_center + factor * derivative.change,
        factor * jnp.fmin(derivative.norm, result.norm),
    )


def _expansion(program: Program, x: Point, ball: Ball, norm_out: Norm, anchored: bool) -> Scalar:
    regions = _with_centers(program, x, ball, _MEASURED, anchored)
    derivative, result = output_derivative(program, regions), regions[program.output.index]
    bounds = _by_intervals(derivative, result, ball.norm, norm_out), expanded(program, regions, ball.norm, norm_out)
    return jnp.minimum(*bounds)


def _with_centers(program: Program, x: Point, ball: Ball, turn: _Turn, anchored: bool) -> list[Region]:
    """Refined regions, after a turn at the center."""
    centers = forward(program, input_region(x, ball.replace(radius=0.0)))
    return _refined(program, input_region(x, ball), ball, _intervals(centers), turn, anchored)


def _intervals(regions: list[Region]) -> list[Interval]:
    return [Interval(region.lower, region.upper) for region in regions]


def _linear(program: Program, x: Point, ball: Ball, norm_out: Norm, anchored: bool) -> Scalar:
    """The least of all bounds, by expansion without and with linear relaxation: tighter values move middles of slopes.

    All turns are of one loop, which is compiled once.
    """
    find_sizes(program)

    def step(carried: tuple[list[Interval], list[Region]], given: tuple[_Turn, Region]) -> tuple[Any, Scalar]:
        (turn, start), (centers, _) = given, carried
        regions = _refined(program, start, ball, centers, turn, anchored)
        centers = jax.tree.map(partial(jnp.where, turn.measures), centers, _intervals(regions))
        nothing = jnp.full((), math.inf)
        bound = _either(turn.measures, lambda: expanded(program, regions, ball.norm, norm_out), lambda: nothing)
        return (centers, regions), bound

    turns = jax.tree.map(lambda *flags: jnp.array(flags), _AT_CENTER, _MEASURED, _CUT)
    radii = jnp.where(turns.measures, ball.radius, 0.0)
    starts = jax.vmap(lambda radius: input_region(x, ball.replace(radius=radius)))(radii)
    of_center = partial(_refined, program, input_region(x, ball), ball, [], _AT_CENTER, anchored)
    empty = jax.tree.map(lambda each: jnp.zeros(each.shape, each.dtype), jax.eval_shape(of_center))
    (_, regions), bounds = loops.scan(step, (_intervals(empty), empty), (turns, starts))
    return least(*bounds, _by_rows(program, regions, ball.norm, norm_out))


def _by_rows(program: Program, regions: list[Region], norm_in: Norm, norm_out: Norm) -> Scalar:
    """The bound by the intervals of the derivative, and by the lengths of its rows."""
    chords = Chords(program, regions)
    by_intervals = _by_intervals(chords.derivative, regions[program.output.index], norm_in, norm_out)
    return least(by_intervals, value(norm_out, chords.lengths(norm_in)))


def _semidefinite(program: Program, x: Point, ball: Ball, norm_out: Norm, anchored: bool) -> Scalar:
    """The semidefinite bound or that by linear relaxation, the smaller one."""
    regions = _with_centers(program, x, ball, _CUT, anchored)
    bounds = semidefinite(program, regions, ball.norm, norm_out), expanded(program, regions, ball.norm, norm_out)
    return least(*bounds, _by_rows(program, regions, ball.norm, norm_out))


def _interval(program: Program, x: Point, ball: Ball, norm_out: Norm, anchored: bool) -> Scalar:
    regions = forward(program, input_region(x, ball))
    return _by_intervals(output_derivative(program, regions), regions[program.output.index], ball.norm, norm_out)


# Tighter values move the middles of slopes too, which may loosen an expansion: a method takes the least of all before.
_METHODS: dict[str, tuple[Callable[[Program, Point, Ball, Norm, bool], Scalar], ...]] = {
    "interval": (_interval,),
    "expansion": (_expansion,),
    "linear": (_linear,),
    "sdp": (_expansion, _semidefinite),
}


def local_bound(
    f: VectorFn | Model,
    x: Point,
    ball: Ball,
    *,
    norm_out: Norm | None = None,
    method: str = "interval",
    constant: str = "pairwise",
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
            "expansion" adds the expansion of every derivative around slopes in the middle of their ranges; it is, up to
            rounding, never above "interval" and often several times below, at the cost of a gradient for every entry of
            every hidden layer. "linear" adds linear relaxations of values, for four times the gradients, and of the
            rows of the derivative (from l2 and linf), for some passes more for each entry and output; it is never above
            "expansion".
            "sdp" adds a semidefinite bound with a multiplier for each unit that may switch on the ball (see
            `global_bound`); it needs known points, radii and weights.
        constant: "pairwise", or "slope": the bound is of `sup ||f(z) - f(x)|| / ||z - x||` only, which may be less.
            Where an activation is convex or concave, slopes are then those of its chords from the value at x. With
            "interval" both are the same.

    Returns:
        The bound, outside jit and vmap never above `global_bound`; of a function with a layer that has no rule for
        balls it is that, or inf. As the radius goes to 0 it tends to the norm of
        the Jacobian at x, where x is on no kink and that norm is l2 to l2, from l1 or to linf (others are NP-hard). For
        l2 it is at most the product of the layers' norms. With "interval" it never decreases with the radius.
        The bound is of the function in exact arithmetic. Rounding of the bound is added to the bound, by the worst case
        for sums in any order, so many layers in float32 need a radius that is not tiny: `jax_enable_x64` helps.

    Raises:
        TypeError: If ball or norm_out is not a value of that kind.
        ValueError: If x is not finite or outside the box, a norm is another one, method is not a legal word, or it is
            "sdp" and something is traced.

    Examples:
        >>> from lipjax.norms import l2
        >>> def f(x):
        ...     return jnp.array([[3.0, 0.0], [0.0, 4.0]]) @ jax.nn.relu(x)
        >>> x, balls = jnp.array([1.0, -1.0]), [l2.ball(radius, box=None) for radius in (0.5, 2.0)]
        >>> [round(float(local_bound(f, x, ball)), 3) for ball in balls]  # the second unit is off, then on
        [3.0, 4.0]
        >>> round(float(local_bound(f, x, balls[1], method="expansion", constant="slope")), 3)  # 4 of half the way
        3.0

    References:
        Weng et al. 2018, "Towards Fast Computation of Certified Robustness for ReLU Networks" (arXiv 1804.09699), for
        intervals of Jacobians. Zhang et al. 2018, "Efficient Neural Network Robustness Certification with General
        Activation Functions" (arXiv 1811.00866), for the relaxation of values, Shi
        et al. 2022 (arXiv 2210.07394) for that of derivatives. The l2 distances, the expansion
        and the chords from x are ours.
    """
    if not isinstance(ball, Ball):
        raise TypeError(f"ball must be a ball such as lipjax.norms.l2.ball(0.1), got {ball!r}")
    checks.numbers(x=x)
    checks.inside(ball.box, x=x)
    x = jnp.asarray(x)
    f, x, norm_in = confined(f, x, ball.norm)
    norm_out = norm_in if norm_out is None else norm_out
    is_plain(norm=norm_in, norm_out=norm_out)
    checks.one_of("method", method, list(_METHODS))
    checks.one_of("constant", constant, ["pairwise", "slope"])
    program = join_shifts(recognize(trace(f, x.shape)))
    if not isinstance(program.output, Wire):
        return jnp.zeros(())
    known = not is_traced(program) and not any(isinstance(value, jax.core.Tracer) for value in (x, ball.radius))
    if method == "sdp" and not known:
        raise ValueError("method 'sdp' needs known points, radii and weights: it does not run inside jit or vmap")
    asked = take_apart(program), x, ball.replace(norm=norm_in), norm_out, constant == "slope", method
    if method == "sdp":
        with jax.enable_x64(True):
            found: Any = float(_smallest(in_float64(asked[0]), jnp.asarray(x, np.float64), *asked[2:]))
        found *= 1 + 2 * eps()
    else:
        found = _smallest(*asked)
    return jnp.minimum(found, everywhere(program, norm_in, norm_out) * (1 + 2 * eps()) if known else math.inf)


def _smallest(program: Program, x: Point, ball: Ball, norm_out: Norm, anchored: bool, method: str) -> Scalar:
    if not all(map(has_local_rule, program.steps)):
        return jnp.array(math.inf)
    return reduce(jnp.minimum, [bound(program, x, ball, norm_out, anchored) for bound in _METHODS[method]])
