"""Functions of one entry: values, ranges of their derivative, and lines that enclose them on an interval.

A new activation is one line of `ACTIVATIONS`: whether it is convex, concave or S-shaped, its value and its derivative.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import erf, erfc

from lipjax.bounds.carried import Entries
from lipjax.bounds.rounding import eps

Interval: TypeAlias = tuple[Any, Any]
Function: TypeAlias = Callable[[Any], Any]


class Lines(NamedTuple):
    """Two lines with `lower_slope z + lower_shift <= g(z) <= upper_slope z + upper_shift` on an interval."""

    lower_slope: Entries
    lower_shift: Entries
    upper_slope: Entries
    upper_shift: Entries


def _range(g: Function, low: Any, high: Any, turns: Sequence[float] = (0.0,)) -> Interval:
    """Range on an interval of a function that is monotone between these points."""
    least, largest = jnp.minimum(g(low), g(high)), jnp.maximum(g(low), g(high))
    for turn in turns:
        inside, there = (low < turn) & (high > turn), g(jnp.full_like(low, turn))
        least = jnp.where(inside, jnp.minimum(least, there), least)
        largest = jnp.where(inside, jnp.maximum(largest, there), largest)
    return least, largest


class Activation(NamedTuple):
    """A function g of one entry."""

    value: Function  # `g(z)`
    derivative: Function  # `g'(z)`; at a kink, one of the two
    lines: Callable[[Any, Any], Lines]  # `(low, high) -> Lines`
    dips: Sequence[float] = (0.0,)  # between these points g is monotone
    turns: Sequence[float] = (0.0,)  # between these points g' is
    noise: float = 0.0  # how far computed derivatives may be off, in units of the last place of 1
    bend: int = 0  # 1 where g is convex, -1 where it is concave

    def image(self, low: Any, high: Any) -> Interval:
        """Range of g on an interval."""
        return _range(self.value, low, high, self.dips)

    def slopes(self, low: Any, high: Any) -> Interval:
        """Range of g' on an interval."""
        least, largest = _range(self.derivative, low, high, self.turns)
        return least - self.noise * eps(), largest + self.noise * eps()

    def secants(self, low: Any, high: Any, first: Any, last: Any) -> Interval:
        """Range of `(g(z) - g(a)) / (z - a)` over z in an interval and a between two points of it.

        For a convex g it grows with both z and a.
        """
        least, largest = self.slopes(low, high)
        if self.bend == 0:
            return least, largest
        ends = [_secant(self.value, *pair) for pair in ((low, first), (last, high))]
        (below, under), (above, over) = ends[:: self.bend]
        return jnp.fmax(least, below - under), jnp.fmin(largest, above + over)


def _secant(g: Function, one: Any, other: Any) -> tuple[Any, Any]:
    """The slope of a chord and how far rounding may have moved it; any way where the points are one."""
    gap = other - one
    distance = jnp.where(gap == 0.0, 1.0, gap)
    slope = (g(other) - g(one)) / distance
    noise = 8 * eps() * (jnp.abs(slope) + (jnp.abs(g(one)) + jnp.abs(g(other))) / jnp.abs(distance))
    return slope, jnp.where(gap == 0.0, jnp.inf, noise)


def _chord(g: Function, derivative: Function, low: Any, high: Any) -> Interval:
    width = high - low
    flat = width <= 1e-6 * (jnp.abs(low) + jnp.abs(high))
    slope = jnp.where(flat, derivative(high), (g(high) - g(low)) / jnp.where(flat, 1.0, width))
    return slope, jnp.maximum(g(low) - slope * low, g(high) - slope * high)


def _rounding(g: Function, slope: Any, low: Any, high: Any) -> Any:
    return 8 * eps() * (jnp.abs(g(low)) + jnp.abs(g(high)) + jnp.abs(slope) * (jnp.abs(low) + jnp.abs(high)))


def convex(value: Function, derivative: Function) -> Activation:
    """A convex function: below its chord, above its tangents."""

    def lines(low: Any, high: Any) -> Lines:
        middle = low + (high - low) / 2
        tangent = derivative(middle)
        slope, shift = _chord(value, derivative, low, high)
        return Lines(
            tangent,
            value(middle) - tangent * middle - _rounding(value, tangent, low, high),
            slope,
            shift + _rounding(value, slope, low, high),
        )

    return Activation(value, derivative, lines, bend=1)


