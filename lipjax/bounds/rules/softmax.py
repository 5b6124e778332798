"""Softmax, its logarithm, and the logarithm of a sum of exponentials, along some axes.

With the shares `p = exp(z) / sum(exp(z))` their Jacobians are `diag(p) - p p^T`, `1 - 1 p^T` and `p^T`. Around those of
another vector m that sums to 1, with `d = p - m` and `y' = y - <y, m>`, a row y of what comes after sees

    y^T (J(p) - J(m)) = sum_i y'_i d_i (e_i - p)^T,      -sum(y) d^T,      y d^T
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lipjax.bounds.carried import Around, Derivative, Entries, Expanded, Form, Gain, Gate, Region, Rows
from lipjax.bounds.program import Builder, Idiom, Operand, Step, Wire, is_constant
from lipjax.bounds.rounding import eps, hull, length, spectral
from lipjax.bounds.rules.rule import LocalRule
from lipjax.norms import Norm
from lipjax.types import Scalar


class _Sum(NamedTuple):
    """A sum of exponentials."""

    exponents: Wire
    axes: tuple[int, ...]


def _source(builder: Builder, operand: Operand, *ops: str) -> tuple[Operand, list[Step]]:
    """What an operand is a copy of, up to constant factors and these operations, and the steps in between."""
    steps: list[Step] = []
    while step := builder.producer(operand, "broadcast_in_dim", "mul", "reshape", *ops):
        if len(step.wires) != 1 or any(np.ndim(constant) for constant in step.constants):
            break
        operand, steps = step.wires[0], [step, *steps]
    return operand, steps


def _factors(steps: Sequence[Step]) -> list[Any]:
    return [step.constants[0] for step in steps if step.op == "mul"]


def _is_minus(steps: Sequence[Step]) -> bool:
    """Whether the steps have one factor, of -1."""
    factors = _factors(steps)
    return len(factors) == 1 and is_constant(factors[0], -1.0)


def _places(shape: Sequence[int], steps: Sequence[Step]) -> Any:
    """The number of the entry of an array of this shape that each entry of the last step's result comes from."""
    numbers = np.arange(math.prod(shape)).reshape(shape)
    for step in steps:
        if step.op == "reshape":
            numbers = numbers.reshape(step.result.shape)
        elif step.op == "broadcast_in_dim":
            sizes = step.result.shape
            axes = step.params.get("broadcast_dimensions", range(len(sizes) - numbers.ndim, len(sizes)))
            new = [axis for axis in range(len(sizes)) if axis not in axes]
            numbers = np.broadcast_to(np.expand_dims(numbers, new), sizes)
    return numbers


def _sum_of_exponentials(builder: Builder, operand: Operand, *ops: str) -> tuple[_Sum, list[Step]] | None:
    """The sum that an operand comes from, and the steps in between, if these at most copy it along its own axes."""
    operand, steps = _source(builder, operand, *ops)
    total = builder.producer(operand, "reduce_sum")
    exponential = builder.producer(total.operands[0], "exp") if total else None
    if total is None or exponential is None:
        return None
    return _copied(builder, _Sum(exponential.wires[0], tuple(total.params["axes"])), steps)


def _copied(builder: Builder, total: _Sum, steps: list[Step]) -> tuple[_Sum, list[Step]] | None:
    """The sum and the steps after it, if these at most copy it along its own axes."""
    shape = builder.abstract(total.exponents).shape
    kept = [size for axis, size in enumerate(shape) if axis not in total.axes]
    places = (_along(_places(kept, each), total, builder) for each in (steps, []))
    return (total, steps) if np.array_equal(next(places), next(places)) else None


def _along(sums: Any, total: _Sum, builder: Builder) -> Any:
    """An array with an entry for each sum as one with an entry for each exponent; itself if it is one."""
    shape = builder.abstract(total.exponents).shape
    kept = [1 if axis in total.axes else size for axis, size in enumerate(shape)]
    return np.broadcast_to(sums.reshape(kept) if sums.size == math.prod(kept) else sums, shape)


class _Shift(NamedTuple):
    """A wire and what is added to it, the same along all axes of a sum."""

    wire: Wire
    source: Operand  # where the shift comes from
    steps: list[Step]  # the steps from there
    places: Any  # the entry of the source that each entry of the shift comes from


