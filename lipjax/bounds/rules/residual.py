"""Residual layers with one kernel for both ways, whose constant is far below the sum over their branches.

With `z = x - A^T L g(A x + b)`, L diagonal and not negative, and a nonlinearity g of slopes between 0 and 1, the
derivative is `I - B^T D B` with `B = L^(1/2) A` and D between 0 and 1. It is symmetric, so its norm is at most
`max(1, ||B||^2 - 1)`: 1 for layers as those of Araujo et al. 2023 (arXiv 2303.03169), theorem 3.
"""

import dataclasses
import functools
import math
from typing import Any, NamedTuple

import jax
import numpy as np

from lipjax.bounds.carried import Gain
from lipjax.bounds.program import Builder, Step, Wire
from lipjax.bounds.rules.activation import Elementwise, activation
from lipjax.bounds.rules.affine import gain
from lipjax.bounds.rules.rule import Rule, rule_of
from lipjax.norms import Norm, l2


class _Branch(NamedTuple):
    """The steps `A x`, `+ b`, `g`, `M h` of a branch, in order, and the factor by which it is added."""

    steps: list[Step]
    factor: float


def residual(builder: Builder, step: Step) -> Wire | None:
    """A sum of a wire and such a branch of it as one step, whose l2 constant is its parameter."""
    if len(step.wires) != 2:
        return None
    for x, end in (step.wires, step.wires[::-1]):
        branch = _branch(builder, x, end)
        constant = _constant(branch) if branch else None
        if branch and constant is not None:
            return builder.add("residual", (x,), functools.partial(_apply, branch), constant=constant)
    return None


def _apply(branch: _Branch, x: Any) -> Any:
    return x + branch.factor * functools.reduce(lambda value, step: step(value), branch.steps, x)


def _branch(builder: Builder, x: Wire, end: Wire) -> _Branch | None:
    """The steps between two wires, if they are affine, activation, affine, and then scales."""
    steps: list[Step] = []
    while end != x:
        if end.index == 0 or len(builder.steps[end.index - 1].wires) != 1:
            return None
        steps.insert(0, builder.steps[end.index - 1])
        end = steps[0].wires[0]
    factor = 1.0
    while steps and steps[-1].op == "mul" and np.ndim(steps[-1].constants[0]) == 0:
        factor *= float(steps.pop().constants[0])
    shifted = [step for step in steps if step.op != "add"]
    is_kernel = [step.op in _KERNELS for step in shifted]
    if is_kernel != [True, False, True] or not isinstance(rule_of(shifted[1]), Elementwise):
        return None
    low, high = activation(shifted[1]).slopes(np.float32(-np.inf), np.float32(np.inf))
    known = not any(isinstance(constant, jax.core.Tracer) for step in steps for constant in step.constants)
    return _Branch(steps, factor) if known and np.min(low) >= 0.0 and np.max(high) <= 1.0 else None


def _constant(branch: _Branch) -> float | None:
    """The constant, if the second kernel is the first one's transpose with features scaled by factors below 0."""
    first, second = (step for step in branch.steps if step.op in _KERNELS)
    there = _KERNELS[first.op](first)
    back = _KERNELS[second.op](second) if first.op == second.op else None
    if there is None or back is None:
        return None
    back = branch.factor * np.flip(back.swapaxes(-1, -2), tuple(range(back.ndim - 2)))
    squares = np.sum(there**2, axis=tuple(range(there.ndim - 1)))
    scales = -np.sum(there * back, axis=tuple(range(there.ndim - 1))) / np.where(squares == 0.0, 1.0, squares)
    if np.any(scales < 0.0) or np.abs(there * scales + back).max() > 1e-6 * np.abs(back).max():
        return None
    scaled = dataclasses.replace(first, operands=(first.operands[0], first.operands[1] * np.sqrt(scales)))
    return max(1.0, float(gain(scaled, l2).value) ** 2 - 1.0)


def _dense_kernel(step: Step) -> np.ndarray | None:
    """The kernel `[inputs, features]` of a matrix product of the last axis."""
    (inputs, outputs), batch = step.params["dimension_numbers"]
    plain = isinstance(step.operands[0], Wire) and inputs == (step.given[0].ndim - 1,) and outputs == (0,)
    return step.operands[1] if plain and batch == ((), ()) and step.operands[1].ndim == 2 else None


def _conv_kernel(step: Step) -> np.ndarray | None:
    """The kernel `[*taps, inputs, features]` of a convolution that keeps sizes, with the same zeros on both sides."""
    params, kernel = step.params, step.operands[1]
    axes, numbers = tuple(range(kernel.ndim - 2)), params["dimension_numbers"]
    layout = (0, kernel.ndim - 1, *[axis + 1 for axis in axes])
    sides = [(2 * low, 2 * high) for low, high in params["padding"]]
    plain = (
        isinstance(step.operands[0], Wire)
        and numbers == (layout, (kernel.ndim - 1, kernel.ndim - 2, *axes), layout)
        and math.prod((*params["window_strides"], *params["lhs_dilation"], *params["rhs_dilation"])) == 1
        and params["feature_group_count"] == 1
        and sides == [(taps - 1, taps - 1) for taps in kernel.shape[:-2]]
    )
    return kernel if plain else None


_KERNELS = {"conv_general_dilated": _conv_kernel, "dot_general": _dense_kernel}


class Residual(Rule):
    """Such a layer."""

    name = "residual layer"

    ops = ("residual",)

    def constant(self, step: Step, norm: Norm) -> Gain:
        return Gain(step.params["constant"], "upper", "one kernel both ways")
