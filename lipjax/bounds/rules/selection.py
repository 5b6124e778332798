"""Steps that pick entries: maxima, pooling, sorting, choices between wires.

On the whole space a selection expands nothing. On balls it is taken apart into maxima of two, `b + relu(a - b)`: which
of both wins is known where their intervals don't overlap.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lipjax.bounds.activations import ACTIVATIONS
from lipjax.bounds.carried import Around, Derivative, Entries, Expanded, Form, Gain, Gate, Interval, Region, Relaxed
from lipjax.bounds.program import Builder, Idiom, Step, Wire
from lipjax.bounds.rounding import eps, length, middle_and_half, of_sizes
from lipjax.bounds.rules.activation import enclosed, scaled_derivative, scaled_form, steepest_chord
from lipjax.bounds.rules.affine import gain, power_sum
from lipjax.bounds.rules.rule import LocalRule, Rule
from lipjax.norms import Norm, l1
from lipjax.types import Scalar

_LONGEST_SORT = 8


class Selection(Rule):
    """Every entry of the result is an entry of a wire, each used once."""

    def covers(self, step: Step) -> bool:
        several = step.op in ("max", "min", "select_n") and len(step.wires) > 1
        return several or step.op in ("reduce_max", "reduce_min", "sort")

    def constant(self, step: Step, norm: Norm) -> Gain:
        return Gain(1.0, "exact", "moves entries" if step.op == "sort" else "picks entries")

    def join(self, constants: Sequence[float], norm: Norm) -> float:
        return power_sum(constants, norm)


class MaxPool(Rule):
    """Maxima over windows."""

    name = "max pooling"

    ops = ("reduce_window_max",)

    def constant(self, step: Step, norm: Norm) -> Gain:
        # An entry wins in all windows that it is in, at most; the sums over windows count them.
        cover = gain(dataclasses.replace(step, op="reduce_window_sum"), l1).value
        return Gain(cover ** (1 / norm.exponent), "exact", "windows that share an entry")


class Maximum(LocalRule):
    """The larger one of two wires a and b, of which it reads a - b, b and a."""

    name = "maximum"

    ops = ("maximum",)

    def join(self, constants: Sequence[float], norm: Norm) -> float:
        return power_sum(constants[1:], norm)

    def region(self, step: Step, regions: list[Region]) -> Region:
        _, b, a = regions
        ends = (jnp.maximum(getattr(a, name), getattr(b, name)) for name in ("center", "lower", "upper"))
        spread, norm = (length(jnp.stack(pair)) for pair in ((a.spread, b.spread), (a.norm, b.norm)))
        return Region(next(ends), next(ends), next(ends), spread, norm)

    def derivative(self, around: Around, derivative: Derivative) -> list[Derivative]:
        slope, low, high = (1.0 * (bound > 0.0) for bound in around.operands[0][:3])
        nothing = Derivative(*[jnp.zeros_like(field) for field in derivative])
        return [scaled_derivative(derivative, slope, low, high), derivative, nothing]

    def relaxation(self, around: Around, form: Entries) -> Relaxed:
        part, shift = enclosed(ACTIVATIONS["relu"](), form, around.operands[0])
        return Relaxed([part, form, jnp.zeros_like(form)], shift)

    def onwards(self, around: Around, forms: list[Entries], rows: list[Interval]) -> tuple[Entries, Scalar]:
        low, high = (1.0 * (bound > 0.0) for bound in around.operands[0][1:3])
        part, shift = steepest_chord(forms[0], rows[0], low, high)
        noise = of_sizes(jnp.abs(part) + jnp.abs(forms[1]), 2 * eps() * rows[0].magnitude)
        return part + forms[1], shift + noise

    def expansion(self, around: Around, form: Form) -> Expanded:
        apart = around.operands[0]
        slope, change = middle_and_half(1.0 * (apart.lower > 0.0), 1.0 * (apart.upper > 0.0))
        nothing = Form(jnp.zeros_like(form.rows), jnp.zeros(()))
        return Expanded([scaled_form(form, slope), form, nothing], [Gate(form, change, apart.slopes, apart.norm)])


def _larger(builder: Builder, a: Wire, b: Wire) -> Wire:
    apart = builder.add("add", (a, _minus(builder, b)), jnp.add)
    return builder.add("maximum", (apart, b, a), lambda _, b, a: jnp.maximum(a, b))


def _minus(builder: Builder, x: Wire) -> Wire:
    return builder.add("mul", (x, -np.ones((), builder.abstract(x).dtype)), jnp.multiply)


def _smaller(builder: Builder, a: Wire, b: Wire) -> Wire:
    return _minus(builder, _larger(builder, _minus(builder, a), _minus(builder, b)))


def _part(builder: Builder, x: Wire, axis: int, start: int, count: int, stride: int = 1) -> Wire:
    """Every `stride`-th entry along an axis."""

    def apply(value: Any) -> Any:
        return jax.lax.slice_in_dim(value, start, start + (count - 1) * stride + 1, stride, axis)

    return builder.add("slice", (x,), apply, axis=axis, start=start, stride=stride)


def _of_two(builder: Builder, step: Step) -> Wire | None:
    pick = _larger if step.op == "max" else _smaller
    return pick(builder, *step.wires) if len(step.wires) == 2 else None


def _of_axes(builder: Builder, step: Step) -> Wire:
    """A maximum over axes, by halves that overlap in the middle."""
    flip = step.op == "reduce_min"
    wire = _minus(builder, step.wires[0]) if flip else step.wires[0]
    for axis in step.params["axes"]:
        while (size := builder.abstract(wire).shape[axis]) > 1:
            half = -(-size // 2)
            wire = _larger(builder, *[_part(builder, wire, axis, start, half) for start in (0, size - half)])
    shape = step.result.shape
    wire = builder.add("reshape", (wire,), lambda value: value.reshape(shape))
    return _minus(builder, wire) if flip else wire


def _of_windows(builder: Builder, step: Step) -> Wire | None:
    """Max pooling without padding: each axis by itself."""
    params, wire = step.params, step.wires[0]
    if any(map(any, params["padding"])) or max(params["base_dilation"]) > 1:
        return None
    sizes = zip(*[params[f"window_{name}"] for name in ("dimensions", "strides", "dilation")], strict=True)
    for axis, (taps, stride, gap) in enumerate(sizes):
        if taps * stride > 1:
            count = step.result.shape[axis]
            parts = [_part(builder, wire, axis, tap * gap, count, stride) for tap in range(taps)]
            wire = functools.reduce(functools.partial(_larger, builder), parts)
    return wire


def _of_order(builder: Builder, step: Step) -> Wire | None:
    """Sorting a short axis, by exchanges of neighbours."""
    axis = step.params["dimension"]
    size = step.result.shape[axis]
    if len(step.operands) > 1 or size > _LONGEST_SORT:
        return None
    parts = [_part(builder, step.wires[0], axis, index, 1) for index in range(size)]
    for start in range(size):
        for index in range(start % 2, size - 1, 2):
            pair = parts[index], parts[index + 1]
            parts[index], parts[index + 1] = _smaller(builder, *pair), _larger(builder, *pair)
    return builder.add("concatenate", parts, lambda *values: jnp.concatenate(values, axis), dimension=axis)


TAKEN_APART: dict[str, list[Idiom]] = {
    "max": [_of_two],
    "min": [_of_two],
    "reduce_max": [_of_axes],
    "reduce_min": [_of_axes],
    "reduce_window_max": [_of_windows],
    "sort": [_of_order],
}
"""Selections as maxima of two, for bounds on balls."""
