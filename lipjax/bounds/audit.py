"""Which layer breaks a Lipschitz promise: the constant of every layer of any network, and of the whole of them."""

import math
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from lipjax import checks
from lipjax.bounds.carried import Gain
from lipjax.bounds.program import Program, Step, Wire, confined, trace
from lipjax.bounds.rules import fuse_residuals, recognize, rule_of
from lipjax.bounds.rules.affine import Affine, Moves, Scaling
from lipjax.norms import Norm, l2
from lipjax.operators import is_plain
from lipjax.types import Model, VectorFn


class Layer(NamedTuple):
    """One row of an audit.

    Attributes:
        name: Where it is: the path of its flax module or named scope; its number, counted from 0, where there is none.
        operation: What it does; for a step without a name of its own, the JAX primitive.
        constant: Its Lipschitz constant in the norm of the audit; inf where none is known. Of a join (a sum, a
            concatenation), the constant of the whole block that it closes, if all other layers kept to 1.
        side: "exact", "upper" (the constant may be smaller) or "unknown".
        how: How it was obtained.
        shape: Shape of its result.

    Examples:
        >>> matrix = jnp.array([[3.0, 0.0], [0.0, 4.0]])
        >>> audit(lambda x: matrix @ x, (2,)).layers[0]
        Layer(name='#0', operation='dense', constant=4.0, side='exact', how='matrix', shape=(2,))
    """

    name: str
    operation: str
    constant: float
    side: str
    how: str
    shape: tuple[int, ...]


class Audit(NamedTuple):
    """The constants of a network's layers; prints as a table.

    Attributes:
        layers: One row per layer, in order of evaluation. Steps that only move entries or add constants have none.
        bound: An upper bound of the network's Lipschitz constant: products along paths, summed where they meet.
        norm: Norm of inputs and outputs.
        tolerance: How far above 1 a layer is taken for rounding.

    Examples:
        >>> matrix = jnp.array([[3.0, 0.0], [0.0, 4.0]])
        >>> found = audit(lambda x: jnp.tanh(matrix @ x), (2,))
        >>> found.bound, [layer.operation for layer in found.exceeding]
        (4.0, ['dense'])
    """

    layers: tuple[Layer, ...]
    bound: float
    norm: Norm
    tolerance: float

    @property
    def exceeding(self) -> tuple[Layer, ...]:
        """The layers whose constant exceeds 1: where a promise of nonexpansion is broken."""
        return tuple(layer for layer in self.layers if layer.constant > 1 + self.tolerance and layer.side != "unknown")

    @property
    def unknown(self) -> tuple[Layer, ...]:
        """The layers of which nothing is known."""
        return tuple(layer for layer in self.layers if layer.side == "unknown")

    def __str__(self) -> str:
        head = ("layer", "operation", f"{self.norm} constant", "side", "how", "output")
        rows = [
            (layer.name, layer.operation, f"{layer.constant:.6g}", layer.side, layer.how, str(layer.shape))
            for layer in self.layers
        ]
        widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in (head, *rows)]
        above, unknown = (
            ", ".join(f"{layer.name} ({layer.operation})" for layer in group) or "none"
            for group in (self.exceeding, self.unknown)
        )
        return "\n".join([*lines, f"network: at most {self.bound:.6g}", f"above 1: {above}", f"unknown: {unknown}"])


class _Path(NamedTuple):
    """What the rows so far say about one wire."""

    total: float  # Lipschitz constant of the wire as a function of the input
    kept: float  # the same had every row kept to 1, without the open row and what waits
    row: int | None = None  # index of the open row: a scale that follows in the same scope belongs to it
    scope: str = ""  # scope of the open row
    waiting: Layer | None = None  # a scale: part of the next layer if that is affine, otherwise a row


