"""Affine steps of a program: their linear part, its size entry by entry, and its operator norms.

An affine step is `L(u, v, ...) + b` of its wires. Its constants are weights of L (a kernel) or parts of b (a bias, the
value of padding). Replacing weights by their absolute values gives |L|, which carries the radii of intervals; by their
squares, the map whose row sums are the squared lengths of rows. A new affine primitive is one entry of `_OFFSETS` or
`_WEIGHTED`, and one of `_GAINS` if it does more than move entries.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from lipjax.bounds.program import Step, Wire
from lipjax.norms import Norm
from lipjax.operators import Method, conv_norm, dense_norm, exact, fft, gram

Weigh: TypeAlias = Callable[[Any], Any]

_WEIGHTED = {"conv_general_dilated", "dot_general", "mul"}
_OFFSETS = {
    "add",
    "broadcast_in_dim",
    "concatenate",
    "dynamic_slice",
    "expand_dims",
    "pad",
    "reduce_sum",
    "reduce_window_sum",
    "reshape",
    "rev",
    "scatter-add",
    "select_n",
    "slice",
    "split",
    "squeeze",
    "transpose",
}
_LARGEST_EXACT = 2**18


def is_affine(step: Step) -> bool:
    """Whether the result is affine in the wires together."""
    if step.op == "scatter-add" and (len(step.wires) > 1 or not step.params["unique_indices"]):
        return False
    if step.op in _WEIGHTED:
        return len(step.wires) == 1 and (step.op != "conv_general_dilated" or isinstance(step.operands[0], Wire))
    return step.op in _OFFSETS and all(map(_is_number, step.given))  # a wire that selects or indexes is none


def moves_entries(step: Step) -> bool:
    """Whether every entry of the result is an entry of a wire, none used twice, up to a constant that is added."""
    if step.op == "add":
        return len(step.wires) == 1
    return is_affine(step) and step.op in _OFFSETS - {"broadcast_in_dim", "reduce_sum", "reduce_window_sum"}


def linear(step: Step, weigh: Weigh = lambda weight: weight) -> Callable[..., Any]:
    """The linear part of an affine step as a function of its wires' values, its weights passed through `weigh`."""
    change = weigh if step.op in _WEIGHTED else jnp.zeros_like
    constants = [
        change(operand) if not isinstance(operand, Wire) and _is_number(operand) else operand
        for operand in step.operands
    ]

    def apply(*values: Any) -> Any:
        remaining = iter(values)
        return step.apply(*[next(remaining) if isinstance(operand, Wire) else operand for operand in constants])

    return apply


def _is_number(constant: Any) -> bool:
    return jnp.issubdtype(constant.dtype, jnp.floating)


def transposed(step: Step, weigh: Weigh = lambda weight: weight) -> Callable[[Any], tuple]:
    """The transpose of the linear part: from a cotangent of the result to one of every wire."""
    return jax.linear_transpose(linear(step, weigh), *step.given)


def terms(step: Step) -> int:
    """At most how many products are summed in an entry of the result, or of the transpose's result."""
    if step.op == "dot_general":
        return max(_dense_kernels(step).shape[1:])
    if step.op == "conv_general_dilated":
        *window, inputs, outputs = _conv_kernel(step).shape
        return math.prod(window) * max(inputs, outputs)
    if step.op == "reduce_window_sum":
        return math.prod(step.params["window_dimensions"])
    return _ratio(step) if step.op in ("reduce_sum", "broadcast_in_dim") else len(step.operands)


def _dense_kernels(step: Step) -> Any:
    """The constant of a matrix product as `[batch, inputs, outputs]`."""
    side = 1 if isinstance(step.operands[0], Wire) else 0
    contracting, batch = (dimensions[side] for dimensions in step.params["dimension_numbers"])
    kernel = step.operands[side]
    free = [axis for axis in range(kernel.ndim) if axis not in (*contracting, *batch)]
    sizes = [math.prod(kernel.shape[axis] for axis in axes) for axes in (batch, contracting, free)]
    return kernel.transpose(*batch, *contracting, *free).reshape(sizes)


