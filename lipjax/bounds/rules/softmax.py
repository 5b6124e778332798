"""Softmax, its logarithm, and the logarithm of a sum of exponentials, along some axes.

With the shares `p = exp(z) / sum(exp(z))` their Jacobians are `diag(p) - p p^T`, `1 - 1 p^T` and `p^T`. Around those of
another vector m that sums to 1, with `d = p - m` and `y' = y - <y, m>`, a row y of what comes after sees

    y^T (J(p) - J(m)) = sum_i y'_i d_i (e_i - p)^T,      -sum(y) d^T,      y d^T
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from lipjax.bounds.carried import Around, Derivative, Entries, Expanded, Form, Gain, Gate, Region, Rows
from lipjax.bounds.program import Step
from lipjax.bounds.rounding import eps, hull, length, spectral
from lipjax.bounds.rules import exponentials
from lipjax.bounds.rules.rule import LocalRule
from lipjax.norms import Norm
from lipjax.types import Scalar


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

    idioms = (("mul", exponentials.softmax),)
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

    idioms = (("add", exponentials.log_softmax),)
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

    idioms = (("add", exponentials.log_sum_exp), ("abs", exponentials.positive))
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
