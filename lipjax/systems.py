"""Systems: the rows of the comparison as data. A row is a choice of layers and a method, for any network.

    >>> from lipjax import networks
    >>> network, method = ROWS["parseval"](networks.mlp(10))
    >>> row = combine(parseval, Row(method=methods.laplacian(1e-3)), Row(method=methods.adversarial()))

Every method is a row of its name on the network's own layers; the ones written down here choose layers, or settings.
Promises: hard ones hold by construction, soft ones as far as training succeeds.
"""

import math

from lipjax import layers, methods
from lipjax.layers import Layers, named
from lipjax.types import Method, Network, System
from lipjax.values import Value, setting


class Row(Value):
    """A row of the comparison: which layers a network is built from, and which method trains it.

    Attributes:
        layers: Layers in place of the network's; None keeps those.
        method: The method; its fields are the options of the row.

    Examples:
        >>> Row(layers.parseval, methods.parseval(beta=3e-4))
        Row(layers=parseval, method=parseval(beta=0.0003))
    """

    layers: Layers | None = setting(None, words=named)
    method: Method = setting(Method())

    def __call__(self, network: Network) -> System:
        """The system: the network on these layers, with what the method trains beside it, and the method."""
        chosen = network if self.layers is None else network.replace(layers=self.layers)
        return System(self.method.extend(chosen), self.method)


def combine(*rows: Row) -> Row:
    """A row that does what all the rows do: their methods chained, on the layers of the one that chooses any.

    Raises:
        ValueError: If two rows choose layers, or two replace the loss.

    Examples:
        >>> combine(laplacian, adversarial).method
        Chain(methods=(laplacian(), adversarial()))
    """
    chosen = [row.layers for row in rows if row.layers is not None]
    if len(chosen) > 1:
        raise ValueError(f"at most one of the combined systems may choose the layers, got {len(chosen)}")
    return Row(chosen[0] if chosen else None, methods.chain(*(row.method for row in rows)))


vanilla = Row()
"""V: plain training of the network as it is. No promise."""

parseval = Row(layers.parseval, methods.parseval())
"""P: kernels kept near orthonormal. A soft promise, everywhere."""

parseval_cisse = Row(layers.parseval, methods.parseval(3e-4, row_fraction=0.3, hidden_only=True))
"""P as in Cisse et al. 2017 (arXiv 1704.08847); beta and the share of rows are those of reimplementations."""

parseval_lassance = Row(layers.parseval_lassance, methods.parseval())
"""P as in Lassance, Gripon and Ortega's code (arXiv 1805.10133)."""

l2_nonexpansive = Row(layers.nonexpansive, methods.l2_nonexpansive())
"""L2NN: nonexpansive layers, three-term loss. A hard promise, everywhere."""

laplacian = Row(method=methods.laplacian())
"""L: smooth transitions from layer to layer. A soft promise, around the boundary."""

adversarial = Row(method=methods.adversarial())
"""PGD: training on the worst examples of a ball. A soft promise, around the data."""

spectral = Row(layers.spectral, methods.offset(2 * math.sqrt(2.0) * 36 / 255))
"""SN: kernels divided by a bound of the convolution's norm. A hard promise, everywhere.

The lead asks for twice the radius 36 / 255: Prach et al. 2024 (arXiv 2311.16833).
"""

aol = Row(layers.aol, methods.offset())
"""AOL: almost-orthogonal layers. A hard promise, everywhere."""

sll = Row(layers.sll, methods.offset(3 / math.sqrt(2.0)))
"""SLL: SDP-based residual layers. A hard promise, everywhere."""

orthogonal = Row(layers.orthogonal, spectral.method)
"""OC: orthogonal convolutions. A hard promise, everywhere."""

madry_cifar10 = Row(method=methods.MADRY_CIFAR10)
"""PGD with Madry et al.'s settings on CIFAR-10."""

madry_mnist = Row(method=methods.MADRY_MNIST)
"""PGD with Madry et al.'s settings on MNIST."""

TALK = {"V": vanilla, "P": parseval, "L2NN": l2_nonexpansive, "L": laplacian, "PGD": adversarial}
"""The five systems of Lassance, Gripon, Tang and Ortega 2019 (arXiv 1909.05095), by the talk's abbreviations."""

ROWS: dict[str, Row] = {
    **{name: Row(method=method()) for name, method in methods.NAMES.items()},
    **{name: row for name, row in globals().items() if isinstance(row, Row)},
    **TALK,
}
"""All rows by their names."""
