"""Affine steps `L(u, v, ...) + b` of their wires.

Their constants are weights of L (a kernel) or parts of b (a bias, the value of padding); a third operand is of b.
Replacing weights by their absolute values gives |L|, which carries the radii of intervals; by their squares, the map
whose row sums are the squared lengths of rows.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from lipjax.bounds.carried import Around, Derivative, Entries, Expanded, Form, Gain, Interval, Region, Relaxed, Rows
from lipjax.bounds.program import Builder, Step, Wire
from lipjax.bounds.rounding import eps, length, of_sizes, weighed
from lipjax.bounds.rules.rule import LocalRule, rule_of
from lipjax.norms import Norm, l1, l2, linf
from lipjax.operators import conv_norm
from lipjax.types import Scalar

Weigh: TypeAlias = Callable[[Any], Any]


class Sizes(NamedTuple):
    """Numbers that an affine step is bounded with."""

    norm: Any  # bound of its l2 operator norm, for each wire alone
    absolute: Any  # bound of the l2 operator norm of |L|
    row: Any  # the largest sum of absolute weights of an entry
    rounding: float  # relative rounding error of an entry, of the result or of the transpose's


class Affine(LocalRule):
    """An affine map; subclasses are the kinds of it."""

    has_weights: ClassVar[bool] = False  # whether constants are weights; otherwise they are added
    is_linear = True

    def covers(self, step: Step) -> bool:
        return super().covers(step) and len(step.wires) == 1 and all(map(is_number, step.given))

    def gain(self, step: Step, norm: Norm) -> Gain:
        """The operator norm, of each wire's part alone."""
        raise NotImplementedError

    def terms(self, step: Step) -> int:
        """At most how many products are summed in an entry of the result, or of the transpose's result."""
        return len(step.operands)

    def constant(self, step: Step, norm: Norm) -> Gain:
        return step.once(norm, lambda: self.gain(step, norm))

    def sizes(self, step: Step) -> Sizes:
        """What a step is bounded with."""

        def find() -> Sizes:
            rounding = 0.51 * (self.terms(step) + 8) * eps()
            norm = self.constant(step, l2).value
            if isinstance(norm, jax.core.Tracer):  # sums of |L| by itself are fewer kernels to compile
                results, back = linear(step, jnp.abs), transposed(step, jnp.abs)
                row = results(*[jnp.ones(given.shape) for given in step.given]).max() * (1 + rounding)
                (columns,) = back(jnp.ones(step.result.shape))
                return Sizes(norm, jnp.sqrt(columns.max() * row) * (1 + rounding), row, rounding)
            column, row = (self.constant(step, norm).value for norm in (l1, linf))
            return Sizes(norm, math.sqrt(column * row), row, rounding)

        return step.once(Sizes, find)

    def region(self, step: Step, regions: list[Region]) -> Region:
        size = self.sizes(step)
        middles = [(region.lower + region.upper) / 2 for region in regions]
        radii = [region.upper - middle for region, middle in zip(regions, middles, strict=True)]
        widened = [r + size.rounding * (jnp.abs(m) + r) for m, r in zip(middles, radii, strict=True)]
        center, middle = step(*[region.center for region in regions]), step(*middles)
        radius = linear(step, jnp.abs)(*widened) * (1 + 4 * eps()) + 4 * eps() * jnp.abs(middle)
        spread, reach = _spread(step, size, regions, center)
        norm = size.norm * sum(region.norm for region in regions) * (1 + 4 * eps())
        return Region(center, middle - radius, middle + radius, spread, norm).within(reach)

    def derivative(self, around: Around, derivative: Derivative) -> list[Derivative]:
        step, (center, lower, upper, change, norm) = around.step, derivative
        size = self.sizes(step)
        middle = (lower + upper) / 2
        half = upper - middle
        radius = _back(step, half + size.rounding * (jnp.abs(middle) + half), jnp.abs)
        change = size.norm * change + size.rounding * size.absolute * length(center)
        return [
            Derivative(rows, mid - rad, mid + rad, change, size.norm * norm)
            for rows, mid, rad in zip(_back(step, center), _back(step, middle), radius, strict=True)
        ]

    def relaxation(self, around: Around, form: Entries) -> Relaxed:
        step = around.step
        noise = 2 * self.sizes(step).rounding * linear(step, jnp.abs)(*[region.magnitude for region in around.operands])
        parts = list(transposed(step)(form))
        if not _is_shifted(step):
            return Relaxed(parts, of_sizes(form, noise))
        offset = step(*[jnp.zeros_like(region.center) for region in around.operands])
        return Relaxed(parts, weighed(form, offset, offset, noise))

    def onwards(self, around: Around, forms: list[Entries], rows: list[Interval]) -> tuple[Entries, Scalar]:
        largest = transposed(around.step, jnp.abs)(rows[0].magnitude)
        rounding = 2 * self.sizes(around.step).rounding
        lost = [of_sizes(form, rounding * size) for form, size in zip(forms, largest, strict=True)]
        return linear(around.step)(*forms), sum(lost[1:], lost[0])

    def expansion(self, around: Around, form: Form) -> Expanded:
        size, gains = self.sizes(around.step), sum(region.norm for region in around.operands)
        lost = jax.vmap(length)(form.rows) * (size.rounding * size.absolute * gains)
        norm = form.norm * size.norm * (1 + 2 * eps())
        return Expanded([Form(rows, norm) for rows in _back(around.step, form.rows)], rounding=lost)


