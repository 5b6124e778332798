"""Derivatives on a ball as a middle and changes: tight where only some of the nonlinearities change.

With the slopes D of all nonlinearities in the middle of their ranges, the derivative is a matrix M; on the ball

    J = M + sum over nonlinear steps s of  Y_s (D'_s - D_s) G_s

where Y_s is the derivative of the output with respect to the result of s with all later slopes in the middle, so it is
known, and G_s is the derivative of what s reads with respect to the input, whatever the slopes before it are: its rows
have been bounded when the steps before were. Replacing the slopes one step at a time, from the output backwards, shows
that this is no approximation.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from lipjax.bounds.activations import eps
from lipjax.bounds.affine import transposed
from lipjax.bounds.interval import Entries, Region, activation, kind, length, sizes
from lipjax.bounds.jacobian import Around, Rows, pool_at_center, pool_change, spectral, surroundings
from lipjax.bounds.linear import largest
from lipjax.bounds.program import Program, Wire
from lipjax.norms import Norm
from lipjax.operators import conversion
from lipjax.types import Scalar

_CHUNK = 256

PerRow = Float[Array, " rows"]


class Change(NamedTuple):
    """How far a derivative can be from its middle because of one step.

    Attributes:
        rows: Bounds of the dual norms of its rows.
        norm: Bound of its l2 operator norm.
    """

    rows: PerRow
    norm: Scalar


class Gate(NamedTuple):
    """A nonlinear step seen as slopes that may change, `rows * change` of the operand's derivative.

    Attributes:
        rows: What multiplies the slopes: derivatives of the output, entry by entry.
        change: How far each slope can be from its middle.
        slopes: Bounds of the dual norms of the gradients that a changed slope lets through.
        norm: Bound of the l2 operator norm of all of them together.
    """

    rows: Rows
    change: Entries
    slopes: Entries
    norm: Scalar


Gated: TypeAlias = tuple[list[Rows], list[Gate]]


def _middle(low: Any, high: Any) -> tuple[Any, Any]:
    return (low + high) / 2, (high - low) / 2 * (1 + 4 * eps()) + eps() * jnp.maximum(jnp.abs(low), jnp.abs(high))


def _activated(around: Around, rows: Rows) -> Gated:
    (region,), function = around.operands, activation(around.step)
    slope, change = _middle(*function.slopes(region.lower, region.upper))
    return [rows * slope], [Gate(rows, change, region.slopes, region.norm)]


def _two_sided(around: Around, rows: Rows) -> Gated:
    # The slope of relu(-x) is that of relu(x) minus 1: both halves change together.
    (region,), axis = around.operands, around.step.params["dimension"] + 1
    positive, negative = jnp.split(rows, 2, axis)
    slope, change = _middle(1.0 * (region.lower > 0.0), 1.0 * (region.upper > 0.0))
    together = positive + negative
    return [together * slope - negative], [Gate(together, change, region.slopes, region.norm)]


def _norm_pool(around: Around, rows: Rows) -> Gated:
    (region,), factor = around.operands, around.step.params["gains"]["l2"]
    slopes = around.step(region.slopes) * (1 + around.step.params["rounding"])
    return [pool_at_center(around, rows)], [Gate(rows, pool_change(around), slopes, factor * region.norm)]


def _product(around: Around, rows: Rows) -> Gated:
    one, other = around.operands
    slope, change = _middle(one.lower, one.upper)
    slope_other, change_other = _middle(other.lower, other.upper)
    gates = Gate(rows, change_other, one.slopes, one.norm), Gate(rows, change, other.slopes, other.norm)
    return [rows * slope_other, rows * slope], list(gates)


_RULES: dict[str, Callable[[Around, Rows], Gated]] = {
    "activation": _activated,
    "mul": _product,
    "norm_pool": _norm_pool,
    "two_sided_relu": _two_sided,
}


def _effect(gate: Gate) -> Change:
    moved = gate.rows * gate.change
    of_rows = jnp.abs(moved) * gate.slopes
    flat = of_rows.reshape(of_rows.shape[0], -1)
    return Change(jnp.sum(flat, 1) * (1 + (flat.shape[1] + 8) * eps()), spectral(moved) * gate.norm)


def _noise(around: Around, rows: Rows, factor: float) -> Change:
    """The rounding of an affine step's transpose, as a change."""
    size, gain = sizes(around.step), sum(region.norm for region in around.operands)
    lengths = jax.vmap(length)(rows) * (size.rounding * size.absolute * gain)
    return Change(lengths * factor, length(lengths))