def concave(value: Function, derivative: Function) -> Activation:
    """A concave function."""
    mirrored = convex(lambda z: -value(z), lambda z: -derivative(z))

    def lines(low: Any, high: Any) -> Lines:
        lower_slope, lower_shift, upper_slope, upper_shift = mirrored.lines(low, high)
        return Lines(-upper_slope, -upper_shift, -lower_slope, -lower_shift)

    return Activation(value, derivative, lines, bend=-1)


def s_shaped(value: Function, derivative: Function) -> Activation:
    """An increasing function that is steepest at 0."""

    def lines(low: Any, high: Any) -> Lines:
        slope, _ = _range(derivative, low, high)
        slack = _rounding(value, slope, low, high)
        return Lines(slope, value(low) - slope * low - slack, slope, value(high) - slope * high + slack)

    return Activation(value, derivative, lines)


def winding(value: Function, derivative: Function, dips: Sequence[float], turns: Sequence[float]) -> Activation:
    """Any other function: between two lines of the slope in the middle of the range, from which ends can't be far."""

    def lines(low: Any, high: Any) -> Lines:
        return _around_middle(value, _range(derivative, low, high, turns), low, high)

    return Activation(value, derivative, lines, dips, turns, noise=16.0)


def _around_middle(value: Function, slopes: Interval, low: Any, high: Any) -> Lines:
    """Two lines of the slope in the middle of a range."""
    least, largest = slopes
    slope, reach = (least + largest) / 2, ((largest - least) / 4 + 16 * eps()) * (high - low)
    slack = _rounding(value, slope, low, high)
    level = (value(low) - slope * low + value(high) - slope * high) / 2
    return Lines(slope, level - reach - slack, slope, level + reach + slack)


class Wave(Activation):
    """A function of period 2 pi from -1 to 1; `dips` and `turns` are each one peak, half a period before a trough."""

    def image(self, low: Any, high: Any) -> Interval:
        """Range of g on an interval."""
        return _of_wave(self.value, self.dips[0], low, high)

    def slopes(self, low: Any, high: Any) -> Interval:
        """Range of g' on an interval."""
        return _of_wave(self.derivative, self.turns[0], low, high)


def _of_wave(g: Function, peak: float, low: Any, high: Any) -> Interval:
    """Range of a wave: where a peak may be within, by the rounding of large numbers too, it is 1."""

    def may_hold(point: float) -> Any:
        first, last = ((end - point) / (2.0 * math.pi) for end in (low, high))
        noise = 4 * eps() * (1.0 + jnp.maximum(jnp.abs(first), jnp.abs(last)))
        return jnp.ceil(first - noise) <= jnp.floor(last + noise)

    at_ends = g(low), g(high)
    least = jnp.where(may_hold(peak + math.pi), -1.0, jnp.minimum(*at_ends) - 4 * eps())
    largest = jnp.where(may_hold(peak), 1.0, jnp.maximum(*at_ends) + 4 * eps())
    return jnp.maximum(least, -1.0), jnp.minimum(largest, 1.0)


def _wave(value: Function, derivative: Function, peak: float, steepest: float) -> Activation:
    def lines(low: Any, high: Any) -> Lines:
        return _around_middle(value, _of_wave(derivative, steepest, low, high), low, high)

    return Wave(value, derivative, lines, (peak,), (steepest,))


class Reciprocal(Activation):
    """`1 / z`; of an interval with 0 nothing is known."""

    def image(self, low: Any, high: Any) -> Interval:
        """Range of g on an interval."""
        return _apart(*super().image(low, high), low, high)

    def slopes(self, low: Any, high: Any) -> Interval:
        """Range of g' on an interval."""
        return _apart(*super().slopes(low, high), low, high)


def _apart(least: Any, largest: Any, low: Any, high: Any) -> Interval:
    is_apart = (low > 0.0) | (high < 0.0)
    return jnp.where(is_apart, least, -jnp.inf), jnp.where(is_apart, largest, jnp.inf)


