"""Upper bounds on the whole space: by the layers' norms, and by the norms of what they are composed to."""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lipjax import checks
from lipjax.bounds.audit import Auditor
from lipjax.bounds.carried import Region
from lipjax.bounds.expansion import LARGEST, expanded, measure
from lipjax.bounds.program import Program, Wire, confined, in_float64, trace
from lipjax.bounds.rounding import eps
from lipjax.bounds.rules import fuse_residuals, has_local_rule, is_gate, recognize, take_apart
from lipjax.bounds.semidefinite import semidefinite
from lipjax.norms import Norm, l1, l2, linf
from lipjax.operators import is_plain
from lipjax.types import Model, VectorFn

_MOST_GATES = 8


def global_bound(
    f: VectorFn | Model,
    input_shape: Sequence[int],
    *,
    norm_in: Norm = l2,
    norm_out: Norm | None = None,
    method: str = "average",
) -> float:
    """An upper bound of the Lipschitz constant of f everywhere: the smallest of two or three.

    The product of the layers' operator norms, summed where paths meet; and, for networks of few nonlinear steps, the
    expansion around slopes in the middle of their ranges. With slopes between 0 and 1 these are `D = (I + S) / 2`,
    `||S|| <= 1`, and for `f = A_m D A_(m-1) ... D A_1` the expansion is the average, over all ways to put brackets
    around neighbours, of the products of the brackets' norms:

        ||A_2 D A_1|| <= (||A_2 A_1|| + ||A_2|| ||A_1||) / 2

    It is never far below the norm of `A_m ... A_1`, which slopes of 1 attain.

    Args:
        f: A model, or any function of one input without a batch axis.
        input_shape: Shape of one input.
        norm_in: Norm of input differences: l1, l2 or linf, or one of them `masked`.
        norm_out: Norm of output differences: l1, l2 or linf; default that of inputs (of the entries that may move).
        method: "average" takes these two. "sdp" adds LipSDP's semidefinite bound, with a multiplier for each hidden
            unit, computed and verified in float64: some tenths of a second for 100 units, a minute for 1000. Where a
            layer has no rule for it, or there are more units, a warning says so and the others are returned.

    Returns:
        A number that no quotient `||f(u) - f(v)||_out / ||u - v||_in` exceeds; inf where a layer has no rule. For two
        different norms the products are taken in each norm, and the best after conversion is returned.

    Raises:
        TypeError: If a norm is no norm.
        ValueError: If a norm is another one, method is not a legal word, or f does not return one array.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> global_bound(lambda x: jnp.array([[3.0, 0.0], [0.0, 4.0]]) @ jnp.tanh(2.0 * x), (2,))
        8.0
        >>> first, second = jnp.diag(jnp.array([3.0, 0.0])), jnp.diag(jnp.array([0.0, 5.0]))
        >>> round(global_bound(lambda x: second @ jax.nn.relu(first @ x), (2,)), 3)  # the product is 15
        7.5

    References:
        Combettes and Pesquet 2020, "Lipschitz Certificates for Layered Network Structures Driven by Averaged Activation
        Operators" (arXiv 1903.01014), for the averages. Other ranges of slopes, sums of branches, single outputs, and
        the product in place of brackets that are too large to be measured are ours.
    """
    checks.one_of("method", method, ["average", "sdp"])
    program, first = _known(f, input_shape, norm_in)
    last = first if norm_out is None else norm_out
    is_plain(norm_in=first, norm_out=last)
    bound = everywhere(program, first, last)
    return min(bound, _semidefinite(program, first, last)) if method == "sdp" else bound