def _shifts(builder: Builder, total: _Sum) -> list[_Shift]:
    """The exponents as a wire and a shift, in each way in which they are."""
    step, found = builder.producer(total.exponents, "add"), list[_Shift]()
    if step is None:
        return found
    for wire, shift in (step.operands, step.operands[::-1]):
        source, steps = _source(builder, shift)
        shape = builder.abstract(source).shape if isinstance(source, Wire) else np.shape(source)
        places = np.broadcast_to(_places(shape, steps), step.result.shape)
        if isinstance(wire, Wire) and np.array_equal(places.max(total.axes), places.min(total.axes)):
            found.append(_Shift(wire, source, steps, places))
    return found


def _of_differences(builder: Builder, op: str, total: _Sum) -> Wire:
    """A function that only differences of the exponents matter to."""
    exponents = next((shift.wire for shift in _shifts(builder, total)), total.exponents)
    apply = partial({"softmax": jax.nn.softmax, "log_softmax": jax.nn.log_softmax}[op], axis=total.axes)
    return builder.add(op, (exponents,), apply, axes=total.axes)


def _softmax(builder: Builder, step: Step) -> Wire | None:
    """`exp(z) / sum(exp(z))`."""
    for exponential, inverse in (step.operands, step.operands[::-1]):
        above = builder.producer(exponential, "exp")
        found = _sum_of_exponentials(builder, inverse, "reciprocal") if above else None
        if above is None or found is None or above.wires[0] != found[0].exponents:
            continue
        if not _factors(found[1]) and any(each.op == "reciprocal" for each in found[1]):
            return _of_differences(builder, "softmax", found[0])
    return None


_LOGARITHMS = "log", "logsumexp"


def _measured(builder: Builder, step: Step) -> Wire | None:
    """A softmax that also reads its logarithm, whose derivative is measured on balls."""
    if len(step.wires) > 1:
        return None
    axes, exponents = step.params["axes"], step.wires[0]
    logarithm = builder.add("log_softmax", (exponents,), partial(jax.nn.log_softmax, axis=axes), axes=axes)
    return builder.add("softmax", (exponents, logarithm), lambda z, _: jax.nn.softmax(z, axis=axes), axes=axes)


MEASURED: dict[str, list[Idiom]] = {"softmax": [_measured]}


def _log_softmax(builder: Builder, step: Step) -> Wire | None:
    """`z - log(sum(exp(z)))`."""
    for exponents, minus in (step.operands, step.operands[::-1]):
        found = _sum_of_exponentials(builder, minus, "log") or _known_sum(builder, minus)
        if found is None or not isinstance(exponents, Wire) or exponents != found[0].exponents:
            continue
        if _is_minus(found[1]) and [each.op for each in found[1] if each.op in (*_LOGARITHMS, "mul")][1:] == ["mul"]:
            return _of_differences(builder, "log_softmax", found[0])
    return None


def _known_sum(builder: Builder, operand: Operand) -> tuple[_Sum, list[Step]] | None:
    """The sum whose logarithm an operand is a multiple of, and the steps from the sum."""
    operand, steps = _source(builder, operand)
    step = builder.producer(operand, "logsumexp")
    return _copied(builder, _Sum(step.wires[0], step.params["axes"]), [step, *steps]) if step else None


def _logsumexp(builder: Builder, step: Step) -> Wire | None:
    """`log(sum(exp(z - m))) + m`."""
    for logarithm, shift in (step.operands, step.operands[::-1]):
        log = builder.producer(logarithm, "log")
        found = _sum_of_exponentials(builder, log.operands[0]) if log else None
        if found is None or _factors(found[1]) or not isinstance(shift, Wire):
            continue
        total, (source, steps) = found[0], _source(builder, shift)
        for wire, other, others, places in _shifts(builder, total):
            if source != other or not isinstance(other, Wire) or not _is_minus(others) or _factors(steps):
                continue
            if np.array_equal(_along(_places(builder.abstract(other).shape, steps), total, builder), places):
                return _of_sums(builder, wire, total.axes, step.result.shape)
    return None


def _of_sums(builder: Builder, wire: Wire, axes: tuple[int, ...], shape: tuple[int, ...]) -> Wire:
    sums = builder.add("logsumexp", (wire,), partial(jax.nn.logsumexp, axis=axes), axes=axes)
    return (
        builder.add("reshape", (sums,), lambda x: x.reshape(shape)) if builder.abstract(sums).shape != shape else sums
    )


