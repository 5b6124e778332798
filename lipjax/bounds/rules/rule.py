"""What bounds know of a kind of step. A new kind is one file with one subclass, and one line of `KINDS` in `rules`."""

import math
from collections.abc import Sequence
from typing import ClassVar

import jax.numpy as jnp

from lipjax.bounds.carried import Around, Derivative, Entries, Expanded, Form, Gain, Interval, Region, Relaxed
from lipjax.bounds.program import Idiom, Step
from lipjax.bounds.rounding import weighed
from lipjax.norms import Norm
from lipjax.types import Scalar


class Rule:
    """A kind of which nothing is known but, in subclasses, its constant on the whole space: what audits ask for."""

    ops: ClassVar[tuple[str, ...]] = ()  # its operations
    name: ClassVar[str] = ""  # what audits call it, where the name of the primitive is not clear
    idioms: ClassVar[tuple[tuple[str, Idiom], ...]] = ()  # several steps as one, by the last one's `op`
    is_linear: ClassVar[bool] = False  # whether the derivative is the same everywhere

    def covers(self, step: Step) -> bool:
        """Whether the step is of this kind."""
        return step.op in self.ops

    def constant(self, step: Step, norm: Norm) -> Gain:
        """The Lipschitz constant of a step of one wire, in l1, l2 or linf."""
        return Gain(math.inf, "unknown", "no rule for it")

    def join(self, constants: Sequence[float], norm: Norm) -> float | None:
        """The constant of a step of several wires, given those of the wires; None if nothing is known."""
        return None


class LocalRule(Rule):
    """A kind that has bounds on balls too."""

    is_by_entry: ClassVar[bool] = True  # whether each gate scales entries of its own wire, the first gate of the first

    def region(self, step: Step, regions: list[Region]) -> Region:
        """Where the result lies, given where the wires do."""
        raise NotImplementedError

    def derivative(self, around: Around, derivative: Derivative) -> list[Derivative]:
        """Derivatives with respect to the wires, given the one with respect to the result."""
        raise NotImplementedError

    def relaxation(self, around: Around, form: Entries) -> Relaxed:
        """A bound of `<form, result>`; without lines around the step, by the region of the result."""
        highest = weighed(form, around.result.upper, around.result.lower)
        return Relaxed([jnp.zeros_like(region.center) for region in around.operands], highest)

    def onwards(self, around: Around, forms: list[Entries], rows: list[Interval]) -> tuple[Entries, Scalar]:
        """A form of a row of the derivative at the result, and a number, that bound its forms at the operands together.

        `rows` are intervals of that row at the result and of what the step makes of it at each operand; without chords
        around the step, the bound is by these.
        """
        highest = [weighed(form, part.upper, part.lower) for form, part in zip(forms, rows[1:], strict=True)]
        return jnp.zeros_like(around.result.center), sum(highest[1:], highest[0])

    def expansion(self, around: Around, form: Form) -> Expanded:
        """The derivative with slopes in the middle of their ranges, and how far they may be from it."""
        raise NotImplementedError


KINDS: list[Rule] = []
"""All kinds; the first one that covers a step is its."""
_UNKNOWN = Rule()


def rule_of(step: Step) -> Rule:
    """The rule of a step."""
    return step.once(Rule, lambda: next((kind for kind in KINDS if kind.covers(step)), _UNKNOWN))


def local_rule_of(step: Step) -> LocalRule:
    """The rule of a step that has bounds on balls, as `has_local_rule` says."""
    rule = rule_of(step)
    assert isinstance(rule, LocalRule), f"{step.op} has no bound on a ball"
    return rule


def has_local_rule(step: Step) -> bool:
    """Whether the step has bounds on balls."""
    return isinstance(rule_of(step), LocalRule)


def is_gate(step: Step) -> bool:
    """Whether the slopes of the step may change on a ball."""
    return has_local_rule(step) and not rule_of(step).is_linear
