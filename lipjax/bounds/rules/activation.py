"""Functions of one entry, and how they are written: as maxima, by `where` on both sides of 0, or as products."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lipjax.bounds.activations import ACTIVATIONS, Activation
from lipjax.bounds.carried import (
    Around,
    Derivative,
    Entries,
    Expanded,
    Form,
    Gain,
    Gate,
    Interval,
    Region,
    Relaxed,
    Scalar,
)
from lipjax.bounds.program import Builder, Operand, Step, Wire, is_constant, is_not_negative
from lipjax.bounds.rounding import chord, eps, hull, length, middle_and_half, spectral, weighed
from lipjax.bounds.rules.rule import LocalRule
from lipjax.norms import Norm


def _relu(builder: Builder, step: Step) -> Wire | None:
    """`max(x, 0)`."""
    is_relu = len(step.wires) == 1 and is_constant(step.constants[0], 0.0)
    return builder.add("relu", step.wires, lambda x: jnp.maximum(x, 0.0)) if is_relu else None


def _two_sides(builder: Builder, step: Step) -> Wire | None:
    """`where(x > 0, above, below)` of a function that is continuous at 0."""
    condition = compared_with_zero(builder, step.operands[0])
    if condition is None or condition.op in ("eq", "ne") or len(step.operands) != 3:
        return None
    live = 1 if condition.op in ("le", "lt") else 2
    x, above, below = condition.operands[0], step.operands[live], step.operands[3 - live]
    if _is_wire(below, x) and is_constant(above, 0.0):
        return builder.add("min", (x, np.zeros((), step.result.dtype)), jnp.minimum)
    if not _is_wire(above, x):
        return None
    if is_constant(below, 0.0):
        return builder.add("relu", (x,), lambda x: jnp.maximum(x, 0.0))
    below, factor = _scaled(builder, below)
    if not is_not_negative(factor):
        return None
    if not _is_wire(below, x):
        return _elu(builder, x, factor, below)
    is_fraction = bool(np.all(factor <= 1))
    return builder.add("leaky_relu", (x, factor), lambda x, a: jnp.where(x > 0.0, x, a * x)) if is_fraction else None


def _sum_of_sides(builder: Builder, step: Step) -> Wire | None:
    """`max(x, 0) + a (exp(b min(x, 0)) - 1)`, as CELU is written."""
    for above, below in (step.operands, step.operands[::-1]):
        relu, (below, factor) = builder.producer(above, "relu"), _scaled(builder, below)
        if relu and is_not_negative(factor):
            return _elu(builder, relu.wires[0], factor, below)
    return None


def _elu(builder: Builder, x: Wire, factor: Any, below: Operand) -> Wire | None:
    """`a (exp(b x) - 1)` below 0."""
    exponential = builder.producer(below, "expm1")
    if exponential is None:
        return None
    inside, rate = _scaled(builder, exponential.operands[0])
    cut = builder.producer(inside, "min")
    if cut is None or cut.wires != [x] or not is_constant(cut.constants[0], 0.0) or not is_not_negative(rate):
        return None
    return _known(builder, "elu", x, factor, rate)


def _scaled(builder: Builder, operand: Operand) -> tuple[Operand, Any]:
    """The operand without constant factors, and their product."""
    product = builder.producer(operand, "mul")
    if product is None or len(product.wires) != 1:
        return operand, np.ones((), np.float32)
    operand, factor = _scaled(builder, product.wires[0])
    return operand, factor * product.constants[0]


def _scaled_square(builder: Builder, step: Step) -> Wire | None:
    """A product of multiples of one wire, as a multiple of its square."""
    if len(step.wires) != 2:
        return None
    (x, factor), (other, more) = (_scaled(builder, wire) for wire in step.wires)
    is_square = isinstance(x, Wire) and _is_wire(other, x) and np.shape(factor) == np.shape(more) == ()
    return (
        builder.add("mul", (builder.add("square", (x,), jnp.square), factor * more), jnp.multiply)
        if is_square
        else None
    )


def _weighted(builder: Builder, step: Step) -> Wire | None:
    """`x g(b x)` with g from 0 to 1: SiLU, and GELU in both forms."""
    for one, other in (step.operands, step.operands[::-1]):
        (x, factor), (gate, more) = _scaled(builder, one), _scaled(builder, other)
        found = _gate(builder, x, gate) if isinstance(x, Wire) else None
        if found is None or not _are_numbers(factor, more, *found[1]):
            continue
        op, constants, multiple = found
        wire = _known(builder, op, x, *constants)
        scale = np.asarray(factor * more * multiple, step.result.dtype)
        return wire if scale == 1.0 else builder.add("mul", (wire, scale), jnp.multiply)
    return None


def _gate(builder: Builder, x: Wire, gate: Operand) -> tuple[str, tuple[Any, ...], float] | None:
    """The activation that this is a multiple of beside x, its constants, and the multiple."""
    step = builder.producer(gate, "add", "erfc", "logistic")
    if step and step.op == "add":
        is_one = len(step.wires) == 1 and is_constant(step.constants[0], 1.0)
        step = builder.producer(step.wires[0], "erf", "tanh") if is_one else None
    if step is None:
        return None
    inner, rate = _scaled(builder, step.wires[0])
    if step.op == "tanh":
        cubic = _cubic(builder, x, inner)
        return None if cubic is None else ("gelu_tanh", (rate, cubic), 2.0)
    if not _is_wire(inner, x):
        return None
    return ("silu", (rate,), 1.0) if step.op == "logistic" else ("gelu", (-rate if step.op == "erfc" else rate,), 2.0)


def _known(builder: Builder, op: str, x: Wire, *constants: Any) -> Wire:
    """A step of a function of one entry with constants that are known."""
    value = ACTIVATIONS[op](*constants).value
    return builder.add(op, (x, *constants), lambda x, *_: value(x))


def _cubic(builder: Builder, x: Wire, operand: Operand) -> Any:
    """The factor a of `x + a x^3`, if the operand is that."""
    total = builder.producer(operand, "add")
    if total is None or x not in total.wires or len(total.wires) != 2:
        return None
    cube, factor = _scaled(builder, total.wires[1 - total.wires.index(x)])
    product = builder.producer(cube, "mul")
    squares = [square for wire in product.wires if (square := builder.producer(wire, "square"))] if product else []
    is_cube = product and x in product.wires and squares and squares[0].wires == [x]
    return factor if is_cube else None


def _bell(builder: Builder, step: Step) -> Wire | None:
    """`exp(-b x^2)`."""
    inner, rate = _scaled(builder, step.wires[0])
    square = builder.producer(inner, "square")
    if square is None or not _are_numbers(-rate):
        return None
    return _known(builder, "bell", square.wires[0], -rate)


def _are_numbers(*constants: Any) -> bool:
    """Whether these are known numbers above 0."""
    return all(np.ndim(each) == 0 and is_not_negative(each) and each > 0 for each in constants)


def _is_wire(operand: Operand, wire: Wire) -> bool:
    return isinstance(operand, Wire) and operand == wire


def compared_with_zero(builder: Builder, operand: Operand) -> Step | None:
    """The step that compares a wire with 0, if the operand is its result."""
    step = builder.producer(operand, "eq", "le", "lt", "ne", "gt", "ge")
    return step if step and isinstance(step.operands[0], Wire) and is_constant(step.operands[1], 0.0) else None


class Elementwise(LocalRule):
    """A known function of one entry."""

    idioms = (
        ("add", _sum_of_sides),
        ("exp", _bell),
        ("mul", _scaled_square),
        ("mul", _weighted),
        ("max", _relu),
        ("select_n", _two_sides),
    )

    def covers(self, step: Step) -> bool:
        return step.op in ACTIVATIONS and len(step.wires) == 1

    def constant(self, step: Step, norm: Norm) -> Gain:
        slopes = np.abs(activation(step).slopes(np.float32(-np.inf), np.float32(np.inf)))
        return Gain(float(np.max(slopes)), "exact", "steepest slope")

    def region(self, step: Step, regions: list[Region]) -> Region:
        (region,), function = regions, activation(step)
        lower, upper = function.image(region.lower, region.upper)
        noise = 8 * eps() * jnp.maximum(jnp.abs(lower), jnp.abs(upper))
        steepest = _largest(*function.slopes(region.lower, region.upper))
        spread = steepest * region.spread + length(noise)
        found = Region(step(region.center), lower - noise, upper + noise, spread, steepest * region.norm)
        return found._replace(spread=jnp.fmin(spread, length(found.farthest)))

    def derivative(self, around: Around, derivative: Derivative) -> list[Derivative]:
        (region,), function = around.operands, activation(around.step)
        return [scaled_derivative(derivative, function.derivative(region.center), *slopes_on(region, function))]

    def relaxation(self, around: Around, form: Entries) -> Relaxed:
        part, shift = enclosed(activation(around.step), form, around.operands[0])
        return Relaxed([part], shift)

    def onwards(self, around: Around, forms: list[Entries], rows: list[Interval]) -> tuple[Entries, Scalar]:
        (region,), function = around.operands, activation(around.step)
        return steepest_chord(forms[0], rows[0], *slopes_on(region, function))

    def expansion(self, around: Around, form: Form) -> Expanded:
        (region,), function = around.operands, activation(around.step)
        slope, change = middle_and_half(*slopes_on(region, function))
        return Expanded([scaled_form(form, slope)], [Gate(form, change, region.slopes, region.norm)])


def _largest(*arrays: Any) -> Scalar:
    """The largest absolute value of an entry."""
    return jnp.max(functools.reduce(jnp.maximum, map(jnp.abs, arrays)), initial=0.0)


def activation(step: Step) -> Activation:
    """The function of one entry that the step is."""
    return ACTIVATIONS[step.op](*step.constants)


def slopes_on(region: Region, function: Activation) -> tuple[Any, Any]:
    """Range of the slopes on a region: derivatives, or where it is anchored those of chords from the center."""
    if region.drift is None:
        return function.slopes(region.lower, region.upper)
    first = jnp.maximum(region.center - region.drift, region.lower)
    last = jnp.minimum(region.center + region.drift, region.upper)
    return function.secants(region.lower, region.upper, first, last)


def scaled_derivative(derivative: Derivative, slope: Any, low: Any, high: Any) -> Derivative:
    """The derivative before a map of each entry: its slope at the center, and the interval of its slopes."""
    slope = jnp.clip(slope, low, high)
    moved = jnp.maximum(high - slope, slope - low) * (1 + 2 * eps())
    steepest, at_center, most = _largest(low, high), _largest(slope), _largest(moved)
    center = derivative.center * slope
    change = jnp.minimum(
        spectral(derivative.center * moved) + derivative.change * steepest,
        derivative.norm * most + derivative.change * at_center,
    )
    bounds = hull(derivative.lower, derivative.upper, low, high)
    return Derivative(center, *bounds, change + 2 * eps() * length(center), derivative.norm * steepest)


def steepest_chord(form: Entries, row: Interval, low: Any, high: Any) -> tuple[Entries, Scalar]:
    """A form of a row that bounds `<form, slope * row>` for all slopes between these two: the chord of the largest."""
    (slope, shift), (slope_below, shift_below) = _chord_of_largest(row, low, high), _chord_of_largest(row, -high, -low)
    return form * jnp.where(form > 0.0, slope, -slope_below), weighed(form, shift, -shift_below)


def _chord_of_largest(row: Interval, low: Any, high: Any) -> tuple[Any, Any]:
    """A line above the largest of `slope * row` for slopes between these two, with room for rounding of products."""
    at_low, at_high = (jnp.where(end > 0.0, high, low) for end in row)
    slope, _ = chord(at_low * row.lower, at_high * row.upper, *row)
    slope = jnp.where(row.lower >= 0.0, at_high, jnp.where(row.upper <= 0.0, at_low, slope))
    shift = jnp.maximum((at_low - slope) * row.lower, (at_high - slope) * row.upper)
    return slope, shift + 12 * eps() * jnp.maximum(jnp.abs(at_low), jnp.abs(at_high)) * row.magnitude


@jax.jit
def scaled_form(form: Form, slope: Entries) -> Form:
    """The form before a map of each entry with a known slope."""
    return Form(form.rows * slope, form.norm * jnp.max(jnp.abs(slope), initial=0.0) * (1 + 2 * eps()))


def enclosed(function: Activation, form: Entries, region: Region) -> tuple[Entries, Scalar]:
    """A form of a function's values as one of its arguments: the upper line where the coefficient is positive."""
    lower_slope, lower_shift, upper_slope, upper_shift = function.lines(region.lower, region.upper)
    noise = 4 * eps() * (jnp.abs(upper_slope) + jnp.abs(lower_slope)) * region.magnitude
    return form * jnp.where(form > 0.0, upper_slope, lower_slope), weighed(form, upper_shift, lower_shift, noise)
