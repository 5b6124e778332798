"""Is a claimed Lipschitz constant false? Two points that break it, checked in float64 with its rounding."""

import math
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from lipjax import checks, loops
from lipjax.bounds.everywhere import global_bound
from lipjax.bounds.forward import forward, input_region
from lipjax.bounds.local import local_bound
from lipjax.bounds.program import Program, Wire, confined, in_float64, trace
from lipjax.bounds.rules import has_local_rule, recognize, take_apart
from lipjax.estimators import pairwise_slope
from lipjax.norms import Ball, Norm, linf
from lipjax.operators import is_plain
from lipjax.types import KeyArray, Model, Point, VectorFn

Values: TypeAlias = Float[np.ndarray, "..."]

_FARTHEST = (1.0, 100.0)
"""Radii that stand for an infinite one."""

_NUM_TURNS = 100
"""Steps of the power method at the best point found."""

_LENGTHS = 2.0 ** -np.arange(0.0, 30.0)
"""Lengths of pairs around that point, as multiples of the distance that the search found."""

_SLACK = 1e-9


class Refutation(NamedTuple):
    """What was found about a claim; prints as a sentence.

    Attributes:
        claimed: The constant that was claimed.
        quotient: The largest quotient that the pair attains without doubt: in exact arithmetic it is not smaller.
        upper: A certified bound of the true constant.
        pair: The two points `[2, *dims]`, float64.
        outputs: The outputs `[2, *dims]` there, computed in float64.
        rounding: How far each entry of their difference can be off.
        norm_in: Norm of input differences.
        norm_out: Norm of output differences.

    Examples:
        >>> pair = np.array([[0.0], [1.0]])
        >>> print(Refutation(1.0, 2.0, 2.5, pair, 2 * pair, np.zeros(1), linf, linf))
        the claim 1 is false: a pair attains 2, and nothing exceeds 2.5
    """

    claimed: float
    quotient: float
    upper: float
    pair: Float[np.ndarray, "2 ..."]
    outputs: Float[np.ndarray, "2 ..."]
    rounding: Float[np.ndarray, "..."]
    norm_in: Norm
    norm_out: Norm

    @property
    def verdict(self) -> str:
        """One of "false", "true" (it is certified) and "open"."""
        return "false" if self.quotient > self.claimed else "true" if self.upper <= self.claimed else "open"

    def __str__(self) -> str:
        found = f"the claim {self.claimed:.9g} is {self.verdict}"
        return f"{found}: a pair attains {self.quotient:.9g}, and nothing exceeds {self.upper:.9g}"

    def save(self, path: str | Path) -> None:
        """Writes the witness as NPZ: NumPy alone computes the quotient, from `pair`, `outputs` and `rounding`."""
        fields: dict[str, Any] = {"exponent_in": self.norm_in.exponent, "exponent_out": self.norm_out.exponent}
        fields |= {
            name: getattr(self, name) for name in ("claimed", "quotient", "upper", "pair", "outputs", "rounding")
        }
        np.savez(path, **fields)


def refute(
    f: VectorFn | Model,
    claimed: float,
    x: Point,
    ball: Ball,
    *,
    norm_out: Norm | None = None,
    key: KeyArray | None = None,
    tolerance: float = 1e-6,
    method: str = "interval",
) -> Refutation:
    """Looks for two points of a ball that break `||f(u) - f(v)||_out <= claimed ||u - v||_in`.

    `pairwise_slope` and the power method search, in float64, and pairs of many lengths are tried along what they find.
    The outputs are then enclosed with all rounding of their computation, and only what remains of the quotient counts.

    Args:
        f: A model, or any function of one input without a batch axis; it is the function of its weights as they are
            stored, in exact arithmetic.
        claimed: The constant.
        x: Center of the ball; for a radius of inf, where the search starts.
        ball: Of which radius and norm the claim speaks; inf for a global one.
        norm_out: Norm of output differences: l1, l2 or linf; default the ball's.
        key: Of the search.
        tolerance: Claims that are exceeded by no more than this factor less 1 are left alone.
        method: How the upper bound is found: see `local_bound` and, for an infinite radius, `global_bound`.

    Returns:
        The verdict, the pair and a certified bound. A claim that is true is never called false. Where f has a layer
        without a rule, the rounding of its outputs is not enclosed but taken for 1e-10 of the largest value on the way.

    Raises:
        TypeError: If norm_out is no norm.
        ValueError: If claimed or tolerance is negative, or a norm another one.

    Examples:
        >>> from lipjax.norms import l2
        >>> f = lambda x: jnp.array([[3.0, 0.0], [0.0, 4.0]]) @ jax.nn.relu(x)
        >>> found = refute(f, 3.9, jnp.zeros(2), l2.ball(1.0, box=None))
        >>> found.verdict, round(found.quotient, 3), round(found.upper, 3)
        ('false', 4.0, 4.0)
        >>> refute(f, 4.1, jnp.zeros(2), l2.ball(1.0, box=None)).verdict
        'true'
    """
    checks.not_negative(claimed=claimed, tolerance=tolerance)
    f, x, norm = confined(f, x, ball.norm)
    ball, norm_out = ball.replace(norm=norm), norm if norm_out is None else norm_out
    is_plain(norm_in=norm, norm_out=norm_out)
    key = jax.random.key(0) if key is None else key
    upper = _upper(f, x, ball, norm_out, method)
    program = take_apart(recognize(trace(f, x.shape)))
    with jax.enable_x64(True):
        program = in_float64(program)
        tried = _pairs(program, np.asarray(x, np.float64), ball, norm_out, key)
        quotient, pair, outputs, rounding = _steepest_certain(program, tried, norm, norm_out)
    sure = quotient if quotient > claimed * (1.0 + tolerance) else min(quotient, claimed)
    return Refutation(claimed, sure, upper, pair, outputs, rounding, norm, norm_out)