def gap_bound(f: VectorFn | Model, input_shape: Sequence[int]) -> float:
    """How fast the gap between any two logits can change, at most, in units of the l2 distance of inputs.

    `min(sqrt(2) L, 2 M)`, where the logits are jointly L-Lipschitz, `||f(u) - f(v)||_2 <= L ||u - v||_2`, and each of
    them is M-Lipschitz. A difference of two entries is a product with a vector of length sqrt(2).

    Args:
        f: A model, or a callable from one input to its logits.
        input_shape: Shape of one input.

    Returns:
        The bound, by `global_bound`; inf where f has a layer without a rule.

    Examples:
        >>> import jax.numpy as jnp
        >>> round(gap_bound(lambda x: jnp.array([[3.0, 0.0], [0.0, 4.0]]) @ x, (2,)), 3)  # sqrt(2) 4
        5.657

    References:
        Tsuzuku et al. 2018, "Lipschitz-Margin Training" (arXiv 1802.04034), proposition 1, for the first.
    """
    program, _ = _known(f, input_shape, l2)
    return min(math.sqrt(2.0) * everywhere(program, l2, l2), 2.0 * everywhere(program, l2, linf))


def _known(f: VectorFn | Model, input_shape: Sequence[int], norm_in: Norm) -> tuple[Program, Norm]:
    checks.shape(input_shape=input_shape)
    f, start, norm = confined(f, jnp.zeros(input_shape), norm_in)
    return recognize(trace(f, start.shape)), norm


def everywhere(program: Program, first: Norm, last: Norm) -> float:
    """The bound of a program with known weights, by products and averages."""
    through = (first,) if first == last else (l1, l2, linf)
    products = [_product(program, norm, first, last) for norm in through]
    return min(_averaged(program, first, last), *products)


def _product(program: Program, norm: Norm, first: Norm, last: Norm) -> float:
    """The bound from one norm to another, by the constants of the layers in some norm."""
    auditor = Auditor(fuse_residuals(program) if norm == l2 else program, norm)
    count = math.prod(program.shape(program.output)) if isinstance(program.output, Wire) else 1
    # The largest entry of a concatenation is in one of its parts.
    bound = auditor.largest_part() if last == linf else auditor.bound() * norm.conversion(last, count)
    return first.conversion(norm, math.prod(program.input_shape)) * bound


def _averaged(program: Program, first: Norm, last: Norm) -> float:
    """The bound by the expansion on a ball of infinite radius."""
    known = program.steps and isinstance(program.output, Wire) and all(map(has_local_rule, program.steps))
    if not known or sum(map(is_gate, program.steps)) > _MOST_GATES:
        return math.inf
    regions = program.steps[-1].once(("averaged", first), lambda: _averaged_regions(program, first))
    return float(expanded(program, regions, first, last))


def _averaged_regions(program: Program, first: Norm) -> list[Region]:
    """Regions whose derivatives are bounded by averages, which are the same whatever the norm of outputs."""
    regions = _regions(program)
    first_gate = next((index for index, step in enumerate(program.steps) if is_gate(step)), 0)
    for wire in [wire for step in program.steps if is_gate(step) for wire in step.wires if wire.index > first_gate]:
        size = math.prod(program.shape(wire))
        if size * math.prod(program.input_shape) <= LARGEST:
            regions[wire.index] = measure(program, regions, wire, first, size)
    return regions


def _semidefinite(program: Program, first: Norm, last: Norm) -> float:
    if not isinstance(program.output, Wire):
        return 0.0
    with jax.enable_x64(True):
        program = in_float64(take_apart(program))
        return semidefinite(program, _regions(program), first, last)


def _regions(program: Program) -> list[Region]:
    """Regions of all wires where the input can have any value."""
    return [_unbounded(program.shape(Wire(i)), path.total) for i, path in enumerate(Auditor(program, l2).paths)]


def _unbounded(shape: tuple[int, ...], norm: float) -> Region:
    """A wire that can have any value, with a derivative of this l2 operator norm."""
    zeros, infinite = (np.full(shape, value, jnp.result_type(float)) for value in (0.0, math.inf))
    fields: tuple[Any, ...] = (zeros, -infinite, infinite, math.inf, norm * (1 + 2 * eps()), infinite)
    return Region(*fields)