class Auditor:
    """Walks a program and writes the rows.

    A scale below 1, the same for all entries, is part of the layer that it makes smaller: the one before it in the
    same scope (a mean is a sum and a scale) or the affine one after it.
    """

    def __init__(self, program: Program, norm: Norm) -> None:
        self.program, self.norm = program, norm
        self._rows: list[Layer] = []
        self.paths = [_Path(1.0, 1.0)]
        self.dominators = [0]
        self.uses = Counter(wire for step in program.steps for wire in step.wires)
        for step in program.steps:
            self.dominators.append(self._common([wire.index for wire in step.wires]))
            self.paths.append(self._follow(step))

    def bound(self) -> float:
        """The constant of the whole program."""
        output = self.program.output
        return self.paths[output.index].total if isinstance(output, Wire) else 0.0

    def layers(self) -> tuple[Layer, ...]:
        """The rows, with a scale that nothing follows."""
        output = self.program.output
        last = self.paths[output.index].waiting if isinstance(output, Wire) else None
        return (*self._rows, last) if last else tuple(self._rows)

    def largest_part(self) -> float:
        """The largest of the constants of the parts that the result is concatenated from."""
        output = self.program.output
        while isinstance(output, Wire) and output.index:
            step = self.program.steps[output.index - 1]
            if step.op == "concatenate":
                return max(self.paths[wire.index].total for wire in step.wires)
            if not isinstance(rule_of(step), Moves) or len(step.wires) > 1:
                break
            output = step.wires[0]
        return self.bound()

    def _common(self, indices: list[int]) -> int:
        """The last wire that all paths to these wires go through."""
        while len(set(indices)) > 1:
            latest = max(indices)
            indices = [self.dominators[index] if index == latest else index for index in indices]
        return indices[0]

    def _follow(self, step: Step) -> _Path:
        if len(step.wires) > 1:
            return self._join(step)
        path = self.paths[step.wires[0].index]
        if isinstance(rule_of(step), Moves):
            return path
        row = self._row(step, rule_of(step).constant(step, self.norm))
        path = path._replace(total=_times(path.total, row.constant))
        return self._scale(step, path, row) if _is_uniform(step) else self._layer(step, path, row)

    def _layer(self, step: Step, path: _Path, row: Layer) -> _Path:
        kept = self._kept(path)
        if path.waiting and isinstance(rule_of(step), Affine):
            kept /= path.waiting.constant or 1.0
            row = row._replace(constant=_times(row.constant, path.waiting.constant))
        elif path.waiting:
            self._rows.append(path.waiting)
        self._rows.append(row)
        return _Path(path.total, kept, len(self._rows) - 1, step.scope)

    def _scale(self, step: Step, path: _Path, row: Layer) -> _Path:
        if row.constant > 1.0:
            self._rows.append(row)
            return path._replace(kept=path.kept * row.constant)
        serves_branches = self.uses[Wire(len(self.paths))] > 1
        if path.row is not None and path.scope == step.scope and self.uses[step.wires[0]] == 1 and not serves_branches:
            before = self._rows[path.row]
            operation = f"{before.operation}, {row.operation}"
            shrunk = before._replace(constant=_times(before.constant, row.constant), operation=operation)
            self._rows[path.row] = shrunk
            return path
        factor = row.constant * (path.waiting.constant if path.waiting else 1.0)
        return path._replace(waiting=row._replace(constant=factor))

    def _join(self, step: Step) -> _Path:
        paths = [self.paths[wire.index] for wire in step.wires]
        start = self._kept(self.paths[self.dominators[-1]]._replace(waiting=None))
        join = partial(rule_of(step).join, norm=self.norm)
        block, whole = (join([of(path) for path in paths]) for of in (self._kept, lambda path: path.total))
        if block is None or whole is None:
            self._rows.append(self._row(step, Gain(math.inf if start else 0.0, "unknown", "no rule for it")))
            return _Path(math.inf, start)
        self._rows.append(self._row(step, Gain(block / start if start else 0.0, "upper", "sum over its branches")))
        return _Path(whole, min(block, start))

    def _kept(self, path: _Path) -> float:
        row = 1.0 if path.row is None else min(self._rows[path.row].constant, 1.0)
        return path.kept * row * (path.waiting.constant if path.waiting else 1.0)

    def _row(self, step: Step, own: Gain) -> Layer:
        name = step.scope or f"#{self.program.steps.index(step)}"
        return Layer(name, rule_of(step).name or step.op, float(own.value), own.side, own.how, step.result.shape)


def _times(one: float, other: float) -> float:
    return 0.0 if one == 0.0 or other == 0.0 else float(one * other)


def _is_uniform(step: Step) -> bool:
    return isinstance(rule_of(step), Scaling) and bool(np.ptp(np.abs(step.constants[0])) == 0.0)


def audit(f: VectorFn | Model, input_shape: Sequence[int], *, norm: Norm = l2, tolerance: float = 1e-4) -> Audit:
    """The Lipschitz constant of every layer of a network, in evaluation mode, and the layers where it exceeds 1.

    The function is taken apart by what it computes and not by who wrote it, so any JAX function of one array can be
    audited. A layer without a rule is reported as unknown, with the constant inf; nothing is guessed.

    Args:
        f: A model, or any function of one input without a batch axis.
        input_shape: Shape of one input.
        norm: Norm of inputs and outputs: l1, l2 or linf; `masked`, the audit is of the function of the free entries.
        tolerance: How far above 1 a constant is taken for rounding.

    Returns:
        The audit: `print` shows a table; `exceeding` and `unknown` are the rows to look at. Its `bound` is never below
        the Lipschitz constant of f.

    Raises:
        TypeError: If the norm is no norm.
        ValueError: If the norm is another one, tolerance is negative, or f does not return one array.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> report = audit(lambda x: jax.nn.relu(x @ (3.0 * jnp.eye(2))) + x, (2,))
        >>> report.bound, [layer.operation for layer in report.exceeding]
        (4.0, ['dense', 'sum of branches'])

    References:
        Cisse et al. 2017, "Parseval Networks" (arXiv 1704.08847), section 3, for sums and products along paths.
        Convolutions are measured as maps and not by their unfolded kernels; what counts for a sum is the block that it
        closes.
    """
    checks.shape(input_shape=input_shape)
    f, start, norm = confined(f, jnp.zeros(input_shape), norm)
    is_plain(norm=norm)
    checks.not_negative(tolerance=tolerance)
    program = recognize(trace(f, start.shape))
    auditor = Auditor(fuse_residuals(program) if norm == l2 else program, norm)
    return Audit(auditor.layers(), auditor.bound(), norm, tolerance)
