"""Perturbations of a part of the input only."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool

from lipjax.norms import Norm
from lipjax.types import KeyArray, Point


def masked(norm: Norm, mask: Bool[np.ndarray, "*dims"]) -> Norm:
    """A norm whose balls hold only perturbations of the entries where the mask is true.

    As `norm_in` of an estimator (or as the norm of an attack) it confines the search to that part of the input. For a
    subspace that isn't spanned by entries, estimate `lambda z: f(x + basis @ z)` at z = 0 instead.

    Args:
        norm: The norm of perturbations.
        mask: Which entries may change.

    Returns:
        A norm. Build it once: every new one compiles a new program.

    Raises:
        ValueError: If the mask allows no entry.

    Example:
        >>> from lipjax.norms import linf
        >>> masked(linf, np.array([True, False])).steepest(jnp.array([2.0, 3.0]))
        Array([1., 0.], dtype=float32)
    """
    free = np.flatnonzero(mask)
    if free.size == 0:
        raise ValueError("the mask allows no entry to change")

    def sample(key: KeyArray, shape: tuple[int, ...]) -> Point:
        inside = norm.sample(key, (free.size,))
        return jnp.zeros(mask.size, inside.dtype).at[free].set(inside).reshape(shape)

    return Norm(
        name=f"{norm.name} of {free.size} entries",
        value=norm.value,
        dual=lambda gradient: norm.dual(jnp.where(mask, gradient, 0.0)),
        project=lambda x, radius: norm.project(jnp.where(mask, x, 0.0), radius),
        steepest=lambda gradient: norm.steepest(jnp.where(mask, gradient, 0.0)),
        sample=sample,
    )
