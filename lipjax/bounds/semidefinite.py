"""Semidefinite bounds: a network as one linear map with limited coordinates, in float64.

The derivative with all slopes in the middle of their ranges, and what a change of each slope adds to it, are what the
expansion is made of. Here the changes of different units are weighed against each other by multipliers, one for each
unit, instead of being bounded one by one. Units whose slope is known on the ball have no multiplier.

    Fazlyab et al. 2019, "Efficient and Accurate Estimation of Lipschitz Constants for Deep Neural Networks" (arXiv
    1906.04893), LipSDP-neuron: the same value for chains of layers. Its constraints on pairs of units are not sound
    (Pauli et al. 2021, arXiv 2005.02929), and there are none here.
"""

import math
import warnings
from collections.abc import Hashable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from lipjax.bounds.backward import backward
from lipjax.bounds.carried import Around, Form, Region
from lipjax.bounds.multipliers import Limited, largest_output
from lipjax.bounds.program import Program, Step, Wire
from lipjax.bounds.rules import has_local_rule, local_rule_of
from lipjax.norms import Norm, l2, linf

LARGEST = 1600
"""Units whose slope may change, and inputs where each has a multiplier: matrices of that side are factorised."""

_SLIGHT = 2.0**-40
"""Changes of slopes up to this one are of rounding, and get no multiplier."""


class _Gate(NamedTuple):
    """A step whose slopes may change, seen from a wire behind it."""

    step: Step
    wire: Wire  # what is scaled
    change: np.ndarray  # how far each slope can be from its middle
    rows: np.ndarray  # what the changes add to the wire
    norm: float  # bound of the l2 operator norm of that, whatever the slopes in between


class _Derivative(NamedTuple):
    """The derivative of some entries of a wire."""

    middle: np.ndarray  # with respect to the input, with all slopes in the middle
    gates: dict[Hashable, _Gate]
    rounding: float  # how far, in l2, rounding and slight changes can have moved it


def _derivative(program: Program, regions: list[Region], wire: Wire, chosen: Any) -> _Derivative:
    rows = jnp.asarray(np.eye(math.prod(program.shape(wire)))[chosen]).reshape(-1, *program.shape(wire))
    gates, rounding = dict[Hashable, _Gate](), [jnp.zeros(len(rows))]

    def before(around: Around, form: Form) -> list[Form]:
        step, expanded = around.step, local_rule_of(around.step).expansion(around, form)
        rounding.append(expanded.rounding)
        moved = 0.0
        for index, gate in enumerate(expanded.gates):
            norm, change = float(gate.form.norm), np.ravel(np.broadcast_to(gate.change, gate.form.rows.shape[1:]))
            slight = float(change.max(initial=0.0, where=change <= _SLIGHT))
            rounding.append(slight * norm * regions[step.wires[index].index].norm * jnp.ones(len(rows)))
            found = np.asarray(gate.form.rows).reshape(len(rows), -1)
            gates[step, index] = _Gate(step, step.wires[index], change, found, norm)
            moved += norm * float(change.max(initial=0.0))
        return [part._replace(norm=part.norm + moved) for part in expanded.forms]

    middle = backward(program, regions, wire, Form(rows, jnp.ones(())), before).rows
    return _Derivative(np.asarray(middle).reshape(len(rows), -1), gates, float(jnp.linalg.norm(sum(rounding))))


def semidefinite(program: Program, regions: list[Region], norm_in: Norm, norm_out: Norm) -> float:
    """A bound of the operator norm of the derivative; inf where a layer has no rule for it, or too many units may."""
    assert isinstance(program.output, Wire)
    without = [step for step in program.steps if not (has_local_rule(step) and local_rule_of(step).is_by_entry)]
    if without:
        return _nothing(f"{without[0].scope or without[0].op} has no rule for it")
    count, of_signs = math.prod(program.shape(program.output)), norm_in == linf
    output = _derivative(program, regions, program.output, slice(None))
    changing = {key: (gate, np.flatnonzero(gate.change > _SLIGHT)) for key, gate in reversed(output.gates.items())}
    gates = {key: found for key, found in changing.items() if len(found[1])}
    units = sum(len(changed) for _, changed in gates.values())
    if units + (math.prod(program.input_shape) if of_signs else 0) > LARGEST:
        return _nothing(f"{units} units may change")
    rounding, reads = output.rounding, list[np.ndarray]()
    for gate, changed in gates.values():
        read = _derivative(program, regions, gate.wire, _padded(changed))
        rounding += gate.norm * float(gate.change.max()) * read.rounding
        reads.append(gate.change[changed, None] * _columns(read, gates)[: len(changed)])
    rows = _columns(output, gates)
    parts = rows[:, None] if norm_out == linf else rows[None]
    limited = [Limited(part, np.concatenate([np.zeros((0, rows.shape[1])), *reads])) for part in parts]
    largest = max(largest_output(each, of_signs=of_signs) for each in limited)
    widened = 1.0 if of_signs else norm_in.conversion(l2, math.prod(program.input_shape))
    narrowed = 1.0 if norm_out == linf else l2.conversion(norm_out, count)
    return (largest * widened + rounding * norm_in.conversion(l2, math.prod(program.input_shape))) * narrowed


def _nothing(why: str) -> float:
    warnings.warn(f"no semidefinite bound, {why}; the other bounds are kept", stacklevel=5)
    return math.inf


def _padded(changed: np.ndarray) -> np.ndarray:
    """Indices, filled up to a power of two: few numbers of rows are compiled."""
    return np.resize(changed, 1 << (len(changed) - 1).bit_length())


def _columns(derivative: _Derivative, gates: dict[Hashable, tuple[_Gate, np.ndarray]]) -> np.ndarray:
    """The derivative with respect to the input, then to each unit that may change; 0 for later ones."""
    columns = [derivative.middle]
    for key, (_, changed) in gates.items():
        gate = derivative.gates.get(key)
        nothing = np.zeros((len(derivative.middle), len(changed)))
        columns.append(nothing if gate is None else gate.rows[:, changed])
    return np.concatenate(columns, 1)