def _reciprocal() -> Activation:
    value, derivative = lambda z: 1.0 / z, lambda z: -1.0 / jnp.square(z)
    above, below = convex(value, derivative).lines, concave(value, derivative).lines

    def lines(low: Any, high: Any) -> Lines:
        found = (jnp.where(low > 0.0, *sides) for sides in zip(above(low, high), below(low, high), strict=True))
        return Lines(*[jnp.where((low > 0.0) | (high < 0.0), line, jnp.nan) for line in found])

    return Reciprocal(value, derivative, lines, (), ())


def _smooth(value: Function, dips: Sequence[float], turns: Sequence[float]) -> Activation:
    """A function of JAX that has no more than rounding left of its bends 60 away from 0."""
    slope = jnp.vectorize(jax.grad(value))
    return winding(value, lambda z: slope(jnp.clip(jnp.asarray(z), -60.0, 60.0)), dips, turns)


_HALF_ROOT, _TWO_OVER_PI_ROOT = math.sqrt(0.5), math.sqrt(2.0 / math.pi)


def _gelu(rate: float = _HALF_ROOT) -> Activation:
    """`z erfc(-b z) / 2`."""
    bell = 2.0 / math.sqrt(math.pi)

    def derivative(z: Any) -> Any:
        t = jnp.clip(rate * jnp.asarray(z), -60.0, 60.0)
        return (erfc(-t) + bell * t * jnp.exp(-jnp.square(t))) / 2

    dip, turn = -0.5315968890243036 / rate, 1.0 / rate
    return winding(lambda z: z * erfc(-rate * z) / 2, derivative, (dip,), (-turn, turn))


def _gelu_tanh(rate: float = _TWO_OVER_PI_ROOT, cubic: float = 0.044715) -> Activation:
    """`z (1 + tanh(b (z + a z^3))) / 2`; a logistic function of twice that has its small values to all digits."""
    bend = cubic / rate**2  # of `t + c t^3` with `t = b z`

    def derivative(z: Any) -> Any:
        t = jnp.clip(rate * jnp.asarray(z), -60.0, 60.0)
        inner = 2.0 * (t + bend * t**3)
        return _logistic(inner) * (1.0 + 2.0 * t * (1.0 + 3.0 * bend * jnp.square(t)) * _logistic(-inner))

    def slope(t: float) -> float:
        return 1.0 + math.tanh(t + bend * t**3) + t * (1.0 + 3.0 * bend * t**2) / math.cosh(t + bend * t**3) ** 2

    def curve(t: float) -> float:
        steep = 1.0 + 3.0 * bend * t**2
        return 2.0 * steep + t * (6.0 * bend * t - 2.0 * math.tanh(t + bend * t**3) * steep**2)

    dip, turn = _root(slope, -1.5, 0.0) / rate, _root(curve, 0.0, 1.5) / rate
    value = lambda z: z * _logistic(2.0 * rate * (z + cubic * z**3))  # noqa: E731
    return winding(value, derivative, (dip,), (-turn, turn))


def _root(g: Callable[[float], float], low: float, high: float) -> float:
    """Where a function changes its sign."""
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if (g(middle) > 0.0) == (g(high) > 0.0) else (middle, high)
    return high


def _bell(rate: float = 1.0) -> Activation:
    """`exp(-b z^2)`."""

    def derivative(z: Any) -> Any:
        reach = 16.0 / rate**0.5
        z = jnp.clip(jnp.asarray(z), -reach, reach)
        return -2.0 * rate * z * jnp.exp(-rate * jnp.square(z))

    turn = (2.0 * rate) ** -0.5
    return winding(lambda z: jnp.exp(-rate * jnp.square(z)), derivative, (0.0,), (-turn, turn))


def _silu(rate: float = 1.0) -> Activation:
    """`z logistic(b z)`."""

    def derivative(z: Any) -> Any:
        t = jnp.clip(rate * jnp.asarray(z), -60.0, 60.0)
        return _logistic(t) * (1.0 + t * _logistic(-t))

    dip, turn = -1.2784645427610737 / rate, 2.3993572805154675 / rate
    return winding(lambda z: z * _logistic(rate * z), derivative, (dip,), (-turn, turn))


def _hard_silu_slope(z: Any) -> Any:
    return jnp.where(jnp.abs(z) <= 3.0, (2.0 * z + 3.0) / 6.0, _step(z > 0.0))


def _step(condition: Any) -> Any:
    return condition.astype(jnp.result_type(float))


