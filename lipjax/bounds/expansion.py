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
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from lipjax.bounds.activations import eps
from lipjax.bounds.affine import moves_entries, transposed
from lipjax.bounds.interval import Entries, Region, activation, kind, length, sizes
from lipjax.bounds.jacobian import (
    ROWS_AT_ONCE,
    Around,
    Rows,
    over_entries,
    pool_at_center,
    pool_change,
    spectral,
    surroundings,
)
from lipjax.bounds.program import Program, Step, Wire
from lipjax.norms import Norm, l2
from lipjax.types import Scalar

LARGEST = 2**21  # entries of a matrix whose operator norm is found

PerRow = Float[Array, " rows"]


class Change(NamedTuple):
    """How far a derivative can be from its middle because of one step, or how large it is.

    Attributes:
        rows: Box of the dual norms of its rows.
        norm: Bound of its l2 operator norm.
    """

    rows: PerRow
    norm: Scalar


class Form(NamedTuple):
    """Derivatives of some entries of a later wire with respect to a wire.

    Attributes:
        rows: One per entry.
        norm: Bound of the l2 operator norm of the rows of all entries of the later wire, by the steps in between.
    """

    rows: Rows
    norm: Scalar


class Gate(NamedTuple):
    """A nonlinear step seen as slopes that may change, `rows * change` of the operand's derivative.

    Attributes:
        form: What multiplies the slopes.
        change: How far each slope can be from its middle.
        slopes: Box of the dual norms of the gradients that a changed slope lets through.
        norm: Bound of the l2 operator norm of all of them together.
    """

    form: Form
    change: Entries
    slopes: Entries
    norm: Scalar


Gated: TypeAlias = tuple[list[Form], list[Gate]]


@jax.jit
def _middle(low: Any, high: Any) -> tuple[Any, Any]:
    return (low + high) / 2, (high - low) / 2 * (1 + 4 * eps()) + eps() * jnp.maximum(jnp.abs(low), jnp.abs(high))


@jax.jit
def _scaled(form: Form, slope: Entries) -> Form:
    return Form(form.rows * slope, form.norm * jnp.max(jnp.abs(slope), initial=0.0) * (1 + 2 * eps()))


def _activated(around: Around, form: Form) -> Gated:
    (region,), function = around.operands, activation(around.step)
    slope, change = _middle(*function.slopes(region.lower, region.upper))
    return [_scaled(form, slope)], [Gate(form, change, region.slopes, region.norm)]


def _two_sided(around: Around, form: Form) -> Gated:
    # The slope of relu(-x) is that of relu(x) minus 1: both halves change together.
    (region,), axis = around.operands, around.step.params["dimension"] + 1
    positive, negative = jnp.split(form.rows, 2, axis)
    slope, change = _middle(1.0 * (region.lower > 0.0), 1.0 * (region.upper > 0.0))
    together = Form(positive + negative, math.sqrt(2.0) * form.norm * (1 + 2 * eps()))
    return [Form(together.rows * slope - negative, form.norm)], [Gate(together, change, region.slopes, region.norm)]


def _norm_pool(around: Around, form: Form) -> Gated:
    (region,), factor = around.operands, around.step.params["gains"][2.0]
    slopes = around.step(region.slopes) * (1 + around.step.params["rounding"])
    before = Form(pool_at_center(around, form.rows), factor * form.norm)
    return [before], [Gate(form, pool_change(around), slopes, factor * region.norm)]


def _product(around: Around, form: Form) -> Gated:
    one, other = around.operands
    slope, change = _middle(one.lower, one.upper)
    slope_other, change_other = _middle(other.lower, other.upper)
    gates = Gate(form, change_other, one.slopes, one.norm), Gate(form, change, other.slopes, other.norm)
    return [_scaled(form, slope_other), _scaled(form, slope)], list(gates)


_RULES: dict[str, Callable[[Around, Form], Gated]] = {
    "activation": _activated,
    "mul": _product,
    "norm_pool": _norm_pool,
    "two_sided_relu": _two_sided,
}


def is_gate(step: Step) -> bool:
    """Whether the step's slopes may change, so that an expansion has a term for it."""
    return kind(step) in _RULES


def _conversions(norm_in: Norm, inputs: int) -> dict[str, float]:
    """The largest dual norm of a gradient whose l2 norm is 1, and the largest l2 norm of one whose dual norm is 1."""
    # By duality these are the conversions of vectors from the norm to l2, and from l2 to the norm.
    return {"to_dual": norm_in.conversion(l2, inputs), "to_l2": l2.conversion(norm_in, inputs)}