def gain(step: Step, norm: Norm) -> Gain:
    """Operator norm of an affine step in l1, l2 or linf; with several wires, of each wire's part alone."""
    return rule_of(step).constant(step, norm)


def linear(step: Step, weigh: Weigh = lambda weight: weight) -> Callable[..., Any]:
    """The linear part of an affine step as a function of its wires' values, its weights passed through `weigh`."""
    changes = (weigh if _has_weights(step) and index < 2 else jnp.zeros_like for index in range(len(step.operands)))
    operands = [
        change(operand) if not isinstance(operand, Wire) and is_number(operand) else operand
        for change, operand in zip(changes, step.operands, strict=True)
    ]
    return dataclasses.replace(step, operands=tuple(operands))


def _has_weights(step: Step) -> bool:
    rule = rule_of(step)
    return isinstance(rule, Affine) and rule.has_weights


def _is_shifted(step: Step) -> bool:
    return len(step.operands) > 2 and _has_weights(step)


def shifted(builder: Builder, step: Step) -> Wire | None:
    """A step with weights and a constant that is added to its result, as one."""
    ops = "conv_general_dilated", "dot_general", "mul"
    first = builder.producer(step.wires[0], *ops) if len(step.wires) == 1 else None
    if first is None or not _has_weights(first) or _is_shifted(first) or first.result.shape != step.result.shape:
        return None

    def apply(x: Any, weights: Any, offset: Any) -> Any:
        return first.apply(x, weights) + offset

    return builder.add(first.op, (*first.operands, *step.constants), apply, **first.params)


def transposed(step: Step, weigh: Weigh = lambda weight: weight) -> Callable[[Any], tuple]:
    """The transpose of the linear part: from a cotangent of the result to one of every wire."""
    return jax.linear_transpose(linear(step, weigh), *step.given)


def is_number(constant: Any) -> bool:
    """Whether it is real: what is not selects or indexes."""
    return jnp.issubdtype(constant.dtype, jnp.floating)


def ratio(step: Step) -> int:
    """How often an entry is copied, or how many are summed."""
    sizes = step.result.size, step.given[0].size
    return max(sizes) // max(min(sizes), 1)


def _back(step: Step, rows: Rows, weigh: Weigh = lambda weight: weight) -> list[Rows]:
    return list(jax.vmap(transposed(step, weigh))(rows))


def _spread(step: Step, size: Sizes, regions: list[Region], center: Entries) -> tuple[Scalar, Entries]:
    """Bounds of the l2 distance to the center's value: of all entries together, and of each."""
    magnitudes = [region.magnitude for region in regions]
    noise = size.rounding * size.absolute * sum(map(length, magnitudes)) + 4 * eps() * length(center)
    spread = size.norm * sum(region.spread for region in regions) * (1 + 4 * eps()) + noise
    if len(regions) > 1:
        return spread, spread
    rows = jnp.sqrt(linear(step, jnp.square)(jnp.ones_like(regions[0].center))) * (1 + size.rounding)
    entry_noise = size.rounding * size.row * jnp.max(magnitudes[0]) + 4 * eps() * jnp.abs(center)
    return spread, rows * regions[0].spread + entry_noise


