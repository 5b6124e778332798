"""Derivatives of a network's outputs on a ball, carried from the outputs back to the input.

For every wire: the derivative at the center of the ball, bounds of every entry on the whole ball, and two bounds in the
l2 operator norm, of how far the derivative is from the one at the center, and of the derivative itself. The entries
are tight where few nonlinearities change in the ball, the norms where many do: these are never above the product of
all layers' norms.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from lipjax.bounds.activations import eps
from lipjax.bounds.affine import transposed
from lipjax.bounds.idioms import sum_of_squares
from lipjax.bounds.interval import Region, activation, kind, length, sizes
from lipjax.bounds.program import Program, Step, Wire
from lipjax.types import Scalar

_NUM_SQUARES = 13

T = TypeVar("T")

Rows: TypeAlias = Float[Array, "outputs ..."]


class Derivative(NamedTuple):
    """What is known of the outputs' derivative with respect to one wire, while the input moves in the ball.

    Attributes:
        center: The derivative at the center of the ball, one row per output.
        lower: Lower bounds of its entries.
        upper: Upper bounds.
        change: Bound of the l2 operator norm of the derivative minus `center`.
        norm: Bound of the l2 operator norm of the derivative.
    """

    center: Rows
    lower: Rows
    upper: Rows
    change: Scalar
    norm: Scalar


class Around(NamedTuple):
    """A step with the regions of what it reads and of its result."""

    step: Step
    operands: list[Region]
    result: Region


@jax.jit
def spectral(rows: Rows) -> Scalar:
    """An upper bound of the largest singular value of a matrix: 1.0004 times that of 10 rows, 1.08 of 784 orthogonal.

    By Gram iteration (see `conv_norm`). What rounding may hide of a computed product is added when the roots are taken,
    by the Frobenius norms of its factors: far less than the worst case of matrices of any spectrum.

    LAPACK's eigenvalues, batched in a compiled program, can stop it for ever on a CPU with few cores: they wait for
    threads of the pool that they run on themselves.
    """
    matrix = rows.reshape(rows.shape[0], -1)
    unit = jnp.max(jnp.abs(matrix), initial=0.0)
    matrix = (matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T) / _not_zero(unit)
    side, width = matrix.shape
    hidden = (side + 8) * eps() * (1 + side**2 * eps()) ** 2

    def square(gram: Any, _: None) -> tuple[Any, Any]:
        scale = _not_zero(jnp.sqrt(jnp.sum(jnp.square(gram))))
        return _gram_matrix(gram / scale), scale

    def root(bound: Any, scale: Any) -> tuple[Any, None]:
        return scale * (jnp.sqrt(bound + hidden) + 2 * hidden / side) * (1 + 4 * eps()), None

    gram, scales = jax.lax.scan(square, _gram_matrix(matrix), None, _NUM_SQUARES)
    last = jnp.minimum(jnp.sqrt(jnp.sum(jnp.square(gram))), jnp.max(jnp.sum(jnp.abs(gram), 1)))
    bound, _ = jax.lax.scan(root, last * (1 + side**2 * eps()), scales, reverse=True)
    lost = (width + 8) * eps() * jnp.sum(jnp.square(matrix)) * (1 + matrix.size * eps())
    return unit * jnp.sqrt(bound + lost) * (1 + 8 * eps())


def _gram_matrix(matrix: Any) -> Any:
    product = jnp.matmul(matrix, matrix.T, precision=jax.lax.Precision.HIGHEST)
    return (product + product.T) / 2


def _not_zero(x: Any) -> Any:
    return jnp.where(x == 0.0, 1.0, x)


def _hull(lower: Any, upper: Any, low: Any, high: Any) -> tuple[Any, Any]:
    """Box of the products of two intervals."""
    ends = jnp.stack([lower * low, lower * high, upper * low, upper * high])
    noise = 2 * eps() * jnp.max(jnp.abs(ends), 0)
    return jnp.min(ends, 0) - noise, jnp.max(ends, 0) + noise


def _affine(around: Around, derivative: Derivative) -> list[Derivative]:
    step, (center, lower, upper, change, norm) = around.step, derivative
    back, size = jax.vmap(transposed(step)), sizes(step)
    middle = (lower + upper) / 2
    half = upper - middle
    radius = jax.vmap(transposed(step, jnp.abs))(half + size.rounding * (jnp.abs(middle) + half))
    change = size.norm * change + size.rounding * size.absolute * length(center)
    return [
        Derivative(rows, mid - rad, mid + rad, change, size.norm * norm)
        for rows, mid, rad in zip(back(center), back(middle), radius, strict=True)
    ]


def _moved(around: Around, derivative: Derivative) -> list[Derivative]:
    back = jax.vmap(transposed(around.step))
    rows = zip(*[back(field) for field in derivative[:3]], strict=True)
    return [Derivative(center, lower, upper, derivative.change, derivative.norm) for center, lower, upper in rows]


def _scaled(derivative: Derivative, slope: Any, low: Any, high: Any) -> Derivative:
    """The derivative before a map of each entry: its slope at the center, and the interval of its slopes."""
    slope = jnp.clip(slope, low, high)
    moved = jnp.maximum(high - slope, slope - low) * (1 + 2 * eps())
    steepest, at_center, most = (jnp.max(jnp.abs(x), initial=0.0) for x in (jnp.stack([low, high]), slope, moved))
    center = derivative.center * slope
    change = jnp.minimum(
        spectral(derivative.center * moved) + derivative.change * steepest,
        derivative.norm * most + derivative.change * at_center,
    )
    bounds = _hull(derivative.lower, derivative.upper, low, high)
    return Derivative(center, *bounds, change + 2 * eps() * length(center), derivative.norm * steepest)


def _activated(around: Around, derivative: Derivative) -> list[Derivative]:
    (region,), function = around.operands, activation(around.step)
    return [_scaled(derivative, function.derivative(region.center), *function.slopes(region.lower, region.upper))]


def _product(around: Around, derivative: Derivative) -> list[Derivative]:
    return [_scaled(derivative, other.center, other.lower, other.upper) for other in reversed(around.operands)]


def _two_sided(around: Around, derivative: Derivative) -> list[Derivative]:
    # With s the slope of relu(x), that of relu(-x) is s - 1: the two halves of the derivative move together.
    (region,), axis = around.operands, around.step.params["dimension"] + 1
    (center, center_), (lower, lower_), (upper, upper_) = (jnp.split(rows, 2, axis) for rows in derivative[:3])
    slope, low, high = (bound > 0.0 for bound in region[:3])
    moved = high & ~low
    change = jnp.minimum(spectral((center + center_) * moved), math.sqrt(2.0) * derivative.norm * jnp.any(moved))
    return [
        Derivative(
            jnp.where(slope, center, -center_),
            jnp.minimum(jnp.where(low, lower, -upper_), jnp.where(high, lower, -upper_)),
            jnp.maximum(jnp.where(low, upper, -lower_), jnp.where(high, upper, -lower_)),
            derivative.change + change * (1 + 4 * eps()),
            derivative.norm,
        )
    ]


def pool_at_center(around: Around, rows: Rows) -> Rows:
    """Cotangents of a norm pooling's result to those of its operand, by the derivative at the center."""
    (region,), result = around.operands, around.result
    is_zero = result.center == 0.0
    inverse = jnp.where(is_zero, 0.0, 1.0 / jnp.where(is_zero, 1.0, result.center))
    return region.center * _pool_back(around.step, region, rows * inverse)