@partial(jax.jit, static_argnames=("to_dual", "to_l2", "is_all"))
def _effect(gate: Gate, *, to_dual: float, to_l2: float, is_all: bool) -> Change:
    """What a gate changes: `rows root(change)` times `root(change) slopes`, each factor as small as is known."""
    root = jnp.sqrt(gate.change) * (1 + 2 * eps())
    steepest, moved = jnp.max(root, initial=0.0), gate.form.rows * root
    slopes = jnp.where(root > 0.0, root * gate.slopes, 0.0)
    sums = jnp.sum((jnp.abs(moved) * slopes).reshape(moved.shape[0], -1), 1) * (1 + (moved[0].size + 8) * eps())
    reach = jnp.fmin(steepest * gate.norm, length(slopes) * to_l2) * (1 + 4 * eps())
    of_rows = jnp.fmin(sums, jax.vmap(length)(moved) * reach * to_dual)
    by_rows = spectral(moved) if is_all else jnp.inf
    return Change(of_rows, jnp.fmin(by_rows, gate.form.norm * steepest) * reach)


def _rounding(around: Around, form: Form) -> PerRow:
    """How far, in l2, the rounding of an affine step's transpose can move the rows of the derivative."""
    size, gain = sizes(around.step), sum(region.norm for region in around.operands)
    return jax.vmap(length)(form.rows) * (size.rounding * size.absolute * gain)


def _before(step: Step, form: Form) -> list[Form]:
    """The form of an affine step's result as forms of its wires."""
    norm = form.norm if moves_entries(step) else form.norm * sizes(step).norm * (1 + 2 * eps())
    return [Form(rows, norm) for rows in jax.vmap(transposed(step))(form.rows)]


class Expansion(NamedTuple):
    """The derivative of some entries with respect to the input: a known middle, and changes of it.

    Attributes:
        middle: One row per entry.
        changes: By every gate; their norms are for all entries of the wire.
        rounding: How far, in l2, rounding can have moved the rows.
    """

    middle: Rows
    changes: list[Change]
    rounding: PerRow


def expand(program: Program, regions: list[Region], wire: Wire, rows: Rows, norm_in: Norm) -> Expansion:
    """The expansion of some rows of the derivative of a wire with respect to the input.

    The rows are those of the unit matrix of the wire's entries. The operator norms of the rows at each gate are found
    where all of them are here, and they are few.
    """
    forms, changes, rounding = {wire: Form(rows, jnp.ones(()))}, list[Change](), jnp.zeros(rows.shape[0])
    is_all = rows.shape[0] == rows[0].size <= ROWS_AT_ONCE
    settings = _conversions(norm_in, regions[0].center.size)
    for index in range(wire.index, 0, -1):
        if Wire(index) not in forms:
            continue
        around, form = surroundings(program, regions, index), forms.pop(Wire(index))
        if is_gate(around.step):
            parts, gates = _RULES[kind(around.step)](around, form)
            changes.extend(_effect(gate, is_all=is_all, **settings) for gate in gates)
        else:
            parts = _before(around.step, form)
            rounding = rounding + (_rounding(around, form) if kind(around.step) == "affine" else 0.0)
        for operand, part in zip(around.step.wires, parts, strict=True):
            forms[operand] = jax.tree.map(jnp.add, forms[operand], part) if operand in forms else part
    return Expansion(forms[Wire(0)].rows.reshape(rows.shape[0], -1), changes, rounding)


def changes_of(expansion: Expansion, norm_in: Norm) -> list[Change]:
    """All that the middle can be off by: the changes, each bound made tighter by the other, and the rounding."""
    to_dual, to_l2 = _conversions(norm_in, expansion.middle.shape[1]).values()
    cut = [change._replace(norm=jnp.fmin(length(change.rows) * to_l2, change.norm)) for change in expansion.changes]
    return [*cut, Change(expansion.rounding * to_dual, length(expansion.rounding))]


@partial(jax.jit, static_argnames="norm_in")
def slopes_and_norm(expansion: Expansion, norm_in: Norm) -> Change:
    """Box of the dual norm of each row of the derivative, and of its l2 operator norm."""
    middle, changes = expansion.middle, changes_of(expansion, norm_in)
    of_rows = jax.vmap(norm_in.dual)(middle) * (1 + (middle.shape[1] + 8) * eps())
    norm: Any = spectral(middle) if middle.size <= LARGEST else jnp.inf
    return Change(of_rows + sum(change.rows for change in changes), norm + sum(change.norm for change in changes))


def measure(
    program: Program, regions: list[Region], wire: Wire, *, norm_in: Norm, at_once: int = ROWS_AT_ONCE
) -> Region:
    """The region of a wire with bounds of its derivative."""
    region = regions[wire.index]
    expansion = over_entries(region, lambda rows: expand(program, regions, wire, rows, norm_in), at_once)
    change = slopes_and_norm(expansion, norm_in)
    return region._replace(slopes=change.rows.reshape(region.center.shape), norm=jnp.fmin(region.norm, change.norm))
