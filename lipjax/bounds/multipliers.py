"""The largest output of a linear map whose hidden coordinates are limited by others, by semidefinite duality.

A network's derivative at any point is `y = C u` with `u = (x, w)`: x the input's change, and w what the slopes of all
nonlinear units do beyond their middles, so that `|w_i| <= |R_i u|`, the half range of the slope times what the unit
reads. For multipliers `p, q >= 0` with

    M = diag(p, q) - R^T diag(q) R - C^T C  positive semidefinite

it follows that `||y||^2 <= sum p_j x_j^2`: at most p for l2, where all of p are equal, and the sum of p for linf. Any
such multipliers are a certificate. The best ones are found by Newton steps on `t cost - log det M` for growing t, whose
Hessian consists of squares of entries of the inverse; then M is shown to be positive by a Cholesky factorisation that
leaves room for rounding.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Float

Matrix: TypeAlias = Float[np.ndarray, "..."]

_GAP = 1e-3
"""Relative distance of the squared bound from the best one at which the search ends."""

_GROWTH, _MOST_STEPS = 20.0, 200
_UNIT = 2.0**-53


class Limited(NamedTuple):
    """The map: both matrices have a column for each input and then one for each unit, and units read earlier ones."""

    outputs: Matrix  # C
    reads: Matrix  # R, one row for each unit

    @property
    def num_inputs(self) -> int:
        """Number of inputs."""
        return self.outputs.shape[1] - len(self.reads)


def largest_output(limited: Limited, *, of_signs: bool = False) -> float:
    """An upper bound of `||y||_2` over all x of l2 norm 1; with `of_signs`, of linf norm 1. Never below the truth."""
    largest = float(np.abs(limited.outputs).max(initial=0.0))
    if largest == 0.0:
        return 0.0
    unit = 2.0 ** math.ceil(math.log2(largest))
    limited = limited._replace(outputs=limited.outputs / unit)
    weights = _search(limited if of_signs else _fewer_inputs(limited), of_signs)
    count, units = limited.num_inputs, len(limited.reads)
    inputs, hidden = (weights[:count], weights[-units:] if units else weights[:0])
    inputs = inputs if of_signs else np.full(count, weights[0])
    for grown in 1.0 + 10.0 ** np.arange(-11.0, 0.0):
        if _is_certain(limited, np.concatenate([inputs * grown, hidden])):
            cost = math.fsum(inputs * grown) if of_signs else inputs[0] * grown
            return unit * math.sqrt(cost) * (1 + 8 * _UNIT)
    return math.inf


def _fewer_inputs(limited: Limited) -> Limited:
    """The map of the inputs' coordinates in the space of what is read at all: the same in l2, up to rounding."""
    count = limited.num_inputs
    rows = np.concatenate([limited.outputs, limited.reads])
    if len(rows) >= count:
        return limited
    triangle = np.linalg.qr(rows[:, :count].T)[1].T
    rows = np.concatenate([triangle, rows[:, count:]], 1)
    return Limited(*np.split(rows, [len(limited.outputs)]))


def _form(limited: Limited, weights: Matrix) -> Matrix:
    """The matrix M."""
    outputs, reads = limited
    lost = reads.T @ (weights[limited.num_inputs :, None] * reads) + outputs.T @ outputs
    return np.diag(weights) - (lost + lost.T) / 2


def _start(limited: Limited) -> Matrix:
    """Multipliers for which M is positive: from the last unit back, each more than what later ones and outputs need."""
    count, (outputs, reads) = limited.num_inputs, limited
    weights, needed = np.zeros(outputs.shape[1]), np.abs(outputs.T @ outputs).sum(0)
    for index in range(len(weights) - 1, count - 1, -1):
        weights[index] = 2.0 * needed[index] + 1e-9
        row = np.abs(reads[index - count])
        needed = needed + weights[index] * row * row.sum()
    weights[:count] = 2.0 * needed[:count].max() + 1e-9
    return weights


class _Center(NamedTuple):
    """Gradient and Hessian of `t cost - log det M`."""

    gradient: Matrix
    hessian: Matrix


