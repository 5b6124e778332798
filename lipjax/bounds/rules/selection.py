"""Steps that pick entries: maxima, pooling, sorting, choices between wires. They have no bounds on balls yet."""

import dataclasses
from collections.abc import Sequence

from lipjax.bounds.carried import Gain
from lipjax.bounds.program import Step
from lipjax.bounds.rules.affine import gain, power_sum
from lipjax.bounds.rules.rule import Rule
from lipjax.norms import Norm, l1


class Selection(Rule):
    """Every entry of the result is an entry of a wire, each used once."""

    def covers(self, step: Step) -> bool:
        several = step.op in ("max", "min", "select_n") and len(step.wires) > 1
        return several or step.op in ("reduce_max", "reduce_min", "sort")

    def constant(self, step: Step, norm: Norm) -> Gain:
        return Gain(1.0, "exact", "moves entries" if step.op == "sort" else "picks entries")

    def join(self, constants: Sequence[float], norm: Norm) -> float:
        return power_sum(constants, norm)


class MaxPool(Rule):
    """Maxima over windows."""

    name = "max pooling"

    ops = ("reduce_window_max",)

    def constant(self, step: Step, norm: Norm) -> Gain:
        # An entry wins in all windows that it is in, at most; the sums over windows count them.
        cover = gain(dataclasses.replace(step, op="reduce_window_sum"), l1).value
        return Gain(cover ** (1 / norm.exponent), "exact", "windows that share an entry")
