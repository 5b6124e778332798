"""Linear maps that are known by what they make of every entry: selections by index, running sums."""

import jax
import jax.numpy as jnp
import numpy as np

from lipjax.bounds.carried import Gain
from lipjax.bounds.program import Step
from lipjax.bounds.rules.affine import Affine, linear
from lipjax.norms import Norm
from lipjax.operators import dense_norm

LARGEST = 2**22  # entries of a matrix


class ByMatrix(Affine):
    """Entries that are chosen, placed or added, by known indices."""

    ops = ("gather", "scatter", "scatter-add", "cumsum")

    def covers(self, step: Step) -> bool:
        is_known = not any(isinstance(constant, jax.core.Tracer) for constant in step.constants)
        is_transposed = step.op != "scatter" or step.params["unique_indices"]  # by JAX
        is_small = step.given[0].size * step.result.size <= LARGEST
        return super().covers(step) and is_known and is_transposed and is_small

    def gain(self, step: Step, norm: Norm) -> Gain:
        return Gain(dense_norm(_matrix(step), norm), "exact", "matrix of zeros and ones")

    def terms(self, step: Step) -> int:
        return int(max((_matrix(step) != 0).sum(axis).max(initial=1) for axis in (0, 1)))


def _matrix(step: Step) -> np.ndarray:
    """What the linear part makes of each unit vector, `[inputs, outputs]`."""
    return step.once(_matrix, lambda: _of_units(step))


def _of_units(step: Step) -> np.ndarray:
    given = step.given[0]
    with jax.ensure_compile_time_eval():
        units = jnp.eye(given.size, dtype=given.dtype).reshape(-1, *given.shape)
        return np.asarray(jax.vmap(linear(step))(units)).reshape(given.size, -1)
