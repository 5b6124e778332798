"""Matrix products with a constant."""

import math
from typing import Any

import jax
import jax.numpy as jnp

from lipjax.bounds.carried import Gain
from lipjax.bounds.program import Step, Wire
from lipjax.bounds.rules.affine import Affine
from lipjax.norms import Norm
from lipjax.operators import dense_norm, gram

TRACED = 1 + 1e-5
"""The norm of a traced kernel is found in the kernel's own float32."""


class Dense(Affine):
    """A product of a wire with a matrix."""

    ops = ("dot_general",)
    name = "dense"
    has_weights = True

    def gain(self, step: Step, norm: Norm) -> Gain:
        kernels = _kernels(step)
        if isinstance(kernels, jax.core.Tracer):
            norms = jnp.stack([dense_norm(kernel, norm, gram()) for kernel in kernels])
            return Gain(norms.max() * TRACED, "upper", "Gram iteration")
        return Gain(max(dense_norm(kernel, norm) for kernel in kernels), "exact", "matrix")

    def terms(self, step: Step) -> int:
        return max(_kernels(step).shape[1:])


def _kernels(step: Step) -> Any:
    """The constant as `[batch, inputs, outputs]`."""
    side = 1 if isinstance(step.operands[0], Wire) else 0
    contracting, batch = (dimensions[side] for dimensions in step.params["dimension_numbers"])
    kernel = step.operands[side]
    free = [axis for axis in range(kernel.ndim) if axis not in (*contracting, *batch)]
    sizes = [math.prod(kernel.shape[axis] for axis in axes) for axes in (batch, contracting, free)]
    return kernel.transpose(*batch, *contracting, *free).reshape(sizes)
