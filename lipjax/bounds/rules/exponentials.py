"""How softmax, its logarithm and the logarithm of a sum of exponentials are written, as steps found together."""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from lipjax.bounds.program import Builder, Idiom, Operand, Step, Wire, is_constant


class _Sum(NamedTuple):
    """A sum of exponentials."""

    exponents: Wire
    axes: tuple[int, ...]


def _source(builder: Builder, operand: Operand, *ops: str) -> tuple[Operand, list[Step]]:
    """What an operand is a copy of, up to constant factors and these operations, and the steps in between."""
    steps: list[Step] = []
    while step := builder.producer(operand, "broadcast_in_dim", "mul", "reshape", *ops):
        if len(step.wires) != 1 or any(np.ndim(constant) for constant in step.constants):
            break
        operand, steps = step.wires[0], [step, *steps]
    return operand, steps


def _factors(steps: Sequence[Step]) -> list[Any]:
    return [step.constants[0] for step in steps if step.op == "mul"]


def _is_minus(steps: Sequence[Step]) -> bool:
    """Whether the steps have one factor, of -1."""
    factors = _factors(steps)
    return len(factors) == 1 and is_constant(factors[0], -1.0)


def _places(shape: Sequence[int], steps: Sequence[Step]) -> Any:
    """The number of the entry of an array of this shape that each entry of the last step's result comes from."""
    numbers = np.arange(math.prod(shape)).reshape(shape)
    for step in steps:
        if step.op == "reshape":
            numbers = numbers.reshape(step.result.shape)
        elif step.op == "broadcast_in_dim":
            sizes = step.result.shape
            axes = step.params.get("broadcast_dimensions", range(len(sizes) - numbers.ndim, len(sizes)))
            new = [axis for axis in range(len(sizes)) if axis not in axes]
            numbers = np.broadcast_to(np.expand_dims(numbers, new), sizes)
    return numbers


def _sum_of_exponentials(builder: Builder, operand: Operand, *ops: str) -> tuple[_Sum, list[Step]] | None:
    """The sum that an operand comes from, and the steps in between, if these at most copy it along its own axes."""
    operand, steps = _source(builder, operand, *ops)
    total = builder.producer(operand, "reduce_sum")
    exponential = builder.producer(total.operands[0], "exp") if total else None
    if total is None or exponential is None:
        return None
    return _copied(builder, _Sum(exponential.wires[0], tuple(total.params["axes"])), steps)


def _copied(builder: Builder, total: _Sum, steps: list[Step]) -> tuple[_Sum, list[Step]] | None:
    """The sum and the steps after it, if these at most copy it along its own axes."""
    shape = builder.abstract(total.exponents).shape
    kept = [size for axis, size in enumerate(shape) if axis not in total.axes]
    places = (_along(_places(kept, each), total, builder) for each in (steps, []))
    return (total, steps) if np.array_equal(next(places), next(places)) else None


def _along(sums: Any, total: _Sum, builder: Builder) -> Any:
    """An array with an entry for each sum as one with an entry for each exponent; itself if it is one."""
    shape = builder.abstract(total.exponents).shape
    kept = [1 if axis in total.axes else size for axis, size in enumerate(shape)]
    return np.broadcast_to(sums.reshape(kept) if sums.size == math.prod(kept) else sums, shape)


class _Shift(NamedTuple):
    """A wire and what is added to it, the same along all axes of a sum."""

    wire: Wire
    source: Operand  # where the shift comes from
    steps: list[Step]  # the steps from there
    places: Any  # the entry of the source that each entry of the shift comes from


def _shifts(builder: Builder, total: _Sum) -> list[_Shift]:
    """The exponents as a wire and a shift, in each way in which they are."""
    step, found = builder.producer(total.exponents, "add"), list[_Shift]()
    if step is None:
        return found
    for wire, shift in (step.operands, step.operands[::-1]):
        source, steps = _source(builder, shift)
        shape = builder.abstract(source).shape if isinstance(source, Wire) else np.shape(source)
        places = np.broadcast_to(_places(shape, steps), step.result.shape)
        if isinstance(wire, Wire) and np.array_equal(places.max(total.axes), places.min(total.axes)):
            found.append(_Shift(wire, source, steps, places))
    return found