class Moves(Affine):
    """Every entry of the result is an entry of a wire, none used twice, up to a constant that is added."""

    ops = (
        "concatenate", "dynamic_slice", "expand_dims", "pad", "reshape", "rev",
        "select_n", "slice", "split", "squeeze", "stack", "transpose", "unstack",
    )  # fmt: skip

    def covers(self, step: Step) -> bool:
        if step.op in ("add", "pad", "scatter-add"):
            is_shift = len(step.wires) == 1 and (step.op != "pad" or isinstance(step.operands[0], Wire))
            return is_shift and is_number(step.given[0]) and step.params.get("unique_indices", True)
        return step.op in self.ops and all(map(is_number, step.given))

    def gain(self, step: Step, norm: Norm) -> Gain:
        return Gain(1.0, "exact", "moves entries")

    def join(self, constants: Sequence[float], norm: Norm) -> float:
        return power_sum(constants, norm)

    def region(self, step: Step, regions: list[Region]) -> Region:
        center, lower, upper, spreads, gains, *_ = zip(*regions, strict=True)
        spread, norm = (scalars[0] if len(scalars) == 1 else length(jnp.stack(scalars)) for scalars in (spreads, gains))
        region = Region(step(*center), step(*lower), step(*upper), spread, norm)
        if step.op not in ("add", "scatter-add"):
            return region
        noise = 2 * eps() * region.magnitude
        return region._replace(lower=region.lower - noise, upper=region.upper + noise, spread=spread + length(noise))

    def derivative(self, around: Around, derivative: Derivative) -> list[Derivative]:
        rows = zip(*[_back(around.step, field) for field in derivative[:3]], strict=True)
        return [Derivative(center, lower, upper, derivative.change, derivative.norm) for center, lower, upper in rows]

    def relaxation(self, around: Around, form: Entries) -> Relaxed:
        parts = list(transposed(around.step)(form))
        if not around.step.constants:
            return Relaxed(parts, jnp.zeros(()))
        offset = around.step(*[jnp.zeros_like(region.center) for region in around.operands])
        return Relaxed(parts, weighed(form, offset, offset, 4 * eps() * around.result.magnitude))

    def onwards(self, around: Around, forms: list[Entries], rows: list[Interval]) -> tuple[Entries, Scalar]:
        return linear(around.step)(*forms), jnp.zeros(())

    def expansion(self, around: Around, form: Form) -> Expanded:
        return Expanded([Form(rows, form.norm) for rows in _back(around.step, form.rows)])


class Addition(Affine):
    """A sum of two wires."""

    name = "sum of branches"

    def covers(self, step: Step) -> bool:
        return step.op == "add" and len(step.wires) == 2 and all(map(is_number, step.given))

    def gain(self, step: Step, norm: Norm) -> Gain:
        return Gain(1.0, "exact", "moves entries")

    def join(self, constants: Sequence[float], norm: Norm) -> float:
        return sum(constants)


class Scaling(Affine):
    """A product with constants, entry by entry."""

    ops = ("mul",)
    name = "scale"
    has_weights = True

    def gain(self, step: Step, norm: Norm) -> Gain:
        factors, *_ = step.constants
        library = jnp if isinstance(factors, jax.core.Tracer) else np
        return Gain(library.abs(factors).max(), "exact", "largest factor")


class Copies(Affine):
    """Copies of a wire along new axes or its own."""

    ops: ClassVar[tuple[str, ...]] = ("broadcast_in_dim", "tile")

    def gain(self, step: Step, norm: Norm) -> Gain:
        return Gain(ratio(step) ** (1 / norm.exponent), "exact", "number of copies")

    def terms(self, step: Step) -> int:
        return ratio(step)


class Sum(Copies):
    """A sum over axes: the transpose of copies."""

    ops = ("reduce_sum",)
    name = "sum"

    def gain(self, step: Step, norm: Norm) -> Gain:
        return Gain(ratio(step) ** (1 - 1 / norm.exponent), "exact", "number of terms")


class WindowSum(Affine):
    """Sums over windows."""

    ops = ("reduce_window_sum",)
    name = "window sum"

    def gain(self, step: Step, norm: Norm) -> Gain:
        # Sums over windows act on each axis by itself: the norm is the product of theirs.
        names = ("window_dimensions", "window_strides", "padding", "window_dilation", "base_dilation")
        value: Any = 1.0
        for size, window, stride, padding, dilation, gap in zip(
            step.given[0].shape, *(step.params[name] for name in names), strict=True
        ):
            shape, ones = ((size - 1) * gap + 1, 1), np.ones((window, 1, 1))
            value *= conv_norm(ones, shape, strides=stride, padding=[padding], dilation=dilation, norm=norm)
        return Gain(value, "exact" if max(step.params["base_dilation"]) == 1 else "upper", "windows of each axis")

    def terms(self, step: Step) -> int:
        return math.prod(step.params["window_dimensions"])


def power_sum(constants: Sequence[float], norm: Norm) -> float:
    """The constant of parts side by side."""
    return float(np.linalg.norm(constants, norm.exponent))