def _positive(builder: Builder, step: Step) -> Wire | None:
    """The size of a sum of exponentials: nothing."""
    found = _sum_of_exponentials(builder, step.operands[0])
    return step.wires[0] if found and not _factors(found[1]) else None


class _Shares(NamedTuple):
    """The shares p on a region, and what they are around."""

    lower: Entries
    upper: Entries
    middle: Entries  # the vector m
    change: Entries  # how far p can be from m
    length: Scalar  # bound of the l2 norm of p


class _Ends(NamedTuple):
    """Exponentials at both ends of a region, less the largest exponent, with room for rounding."""

    low: Entries
    high: Entries
    at_low: Entries  # the exponentials
    at_high: Entries
    others_low: Entries  # sums of all exponentials but one
    others_high: Entries


def _terms(step: Step) -> int:
    """How many exponentials are in a sum."""
    return math.prod(step.given[0].shape[axis] for axis in step.params["axes"])


def _ends(step: Step, region: Region) -> _Ends:
    axes, most = step.params["axes"], float(jnp.finfo(region.center.dtype).max) / 4
    low, high = (jnp.clip(bound, -most, most) for bound in (region.lower, region.upper))
    top = jnp.max(high, axes, keepdims=True)
    low, high = low - top, high - top
    noise = [(8 + jnp.minimum(jnp.abs(end), 200.0)) * eps() for end in (low, high)]
    at_low = jnp.exp(low) * (1 - noise[0])
    at_high = jnp.exp(high) * (1 + noise[1]) + float(jnp.finfo(region.center.dtype).tiny)
    sums = [jnp.sum(each, axes, keepdims=True) for each in (at_low, at_high)]
    lost = (_terms(step) + 8) * eps()
    others_low = jnp.maximum(sums[0] * (1 - lost) - at_low, 0.0)
    others_high = jnp.maximum(sums[1] * (1 + lost) - at_high, 0.0) + lost * sums[1]
    return _Ends(low, high, at_low, at_high, others_low, others_high)


def _interval(step: Step, regions: list[Region]) -> tuple[Entries, Entries]:
    """Bounds of the shares, by both ends of the exponents and by the logarithms: the least has the others largest."""
    _, _, at_low, at_high, others_low, others_high = _ends(step, regions[0])
    lower = at_low / (at_low + others_high) * (1 - 8 * eps())
    upper = jnp.minimum(at_high / (at_high + others_low) * (1 + 8 * eps()), 1.0)
    for region in regions[1:]:
        low, high = (jnp.clip(bound, -200.0, 0.0) for bound in (region.lower, region.upper))
        least = jnp.where(low > -80.0, jnp.exp(low) * (1 - (8 + jnp.abs(low)) * eps()), 0.0)
        most = jnp.exp(high) * (1 + (8 + jnp.abs(high)) * eps()) + float(jnp.finfo(high.dtype).tiny)
        lower, upper = jnp.fmax(lower, least), jnp.fmin(upper, most)
    return lower, upper


def _shares(step: Step, regions: list[Region], middle: Entries | None = None) -> _Shares:
    """The shares around a vector, by default the middle of their bounds."""
    lower, upper = _interval(step, regions)
    axes = step.params["axes"]
    middle = (lower + upper) / 2 if middle is None else middle
    middle = middle / jnp.sum(middle, axes, keepdims=True)
    change = jnp.maximum(jnp.maximum(upper - middle, middle - lower), 0.0) + 4 * eps()
    squares = jnp.minimum(jnp.sum(jnp.square(upper), axes), jnp.max(upper, axes))  # p^2 <= p max(p), and p sums to 1
    longest = jnp.sqrt(jnp.max(jnp.minimum(squares, 1.0))) * (1 + (_terms(step) + 8) * eps())
    return _Shares(lower, upper, middle, change, longest)


def _at_center(step: Step, regions: list[Region]) -> _Shares:
    return _shares(step, regions, jax.nn.softmax(regions[0].center, axis=step.params["axes"]))


def _lengths(step: Step, entries: Entries) -> Scalar:
    """The largest l2 norm along the axes."""
    squares = jnp.sum(jnp.square(entries), step.params["axes"])
    return jnp.sqrt(jnp.max(squares)) * (1 + (_terms(step) + 8) * eps())


