"""The same function in other steps: idioms are several steps that are one layer, or one step that is a simpler one."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import jax
import numpy as np

from lipjax.bounds.program.steps import Builder, Operand, Program, Step, Wire, rename

Idiom: TypeAlias = Callable[[Builder, Step], Wire | None]
"""`(builder, step) -> wire`: looks at what produces the operands of the step that comes next; None if it is another."""


def rewrite(program: Program, idioms: Mapping[str, Sequence[Idiom]]) -> Program:
    """The program with every step replaced by the first idiom of its operation that finds itself there."""
    builder, names = Builder(program.input_shape), {Wire(0): Wire(0)}
    for index, step in enumerate(program.steps, 1):
        builder.scope = step.scope
        step = step.renamed(names)
        found = (wire for idiom in idioms.get(step.op, ()) if (wire := idiom(builder, step)))
        names[Wire(index)] = next(found, None) or builder.add(step.op, step.operands, step.apply, **step.params)
    return builder.finish(rename(program.output, names))


def is_constant(operand: Operand, value: float) -> bool:
    """Whether the operand is a known constant, equal to this value everywhere."""
    return not isinstance(operand, Wire | jax.core.Tracer) and bool(np.all(operand == value))


def is_not_negative(constant: Any) -> bool:
    """Whether this constant is known, and nowhere below 0."""
    return not isinstance(constant, jax.core.Tracer) and bool(np.all(constant >= 0))
