"""Tighter intervals by linear relaxation: every entry of a value enclosed by two linear functions of the input.

A form `<a, value of a wire> + b` that bounds an entry from above is substituted backwards, step by step, until it is a
form of the input: affine steps by their transpose, nonlinear ones by the line above or below them, by the sign of the
coefficient. Its largest value on the ball is then known.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array

from lipjax.bounds.backward import backward, of_both_signs
from lipjax.bounds.carried import Around, Entries, Region, Rows
from lipjax.bounds.program import Program, Wire
from lipjax.bounds.rounding import length, weighed
from lipjax.bounds.rules import local_rule_of
from lipjax.types import Scalar


def largest(program: Program, regions: list[Region], wire: Wire, form: Entries) -> Scalar:
    """An upper bound, on the ball, of `<form, value of the wire>`."""
    shifts, start = [jnp.zeros(())], regions[0]

    def before(around: Around, form: Entries) -> list[Entries]:
        forms, shift = local_rule_of(around.step).relaxation(around, form)
        shifts.append(shift)
        return forms

    form = backward(program, regions, wire, form, before)
    by_entries = weighed(form, start.upper - start.center, start.lower - start.center)
    moved = jnp.minimum(by_entries, length(form) * start.spread)
    return weighed(form, start.center, start.center) + sum(shifts) + moved


def highest(program: Program, regions: list[Region], wire: Wire) -> Array:
    """Upper bounds of all entries of a wire, and of their negatives, `[entries, 2]`, by linear relaxation."""

    def of_forms(forms: Rows) -> Entries:
        return jax.vmap(lambda form: largest(program, regions, wire, form))(forms)

    return of_both_signs(regions[wire.index], of_forms)