def _row_axes(step: Step) -> tuple[int, ...]:
    """The axes of rows."""
    return tuple(axis + 1 for axis in step.params["axes"])


def _variance(shares: _Shares) -> Entries:
    """The largest `p (1 - p)`."""
    nearest = jnp.clip(0.5, shares.lower, shares.upper)
    return nearest * (1 - nearest) * (1 + 4 * eps())


def _steepness(shares: _Shares) -> Scalar:
    """A bound of the l2 norm of `diag(p) - p p^T`, which is at most `diag(p)`."""
    return jnp.minimum(jnp.max(shares.upper), jnp.minimum(2 * jnp.max(_variance(shares)), 0.5))


class Softmax(LocalRule):
    """`exp(z) / sum(exp(z))`."""

    idioms = (("mul", _softmax),)
    ops = ("softmax",)
    is_by_entry = False

    def constant(self, step: Step, norm: Norm) -> Gain:
        # The norm of diag(p) - p p^T is at most its largest sum of sizes of a row, 2 p (1 - p).
        return Gain(0.5 if _terms(step) > 1 else 0.0, "exact", "2 p (1 - p)")

    def region(self, step: Step, regions: list[Region]) -> Region:
        region, shares = regions[0], _shares(step, regions)
        steepest = _steepness(shares)
        noise = (_terms(step) + 256) * eps() * length(shares.upper)
        spread = steepest * region.spread * (1 + 4 * eps()) + noise
        found = Region(
            step(*[each.center for each in regions]), shares.lower, shares.upper, spread, steepest * region.norm
        )
        return found.within(spread)

    def derivative(self, around: Around, derivative: Derivative) -> list[Derivative]:
        step, regions = around.step, around.operands
        shares, rounding = _at_center(step, regions), (_terms(step) + 16) * eps()
        rows = _centered(step, derivative.center, shares.middle)
        steepest = _steepness(shares)
        root = jnp.sqrt(shares.change) * (1 + 4 * eps())
        by_rows = spectral(rows * root) * _longest_part(step, shares, root)
        sums = 2 * shares.change + shares.middle * jnp.sum(shares.change, step.params["axes"], keepdims=True)
        moved = jnp.minimum(jnp.max(sums) * (1 + rounding), 0.5)
        change = jnp.minimum(by_rows, derivative.norm * moved) + derivative.change * steepest
        lost = 4 * rounding * length(derivative.center)
        bounds = _scaled_differences(step, shares, derivative)
        before = Derivative(rows * shares.middle, *bounds, change + lost, derivative.norm * steepest)
        return [before, *[jax.tree.map(jnp.zeros_like, before) for _ in regions[1:]]]

    def expansion(self, around: Around, form: Form) -> Expanded:
        step, regions = around.step, around.operands
        region, shares, count = regions[0], _shares(step, regions), _terms(step)
        rows = _centered(step, form.rows, shares.middle)
        longest = math.sqrt(count) * _lengths(step, shares.middle) * (1 + 4 * eps())
        centered = Form(rows, form.norm * longest)
        before = Form(rows * shares.middle, form.norm * jnp.max(shares.middle) * (1 + 8 * count * eps()))
        root = jnp.sqrt(shares.change)
        steepest = jnp.max(root)
        norm = region.norm * _longest_part(step, shares, root) / steepest
        slopes = _slopes_of_differences(step, shares, region.slopes)
        for logarithm in regions[1:]:
            slopes = jnp.fmin(slopes, logarithm.slopes)
        gate = Gate(centered, shares.change, slopes, norm)
        lost = 4 * (count + 16) * eps() * (1 + _lengths(step, shares.change)) * region.norm
        nothing = [jax.tree.map(jnp.zeros_like, before) for _ in regions[1:]]
        return Expanded([before, *nothing], [gate], rounding=jax.vmap(length)(form.rows) * lost)


def _centered(step: Step, rows: Rows, middle: Entries) -> Rows:
    """Rows less what they are on average."""
    return rows - jnp.sum(rows * middle, _row_axes(step), keepdims=True)


