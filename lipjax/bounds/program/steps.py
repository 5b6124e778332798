"""Steps, programs of steps, and the builder that collects them."""

import dataclasses
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np


@dataclasses.dataclass(frozen=True)
class Wire:
    """A value that depends on the input: 0 is the input itself, i + 1 is what step i returns."""

    index: int


Operand: TypeAlias = Any
"""A `Wire`, or an array that does not depend on the input."""


def rename(operand: Operand, names: Mapping[Wire, Wire]) -> Operand:
    """The operand by its new name, if it is a wire."""
    return names[operand] if isinstance(operand, Wire) else operand


@dataclasses.dataclass(frozen=True, eq=False)
class Step:
    """One operation."""

    op: str  # name of the primitive, or of the idiom that was recognised
    scope: str  # where in the network: the path of the flax module or other named scopes; may be empty
    operands: tuple[Operand, ...]  # what it reads: wires and constants
    given: tuple[jax.ShapeDtypeStruct, ...]  # shapes and types of the wires among them
    apply: Callable[..., Any]  # values of all operands to the value of the result
    result: jax.ShapeDtypeStruct  # shape and type of the result
    params: Mapping[str, Any]  # parameters of the primitive
    # What has been found out about it. It lives as long as its program, and so may hold tracers.
    known: dict[Any, Any] = dataclasses.field(default_factory=dict, init=False, repr=False)

    @property
    def wires(self) -> list[Wire]:
        """The operands that depend on the input."""
        return [operand for operand in self.operands if isinstance(operand, Wire)]

    @property
    def constants(self) -> list[Any]:
        """The operands that do not."""
        return [operand for operand in self.operands if not isinstance(operand, Wire)]

    def renamed(self, names: Mapping[Wire, Wire]) -> "Step":
        """The same step with other names of its wires."""
        return dataclasses.replace(self, operands=tuple(rename(operand, names) for operand in self.operands))

    def once(self, key: Hashable, find: Callable[[], Any]) -> Any:
        """What is known under this key, found when it is first asked for."""
        if key not in self.known:
            self.known[key] = find()
        return self.known[key]

    def __call__(self, *values: Any) -> Any:
        """The result, given the values of the wires."""
        remaining = iter(values)
        return self.apply(*[next(remaining) if isinstance(o, Wire) else o for o in self.operands])


class Program(NamedTuple):
    """A function as steps in order of evaluation."""

    input_shape: tuple[int, ...]  # shape of the input
    steps: tuple[Step, ...]  # the steps; step i returns wire i + 1
    output: Operand  # the result: a wire, or a constant for a function that ignores its input

    def shape(self, wire: Wire) -> tuple[int, ...]:
        """Shape of a wire's value."""
        return self.steps[wire.index - 1].result.shape if wire.index else self.input_shape

    def run(self, x: Any) -> Any:
        """The function's value."""
        values = [x]
        for step in self.steps:
            values.append(step(*[values[wire.index] for wire in step.wires]))
        return values[self.output.index] if isinstance(self.output, Wire) else self.output


class Builder:
    """Collects the steps of a program; what has been computed before is not computed again."""

    def __init__(self, input_shape: Sequence[int]) -> None:
        self.input_shape = tuple(input_shape)
        self.steps: list[Step] = []
        self.scope = ""
        self._known: dict[Any, Wire] = {}

    def add(self, op: str, operands: Sequence[Operand], apply: Callable[..., Any], **params: Any) -> Wire:
        """The wire of a step, which is appended unless it is there."""
        values = [self.abstract(operand) if isinstance(operand, Wire) else operand for operand in operands]
        given = tuple(self.abstract(operand) for operand in operands if isinstance(operand, Wire))
        result = jax.eval_shape(apply, *values)
        key = op, result.shape, tuple(map(_identity, operands)), tuple(params), tuple(map(_identity, params.values()))
        if key not in self._known:
            self.steps.append(Step(op, self.scope, tuple(operands), given, apply, result, params))
            self._known[key] = Wire(len(self.steps))
        return self._known[key]

    def abstract(self, wire: Wire) -> jax.ShapeDtypeStruct:
        """Shape and type of a wire's value."""
        if wire.index:
            return self.steps[wire.index - 1].result
        return jax.ShapeDtypeStruct(self.input_shape, jnp.result_type(float))

    def producer(self, operand: Operand, *ops: str) -> Step | None:
        """The step that returns this operand, if it is one and does one of these operations."""
        step = self.steps[operand.index - 1] if isinstance(operand, Wire) and operand.index else None
        return step if step is not None and step.op in ops else None

    def finish(self, output: Operand) -> Program:
        """The program, without the steps that its output does not depend on."""
        needed = {output} if isinstance(output, Wire) else set()
        for index in range(len(self.steps), 0, -1):
            if Wire(index) in needed:
                needed.update(self.steps[index - 1].wires)
        kept = [0, *sorted(wire.index for wire in needed if wire.index)]
        names = {Wire(old): Wire(new) for new, old in enumerate(kept)}
        steps = tuple(self.steps[index - 1].renamed(names) for index in kept[1:])
        return Program(self.input_shape, steps, rename(output, names))


def _identity(value: Any) -> Any:
    """What only equal values have in common: the number of a known scalar, what can be hashed, or the object itself."""
    if isinstance(value, np.ndarray) and value.ndim == 0:
        return str(value.dtype), value.item()
    return value if isinstance(value, Hashable) and not isinstance(value, jax.Array) else id(value)
