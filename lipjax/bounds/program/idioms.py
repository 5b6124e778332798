"""Idioms that are simpler than they are written: nothing, a reshape, or one convolution of many slices."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lipjax.bounds.program.rewriting import Idiom, is_constant
from lipjax.bounds.program.steps import Builder, Step, Wire


def _unit(builder: Builder, step: Step) -> Wire | None:
    """A product with ones: nothing."""
    return step.wires[0] if step.constants and is_constant(step.constants[0], 1.0) else None


def _copies(builder: Builder, step: Step) -> Wire | None:
    """A broadcast that copies nothing: a reshape."""
    shape = step.result.shape
    if not step.wires or step.given[0].size != step.result.size:
        return None
    return builder.add("reshape", step.wires, lambda x: x.reshape(shape))


def _finite(builder: Builder, step: Step) -> Wire | None:
    """`where(isfinite(x), x, constant)`, as sums of exponentials are written: x, whose values are finite."""
    condition = builder.producer(step.operands[0], "is_finite")
    return condition.wires[0] if condition and condition.wires == step.wires[1:] == [step.operands[-1]] else None


def _windows(builder: Builder, step: Step) -> Wire | None:
    """A matrix product of the last axis with concatenated slices of one wire, as the convolution that it is."""
    joined = builder.producer(step.operands[0], "concatenate")
    if joined is None or isinstance(step.operands[1], Wire) or not _contracts_last_axis(step, joined):
        return None
    slices = [window for operand in joined.operands if (window := builder.producer(operand, "slice"))]
    if not _are_windows(slices, joined):
        return None
    first, kernel = slices[0], step.operands[1]
    source, strides = first.operands[0], tuple(first.params["strides"] or (1,) * joined.result.ndim)[1:-1]
    offsets = np.array([window.params["start_indices"][1:-1] for window in slices])
    taps = np.zeros((len(slices), *(offsets.max(0) + 1).tolist()), np.float32)
    taps[(np.arange(len(slices)), *offsets.T)] = 1.0
    library = jnp if isinstance(kernel, jax.core.Tracer) else np
    kernel = library.tensordot(taps, kernel.reshape(len(slices), -1, kernel.shape[-1]), (0, 0))
    return _convolution(builder, source, kernel, strides, joined.result.shape[1:-1])


def _contracts_last_axis(step: Step, joined: Step) -> bool:
    last = joined.result.ndim - 1
    return joined.params["dimension"] == last and step.params["dimension_numbers"] == (((last,), (0,)), ((), ()))


def _are_windows(slices: list[Step], joined: Step) -> bool:
    """Whether all are slices of one wire with the same shape and strides, whole in the first and in the last axis."""
    if len(slices) < len(joined.operands) or joined.result.ndim < 3:
        return False
    first = slices[0]
    return all(
        window.operands == first.operands
        and window.result.shape == first.result.shape
        and window.params["strides"] == first.params["strides"]
        and (window.params["start_indices"][0], window.params["start_indices"][-1]) == (0, 0)
        for window in slices
    )


def _pads_window(config: Sequence[Sequence[Any]]) -> bool:
    """Whether nothing is added to the first or the last axis, nor between entries."""
    return not any(config[0]) and not any(config[-1]) and all(gap == 0 for *_, gap in config)


def _convolution(builder: Builder, source: Wire, kernel: Any, strides: tuple, outputs: tuple) -> Wire:
    padded = builder.producer(source, "pad")
    lows = (0,) * len(strides)
    if padded and is_constant(padded.operands[1], 0.0) and _pads_window(padded.params["padding_config"]):
        lows, source = tuple(int(low) for low, *_ in padded.params["padding_config"][1:-1]), padded.operands[0]
    shape = builder.abstract(source).shape
    highs = [
        (count - 1) * stride + taps - low - size
        for count, stride, taps, low, size in zip(outputs, strides, kernel.shape, lows, shape[1:-1], strict=False)
    ]
    window = "".join(chr(ord("1") + axis) for axis in range(len(strides)))
    params: dict[str, Any] = {
        "window_strides": strides,
        "padding": tuple(zip(lows, highs, strict=True)),
        "lhs_dilation": (1,) * len(strides),
        "rhs_dilation": (1,) * len(strides),
        "dimension_numbers": jax.lax.conv_dimension_numbers(
            shape, kernel.shape, (f"N{window}C", f"{window}IO", f"N{window}C")
        ),
        "feature_group_count": 1,
    }

    def apply(x: Any, kernel: Any) -> Any:
        return jax.lax.conv_general_dilated(x, kernel, precision=jax.lax.Precision.HIGHEST, **params)

    return builder.add("conv_general_dilated", (source, kernel), apply, **params)


IDIOMS: tuple[tuple[str, Idiom], ...] = (
    ("broadcast_in_dim", _copies),
    ("dot_general", _windows),
    ("mul", _unit),
    ("select_n", _finite),
)