def _conv_kernel(step: Step) -> Any:
    """The constant of a convolution in flax's layout, `[*window, inputs, outputs]`."""
    outputs, inputs, *window = step.params["dimension_numbers"].rhs_spec
    return step.operands[1].transpose(*window, inputs, outputs)


def _ratio(step: Step) -> int:
    """How often an entry is copied, or how many are summed."""
    sizes = step.result.size, step.given[0].size
    return max(sizes) // max(min(sizes), 1)


class Gain(NamedTuple):
    """The operator norm of a step.

    Attributes:
        value: The norm, or a bound of it.
        side: "exact" or "upper".
        how: How it was obtained.
    """

    value: Any
    side: str
    how: str


def gain(step: Step, norm: Norm) -> Gain:
    """Operator norm of an affine step in l1, l2 or linf; with several wires, of each wire's part alone."""
    if norm not in step.known:
        step.known[norm] = _GAINS.get(step.op, _of_rearrangement)(step, norm)
    return step.known[norm]


def _of_rearrangement(step: Step, norm: Norm) -> Gain:
    return Gain(1.0, "exact", "moves entries")


def _of_dense(step: Step, norm: Norm) -> Gain:
    kernels = _dense_kernels(step)
    if isinstance(kernels, jax.core.Tracer):
        return _traced(jnp.stack([dense_norm(kernel, norm, gram()) for kernel in kernels]).max())
    return Gain(max(dense_norm(kernel, norm) for kernel in kernels), "exact", "matrix")


def _of_conv(step: Step, norm: Norm) -> Gain:
    kernel, params, shape = _conv_kernel(step), step.params, step.given[0].shape
    _, features, *spatial = params["dimension_numbers"].lhs_spec
    spread = [(shape[axis] - 1) * gap + 1 for axis, gap in zip(spatial, params["lhs_dilation"], strict=True)]

    def measure(method: Method) -> Any:
        return conv_norm(
            kernel,
            (*spread, shape[features]),
            strides=params["window_strides"],
            padding=params["padding"],
            dilation=params["rhs_dilation"],
            groups=params["feature_group_count"],
            norm=norm,
            method=method,
        )

    if isinstance(kernel, jax.core.Tracer):
        return _traced(measure(gram()))
    if norm.exponent == 2 and math.prod(shape) * math.prod(step.result.shape) > _LARGEST_EXACT:
        return Gain(measure(fft()), "upper", "torus")
    return Gain(measure(exact()), "exact" if max(params["lhs_dilation"]) == 1 else "upper", "matrix")


def _traced(value: Any) -> Gain:
    # The norm of a traced kernel is found in the kernel's own float32.
    return Gain(value * (1 + 1e-5), "upper", "Gram iteration")


def _of_scaling(step: Step, norm: Norm) -> Gain:
    (factors,) = step.constants
    library = jnp if isinstance(factors, jax.core.Tracer) else np
    return Gain(library.abs(factors).max(), "exact", "largest factor")


def _of_copies(step: Step, norm: Norm) -> Gain:
    return Gain(_ratio(step) ** (1 / norm.exponent), "exact", "number of copies")


def _of_sum(step: Step, norm: Norm) -> Gain:
    return Gain(_ratio(step) ** (1 - 1 / norm.exponent), "exact", "number of terms")


def _of_windows(step: Step, norm: Norm) -> Gain:
    # Sums over windows act on each axis by itself: the norm is the product of theirs.
    names = ("window_dimensions", "window_strides", "padding", "window_dilation", "base_dilation")
    value: Any = 1.0
    for size, window, stride, padding, dilation, gap in zip(
        step.given[0].shape, *(step.params[name] for name in names), strict=True
    ):
        shape, ones = ((size - 1) * gap + 1, 1), np.ones((window, 1, 1))
        value *= conv_norm(ones, shape, strides=stride, padding=[padding], dilation=dilation, norm=norm)
    return Gain(value, "exact" if max(step.params["base_dilation"]) == 1 else "upper", "windows of each axis")


_GAINS = {
    "broadcast_in_dim": _of_copies,
    "conv_general_dilated": _of_conv,
    "dot_general": _of_dense,
    "mul": _of_scaling,
    "reduce_sum": _of_sum,
    "reduce_window_sum": _of_windows,
}
