"""Norm pooling `sqrt(A x^2 + b)` with A not negative: the square alone has no finite constant."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lipjax.bounds.carried import Around, Derivative, Entries, Expanded, Form, Gain, Gate, Region, Relaxed, Rows
from lipjax.bounds.program import Builder, Operand, Step, Wire, is_constant, is_not_negative
from lipjax.bounds.rounding import eps, hull, length, of_sizes, spectral, weighed
from lipjax.bounds.rules.activation import compared_with_zero
from lipjax.bounds.rules.affine import Affine, Weigh, linear
from lipjax.bounds.rules.rule import LocalRule, rule_of
from lipjax.norms import Norm


def _guarded(builder: Builder, step: Step) -> Wire | None:
    """`where(s == 0, 0, sqrt(where(s == 0, 1, s)))`: the guard keeps the derivative finite."""
    condition = compared_with_zero(builder, step.operands[0])
    if condition is None or len(step.operands) != 3:
        return None
    live = 1 if condition.op in ("eq", "le", "lt") else 2  # the branch taken away from 0, or above it
    root = builder.producer(step.operands[live], "sqrt")
    guard = builder.producer(root.operands[0], "select_n") if root else None
    if guard is None or guard.operands[0] != step.operands[0] or not is_constant(step.operands[3 - live], 0.0):
        return None
    sums = condition.operands[0]
    if not isinstance(guard.operands[live], Wire) or guard.operands[live] != sums:
        return None
    return _root(builder, sums) or builder.add("sqrt", (sums,), jnp.sqrt)


def _root(builder: Builder, operand: Operand) -> Wire | None:
    """The square root of this operand as a norm pooling, if that is a weighted sum of squares."""
    chain: list[Step] = []
    while isinstance(operand, Wire) and operand.index and builder.producer(operand, "square") is None:
        step = builder.steps[operand.index - 1]
        if (
            not isinstance(rule_of(step), Affine)
            or len(step.wires) != 1
            or not all(map(is_not_negative, step.constants))
        ):
            return None
        chain.insert(0, step)
        operand = step.wires[0]
    square = builder.producer(operand, "square")
    if square is None or not chain:
        return None

    def apply(x: Any) -> Any:
        return jnp.sqrt(functools.reduce(lambda value, step: step(value), chain, jnp.square(x)))

    rounding = (math.prod([rule_of(step).terms(step) for step in chain]) + 8) * eps()  # type: ignore[attr-defined]
    gains = _gains(chain, square.given[0], rounding)
    return builder.add("norm_pool", square.wires, apply, chain=tuple(chain), rounding=rounding, gains=gains)


def _sum_of_squares(chain: Sequence[Step], weigh: Weigh = lambda weight: weight) -> Callable[[Any], Any]:
    """The linear map A, with its weights passed through `weigh`."""
    return lambda squares: functools.reduce(lambda value, step: linear(step, weigh)(value), chain, squares)


def _gains(chain: Sequence[Step], x: jax.ShapeDtypeStruct, rounding: float) -> dict[float, float]:
    """Lipschitz constants by exponent: from sums over the rows and over the columns of A and of its root."""
    with jax.ensure_compile_time_eval():
        rows, back = jax.vjp(_sum_of_squares(chain), jnp.ones(x.shape, x.dtype))
        root, back_root = jax.vjp(_sum_of_squares(chain, np.sqrt), jnp.ones(x.shape, x.dtype))
        columns, root_columns = back(jnp.ones_like(rows))[0], back_root(jnp.ones_like(root))[0]
        largest = {1.0: root_columns.max(), 2.0: jnp.sqrt(columns.max()), math.inf: jnp.sqrt(rows.max())}
        return {exponent: float(value) * (1 + rounding) for exponent, value in largest.items()}


class NormPool(LocalRule):
    """l2 norms of weighted entries."""

    idioms = (
        ("select_n", _guarded),
        ("sqrt", lambda builder, step: _root(builder, step.operands[0])),
    )
    name = "norm pooling"
    is_by_entry = False

    ops = ("norm_pool",)

    def constant(self, step: Step, norm: Norm) -> Gain:
        return Gain(step.params["gains"][norm.exponent], "exact", "windows that share an entry")

    def region(self, step: Step, regions: list[Region]) -> Region:
        (region,), factor = regions, step.params["gains"][2.0]
        nearest = jnp.maximum(jnp.maximum(region.lower, -region.upper), 0.0)
        lower, upper = step(nearest), step(region.magnitude)
        noise = step.params["rounding"] * upper
        spread = factor * region.spread + 2 * length(noise)
        return Region(step(region.center), lower - noise, upper + noise, spread, factor * region.norm).within(spread)

    def derivative(self, around: Around, derivative: Derivative) -> list[Derivative]:
        step, (region,), result = around
        rounding, gain = step.params["rounding"], step.params["gains"][2.0]
        center = _at_center(around, derivative.center)
        inverse = 1.0 / jnp.maximum(result.upper, 1e-20), 1.0 / jnp.maximum(result.lower, 1e-20)
        lower, upper = hull(derivative.lower, derivative.upper, *inverse)
        lower, upper = _back(step, region, lower), _back(step, region, upper)
        lower, upper = hull(lower, upper, region.lower, region.upper)
        largest = _back(step, region, jnp.maximum(*map(jnp.abs, derivative[1:3])), jnp.sqrt) * (1 + rounding)
        noise = 2 * rounding * jnp.fmin(jnp.maximum(jnp.abs(lower), jnp.abs(upper)), largest)
        moved = _change(around)
        change = jnp.minimum(spectral(derivative.center * moved), derivative.norm * jnp.max(moved)) + derivative.change
        bounds = jnp.fmax(lower - noise, -largest), jnp.fmin(upper + noise, largest)
        return [Derivative(center, *bounds, gain * change + 2 * rounding * length(center), gain * derivative.norm)]

    def relaxation(self, around: Around, form: Entries) -> Relaxed:
        # Above the tangent plane at the center, which goes through 0; below the largest value.
        (region,), rounding = around.operands, around.step.params["rounding"]
        part = _at_center(around, jnp.minimum(form, 0.0)[None])[0]
        noise = of_sizes(part, 4 * rounding * region.magnitude)
        return Relaxed([part], weighed(form, around.result.upper, jnp.zeros_like(form)) + noise)

    def expansion(self, around: Around, form: Form) -> Expanded:
        (region,), factor = around.operands, around.step.params["gains"][2.0]
        slopes = around.step(region.slopes) * (1 + around.step.params["rounding"])
        before = Form(_at_center(around, form.rows), factor * form.norm)
        return Expanded([before], [Gate(form, _change(around), slopes, factor * region.norm)])


def _at_center(around: Around, rows: Rows) -> Rows:
    """Cotangents of the result to those of the operand, by the derivative at the center."""
    (region,), result = around.operands, around.result
    is_zero = result.center == 0.0
    inverse = jnp.where(is_zero, 0.0, 1.0 / jnp.where(is_zero, 1.0, result.center))
    return region.center * _back(around.step, region, rows * inverse)


def _change(around: Around) -> Any:
    """How far the derivative of each entry can be from that at the center, in units of sqrt(A).

    y = sqrt(A x^2) has dy_i/dx_j = sqrt(A_ij) u_ij with u_i = v / |v| a unit vector. Where v moves by d to v', it moves
    by at most 2 d / (|v| + |v'|) (Dunkl and Williams 1964), and never by more than 2.
    """
    (region,), result, rounding = around.operands, around.result, around.step.params["rounding"]
    moved = 2.0 * around.step(region.farthest) / jnp.maximum(result.center + result.lower, 1e-30)
    return jnp.minimum(2.0, moved) * (1 + 2 * rounding) + 2 * rounding


def _back(step: Step, region: Region, rows: Rows, weigh: Weigh = lambda weight: weight) -> Rows:
    adjoint = jax.linear_transpose(_sum_of_squares(step.params["chain"], weigh), region.center)
    return jax.vmap(lambda row: adjoint(row)[0])(rows)
