"""The largest output of a linear map whose hidden coordinates are limited by others, by semidefinite duality.

A network's derivative at any point is `y = C u` with `u = (x, w)`: x the input's change, and w what the slopes of all
nonlinear units do beyond their middles, so that `|w_i| <= |R_i u|`, the half range of the slope times what the unit
reads. For multipliers `p, q >= 0` with

    M = diag(p, q) - R^T diag(q) R - C^T C  positive semidefinite

it follows that `||y||^2 <= sum p_j x_j^2`: at most p for l2, where all of p are equal, and the sum of p for linf. Any
such multipliers are a certificate. Nearly the best ones are found by a primal-dual interior-point method; that M is
positive is then shown by a Cholesky factorisation that leaves room for rounding.

    Helmberg, Rendl, Vanderbei and Wolkowicz 1996, "An Interior-Point Method for Semidefinite Programming", for the
    direction; Mehrotra 1992, "On the Implementation of a Primal-Dual Interior Point Method", for its second order.
"""

import math
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Float

Matrix: TypeAlias = Float[np.ndarray, "..."]

_GAP = 1e-3
"""Relative distance of the squared bound from the best one at which the search ends."""

_MOST_STEPS = 100
_SHORT = 0.95
"""Part of the way to where a matrix would cease to be positive."""

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


def _logdet(form: Matrix) -> float:
    try:
        return 2.0 * float(np.log(np.diag(np.linalg.cholesky(form))).sum())
    except np.linalg.LinAlgError:
        return -math.inf


def _search(limited: Limited, of_signs: bool) -> Matrix:
    """Multipliers with M positive, near the best ones.

    M is the slack of the multipliers' program, and X, a moment matrix of u, that of its dual. Each step solves
    `M X = s` linearised, with the second order of a first step to `s = 0`.
    """
    count, size = limited.num_inputs, limited.outputs.shape[1]
    tie, weights = np.eye(size), _start(limited)
    if not of_signs:
        tie, weights = np.concatenate([tie[:, :count].sum(1)[:, None], tie[:, count:]], 1), weights[count - 1 :]
    costs = (np.arange(len(weights)) < (count if of_signs else 1)).astype(float)
    form, wrong = _form(limited, tie @ weights), 1.0  # how much of X's violation of its constraints is left
    dual = _inverse(form) * (costs @ weights) / size
    for _ in range(_MOST_STEPS):
        gap = float(np.sum(dual * form))
        if max(gap, wrong * (costs @ weights)) <= _GAP * (costs @ weights):
            break
        inverse = _inverse(form)
        step = _stepper(limited, tie, costs, dual, inverse)
        first = step(0.0 * inverse)
        reached = (dual + _reach(dual, first.dual) * first.dual) * (form + _reach(form, first.slack) * first.slack)
        product = first.dual @ first.slack @ inverse
        chosen = step(min(1.0, np.sum(reached) / gap) ** 2 * gap / size * inverse - (product + product.T) / 2)
        weights = weights + _SHORT * _reach(form, chosen.slack) * chosen.weights
        form, length = _form(limited, tie @ weights), _SHORT * _reach(dual, chosen.dual)
        dual, wrong = dual + length * chosen.dual, wrong * (1.0 - length)
    return tie @ weights


class _Step(NamedTuple):
    """Changes of the multipliers, of M, and of X."""

    weights: Matrix
    slack: Matrix
    dual: Matrix


def _stepper(limited: Limited, tie: Matrix, costs: Matrix, dual: Matrix, inverse: Matrix) -> Callable[[Matrix], _Step]:
    """The steps to where X is what is asked for, up to first order; `s M^-1` is that of `M X = s`."""
    solve, without = _solver(tie.T @ _hessian(limited, inverse, dual) @ tie), np.zeros_like(limited.outputs)

    def step(aim: Matrix) -> _Step:
        moved = solve(_diagonal(limited, aim) @ tie - costs)
        slack = _form(limited._replace(outputs=without), tie @ moved)
        change = aim - dual - dual @ slack @ inverse
        return _Step(moved, slack, (change + change.T) / 2)

    return step


def _inverse(form: Matrix) -> Matrix:
    scale = 1.0 / np.sqrt(np.diag(form))
    return np.linalg.inv(form * scale * scale[:, None]) * scale * scale[:, None]


def _diagonal(limited: Limited, matrix: Matrix) -> Matrix:
    """The inner products of a matrix with what each multiplier adds to M."""
    found = np.diag(matrix).copy()
    found[limited.num_inputs :] -= np.einsum("ij,ij->i", limited.reads @ matrix, limited.reads)
    return found


def _hessian(limited: Limited, inverse: Matrix, dual: Matrix) -> Matrix:
    """How what X has of each multiplier's constraint changes with each multiplier."""
    count, reads, found = limited.num_inputs, limited.reads, inverse * dual
    across, across_dual = inverse @ reads.T, dual @ reads.T
    found[:, count:] -= across * across_dual
    found[count:] -= (across * across_dual).T
    found[count:, count:] += (reads @ across) * (reads @ across_dual)
    return found


def _solver(matrix: Matrix) -> Callable[[Matrix], Matrix]:
    """Solves with the matrix, whose diagonal is made 1 first."""
    scale = 1.0 / np.sqrt(np.diag(matrix))
    inverse = np.linalg.inv(matrix * scale * scale[:, None] + 1e-12 * np.eye(len(scale)))
    return lambda right: scale * (inverse @ (right * scale))


def _reach(matrix: Matrix, change: Matrix) -> float:
    """A step up to 1, nearly the longest, that leaves a positive matrix positive."""
    length = 1.0
    while length > 1e-9 and _logdet(matrix + length * change) == -math.inf:
        length *= 0.85
    return length


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
