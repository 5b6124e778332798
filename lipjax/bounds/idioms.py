"""Idioms: several steps of a program that are one layer, and whose constant is far below the product of the parts.

    two_sided_relu    concatenate(relu(x), relu(-x)): expands nothing, its parts apart by sqrt(2)
    norm_pool         sqrt(sum of squares over windows): the square alone has no finite constant
    relu              max(x, 0)
    conv              a matrix product with concatenated slices: a convolution
    leaky_relu        where(x >= 0, x, a x)
    sqrt              where(s == 0, 0, sqrt(where(s == 0, 1, s))): the guard keeps the derivative finite

A new idiom is one function, which looks at the steps that produce an operand, and one line of `_IDIOMS`.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lipjax.bounds.activations import eps
from lipjax.bounds.affine import Weigh, is_affine, linear, terms
from lipjax.bounds.program import Builder, Operand, Program, Step, Wire


def recognize(program: Program) -> Program:
    """The same function with idioms as single steps."""
    builder = Builder(program.input_shape)
    renamed: list[Wire] = [Wire(0)]

    def rename(operand: Operand) -> Operand:
        return renamed[operand.index] if isinstance(operand, Wire) else operand

    for step in program.steps:
        builder.scope = step.scope
        step = dataclasses.replace(step, operands=tuple(map(rename, step.operands)))
        found = _IDIOMS[step.op](builder, step) if step.op in _IDIOMS else None
        renamed.append(found or builder.add(step.op, step.operands, step.apply, **step.params))
    return builder.finish(rename(program.output))


def _is(operand: Operand, value: float) -> bool:
    """Whether the operand is a known constant, equal to this value everywhere."""
    return not isinstance(operand, Wire | jax.core.Tracer) and bool(np.all(operand == value))


def _unit(builder: Builder, step: Step) -> Wire | None:
    """A product with ones: nothing."""
    return step.wires[0] if step.constants and _is(step.constants[0], 1.0) else None


def _copies(builder: Builder, step: Step) -> Wire | None:
    """A broadcast that copies nothing: a reshape."""
    shape = step.result.shape
    if not step.wires or step.given[0].size != step.result.size:
        return None
    return builder.add("reshape", step.wires, lambda x: x.reshape(shape))


def _relu(builder: Builder, step: Step) -> Wire | None:
    is_relu = len(step.wires) == 1 and _is(step.constants[0], 0.0)
    return builder.add("relu", step.wires, lambda x: jnp.maximum(x, 0.0)) if is_relu else None


def _two_sided_relu(builder: Builder, step: Step) -> Wire | None:
    if len(step.operands) != 2:
        return None
    relus = [relu for operand in step.operands if (relu := builder.producer(operand, "relu"))]
    if len(relus) != 2:
        return None
    positive, negative = (relu.operands[0] for relu in relus)
    minus = builder.producer(negative, "mul")
    if minus is None or positive not in minus.wires or not _is(minus.constants[0], -1.0):
        return None
    axis = step.params["dimension"]
    return builder.add(
        "two_sided_relu",
        (positive,),
        lambda x: jnp.concatenate([jnp.maximum(x, 0.0), jnp.maximum(-x, 0.0)], axis),
        dimension=axis,
    )


def _guarded(builder: Builder, step: Step) -> Wire | None:
    """`where(p(x), x, a x)` and `where(s == 0, 0, sqrt(where(s == 0, 1, s)))`, by what the condition compares."""
    condition = _comparison(builder, step.operands[0])
    if condition is None or len(step.operands) != 3:
        return None
    live = 1 if condition.op in ("eq", "le", "lt") else 2  # the branch taken away from 0, or above it
    x, inside, outside = condition.operands[0], step.operands[live], step.operands[3 - live]
    root = builder.producer(inside, "sqrt")
    guard = builder.producer(root.operands[0], "select_n") if root else None
    if guard and guard.operands[0] == step.operands[0] and guard.operands[live] == x and _is(outside, 0.0):
        return builder.add("sqrt", (x,), jnp.sqrt) if (pooled := _root(builder, x)) is None else pooled
    slope = builder.producer(outside, "mul")
    if inside == x and condition.op != "eq" and slope and x in slope.wires and slope.constants:
        factor = slope.constants[0]
        is_fraction = _not_negative(factor) and bool(np.all(factor <= 1))
        return (
            None
            if not is_fraction
            else builder.add("leaky_relu", (x, factor), lambda x, a: jnp.where(x > 0.0, x, a * x))
        )
    return None


def _comparison(builder: Builder, operand: Operand) -> Step | None:
    steps = (builder.producer(operand, op) for op in ("eq", "le", "lt", "ne", "gt", "ge"))
    step = next((step for step in steps if step), None)
    return step if step and isinstance(step.operands[0], Wire) and _is(step.operands[1], 0.0) else None


def _norm_pool(builder: Builder, step: Step) -> Wire | None:
    return _root(builder, step.operands[0])


def _root(builder: Builder, operand: Operand) -> Wire | None:
    """The square root of this operand as a `norm_pool`, if that is a weighted sum of squares."""
    chain: list[Step] = []
    while isinstance(operand, Wire) and operand.index and builder.producer(operand, "square") is None:
        step = builder.steps[operand.index - 1]
        if not is_affine(step) or len(step.wires) != 1 or not all(map(_not_negative, step.constants)):
            return None
        chain.insert(0, step)
        operand = step.wires[0]
    square = builder.producer(operand, "square")
    if square is None or not chain:
        return None
    (x,) = square.wires

    def apply(x: Any) -> Any:
        return jnp.sqrt(functools.reduce(lambda value, step: step(value), chain, jnp.square(x)))

    rounding = (math.prod([terms(step) for step in chain]) + 8) * eps()
    gains = _pool_gains(chain, square.given[0], rounding)
    return builder.add("norm_pool", (x,), apply, chain=tuple(chain), rounding=rounding, gains=gains)


def sum_of_squares(chain: Sequence[Step], weigh: Weigh = lambda weight: weight) -> Callable[[Any], Any]:
    """The linear map A of a norm pooling `sqrt(A x^2 + b)`, with its weights passed through `weigh`."""
    return lambda squares: functools.reduce(lambda value, step: linear(step, weigh)(value), chain, squares)


def _pool_gains(chain: Sequence[Step], x: jax.ShapeDtypeStruct, rounding: float) -> dict[float, float]:
    """Lipschitz constants of a norm pooling, by exponent: sums over the rows and the columns of A and of its root."""
    with jax.ensure_compile_time_eval():
        rows, back = jax.vjp(sum_of_squares(chain), jnp.ones(x.shape, x.dtype))
        root, back_root = jax.vjp(sum_of_squares(chain, np.sqrt), jnp.ones(x.shape, x.dtype))
        columns, root_columns = back(jnp.ones_like(rows))[0], back_root(jnp.ones_like(root))[0]
        largest = {1.0: root_columns.max(), 2.0: jnp.sqrt(columns.max()), math.inf: jnp.sqrt(rows.max())}
        return {exponent: float(value) * (1 + rounding) for exponent, value in largest.items()}


def _not_negative(constant: Any) -> bool:
    return not isinstance(constant, jax.core.Tracer) and bool(np.all(constant >= 0))


def _windows(builder: Builder, step: Step) -> Wire | None:
    """A matrix product of the last axis with concatenated slices of one wire, as the convolution that it is."""
    joined = builder.producer(step.operands[0], "concatenate")
    if joined is None or isinstance(step.operands[1], Wire) or not _contracts_last_axis(step, joined):
        return None
    slices = [window for operand in joined.operands if (window := builder.producer(operand, "slice"))]
    if not _are_windows(slices, joined):
        return None
    first, kernel = slices[0], step.operands[1]
    source, strides = first.operands[0], tuple(first.params["strides"] or (1,) * joined.result.ndim)[1:-1]
    offsets = np.array([window.params["start_indices"][1:-1] for window in slices])
    taps = np.zeros((len(slices), *(offsets.max(0) + 1).tolist()), np.float32)
    taps[(np.arange(len(slices)), *offsets.T)] = 1.0
    library = jnp if isinstance(kernel, jax.core.Tracer) else np
    kernel = library.tensordot(taps, kernel.reshape(len(slices), -1, kernel.shape[-1]), (0, 0))
    return _convolution(builder, source, kernel, strides, joined.result.shape[1:-1])


def _contracts_last_axis(step: Step, joined: Step) -> bool:
    last = joined.result.ndim - 1
    return joined.params["dimension"] == last and step.params["dimension_numbers"] == (((last,), (0,)), ((), ()))


def _are_windows(slices: list[Step], joined: Step) -> bool:
    """Whether all are slices of one wire with the same shape and strides, whole in the first and in the last axis."""
    if len(slices) < len(joined.operands) or joined.result.ndim < 3:
        return False
    first = slices[0]
    return all(
        window.operands == first.operands
        and window.result.shape == first.result.shape
        and window.params["strides"] == first.params["strides"]
        and (window.params["start_indices"][0], window.params["start_indices"][-1]) == (0, 0)
        for window in slices
    )


def _pads_window(config: Sequence[Sequence[Any]]) -> bool:
    """Whether nothing is added to the first or the last axis, nor between entries."""
    return not any(config[0]) and not any(config[-1]) and all(gap == 0 for *_, gap in config)


def _convolution(builder: Builder, source: Wire, kernel: Any, strides: tuple, outputs: tuple) -> Wire:
    padded = builder.producer(source, "pad")
    lows = (0,) * len(strides)
    if padded and _is(padded.operands[1], 0.0) and _pads_window(padded.params["padding_config"]):
        lows, source = tuple(int(low) for low, *_ in padded.params["padding_config"][1:-1]), padded.operands[0]
    shape = builder.abstract(source).shape
    highs = [
        (count - 1) * stride + taps - low - size
        for count, stride, taps, low, size in zip(outputs, strides, kernel.shape, lows, shape[1:-1], strict=False)
    ]
    window = "".join(chr(ord("1") + axis) for axis in range(len(strides)))
    params: dict[str, Any] = {
        "window_strides": strides,
        "padding": tuple(zip(lows, highs, strict=True)),
        "lhs_dilation": (1,) * len(strides),
        "rhs_dilation": (1,) * len(strides),
        "dimension_numbers": jax.lax.conv_dimension_numbers(
            shape, kernel.shape, (f"N{window}C", f"{window}IO", f"N{window}C")
        ),
        "feature_group_count": 1,
    }

    def apply(x: Any, kernel: Any) -> Any:
        return jax.lax.conv_general_dilated(x, kernel, precision=jax.lax.Precision.HIGHEST, **params)

    return builder.add("conv_general_dilated", (source, kernel), apply, **params)


_IDIOMS: dict[str, Callable[[Builder, Step], Wire | None]] = {
    "broadcast_in_dim": _copies,
    "concatenate": _two_sided_relu,
    "dot_general": _windows,
    "max": _relu,
    "mul": _unit,
    "select_n": _guarded,
    "sqrt": _norm_pool,
}