class Expansion(NamedTuple):
    """The derivative of some entries with respect to the input: a known middle, and changes of it."""

    middle: Rows
    changes: list[Change]


def expand(program: Program, regions: list[Region], wire: Wire, rows: Rows, norm_in: Norm) -> Expansion:
    """The expansion of `rows` times the derivative of a wire with respect to the input."""
    forms, changes = {wire: rows}, list[Change]()
    factor = conversion("l2", _DUALS[norm_in.name], regions[0].center.size)
    for index in range(wire.index, 0, -1):
        if Wire(index) not in forms:
            continue
        around, form = surroundings(program, regions, index), forms.pop(Wire(index))
        if kind(around.step) in _RULES:
            parts, gates = _RULES[kind(around.step)](around, form)
            changes.extend(map(_effect, gates))
        else:
            parts = list(jax.vmap(transposed(around.step))(form))
            changes.extend([_noise(around, form, factor)] if kind(around.step) == "affine" else [])
        for operand, part in zip(around.step.wires, parts, strict=True):
            forms[operand] = forms[operand] + part if operand in forms else part
    return Expansion(forms[Wire(0)].reshape(rows.shape[0], -1), changes)


_DUALS = {"l1": "linf", "l2": "l2", "linf": "l1"}


def slopes_and_norm(expansion: Expansion, norm_in: Norm) -> Change:
    """Bounds of the dual norm of each row of the derivative, and of its l2 operator norm."""
    middle, changes = expansion
    factor = conversion(_DUALS[norm_in.name], "l2", middle.shape[1])
    of_rows = jax.vmap(norm_in.dual)(middle) * (1 + (middle.shape[1] + 8) * eps())
    norms = [jnp.fmin(length(change.rows) * factor, change.norm) for change in changes]
    return Change(of_rows + sum(change.rows for change in changes), spectral(middle) + sum(norms))


def refine(program: Program, regions: list[Region], wire: Wire, *, norm_in: Norm) -> Region:
    """The region of a wire with intervals cut by linear relaxation, and with bounds of its derivative."""
    region = regions[wire.index]
    shape, count = region.center.shape, region.center.size
    chunk = min(count, _CHUNK)

    def of_block(indices: Int[Array, " chunk"]) -> tuple[PerRow, PerRow, Change]:
        rows = (indices[:, None] == jnp.arange(count)).astype(region.center.dtype).reshape(chunk, *shape)
        forms = jnp.concatenate([rows, -rows])
        upper, negated = jnp.split(jax.vmap(lambda form: largest(program, regions, wire, form))(forms), 2)
        return -negated, upper, slopes_and_norm(expand(program, regions, wire, rows, norm_in), norm_in)

    blocks = jnp.arange(-(-count // chunk) * chunk).reshape(-1, chunk)  # indices past the end make rows of zeros
    lower, upper, change = jax.lax.map(of_block, blocks) if len(blocks) > 1 else of_block(blocks[0])
    lower, upper, slopes = (rows.ravel()[:count].reshape(shape) for rows in (lower, upper, change.rows))
    return region._replace(
        lower=jnp.fmax(region.lower, lower),
        upper=jnp.fmin(region.upper, upper),
        slopes=slopes,
        norm=jnp.fmin(region.norm, length(change.norm)),
    ).within(math.inf)