def pool_change(around: Around) -> Any:
    """How far the derivative of each entry of a norm pooling can be from that at the center, in units of sqrt(A).

    y = sqrt(A x^2) has dy_i/dx_j = sqrt(A_ij) u_ij with u_i = v / |v| a unit vector. Where v moves by d to v', it moves
    by at most 2 d / (|v| + |v'|) (Dunkl and Williams 1964), and never by more than 2.
    """
    (region,), result, rounding = around.operands, around.result, around.step.params["rounding"]
    moved = 2.0 * around.step(region.farthest) / jnp.maximum(result.center + result.lower, 1e-30)
    return jnp.minimum(2.0, moved) * (1 + 2 * rounding) + 2 * rounding


def _norm_pool(around: Around, derivative: Derivative) -> list[Derivative]:
    step, (region,), result = around
    rounding, gain = step.params["rounding"], step.params["gains"][2.0]
    center = pool_at_center(around, derivative.center)
    inverse = 1.0 / jnp.maximum(result.upper, 1e-20), 1.0 / jnp.maximum(result.lower, 1e-20)
    lower, upper = _hull(derivative.lower, derivative.upper, *inverse)
    lower, upper = _pool_back(step, region, lower), _pool_back(step, region, upper)
    lower, upper = _hull(lower, upper, region.lower, region.upper)
    largest = _pool_back(step, region, jnp.maximum(*map(jnp.abs, derivative[1:3])), jnp.sqrt) * (1 + rounding)
    noise = 2 * rounding * jnp.fmin(jnp.maximum(jnp.abs(lower), jnp.abs(upper)), largest)
    moved = pool_change(around)
    change = jnp.minimum(spectral(derivative.center * moved), derivative.norm * jnp.max(moved)) + derivative.change
    bounds = jnp.fmax(lower - noise, -largest), jnp.fmin(upper + noise, largest)
    return [Derivative(center, *bounds, gain * change + 2 * rounding * length(center), gain * derivative.norm)]


