"""Kinds of layers: one file is one kind with all that the bounds and the audit know of it."""

from collections import defaultdict

from lipjax.bounds.program import Idiom, Program, rewrite
from lipjax.bounds.program.idioms import IDIOMS as PLAIN
from lipjax.bounds.rules.activation import Elementwise
from lipjax.bounds.rules.affine import Addition, Affine, Copies, Moves, Scaling, Sum, WindowSum, shifted
from lipjax.bounds.rules.by_matrix import ByMatrix
from lipjax.bounds.rules.convolution import Convolution
from lipjax.bounds.rules.dense import Dense
from lipjax.bounds.rules.exponentials import MEASURED
from lipjax.bounds.rules.norm_pool import NormPool
from lipjax.bounds.rules.product import Product
from lipjax.bounds.rules.residual import Residual, residual
from lipjax.bounds.rules.rule import KINDS
from lipjax.bounds.rules.rule import has_local_rule as has_local_rule
from lipjax.bounds.rules.rule import is_gate as is_gate
from lipjax.bounds.rules.rule import local_rule_of as local_rule_of
from lipjax.bounds.rules.rule import rule_of as rule_of
from lipjax.bounds.rules.selection import TAKEN_APART, Maximum, MaxPool, Selection
from lipjax.bounds.rules.softmax import LogSoftmax, LogSumExp, Softmax
from lipjax.bounds.rules.two_sided_relu import TwoSidedRelu

KINDS += [
    Moves(),
    Addition(),
    Dense(),
    Convolution(),
    Scaling(),
    Copies(),
    Sum(),
    WindowSum(),
    ByMatrix(),
    Elementwise(),
    TwoSidedRelu(),
    NormPool(),
    Softmax(),
    LogSoftmax(),
    LogSumExp(),
    Product(),
    Selection(),
    MaxPool(),
    Maximum(),
    Residual(),
]


def recognize(program: Program) -> Program:
    """The same function with idioms as single steps."""
    idioms: dict[str, list[Idiom]] = defaultdict(list)
    for op, idiom in (*PLAIN, *(found for kind in KINDS for found in kind.idioms)):
        idioms[op].append(idiom)
    return rewrite(program, idioms)


def join_shifts(program: Program) -> Program:
    """The same function with constants added in the steps with weights: fewer steps, which take their time to compile.

    An audit has them as they are written.
    """
    return rewrite(program, {"add": [shifted]})


def fuse_residuals(program: Program) -> Program:
    """The same function with residual layers of one kernel as single steps, for l2; itself if it has none."""
    fused = rewrite(program, {"add": [residual]})
    return fused if any(step.op == "residual" for step in fused.steps) else program


def find_sizes(program: Program) -> None:
    """Finds the sizes of all affine steps now: what is found inside a loop is not known outside."""
    for step in program.steps:
        if isinstance(rule := rule_of(step), Affine):
            rule.sizes(step)


def take_apart(program: Program) -> Program:
    """The same function with selections as maxima of two wires, and softmax with its logarithm, for bounds on balls."""
    idioms = TAKEN_APART | MEASURED
    return rewrite(program, idioms) if any(step.op in idioms for step in program.steps) else program
