"""Derivatives on a ball as a middle and changes: tight where only some of the nonlinearities change.

With the slopes D of all nonlinearities in the middle of their ranges, the derivative is a matrix M; on the ball

    J = M + sum over nonlinear steps s of  Y_s (D'_s - D_s) G_s

where Y_s is the derivative of the output with respect to the result of s with all later slopes in the middle, so it is
known, and G_s is the derivative of what s reads with respect to the input, whatever the slopes before it are: its rows
have been bounded when the steps before were. Replacing the slopes one step at a time, from the output backwards, shows
that this is no approximation.
"""

import math
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from lipjax.bounds.backward import TOGETHER, backward, over_entries
from lipjax.bounds.carried import Around, Form, Gate, Region, Rows
from lipjax.bounds.matrices import dual, least, matrix_norm, through_l2, value
from lipjax.bounds.program import Program, Wire
from lipjax.bounds.rounding import eps, length, of_sizes, spectral
from lipjax.bounds.rules import local_rule_of
from lipjax.norms import Norm, l2
from lipjax.types import Scalar

LARGEST = 2**21  # entries of a matrix whose operator norm is found

PerRow = Float[Array, " rows"]


class Change(NamedTuple):
    """How far a derivative can be from its middle because of one step, or how large it is."""

    rows: PerRow  # bounds of the dual norms of its rows
    norm: Scalar  # bound of its l2 operator norm


def _conversions(norm_in: Norm, inputs: int) -> dict[str, float]:
    """The largest dual norm of a gradient whose l2 norm is 1, and the largest l2 norm of one whose dual norm is 1."""
    # By duality these are the conversions of vectors from the norm to l2, and from l2 to the norm.
    return {"to_dual": norm_in.conversion(l2, inputs), "to_l2": l2.conversion(norm_in, inputs)}


@partial(jax.jit, static_argnames=("to_dual", "to_l2", "is_all"))
def _effect(gate: Gate, *, to_dual: float, to_l2: float, is_all: bool) -> Change:
    """What a gate changes: `rows root(change)` times `root(change) slopes`, each factor as small as is known."""
    root = jnp.sqrt(gate.change) * (1 + 2 * eps())
    steepest, moved = jnp.max(root, initial=0.0), (gate.form.rows * root).reshape(len(gate.form.rows), -1)
    slopes = jnp.where(root > 0.0, root * gate.slopes, 0.0)
    sums = jax.vmap(of_sizes, (0, None))(moved, slopes)
    reach = jnp.fmin(steepest * gate.norm, length(slopes) * to_l2) * (1 + 4 * eps())
    of_rows = jnp.fmin(sums, jax.vmap(length)(moved) * reach * to_dual)
    by_rows = spectral(moved) if is_all else jnp.inf
    return Change(of_rows, jnp.fmin(by_rows, gate.form.norm * steepest) * reach)


class Expansion(NamedTuple):
    """The derivative of some entries with respect to the input: a known middle, and changes of it."""

    middle: Rows | None  # one row per entry; None where it is not asked for
    lengths: PerRow  # dual norms of the rows of the middle
    changes: list[Change]  # by every gate; their norms are for all entries of the wire
    rounding: PerRow  # how far, in l2, rounding can have moved the rows


def expand(program: Program, regions: list[Region], wire: Wire, rows: Rows, norm_in: Norm) -> Expansion:
    """The expansion of some rows of the derivative of a wire with respect to the input.

    The rows are those of the unit matrix of the wire's entries. The operator norms of the rows at each gate are found
    where all of them are here, and they are few.
    """
    changes, rounding = list[Change](), [jnp.zeros(rows.shape[0])]
    is_all = rows.shape[0] == rows[0].size <= TOGETHER
    inputs = regions[0].center.size
    settings = _conversions(norm_in, inputs)

    def before(around: Around, form: Form) -> list[Form]:
        expanded = local_rule_of(around.step).expansion(around, form)
        changes.extend(_effect(gate, is_all=is_all, **settings) for gate in expanded.gates)
        rounding.append(expanded.rounding)
        return expanded.forms

    middle = backward(program, regions, wire, Form(rows, jnp.ones(())), before).rows.reshape(-1, inputs)
    lengths = jax.vmap(partial(dual, norm_in))(middle)
    return Expansion(middle, lengths, changes, sum(rounding[1:], rounding[0]))


def changes_of(expansion: Expansion, norm_in: Norm, inputs: int) -> list[Change]:
    """All that the middle can be off by: the changes, each bound made tighter by the other, and the rounding."""
    to_dual, to_l2 = _conversions(norm_in, inputs).values()
    cut = [change._replace(norm=jnp.fmin(length(change.rows) * to_l2, change.norm)) for change in expansion.changes]
    return [*cut, Change(expansion.rounding * to_dual, length(expansion.rounding))]


@partial(jax.jit, static_argnames=("norm_in", "inputs"))
def slopes_and_norm(expansion: Expansion, norm_in: Norm, inputs: int) -> Change:
    """Bounds of the dual norm of each row of the derivative, and of its l2 operator norm."""
    middle, changes = expansion.middle, changes_of(expansion, norm_in, inputs)
    norm: Any = jnp.inf if middle is None or middle.size > LARGEST else spectral(middle)
    rows = expansion.lengths + sum(change.rows for change in changes)
    return Change(rows, norm + sum(change.norm for change in changes))


def measure(program: Program, regions: list[Region], wire: Wire, norm_in: Norm, at_once: int | None = None) -> Region:
    """The region of a wire with bounds of its derivative."""
    region, inputs = regions[wire.index], regions[0].center.size

    def of_rows(rows: Rows) -> Expansion:
        found = expand(program, regions, wire, rows, norm_in)
        return found if region.center.size * inputs <= LARGEST else found._replace(middle=None)

    change = slopes_and_norm(over_entries(region, of_rows, at_once), norm_in, inputs)
    return region._replace(slopes=change.rows.reshape(region.center.shape), norm=jnp.fmin(region.norm, change.norm))


def expanded(program: Program, regions: list[Region], norm_in: Norm, norm_out: Norm) -> Scalar:
    """A bound of the operator norm of the derivative, by its expansion."""
    count = math.prod(program.shape(program.output))
    rows = jnp.eye(count).reshape(count, *program.shape(program.output))
    expansion = expand(program, regions, program.output, rows, norm_in)
    return _norm_of(expansion, norm_in, norm_out, regions[0].center.size)


@partial(jax.jit, static_argnames=("norm_in", "norm_out", "inputs"))
def _norm_of(expansion: Expansion, norm_in: Norm, norm_out: Norm, inputs: int) -> Scalar:
    assert expansion.middle is not None
    factor, changes = through_l2(expansion.middle, norm_in, norm_out), changes_of(expansion, norm_in, inputs)
    return least(
        matrix_norm(expansion.middle, norm_in, norm_out)
        + sum(jnp.fmin(value(norm_out, change.rows), factor * change.norm) for change in changes),
        value(norm_out, slopes_and_norm(expansion, norm_in, inputs).rows),
    )