def _of_differences(builder: Builder, op: str, total: _Sum) -> Wire:
    """A function that only differences of the exponents matter to."""
    exponents = next((shift.wire for shift in _shifts(builder, total)), total.exponents)
    apply = partial({"softmax": jax.nn.softmax, "log_softmax": jax.nn.log_softmax}[op], axis=total.axes)
    return builder.add(op, (exponents,), apply, axes=total.axes)


def softmax(builder: Builder, step: Step) -> Wire | None:
    """`exp(z) / sum(exp(z))`."""
    for exponential, inverse in (step.operands, step.operands[::-1]):
        above = builder.producer(exponential, "exp")
        found = _sum_of_exponentials(builder, inverse, "reciprocal") if above else None
        if above is None or found is None or above.wires[0] != found[0].exponents:
            continue
        if not _factors(found[1]) and any(each.op == "reciprocal" for each in found[1]):
            return _of_differences(builder, "softmax", found[0])
    return None


_LOGARITHMS = "log", "logsumexp"


def _measured(builder: Builder, step: Step) -> Wire | None:
    """A softmax that also reads its logarithm, whose derivative is measured on balls."""
    if len(step.wires) > 1:
        return None
    axes, exponents = step.params["axes"], step.wires[0]
    logarithm = builder.add("log_softmax", (exponents,), partial(jax.nn.log_softmax, axis=axes), axes=axes)
    return builder.add("softmax", (exponents, logarithm), lambda z, _: jax.nn.softmax(z, axis=axes), axes=axes)


MEASURED: dict[str, list[Idiom]] = {"softmax": [_measured]}


def log_softmax(builder: Builder, step: Step) -> Wire | None:
    """`z - log(sum(exp(z)))`."""
    for exponents, minus in (step.operands, step.operands[::-1]):
        found = _sum_of_exponentials(builder, minus, "log") or _known_sum(builder, minus)
        if found is None or not isinstance(exponents, Wire) or exponents != found[0].exponents:
            continue
        if _is_minus(found[1]) and [each.op for each in found[1] if each.op in (*_LOGARITHMS, "mul")][1:] == ["mul"]:
            return _of_differences(builder, "log_softmax", found[0])
    return None


def _known_sum(builder: Builder, operand: Operand) -> tuple[_Sum, list[Step]] | None:
    """The sum whose logarithm an operand is a multiple of, and the steps from the sum."""
    operand, steps = _source(builder, operand)
    step = builder.producer(operand, "logsumexp")
    return _copied(builder, _Sum(step.wires[0], step.params["axes"]), [step, *steps]) if step else None


def log_sum_exp(builder: Builder, step: Step) -> Wire | None:
    """`log(sum(exp(z - m))) + m`."""
    for logarithm, shift in (step.operands, step.operands[::-1]):
        log = builder.producer(logarithm, "log")
        found = _sum_of_exponentials(builder, log.operands[0]) if log else None
        if found is None or _factors(found[1]) or not isinstance(shift, Wire):
            continue
        total, (source, steps) = found[0], _source(builder, shift)
        for wire, other, others, places in _shifts(builder, total):
            if source != other or not isinstance(other, Wire) or not _is_minus(others) or _factors(steps):
                continue
            if np.array_equal(_along(_places(builder.abstract(other).shape, steps), total, builder), places):
                return _of_sums(builder, wire, total.axes, step.result.shape)
    return None


def _of_sums(builder: Builder, wire: Wire, axes: tuple[int, ...], shape: tuple[int, ...]) -> Wire:
    sums = builder.add("logsumexp", (wire,), partial(jax.nn.logsumexp, axis=axes), axes=axes)
    return (
        builder.add("reshape", (sums,), lambda x: x.reshape(shape)) if builder.abstract(sums).shape != shape else sums
    )


def positive(builder: Builder, step: Step) -> Wire | None:
    """The size of a sum of exponentials: nothing."""
    found = _sum_of_exponentials(builder, step.operands[0])
    return step.wires[0] if found and not _factors(found[1]) else None