def _logdet(form: Matrix) -> float:
    try:
        return 2.0 * float(np.log(np.diag(np.linalg.cholesky(form))).sum())
    except np.linalg.LinAlgError:
        return -math.inf


def _center(limited: Limited, free: Matrix, tie: Matrix, costs: Matrix) -> _Center:
    weights, count = tie @ free, limited.num_inputs
    form = _form(limited, weights)
    scale = 1.0 / np.sqrt(np.diag(form))
    inverse = np.linalg.inv(form * scale * scale[:, None]) * scale * scale[:, None]
    across = inverse @ limited.reads.T  # [all, units]
    among = limited.reads @ across  # [units, units]
    gradient, hessian = -np.diag(inverse).copy(), inverse**2
    gradient[count:] += np.diag(among)
    hessian[:, count:] -= across**2
    hessian[count:] -= across.T**2
    hessian[count:, count:] += among**2
    return _Center(costs + gradient @ tie, tie.T @ hessian @ tie)


def _search(limited: Limited, of_signs: bool) -> Matrix:
    """Multipliers with M positive, near the best ones."""
    count, size = limited.num_inputs, limited.outputs.shape[1]
    tie = (
        np.eye(size)
        if of_signs
        else np.concatenate([np.eye(size)[:, :count].sum(1)[:, None], np.eye(size)[:, count:]], 1)
    )
    start, costs = _start(limited), np.zeros(tie.shape[1])
    costs[: count if of_signs else 1] = 1.0
    free = start if of_signs else start[count - 1 :]
    barrier = size / (costs @ free)
    for _ in range(_MOST_STEPS):
        center = _center(limited, free, tie, barrier * costs)
        step = _newton(center)
        if -float(center.gradient @ step) > 0.5:
            free = _descended(partial(_value, limited, tie, barrier * costs), center, free, step)
        elif size / barrier > _GAP * (costs @ free):
            barrier *= _GROWTH
        else:
            break
    return tie @ free


def _value(limited: Limited, tie: Matrix, costs: Matrix, free: Matrix) -> float:
    return float(costs @ free) - _logdet(_form(limited, tie @ free))


def _newton(center: _Center) -> Matrix:
    scale = 1.0 / np.sqrt(np.diag(center.hessian))
    scaled = center.hessian * scale * scale[:, None] + 1e-12 * np.eye(len(scale))
    return -scale * np.linalg.solve(scaled, center.gradient * scale)


def _descended(value: Callable[[Matrix], float], center: _Center, free: Matrix, step: Matrix) -> Matrix:
    """Where a step of a good length leads: half as long until the value falls, or twice as long while it does."""
    slope, length, start = 0.1 * float(center.gradient @ step), 1.0, value(free)
    while length > 1e-9 and value(free + length * step) > start + length * slope:
        length *= 0.5
    while length >= 1.0 and value(free + 2 * length * step) < value(free + length * step) + length * slope:
        length *= 2.0
    return free + length * step


def _is_certain(limited: Limited, weights: Matrix) -> bool:
    """Whether M is positive for these multipliers without doubt.

    A Cholesky factorisation of a matrix of side n that ends is one of a matrix within `(n + 1) u` times the trace.
    """
    count, (outputs, reads) = limited.num_inputs, limited
    form, size = _form(limited, weights), len(weights)
    diagonal = np.diag(form)
    if not np.all(diagonal > 0.0) or not np.all(weights >= 0.0):
        return False
    scale = 2.0 ** -np.round(np.log2(diagonal) / 2)  # powers of two: nothing is rounded
    sums = np.sqrt(weights[count:, None]) * np.abs(reads) * scale, np.abs(outputs) * scale
    lost = sum(np.linalg.norm(part) ** 2 for part in sums) + np.linalg.norm(scale * scale * weights)
    scaled = form * scale * scale[:, None]
    room = 2 * _UNIT * ((len(reads) + len(outputs) + 8) * lost + (size + 8) * np.trace(scaled))
    return _logdet(scaled - room * np.eye(size)) > -math.inf
