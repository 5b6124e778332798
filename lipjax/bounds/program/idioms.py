"""Idioms that are simpler than they are written: nothing, a reshape, or one convolution of many slices."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lipjax.bounds.program.rewriting import Idiom, is_constant
from lipjax.bounds.program.steps import Builder, Operand, Step, Wire


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


class _Window(NamedTuple):
    """A slice of a wire."""

    source: Operand
    starts: tuple[int, ...]
    strides: tuple[int, ...]
    shape: tuple[int, ...]


def _windows(builder: Builder, step: Step) -> Wire | None:
    """A matrix product of the last axis with concatenated slices of one wire, as the convolution that it is."""
    joined = builder.producer(step.operands[0], "concatenate")
    if joined is None or isinstance(step.operands[1], Wire) or not _contracts_last_axis(step, joined):
        return None
    windows = _windows_of(builder, step.operands[0])
    if not _are_windows(windows, builder, joined):
        return None
    source, kernel, strides = windows[0].source, step.operands[1], windows[0].strides[1:-1]
    offsets = np.array([window.starts[1:-1] for window in windows])
    taps = np.zeros((len(windows), *(offsets.max(0) + 1).tolist()), np.float32)
    taps[(np.arange(len(windows)), *offsets.T)] = 1.0
    library = jnp if isinstance(kernel, jax.core.Tracer) else np
    kernel = library.tensordot(taps, kernel.reshape(len(windows), -1, kernel.shape[-1]), (0, 0))
    return _convolution(builder, source, kernel, strides, joined.result.shape[1:-1])


def _windows_of(builder: Builder, operand: Operand) -> list[_Window]:
    """The slices that an operand joins along its last axis; they may be slices of what joins others."""
    joined, cut = builder.producer(operand, "concatenate"), builder.producer(operand, "slice")
    if joined and joined.params["dimension"] == joined.result.ndim - 1:
        return [window for part in joined.operands for window in _windows_of(builder, part)]
    if cut and cut.result.shape[-1] == cut.given[0].shape[-1]:
        starts = cut.params["start_indices"]
        strides = cut.params["strides"] or (1,) * len(starts)
        return [_part(window, starts, strides, cut.result.shape) for window in _windows_of(builder, cut.operands[0])]
    shape = builder.abstract(operand).shape if isinstance(operand, Wire) else np.shape(operand)
    return [_Window(operand, (0,) * len(shape), (1,) * len(shape), shape)]


def _part(window: _Window, starts: Sequence[int], strides: Sequence[int], shape: Sequence[int]) -> _Window:
    """A slice of a slice."""
    begins = tuple(old + new * step for old, new, step in zip(window.starts, starts, window.strides, strict=True))
    steps = tuple(old * new for old, new in zip(window.strides, strides, strict=True))
    return _Window(window.source, begins, steps, (*shape[:-1], window.shape[-1]))


def _contracts_last_axis(step: Step, joined: Step) -> bool:
    last = joined.result.ndim - 1
    return joined.params["dimension"] == last and step.params["dimension_numbers"] == (((last,), (0,)), ((), ()))


def _are_windows(windows: list[_Window], builder: Builder, joined: Step) -> bool:
    """Whether all are slices of one wire with the same shape and strides, whole in the first and in the last axis."""
    source, shape, strides = windows[0].source, windows[0].shape, windows[0].strides
    if joined.result.ndim < 3 or not all(isinstance(window.source, Wire) for window in windows):
        return False
    whole = builder.abstract(source).shape
    return (shape[0], shape[-1]) == (whole[0], whole[-1]) and all(
        (window.source, window.shape, window.strides) == (source, shape, strides)
        and (window.starts[0], window.starts[-1]) == (0, 0)
        for window in windows
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