def _longest_part(step: Step, shares: _Shares, root: Entries) -> Scalar:
    """A bound of the l2 norm of `diag(root) (1 - 1 p^T)`."""
    steepest = jnp.max(root)
    whole = math.sqrt(_terms(step)) * steepest * jnp.maximum(shares.length, 1.0 / math.sqrt(_terms(step)))
    return jnp.minimum(whole, steepest + _lengths(step, root) * shares.length) * (1 + 8 * eps())


def _slopes_of_differences(step: Step, shares: _Shares, slopes: Any) -> Entries:
    """Bounds of the dual norms of the rows of `(1 - 1 p^T) G`, given those of G."""
    axes, slopes = step.params["axes"], jnp.broadcast_to(slopes, shares.lower.shape)
    rest = jnp.minimum((1 - shares.lower) * (1 + 4 * eps()), 1.0)
    weighed = shares.upper * slopes
    lost = 1 + 2 * (_terms(step) + 8) * eps()
    others = jnp.sum(weighed, axes, keepdims=True) * lost - weighed
    return rest * slopes * (1 + 4 * eps()) + jnp.fmin(others, rest * jnp.max(slopes, axes, keepdims=True)) * lost


def _scaled_differences(step: Step, shares: _Shares, derivative: Derivative) -> tuple[Rows, Rows]:
    """Bounds of the entries `p_i (y_i - <p, y>)` for rows y in intervals."""
    axes, (_, lower, upper, *_) = _row_axes(step), derivative
    level = jnp.sum(shares.middle * (lower + upper) / 2, axes, keepdims=True)
    lower, upper = lower - level, upper - level
    noise = 4 * eps() * (jnp.abs(level) + jnp.maximum(jnp.abs(lower), jnp.abs(upper)))
    lower, upper = lower - noise, upper + noise
    rest = 1 - shares.upper - eps(), 1 - shares.lower + eps()
    below, above = hull(shares.lower, shares.upper, lower, upper)  # of each term of <p, y>
    least, most = hull(*rest, lower, upper)
    lost = (_terms(step) + 16) * eps() * jnp.sum(jnp.maximum(jnp.abs(below), jnp.abs(above)), axes, keepdims=True)
    least = least - (jnp.sum(above, axes, keepdims=True) - above) - lost
    most = most - (jnp.sum(below, axes, keepdims=True) - below) + lost
    farthest = lower - jnp.max(upper, axes, keepdims=True), upper - jnp.min(lower, axes, keepdims=True)
    least, most = jnp.fmax(least, farthest[0]), jnp.fmin(most, farthest[1])
    least, most = hull(shares.lower, shares.upper, least, most)
    room = _variance(shares) * (1 + 8 * eps())
    return jnp.fmax(least, room * farthest[0]), jnp.fmin(most, room * farthest[1])


class _OfSum(LocalRule):
    """Functions whose derivative is a known one and a multiple of p."""

    is_by_entry = False

    def factor_norm(self, step: Step) -> float:
        """The l2 norm of the map from a row to the multiples, one for each sum."""
        raise NotImplementedError

    def values(self, step: Step, region: Region) -> tuple[Entries, Entries]:
        """Bounds of the result, but for rounding."""
        raise NotImplementedError

    def split(self, step: Step, rows: Rows) -> tuple[Any, Rows]:
        """The known part of rows times the derivative, and the multiples of p."""
        raise NotImplementedError

    def entries(self, step: Step, shares: _Shares, derivative: Derivative) -> tuple[Rows, Rows]:
        """Bounds of the entries of the derivative before."""
        raise NotImplementedError

    def region(self, step: Step, regions: list[Region]) -> Region:
        (region,) = regions
        lower, upper = self.values(step, region)
        steepest = self.factor_norm(step) * _shares(step, [region]).length
        noise = (_terms(step) + 16) * eps() * (1 + jnp.maximum(jnp.abs(lower), jnp.abs(upper)))
        spread = steepest * region.spread * (1 + 4 * eps()) + length(noise)
        found = Region(step(region.center), lower - noise, upper + noise, spread, steepest * region.norm)
        return found.within(spread)

    def derivative(self, around: Around, derivative: Derivative) -> list[Derivative]:
        step, (region,), _ = around
        shares, norm = _at_center(step, [region]), self.factor_norm(step)
        plain, factor = self.split(step, derivative.center)
        moved = jnp.minimum(spectral(factor), derivative.norm * norm) * _lengths(step, shares.change)
        lost = 4 * (_terms(step) + 16) * eps() * norm * length(derivative.center)
        change = moved + derivative.change * norm * shares.length + lost
        center, bounds = plain + factor * shares.middle, self.entries(step, shares, derivative)
        return [Derivative(center, *bounds, change, derivative.norm * norm * shares.length)]

    def expansion(self, around: Around, form: Form) -> Expanded:
        step, (region,), _ = around
        shares, count = _shares(step, [region]), _terms(step)
        plain, factor = self.split(step, form.rows)
        norm = form.norm * self.factor_norm(step) * (1 + 4 * eps())
        before = Form(plain + factor * shares.middle, norm * _lengths(step, shares.middle))
        whole = Form(jnp.broadcast_to(factor, (len(factor), *shares.lower.shape)), norm * math.sqrt(count))
        lost = 4 * (count + 16) * eps() * self.factor_norm(step) * region.norm
        gate = Gate(whole, shares.change, region.slopes, region.norm)
        return Expanded([before], [gate], rounding=jax.vmap(length)(form.rows) * lost)


