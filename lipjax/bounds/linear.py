"""Tighter intervals by linear relaxation: every entry of a value enclosed by two linear functions of the input.

A form `<a, value of a wire> + b` that bounds an entry from above is substituted backwards, step by step, until it is a
form of the input: affine steps by their transpose, nonlinear ones by the line above or below them, by the sign of the
coefficient. Its largest value on the ball is then known.
"""

import math

import jax
import jax.numpy as jnp

from lipjax.bounds.backward import backward, over_entries
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


def cut(program: Program, regions: list[Region], wire: Wire) -> Region:
    """The region of a wire with intervals cut by linear relaxation."""
    region = regions[wire.index]

    def of_rows(rows: Rows) -> tuple[Entries, Entries]:
        forms = jnp.concatenate([rows, -rows])
        upper, negated = jnp.split(jax.vmap(lambda form: largest(program, regions, wire, form))(forms), 2)
        return -negated, upper

    lower, upper = (ends.reshape(region.center.shape) for ends in over_entries(region, of_rows))
    return region._replace(lower=jnp.fmax(region.lower, lower), upper=jnp.fmin(region.upper, upper)).within(math.inf)
