"""Parseval layers: convolutions scaled so that orthonormal kernels do not expand, residual sums made convex.

They are one half of a Parseval network; `methods.parseval` is the other, which keeps the kernels near orthonormal.
"""

import math

import flax.linen as nn

from lipjax.layers.vanilla import Kernel, Layers, Weights, weights

AGGREGATION = "aggregation"
"""Name of the parameter that `methods.parseval` projects on the simplex."""


def divided_by_side(kernel: Kernel, strides: int) -> Kernel:
    """The kernel over `k`: an input entry is in at most `k * k` windows, so orthonormal rows then have norm 1."""
    return kernel / math.sqrt(math.prod(kernel.shape[:-2]))


def divided_as_lassance(kernel: Kernel, strides: int) -> Kernel:
    """The kernel over `sqrt(2 k^2 + 1)`, as in the authors' code of Laplacian networks; a dense kernel stays."""
    return kernel if kernel.ndim == 2 else kernel / math.sqrt(2 * math.prod(kernel.shape[:-2]) + 1)


class ConvexSum(nn.Module):
    """The aggregation `a_0 body(x) + a_1 skip(x)` with a trainable `a`, 1/2 each to start with.

    It does not expand where both branches do not and `a` is on the simplex, where `methods.parseval` keeps it.
    """

    @nn.compact
    def __call__(self) -> Weights:
        """The scales."""
        body, skip = self.param(AGGREGATION, nn.initializers.constant(0.5), (2,))
        return weights(self, 1.0, 1.0, body, skip)


class Halves(nn.Module):
    """The fixed mean `body(x) / 2 + skip(x) / 2`."""

    @nn.compact
    def __call__(self) -> Weights:
        """The scales."""
        return weights(self, 1.0, 1.0, 0.5, 0.5)


class Parseval(Layers):
    """Layers of Cisse et al. 2017, "Parseval Networks" (arXiv 1704.08847), sections 4.1 to 4.3.

    Convolutions are divided by the side of their kernel, residual sums are convex with trained coefficients. The paper
    does not say how kernels and coefficients start (here: orthonormal, 1/2), nor what becomes of batch normalisation
    (here: it stays).

    Examples:
        >>> import jax.numpy as jnp
        >>> parseval.reparametrize(jnp.ones((3, 3, 1, 1)), 1)[0, 0, 0, 0]  # 1 / 3
        Array(0.33333334, dtype=float32)
    """

    name = "parseval"
    reparametrize = staticmethod(divided_by_side)
    kernel_init = staticmethod(nn.initializers.orthogonal())
    residual = ConvexSum
    frozen_as = Layers


class ParsevalLassance(Parseval):
    """Layers of the Parseval networks in Lassance, Gripon and Ortega's code (arXiv 1805.10133).

    Convolutions are divided by `sqrt(2 k^2 + 1)`, residual sums are plain means, batch normalisation stays.

    Examples:
        >>> import jax.numpy as jnp
        >>> parseval_lassance.reparametrize(jnp.ones((3, 3, 1, 1)), 1)[0, 0, 0, 0]  # 1 / sqrt(19)
        Array(0.22941573, dtype=float32)
    """

    name = "parseval_lassance"
    reparametrize = staticmethod(divided_as_lassance)
    residual = Halves
    frozen_as = Layers


parseval = Parseval()
parseval_lassance = ParsevalLassance()
