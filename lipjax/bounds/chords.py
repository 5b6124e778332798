"""The derivative of each output by linear relaxation of the pass backwards.

It is a row that goes back through the steps, `c = L^T c'` where they are affine and `c = d c'` where they are not, with
slopes d anywhere in their ranges. What is asked of it is convex: an entry, the length at the input. A convex function
is below its chord, so what is asked is at most a linear form of c where the entries of c are in known intervals; and a
form is substituted step by step towards the output: by L itself, and by the chord of `max over d of a d c'`. At the
output the row is known.

    Shi et al. 2022, "Efficiently Computing Local Lipschitz Constants of Neural Networks via Bound Propagation" (arXiv
    2210.07394), for linf. The chords of squares, for l2, are ours.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp

from lipjax.bounds.backward import derivative_before, output_derivative, over_entries
from lipjax.bounds.carried import Around, Derivative, Entries, Interval, Region, Rows
from lipjax.bounds.program import Program, Wire
from lipjax.bounds.rounding import chord, eps, total, weighed
from lipjax.bounds.rules import is_gate, local_rule_of
from lipjax.norms import Norm, l2, linf
from lipjax.types import Scalar

LARGEST = 2**15
"""Forms, one for each entry of a wire and each output, that are substituted to tighten the intervals of a wire."""


AT_ONCE = 2**20
"""Numbers that the forms which are substituted together make of a wire, at most: they fit a cache."""


class Chords:
    """A pass backwards whose intervals are tightened wherever several nonlinear steps lie ahead."""

    def __init__(self, program: Program, regions: list[Region]) -> None:
        self.program, self.regions = program, regions
        self._intervals: dict[Wire, list[Interval]] = {}  # of the rows at the result of a step, then at its operands
        self._wires = {step: Wire(index) for index, step in enumerate(program.steps, 1)}
        self.derivative = self._tightened(Wire(0), output_derivative(program, regions, self._before))

    def _before(self, around: Around, derivative: Derivative) -> list[Derivative]:
        wire = self._wires[around.step]
        if is_gate(around.step):
            derivative = self._tightened(wire, derivative)
        parts = derivative_before(around, derivative)
        self._intervals[wire] = [Interval(each.lower, each.upper) for each in (derivative, *parts)]
        return parts

    def _gates_ahead(self, wire: Wire) -> int:
        steps = [self.program.steps[ahead.index - 1] for ahead in self._ahead(wire)]
        return sum(map(is_gate, steps))

    def _ahead(self, wire: Wire) -> list[Wire]:
        """The wires that depend on this one."""
        reached = [wire]
        for index, step in enumerate(self.program.steps[wire.index :], wire.index + 1):
            reached += [Wire(index)] if set(reached).intersection(step.wires) else []
        return reached[1:]

    def _tightened(self, wire: Wire, derivative: Derivative) -> Derivative:
        if self._gates_ahead(wire) < 2 or derivative.center.size > LARGEST:
            return derivative

        def of_rows(rows: Rows) -> tuple[Rows, Rows]:
            both = jnp.concatenate([rows, -rows])
            upper, negated = jnp.split(self._largest(wire, both, of_all=True).T, 2)
            return -negated, upper

        widest = max(region.center.size for region in self.regions)
        found = over_entries(self.regions[wire.index], of_rows, max(AT_ONCE // (len(derivative.lower) * widest), 1))
        lower, upper = (ends.T.reshape(derivative.lower.shape) for ends in found)
        return derivative._replace(lower=jnp.fmax(derivative.lower, lower), upper=jnp.fmin(derivative.upper, upper))

    def _largest(self, wire: Wire, forms: Any, *, of_all: bool = False) -> Any:
        """Upper bounds, for each output, of a form of its row at a wire; of many forms, if they are `of_all` outputs."""
        ahead = self._ahead(wire)

        def of_output(form: Entries, intervals: list[list[Interval]], row: Entries) -> Scalar:
            known, shift = {wire: form}, jnp.zeros(())
            for each, around_rows in zip(ahead, intervals, strict=True):
                step = self.program.steps[each.index - 1]
                operands = [self.regions[operand.index] for operand in step.wires]
                given = [known.get(w, jnp.zeros_like(r.center)) for w, r in zip(step.wires, operands, strict=True)]
                around = Around(step, operands, self.regions[each.index])
                known[each], more = local_rule_of(step).onwards(around, given, around_rows)
                shift = shift + more
            return weighed(known[self.program.output], row, row) + shift

        shape = self.program.shape(self.program.output)
        rows = jnp.eye(math.prod(shape)).reshape(-1, *shape)
        of_forms = jax.vmap(of_output, in_axes=(0, None, None)) if of_all else of_output
        each_output = jax.vmap(of_forms, in_axes=(None if of_all else 0, 0, 0))
        return each_output(forms, [self._intervals[each] for each in ahead], rows)

    def lengths(self, norm: Norm) -> Any:
        """Bounds of the lengths of all rows at the input, l1 for linf and l2 for l2; inf for others."""
        _, lower, upper, *_ = self.derivative
        if norm == linf:
            slope, shift = chord(jnp.abs(lower), jnp.abs(upper), lower, upper)
        elif norm == l2:
            slope = lower + upper
            shift = jnp.maximum(lower * (lower - slope), upper * (upper - slope))
        else:
            return jnp.full(len(lower), math.inf)
        largest = jnp.maximum(jnp.abs(lower), jnp.abs(upper))
        noise = 4 * eps() * (jnp.square(largest) if norm == l2 else largest)
        bounds = self._largest(Wire(0), slope) + jax.vmap(total)(shift + noise)
        return jnp.sqrt(jnp.maximum(bounds, 0.0)) * (1 + 2 * eps()) if norm == l2 else bounds
