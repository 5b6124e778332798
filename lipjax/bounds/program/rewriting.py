"""The same function in other steps: idioms are several steps that are one layer, or one step that is a simpler one."""

import dataclasses
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


def in_float64(program: Program) -> Program:
    """The program with float64 constants; to be run where JAX computes in float64."""

    def constant(operand: Operand) -> Operand:
        return operand.astype(np.float64) if _is_float(operand) else operand

    def shape(struct: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(struct.shape, np.float64) if _is_float(struct) else struct

    steps = [
        dataclasses.replace(
            step,
            operands=tuple(map(constant, step.operands)),
            given=tuple(map(shape, step.given)),
            result=shape(step.result),
        )
        for step in program.steps
    ]
    return program._replace(steps=tuple(steps), output=constant(program.output))


def _is_float(operand: Any) -> bool:
    return not isinstance(operand, Wire) and np.issubdtype(operand.dtype, np.floating)


def is_traced(program: Program) -> bool:
    """Whether a constant of the program is not known yet."""
    return any(isinstance(constant, jax.core.Tracer) for step in program.steps for constant in step.constants)


def is_constant(operand: Operand, value: float) -> bool:
    """Whether the operand is a known constant, equal to this value everywhere."""
    return not isinstance(operand, Wire | jax.core.Tracer) and bool(np.all(operand == value))


def is_not_negative(constant: Any) -> bool:
    """Whether this constant is known, and nowhere below 0."""
    return not isinstance(constant, jax.core.Tracer) and bool(np.all(constant >= 0))
