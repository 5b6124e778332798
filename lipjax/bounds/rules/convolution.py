"""Convolutions with a constant kernel."""

import math
from functools import partial
from typing import Any

import jax

from lipjax.bounds.carried import Gain
from lipjax.bounds.program import Step, Wire
from lipjax.bounds.rules.affine import Affine
from lipjax.bounds.rules.dense import TRACED
from lipjax.norms import Norm
from lipjax.operators import conv_norm, exact, fft, gram

_LARGEST_EXACT, _LARGEST_SIDE = 2**22, 1024


class Convolution(Affine):
    """A convolution of a wire."""

    ops = ("conv_general_dilated",)
    name = "convolution"
    has_weights = True

    def covers(self, step: Step) -> bool:
        return super().covers(step) and isinstance(step.operands[0], Wire)

    def gain(self, step: Step, norm: Norm) -> Gain:
        kernel, params, shape = _kernel(step), step.params, step.given[0].shape
        _, features, *spatial = params["dimension_numbers"].lhs_spec
        spread = [(shape[axis] - 1) * gap + 1 for axis, gap in zip(spatial, params["lhs_dilation"], strict=True)]

        measure = partial(
            conv_norm,
            kernel,
            (*spread, shape[features]),
            strides=params["window_strides"],
            padding=params["padding"],
            dilation=params["rhs_dilation"],
            groups=params["feature_group_count"],
            norm=norm,
        )
        if isinstance(kernel, jax.core.Tracer):
            return Gain(measure(method=gram()) * TRACED, "upper", "Gram iteration")
        sides = math.prod(shape), math.prod(step.result.shape)
        if norm.exponent == 2 and (min(sides) > _LARGEST_SIDE or math.prod(sides) > _LARGEST_EXACT):
            return Gain(measure(method=fft()), "upper", "torus")
        return Gain(measure(method=exact()), "exact" if max(params["lhs_dilation"]) == 1 else "upper", "matrix")

    def terms(self, step: Step) -> int:
        *window, inputs, outputs = _kernel(step).shape
        return math.prod(window) * max(inputs, outputs)


def _kernel(step: Step) -> Any:
    """The constant in flax's layout, `[*window, inputs, outputs]`."""
    outputs, inputs, *window = step.params["dimension_numbers"].rhs_spec
    return step.operands[1].transpose(*window, inputs, outputs)
