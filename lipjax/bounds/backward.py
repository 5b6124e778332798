"""The one pass from a wire back to the input, whatever is carried, and the derivative of the output that it gives.

For every wire, of the derivative: its value at the center of the ball, bounds of every entry on the whole ball, and two
bounds in the l2 operator norm, of how far it is from the one at the center, and of itself. The entries are tight where
few nonlinearities change in the ball, the norms where many do: these are never above the product of all layers' norms.
"""

import math
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array

from lipjax import loops
from lipjax.bounds.carried import Around, Derivative, Region, Rows
from lipjax.bounds.program import Program, Wire
from lipjax.bounds.rounding import spectral
from lipjax.bounds.rules import is_gate, local_rule_of

T = TypeVar("T")


def backward(
    program: Program, regions: list[Region], wire: Wire, carried: T, before: Callable[[Around, T], list[T]]
) -> T:
    """What is known of a wire, carried back to the input; where a wire is read several times, contributions add up.

    `before` goes from what is known of a step's result to what is known of each of its wires.
    """
    waiting = {wire: carried}
    for index in range(wire.index, 0, -1):
        if Wire(index) not in waiting:
            continue
        step = program.steps[index - 1]
        around = Around(step, [regions[operand.index] for operand in step.wires], regions[index])
        for operand, part in zip(step.wires, before(around, waiting.pop(Wire(index))), strict=True):
            waiting[operand] = jax.tree.map(jnp.add, waiting[operand], part) if operand in waiting else part
    return waiting[Wire(0)]


def derivative_before(around: Around, derivative: Derivative) -> list[Derivative]:
    """Derivatives with respect to what a step reads."""
    if is_gate(around.step):
        norm = jnp.fmin(derivative.norm, spectral(derivative.center) + derivative.change)
        derivative = derivative._replace(norm=norm)
    return local_rule_of(around.step).derivative(around, derivative)


def output_derivative(
    program: Program,
    regions: list[Region],
    before: Callable[[Around, Derivative], list[Derivative]] = derivative_before,
) -> Derivative:
    """The derivative of the output with respect to the input."""
    shape = program.shape(program.output)
    count = math.prod(shape)
    rows, one = jnp.eye(count).reshape(count, *shape), jnp.ones(())

    return backward(program, regions, program.output, Derivative(rows, rows, rows, 0 * one, one), before)


TOGETHER, AT_ONCE = 256, 64
"""Rows of the unit matrix that are in one block, and that are in each block where they are more."""


def over_entries(region: Region, of_rows: Callable[[Rows], T], at_once: int | None = None) -> T:
    """What a function says of all rows of the unit matrix of a wire's entries, some at a time.

    The function's results have a row for each of its rows; those without rows are the same whatever the rows.
    """
    count = region.center.size
    at_once = min(at_once or (AT_ONCE if count > TOGETHER else count), count)

    def of_block(start: Any) -> T:
        rows = start + jnp.arange(at_once)[:, None] == jnp.arange(count)
        return of_rows(rows.astype(region.center.dtype).reshape(-1, *region.center.shape))

    def joined(blocks: Array) -> Array:
        return blocks.max() if blocks.ndim == 1 else blocks.reshape(-1, *blocks.shape[2:])[:count]

    if count == at_once:
        return of_block(0)
    starts = jnp.arange(0, count, at_once)  # past the end are rows of zeros
    return jax.tree.map(joined, loops.map(of_block, starts))


def of_both_signs(region: Region, of_forms: Callable[[Rows], Array], at_once: int | None = None) -> Array:
    """What a function says of forms: of all entries of a wire, and of their negatives; `[entries, 2, ...]`."""

    def of_rows(rows: Rows) -> Array:
        signs = jnp.array([1.0, -1.0]).reshape(2, *[1] * rows.ndim)
        found = of_forms((signs * rows).reshape(-1, *region.center.shape))
        return found.reshape(2, len(rows), *found.shape[1:]).swapaxes(0, 1)

    return over_entries(region, of_rows, at_once)