def _elu(factor: Any, rate: Any) -> Activation:
    """`z` above 0 and `a (exp(b z) - 1)` below: convex, or steepest at 0."""

    def value(z: Any) -> Any:
        return jnp.where(z > 0.0, z, factor * jnp.expm1(rate * jnp.minimum(z, 0.0)))

    def derivative(z: Any) -> Any:
        return jnp.where(z > 0.0, 1.0, factor * rate * jnp.exp(rate * jnp.minimum(z, 0.0)))

    return (convex if np.all(factor * rate <= 1.0) else s_shaped)(value, derivative)


ACTIVATIONS: dict[str, Callable[..., Activation]] = {
    "max": lambda level: convex(lambda z: jnp.maximum(z, level), lambda z: _step(z > level)),
    "min": lambda level: concave(lambda z: jnp.minimum(z, level), lambda z: _step(z < level)),
    "relu": lambda: convex(lambda z: jnp.maximum(z, 0.0), lambda z: _step(z > 0.0)),
    "leaky_relu": lambda slope: convex(lambda z: jnp.maximum(z, slope * z), lambda z: jnp.where(z > 0.0, 1.0, slope)),
    "elu": _elu,
    "abs": lambda: convex(jnp.abs, jnp.sign),
    "square": lambda: convex(jnp.square, lambda z: 2.0 * z),
    "exp": lambda: convex(jnp.exp, jnp.exp),
    "expm1": lambda: convex(jnp.expm1, jnp.exp),
    "log": lambda: concave(jnp.log, lambda z: 1.0 / jnp.maximum(z, 0.0)),
    "log1p": lambda: concave(jnp.log1p, lambda z: 1.0 / jnp.maximum(1.0 + z, 0.0)),
    "sqrt": lambda: concave(jnp.sqrt, lambda z: 0.5 / jnp.sqrt(jnp.maximum(z, 0.0))),
    "reciprocal": _reciprocal,
    "tanh": lambda: s_shaped(jnp.tanh, lambda z: 1.0 - jnp.square(jnp.tanh(z))),
    "logistic": lambda: s_shaped(_logistic, lambda z: _logistic(z) * _logistic(-z)),
    "erf": lambda: s_shaped(erf, lambda z: 2.0 / jnp.sqrt(jnp.pi) * jnp.exp(-jnp.square(z))),
    "atan": lambda: s_shaped(jnp.arctan, lambda z: 1.0 / (1.0 + jnp.square(z))),
    "sin": lambda: _wave(jnp.sin, jnp.cos, math.pi / 2, 0.0),
    "cos": lambda: _wave(jnp.cos, lambda z: -jnp.sin(z), 0.0, -math.pi / 2),
}


ACTIVATIONS |= {
    "gelu": lambda *numbers: _gelu(*map(float, numbers)),
    "gelu_tanh": lambda *numbers: _gelu_tanh(*map(float, numbers)),
    "bell": lambda *numbers: _bell(*map(float, numbers)),
    "softplus": lambda: convex(jax.nn.softplus, _logistic),
    "soft_sign": lambda: s_shaped(jax.nn.soft_sign, lambda z: 1.0 / jnp.square(1.0 + jnp.abs(z))),
    "hard_tanh": lambda: s_shaped(jax.nn.hard_tanh, lambda z: _step(jnp.abs(z) <= 1.0)),
    "silu": lambda *numbers: _silu(*map(float, numbers)),
    "mish": lambda: _smooth(jax.nn.mish, (-1.1924312145154956,), (-2.256376396360793, 1.4905711794854284)),
    "erfc": lambda: winding(erfc, lambda z: -2.0 / jnp.sqrt(jnp.pi) * jnp.exp(-jnp.square(z)), (), (0.0,)),
    "sparse_plus": lambda: convex(jax.nn.sparse_plus, lambda z: jnp.clip((z + 1.0) / 2, 0.0, 1.0)),
    "hard_silu": lambda: winding(jax.nn.hard_silu, _hard_silu_slope, (-1.5,), (-3.0, 3.0)),
}
"""Functions recognised by their whole program (`program.calls`, idioms), with where they and their slopes turn."""


def _logistic(z: Any) -> Any:
    return 1.0 / (1.0 + jnp.exp(-z))
