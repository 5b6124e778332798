"""The same function in other steps: idioms are several steps that are one layer, or one step that is a simpler one."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import jax
import numpy as np

from lipjax.bounds.program.steps import Builder, Operand, Program, Step, Wire

Idiom: TypeAlias = Callable[[Builder, Step], Wire | None]
"""`(builder, step) -> wire`: looks at what produces the operands of the step that comes next; None if it is another."""


def rewrite(program: Program, idioms: Mapping[str, Sequence[Idiom]]) -> Program:
    """The program with every step replaced by the first idiom of its operation that finds itself there."""
    builder = Builder(program.input_shape)
    renamed: list[Wire] = [Wire(0)]

    def rename(operand: Operand) -> Operand:
        return renamed[operand.index] if isinstance(operand, Wire) else operand

    for step in program.steps:
        builder.scope = step.scope
        step = dataclasses.replace(step, operands=tuple(map(rename, step.operands)))
        found = (wire for idiom in idioms.get(step.op, ()) if (wire := idiom(builder, step)))
        renamed.append(next(found, None) or builder.add(step.op, step.operands, step.apply, **step.params))
    return builder.finish(rename(program.output))


def is_constant(operand: Operand, value: float) -> bool:
    """Whether the operand is a known constant, equal to this value everywhere."""
    return not isinstance(operand, Wire | jax.core.Tracer) and bool(np.all(operand == value))