class LogSoftmax(_OfSum):
    """`z - log(sum(exp(z)))`."""

    idioms = (("add", _log_softmax),)
    ops = ("log_softmax",)
    name = "log-softmax"

    def constant(self, step: Step, norm: Norm) -> Gain:
        # Rows of 1 - 1 p^T have sizes of 2 (1 - p), columns 1 + (n - 2) p; an oblique projector has sqrt(n) |p|.
        count = _terms(step)
        steepest = {1.0: count - 1.0, 2.0: math.sqrt(count), math.inf: 2.0}[norm.exponent]
        return Gain(steepest if count > 1 else 0.0, "exact", "one share of 1")

    def factor_norm(self, step: Step) -> float:
        return math.sqrt(_terms(step)) * (1 + 2 * eps())

    def values(self, step: Step, region: Region) -> tuple[Entries, Entries]:
        low, high, at_low, _, others_low, others_high = _ends(step, region)
        lower = low - jnp.log(at_low + others_high)
        noise = eps() * jnp.abs(high)
        upper = high + noise - jnp.log(jnp.exp(high) * (1 - 16 * eps()) + others_low)
        return lower - eps() * jnp.abs(low), jnp.minimum(upper, 0.0)

    def split(self, step: Step, rows: Rows) -> tuple[Any, Rows]:
        return rows, -jnp.sum(rows, _row_axes(step), keepdims=True)

    def entries(self, step: Step, shares: _Shares, derivative: Derivative) -> tuple[Rows, Rows]:
        # y_j (1 - p_j) - p_j sum of the others
        axes, (_, lower, upper, *_) = _row_axes(step), derivative
        sizes = jnp.sum(jnp.maximum(jnp.abs(lower), jnp.abs(upper)), axes, keepdims=True)
        noise = (_terms(step) + 16) * eps() * sizes
        others = (jnp.sum(each, axes, keepdims=True) - each for each in (lower, upper))
        below, above = hull(shares.lower, shares.upper, next(others) - noise, next(others) + noise)
        least, most = hull(1 - shares.upper - eps(), 1 - shares.lower + eps(), lower, upper)
        noise = 4 * eps() * (jnp.maximum(jnp.abs(least), jnp.abs(most)) + jnp.maximum(jnp.abs(below), jnp.abs(above)))
        return least - above - noise, most - below + noise


class LogSumExp(_OfSum):
    """`log(sum(exp(z)))`."""

    idioms = (("add", _logsumexp), ("abs", _positive))
    ops = ("logsumexp",)
    name = "log-sum-exp"

    def constant(self, step: Step, norm: Norm) -> Gain:
        return Gain(1.0, "exact", "one share of 1")

    def factor_norm(self, step: Step) -> float:
        return 1.0

    def values(self, step: Step, region: Region) -> tuple[Entries, Entries]:
        return step(region.lower), step(region.upper)

    def split(self, step: Step, rows: Rows) -> tuple[Any, Rows]:
        return 0.0, jnp.expand_dims(rows, _row_axes(step))

    def entries(self, step: Step, shares: _Shares, derivative: Derivative) -> tuple[Rows, Rows]:
        rows = (jnp.expand_dims(each, _row_axes(step)) for each in (derivative.lower, derivative.upper))
        return hull(shares.lower, shares.upper, *rows)
