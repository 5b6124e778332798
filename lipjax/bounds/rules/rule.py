"""What bounds know of a kind of step. A new kind is one file with one subclass, and one line of `KINDS` in `rules`."""

import math
from collections.abc import Sequence
from typing import ClassVar

import jax.numpy as jnp

from lipjax.bounds.carried import Around, Derivative, Entries, Expanded, Form, Gain, Region, Relaxed
from lipjax.bounds.program import Idiom, Step
from lipjax.bounds.rounding import total
from lipjax.norms import Norm


class Rule:
    """A kind of which nothing is known but, in subclasses, its constant on the whole space: what audits ask for.

    Attributes:
        ops: Its operations.
        name: What audits call it, where the name of the primitive is not clear.
        idioms: How several steps are recognised as one of this kind, each with the operation of the last one.
        is_linear: Whether the derivative is the same everywhere.
    """

    ops: ClassVar[tuple[str, ...]] = ()
    name: ClassVar[str] = ""
    idioms: ClassVar[tuple[tuple[str, Idiom], ...]] = ()
    is_linear: ClassVar[bool] = False

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

    def region(self, step: Step, regions: list[Region]) -> Region:
        """Where the result lies, given where the wires do."""
        raise NotImplementedError

    def derivative(self, around: Around, derivative: Derivative) -> list[Derivative]:
        """Derivatives with respect to the wires, given the one with respect to the result."""
        raise NotImplementedError

    def relaxation(self, around: Around, form: Entries) -> Relaxed:
        """A bound of `<form, result>`; without lines around the step, by the region of the result."""
        values = jnp.maximum(form, 0.0) * around.result.upper, jnp.minimum(form, 0.0) * around.result.lower
        return Relaxed([jnp.zeros_like(region.center) for region in around.operands], total(*values))

    def expansion(self, around: Around, form: Form) -> Expanded:
        """The derivative with slopes in the middle of their ranges, and how far they may be from it."""
        raise NotImplementedError


KINDS: list[Rule] = []
"""All kinds; the first one that covers a step is its."""
_UNKNOWN = Rule()


def rule_of(step: Step) -> Rule:
    """The rule of a step."""
    if Rule not in step.known:
        step.known[Rule] = next((kind for kind in KINDS if kind.covers(step)), _UNKNOWN)
    return step.known[Rule]


def local_rule_of(step: Step) -> LocalRule:
    """The rule of a step that has bounds on balls.

    Raises:
        TypeError: If it has none: `has_local_rule` says so.
    """
    rule = rule_of(step)
    if not isinstance(rule, LocalRule):
        raise TypeError(f"{step.op} has no bound on a ball")
    return rule


def has_local_rule(step: Step) -> bool:
    """Whether the step has bounds on balls."""
    return isinstance(rule_of(step), LocalRule)


def is_gate(step: Step) -> bool:
    """Whether the slopes of the step may change on a ball."""
    return has_local_rule(step) and not rule_of(step).is_linear
