"""Tighter intervals by linear relaxation: every entry of a value enclosed by two linear functions of the input.

A form `<a, value of a wire> + b` that bounds an entry from above is substituted backwards, step by step, until it is a
form of the input: affine steps by their transpose, nonlinear ones by the line above or below them, by the sign of the
coefficient. Its largest value on the ball is then known.
"""

import math
from collections.abc import Callable
from typing import TypeAlias

import jax
import jax.numpy as jnp

from lipjax.bounds.activations import ACTIVATIONS, Activation, eps
from lipjax.bounds.affine import linear, transposed
from lipjax.bounds.interval import Entries, Region, activation, kind, length, sizes
from lipjax.bounds.jacobian import Around, Rows, over_entries, pool_at_center, surroundings
from lipjax.bounds.program import Program, Wire
from lipjax.types import Scalar

Substituted: TypeAlias = tuple[list[Entries], Scalar]
"""Coefficients of the operands, and a number to add."""


def _total(*products: Entries) -> Scalar:
    """The sum of all entries, rounded up."""
    sums = [jnp.sum(x) + (x.size + 8) * eps() * jnp.sum(jnp.abs(x)) for x in products]
    return jnp.sum(jnp.stack(sums))


def _moved(around: Around, form: Entries) -> Substituted:
    parts = list(transposed(around.step)(form))
    if not around.step.constants:
        return parts, jnp.zeros(())
    offset = around.step(*[jnp.zeros_like(region.center) for region in around.operands])
    return parts, _total(form * offset, 4 * eps() * jnp.abs(form) * around.result.magnitude)


def _affine(around: Around, form: Entries) -> Substituted:
    largest = linear(around.step, jnp.abs)(*[region.magnitude for region in around.operands])
    noise = _total(2 * sizes(around.step).rounding * jnp.abs(form) * largest)
    return list(transposed(around.step)(form)), noise


def _enclosed(function: Activation, form: Entries, region: Region) -> tuple[Entries, Scalar]:
    """A form of a function's values as one of its arguments: the upper line where the coefficient is positive."""
    lower_slope, lower_shift, upper_slope, upper_shift = function.lines(region.lower, region.upper)
    above, below = jnp.maximum(form, 0.0), jnp.minimum(form, 0.0)
    noise = 4 * eps() * jnp.abs(form) * (jnp.abs(upper_slope) + jnp.abs(lower_slope)) * region.magnitude
    shift = _total(above * upper_shift, below * lower_shift, noise)
    return above * upper_slope + below * lower_slope, shift


def _activated(around: Around, form: Entries) -> Substituted:
    part, shift = _enclosed(activation(around.step), form, around.operands[0])
    return [part], shift


def _two_sided(around: Around, form: Entries) -> Substituted:
    # relu(-x) = relu(x) - x
    positive, negative = jnp.split(form, 2, around.step.params["dimension"])
    part, shift = _enclosed(ACTIVATIONS["relu"](), positive + negative, around.operands[0])
    noise = 4 * eps() * (jnp.abs(positive) + 2 * jnp.abs(negative)) * around.operands[0].magnitude
    return [part - negative], shift + _total(noise)


def _norm_pool(around: Around, form: Entries) -> Substituted:
    # Above the tangent plane at the center, which goes through 0; below the largest value.
    (region,), rounding = around.operands, around.step.params["rounding"]
    part = pool_at_center(around, jnp.minimum(form, 0.0)[None])[0]
    return [part], _total(jnp.maximum(form, 0.0) * around.result.upper, 4 * rounding * jnp.abs(part) * region.magnitude)


def _constant(around: Around, form: Entries) -> Substituted:
    values = jnp.maximum(form, 0.0) * around.result.upper, jnp.minimum(form, 0.0) * around.result.lower
    return [jnp.zeros_like(region.center) for region in around.operands], _total(*values)


_RULES: dict[str, Callable[[Around, Entries], Substituted]] = {
    "activation": _activated,
    "affine": _affine,
    "move": _moved,
    "norm_pool": _norm_pool,
    "two_sided_relu": _two_sided,
}


def largest(program: Program, regions: list[Region], wire: Wire, form: Entries) -> Scalar:
    """An upper bound, on the ball, of `<form, value of the wire>`."""
    forms, shift, start = {wire: form}, jnp.zeros(()), regions[0]
    for index in range(wire.index, 0, -1):
        if Wire(index) not in forms:
            continue
        around = surroundings(program, regions, index)
        parts, added = _RULES.get(kind(around.step), _constant)(around, forms.pop(Wire(index)))
        shift = shift + added
        for operand, part in zip(around.step.wires, parts, strict=True):
            forms[operand] = forms[operand] + part if operand in forms else part
    form = forms[Wire(0)]
    highest = jnp.maximum(form, 0.0) * (start.upper - start.center)
    lowest = jnp.minimum(form, 0.0) * (start.lower - start.center)
    return _total(form * start.center) + shift + jnp.minimum(_total(highest, lowest), length(form) * start.spread)


def cut(program: Program, regions: list[Region], wire: Wire) -> Region:
    """The region of a wire with intervals cut by linear relaxation."""
    region = regions[wire.index]

    def of_rows(rows: Rows) -> tuple[Entries, Entries]:
        forms = jnp.concatenate([rows, -rows])
        upper, negated = jnp.split(jax.vmap(lambda form: largest(program, regions, wire, form))(forms), 2)
        return -negated, upper

    lower, upper = (ends.reshape(region.center.shape) for ends in over_entries(region, of_rows))
    return region._replace(lower=jnp.fmax(region.lower, lower), upper=jnp.fmin(region.upper, upper)).within(math.inf)