def _pool_back(step: Step, region: Region, rows: Rows, weigh: Callable[[Any], Any] = lambda weight: weight) -> Rows:
    adjoint = jax.linear_transpose(sum_of_squares(step.params["chain"], weigh), region.center)
    return jax.vmap(lambda row: adjoint(row)[0])(rows)


_RULES: dict[str, Callable[[Around, Derivative], list[Derivative]]] = {
    "activation": _activated,
    "affine": _affine,
    "move": _moved,
    "mul": _product,
    "norm_pool": _norm_pool,
    "two_sided_relu": _two_sided,
}


def surroundings(program: Program, regions: list[Region], index: int) -> Around:
    """The step that returns this wire, with its regions."""
    step = program.steps[index - 1]
    return Around(step, [regions[wire.index] for wire in step.wires], regions[index])


ROWS_AT_ONCE = 256


def over_entries(region: Region, of_rows: Callable[[Rows], T], at_once: int = ROWS_AT_ONCE) -> T:
    """What a function says of all rows of the unit matrix of a wire's entries, some at a time.

    The function's results have a row for each of its rows; those without rows are the same whatever the rows.
    """
    count = region.center.size

    def of_block(indices: Int[Array, " rows"]) -> T:
        rows = indices[:, None] == jnp.arange(count)
        return of_rows(rows.astype(region.center.dtype).reshape(-1, *region.center.shape))

    def joined(blocks: Array) -> Array:
        return blocks.max() if blocks.ndim == 1 else blocks.reshape(-1, *blocks.shape[2:])[:count]

    if count <= at_once:
        return of_block(jnp.arange(count))
    blocks = jnp.arange(-(-count // at_once) * at_once).reshape(-1, at_once)  # past the end are rows of zeros
    return jax.tree.map(joined, jax.lax.map(of_block, blocks))


def propagate_back(program: Program, regions: list[Region]) -> Derivative:
    """The derivative of the output with respect to the input."""
    shape = program.shape(program.output)
    count = math.prod(shape)
    rows, one = jnp.eye(count).reshape(count, *shape), jnp.ones(())
    derivatives = {program.output: Derivative(rows, rows, rows, 0 * one, one)}
    for index in range(len(program.steps), 0, -1):
        around, derivative = surroundings(program, regions, index), derivatives.pop(Wire(index))
        rule = kind(around.step)
        if rule not in ("affine", "move"):
            norm = jnp.fmin(derivative.norm, spectral(derivative.center) + derivative.change)
            derivative = derivative._replace(norm=norm)
        for wire, part in zip(around.step.wires, _RULES[rule](around, derivative), strict=True):
            before = derivatives.get(wire)
            derivatives[wire] = part if before is None else jax.tree.map(jnp.add, before, part)
    return derivatives[Wire(0)]