def _upper(f: VectorFn | Model, x: Point, ball: Ball, norm_out: Norm, method: str) -> float:
    if math.isfinite(ball.radius):
        return float(local_bound(f, x, ball, norm_out=norm_out, method=method))
    return global_bound(
        f, x.shape, norm_in=ball.norm, norm_out=norm_out, method="sdp" if method == "sdp" else "average"
    )


def _pairs(program: Program, x: Values, ball: Ball, norm_out: Norm, key: KeyArray) -> list[Values]:
    """Pairs of points of the ball that look steep, of many lengths."""
    if not isinstance(program.output, Wire):
        return [np.stack([x, x])]
    radii = [ball.radius] if math.isfinite(ball.radius) else _FARTHEST
    search = jax.jit(partial(_steepest, program, norm_out))
    found = [np.asarray(search(key, x, ball.replace(radius=radius))) for radius in radii]
    pairs = list[Values]()
    for middle, half in found:
        for length in _LENGTHS:
            pair = np.stack([middle + length * half, middle - length * half])
            pairs += [pair] if all(_is_inside(point, x, ball) for point in pair) and np.any(pair[0] != pair[1]) else []
    return pairs or [np.stack([x, x])]


def _is_inside(point: Values, x: Values, ball: Ball) -> bool:
    low, high = ball.box if ball.box is not None else (-math.inf, math.inf)
    distance = _length(point - x, ball.norm)
    return bool(np.all((low <= point) & (point <= high)) and distance <= ball.radius * (1 - _SLACK))


def _length(x: Values, norm: Norm) -> float:
    return float(np.linalg.norm(np.ravel(x), norm.exponent))


def _steepest(program: Program, norm_out: Norm, key: KeyArray, x: Any, ball: Ball) -> Any:
    """The middle of the steepest pair found and half of its difference, turned by the power method."""
    search = pairwise_slope(ball, norm_out=norm_out, num_samples=32, num_steps=20, num_restarts=2)
    one, other = search(key, program.run, x).witness
    middle, half = (one + other) / 2, (one - other) / 2
    _, push = jax.linearize(program.run, middle)

    def turn(direction: Any, _: None) -> tuple[Any, None]:
        return ball.norm.steepest(jax.grad(lambda direction: norm_out.value(push(direction)))(direction)), None

    turned, _ = loops.scan(turn, ball.norm.steepest(half), None, _NUM_TURNS)
    turned = turned * ball.norm.value(half)
    better = norm_out.value(push(turned)) > norm_out.value(push(half))
    return jnp.stack([middle, jnp.where(better, turned, half)])


def _steepest_certain(program: Program, pairs: list[Values], norm: Norm, norm_out: Norm) -> tuple[float, Any, Any, Any]:
    """The pair that attains the most for sure: never more than its plain quotient, which says who can still win."""
    outputs = jax.jit(jax.vmap(jax.vmap(program.run)))(np.stack(pairs))
    rises, runs = (np.subtract(*np.moveaxis(np.asarray(points), 1, 0)) for points in (outputs, pairs))
    plain = [_length(rise, norm_out) / (_length(run, norm) or math.inf) for rise, run in zip(rises, runs, strict=True)]
    first, *others = np.argsort(-np.array(plain))
    best = _certain(program, pairs[first], norm, norm_out)
    for index in others:
        if not plain[index] <= best[0]:
            best = max(best, _certain(program, pairs[index], norm, norm_out), key=lambda found: found[0])
    return best


def _certain(program: Program, pair: Values, norm: Norm, norm_out: Norm) -> tuple[float, Any, Any, Any]:
    """What the quotient of a pair is at least, with the outputs and the rounding of their difference."""
    values, errors = zip(*[_enclosed(program, point) for point in pair], strict=True)
    rounding = sum(errors) + 4 * np.finfo(np.float64).eps * (np.abs(values[0]) + np.abs(values[1]))
    rise, run = np.maximum(np.abs(values[0] - values[1]) - rounding, 0.0), _length(pair[0] - pair[1], norm)
    quotient = _length(rise, norm_out) / run * (1 - 4 * (rise.size + pair[0].size + 8) * 2.0**-53) if run > 0.0 else 0.0
    return (quotient if np.isfinite(quotient) else 0.0), pair, np.stack(values), rounding


def _enclosed(program: Program, point: Values) -> tuple[Values, Values]:
    """The output at a point, and how far it can be from the exact one."""
    output = program.output
    if not isinstance(output, Wire):
        return np.asarray(output), np.zeros(np.shape(output))
    values = [jnp.asarray(point)]
    for step in program.steps:
        values.append(step(*[values[wire.index] for wire in step.wires]))
    value = np.asarray(values[output.index])
    if not all(map(has_local_rule, program.steps)):
        largest = max(float(jnp.max(jnp.abs(value), initial=0.0)) for value in values)
        return value, np.full(value.shape, 1e-10 * largest)
    region = forward(program, input_region(values[0], linf.ball(0.0, box=None)))[output.index]
    return value, np.maximum(np.asarray(region.upper) - value, value - np.asarray(region.lower))
