"""Almost-orthogonal layers: every feature is rescaled by how much it overlaps with the others."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from lipjax.layers.convolution import convolve
from lipjax.layers.nonexpansive import Nonexpansive
from lipjax.layers.phases import join_phases, split_phases
from lipjax.layers.vanilla import Kernel

Overlaps = Float[Array, "features features"]


def overlaps(kernel: Kernel) -> Overlaps:
    """How much features overlap: of each pair, the sum of the absolute entries of the filters' cross-correlation.

    For a dense kernel `|K^T K|`. The matrix has non-negative entries, is symmetric, and bounds the map's Gram operator
    entry by entry, so `D K^T K D` has norm at most 1 for `D_ii = (sum_j overlaps_ij)^(-1/2)`.
    """
    # In full precision, since an accelerator's default would put the sums up to a thousandth too low.
    with jax.default_matmul_precision("highest"):
        if kernel.ndim == 2:
            return jnp.abs(kernel.T @ kernel)
        ends = [(taps - 1, taps - 1) for taps in kernel.shape[:2]]
        filters = jnp.pad(kernel.transpose(3, 0, 1, 2), ((0, 0), *ends, (0, 0)))
        return jnp.sum(jnp.abs(convolve(filters, kernel, padding="VALID")), axis=(1, 2))


def aol_kernel(kernel: Kernel, strides: int) -> Kernel:
    """The kernel with features rescaled so that the layer never expands: by `(sum_j overlaps_ij)^(-1/2)`.

    A strided convolution is rescaled as the one on the phases of the image that it is. Rescaled are the inputs or the
    outputs, whichever are fewer. Features that are 0 stay so.

    References:
        Prach and Lampert 2022, "Almost-Orthogonal Layers for Efficient General-Purpose Lipschitz Networks" (arXiv
        2208.03160), theorems 1 and 2. There the inputs are always the ones that are rescaled; a layer and its
        transpose have one norm, and with the fewer features the sums are shorter and closer to the norm.

    Examples:
        >>> aol_kernel(jnp.array([[3.0, 3.0], [4.0, 4.0]]), 1)[:, 0].round(3)  # both overlaps of an output are 25
        Array([0.424, 0.566], dtype=float32)
    """
    phases = split_phases(kernel, strides)
    by_inputs = phases.shape[-2] < phases.shape[-1]
    seen = jnp.flip(phases.swapaxes(-1, -2), range(phases.ndim - 2)) if by_inputs else phases
    total = jnp.sum(overlaps(seen), axis=1)
    is_zero = total == 0.0
    scale = jnp.where(is_zero, 0.0, jax.lax.rsqrt(jnp.where(is_zero, 1.0, total)))
    whole = join_phases(phases * (scale[:, None] if by_inputs else scale), strides)
    return whole[tuple(slice(size) for size in kernel.shape[:-2])]


class Aol(Nonexpansive):
    """Almost-orthogonal layers of Prach and Lampert 2022 (arXiv 2208.03160): none expands an L2 distance.

    The two-sided ReLU takes the place of the paper's MaxMin, and strided convolutions that of its concatenations of
    pixels. Norm pooling and branches that are scaled twice are those of `nonexpansive`.

    Examples:
        >>> kernel = aol.reparametrize(jnp.array([[3.0, 3.0], [4.0, 4.0]]), 1)
        >>> jnp.linalg.norm(kernel, ord=2)
        Array(1., dtype=float32)
    """

    name = "aol"
    reparametrize = staticmethod(aol_kernel)
    frozen_as = Nonexpansive


aol = Aol()
