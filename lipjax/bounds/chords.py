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
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from lipjax import loops
from lipjax.bounds.backward import derivative_before, of_both_signs, output_derivative
from lipjax.bounds.carried import Around, Derivative, Entries, Interval, Region, Rows
from lipjax.bounds.program import Program, Wire
from lipjax.bounds.rounding import chord, eps, total
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
        self._count = math.prod(program.shape(program.output))
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

    def _is_tightened(self, wire: Wire) -> bool:
        return self._gates_ahead(wire) >= 2 and self._count * self.regions[wire.index].center.size <= LARGEST

    def _tightened(self, wire: Wire, derivative: Derivative) -> Derivative:
        if not self._is_tightened(wire):
            return derivative
        region, at_once = self.regions[wire.index], self._at_once(wire)
        found = of_both_signs(region, lambda forms: self._of_all(wire, forms).T, at_once)
        highest, lowest = (bounds.reshape(derivative.lower.shape) for bounds in found.transpose(1, 2, 0))
        return derivative._replace(lower=jnp.fmax(derivative.lower, -lowest), upper=jnp.fmin(derivative.upper, highest))

    def _at_once(self, wire: Wire) -> int:
        """Entries of a wire whose forms are substituted together, the same for most: they share what is compiled."""
        sizes = [region.center.size for region in self.regions]
        return min(max(AT_ONCE // (self._count * max(sizes)), 1), 64, sizes[wire.index])

    def _of_all(self, wire: Wire, forms: Rows) -> Array:
        """Upper bounds `[outputs, forms]` of forms of the row of each output at a wire."""
        each_form = jax.vmap(partial(self._of_output, wire), (0, None, None))
        return jax.vmap(each_form, (None, 0, 0))(forms, *self._outputs(wire))

    def _outputs(self, wire: Wire) -> tuple[list[list[Interval]], Rows]:
        """Of each output what is known of its row at the wires ahead, and the row at the output."""
        rows = jnp.eye(self._count).reshape(-1, *self.program.shape(self.program.output))
        return [self._intervals[each] for each in self._ahead(wire)], rows

    def _of_output(self, wire: Wire, form: Entries, intervals: list[list[Interval]], row: Entries) -> Scalar:
        """An upper bound of a form of the row of an output at a wire."""
        known, shift = {wire: form}, jnp.zeros(())
        for each, around_rows in zip(self._ahead(wire), intervals, strict=True):
            step = self.program.steps[each.index - 1]
            operands = [self.regions[operand.index] for operand in step.wires]
            given = [known.get(w, jnp.zeros_like(r.center)) for w, r in zip(step.wires, operands, strict=True)]
            around = Around(step, operands, self.regions[each.index])
            known[each], more = local_rule_of(step).onwards(around, given, around_rows)
            shift = shift + more
        return jnp.sum(known[self.program.output] * row) + shift

    def _of_own(self, wire: Wire, forms: Rows) -> Array:
        """Upper bounds, of each output, of a form of its row at a wire."""
        if self._count > 64 or not self._is_tightened(wire):
            return jax.vmap(partial(self._of_output, wire))(forms, *self._outputs(wire))
        at_once = 2 * self._at_once(wire)  # of all outputs, in a loop as above: that is compiled already
        blocks = jnp.zeros((max(-(-self._count // at_once), 2), at_once, *forms.shape[1:]))
        blocks = blocks.reshape(-1, *forms.shape[1:]).at[: self._count].set(forms).reshape(blocks.shape)
        found = loops.map(lambda block: self._of_all(wire, block).T, blocks)
        return jnp.diagonal(found.reshape(-1, self._count)[: self._count])

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
        bounds = self._of_own(Wire(0), slope) + jax.vmap(total)(shift + noise)
        return jnp.sqrt(jnp.maximum(bounds, 0.0)) * (1 + 2 * eps()) if norm == l2 else bounds
