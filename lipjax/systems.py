"""Systems: one row of the comparison each, a network trained by a method. A new one is one more function here.

A row takes a family, `family(layers=None) -> Network`, such as `functools.partial(networks.cnn, 10)`, and chooses
for it the layers and the method. `combine` joins rows.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Protocol, TypeAlias, runtime_checkable

from jaxtyping import ArrayLike

from lipjax import methods, networks
from lipjax.networks import Layers
from lipjax.norms import Norm, linf
from lipjax.types import Box, Method, Network, System


@runtime_checkable
class Family(Protocol):
    """A network family that lacks only its layers; without them it takes its own."""

    def __call__(self, *, layers: Layers = ...) -> Network:
        """The network built from these layers."""


Row: TypeAlias = Callable[[Family], System]

OFFSET = 2 * math.sqrt(2.0) * 36 / 255
"""Lead of the right logit that asks for twice the radius 36 / 255: Prach et al. 2024 (arXiv 2311.16833)."""


def vanilla(family: Family) -> System:
    """V: plain training of the family as it is."""
    return System(family(), Method())


def parseval(
    family: Family,
    *,
    beta: float = 0.01,
    row_fraction: float = 1.0,
    hidden_only: bool = False,
    layers: Layers = networks.parseval,
) -> System:
    """P: Parseval layers, kernels kept near orthonormal. A soft promise, everywhere. See `methods.parseval`.

    `layers` are the paper's, `networks.parseval`, or those of Lassance et al.'s code, `networks.parseval_lassance`.
    """
    return System(family(layers=layers), methods.parseval(beta, row_fraction=row_fraction, hidden_only=hidden_only))


parseval_cisse = partial(parseval, beta=3e-4, row_fraction=0.3, hidden_only=True)
"""P as in Cisse et al. 2017 (arXiv 1704.08847); beta and the share of rows are those of reimplementations."""

parseval_lassance = partial(parseval, layers=networks.parseval_lassance)
"""P as in Lassance, Gripon and Ortega's code (arXiv 1805.10133)."""


def l2_nonexpansive(
    family: Family, *, gamma: float = 1.0, omega: float = 0.1, z: float = 1.0, weight: float = 0.1
) -> System:
    """L2NN: nonexpansive layers, three-term loss. A hard promise, everywhere. See `methods.l2_nonexpansive`."""
    network = methods.with_scales(family(layers=networks.nonexpansive))
    return System(network, methods.l2_nonexpansive(gamma=gamma, omega=omega, z=z, weight=weight))


def laplacian(
    family: Family,
    *,
    weight: float | None = None,
    gamma: float = 0.01,
    power: int = 2,
    num_neighbors: int | None = None,
) -> System:
    """L: smooth transitions from layer to layer. A soft promise, around the boundary. See `methods.laplacian`."""
    return System(family(), methods.laplacian(weight, gamma=gamma, power=power, num_neighbors=num_neighbors))


def adversarial(
    family: Family,
    *,
    norm: Norm = linf,
    radius: ArrayLike = 8 / 255,
    step_size: ArrayLike | None = None,
    num_steps: int = 10,
    early_stop: bool = False,
    batch_statistics: bool = False,
    bounds: Box = (0.0, 1.0),
) -> System:
    """PGD: training on the worst examples of a ball. A soft promise, around the data. See `methods.adversarial`."""
    method = methods.adversarial(
        norm,
        radius,
        step_size=step_size,
        num_steps=num_steps,
        early_stop=early_stop,
        batch_statistics=batch_statistics,
        bounds=bounds,
    )
    return System(family(), method)


def fast_adversarial(
    family: Family,
    *,
    norm: Norm = linf,
    radius: ArrayLike = 8 / 255,
    batch_statistics: bool = True,
    bounds: Box = (0.0, 1.0),
) -> System:
    """PGD in one long step from a random start. A soft promise, around the data. See `methods.fast_adversarial`."""
    return System(family(), methods.fast_adversarial(norm, radius, batch_statistics=batch_statistics, bounds=bounds))


def trades(
    family: Family,
    *,
    beta: float = 6.0,
    norm: Norm = linf,
    radius: ArrayLike = 0.031,
    step_size: ArrayLike | None = 0.007,
    num_steps: int = 10,
    bounds: Box = (0.0, 1.0),
) -> System:
    """TRADES: the same prediction all over a ball. A soft promise, around the data. See `methods.trades`."""
    method = methods.trades(beta, norm=norm, radius=radius, step_size=step_size, num_steps=num_steps, bounds=bounds)
    return System(family(), method)


def local_linearity(
    family: Family,
    *,
    weight: float = 4.0,
    gradient_weight: float = 3.0,
    norm: Norm = linf,
    radius: ArrayLike = 8 / 255,
    step_size: ArrayLike | None = None,
    num_steps: int = 10,
    bounds: Box = (0.0, 1.0),
) -> System:
    """LLR: a loss that is linear in a ball. A soft promise, around the data. See `methods.local_linearity`."""
    method = methods.local_linearity(
        weight,
        gradient_weight=gradient_weight,
        norm=norm,
        radius=radius,
        step_size=step_size,
        num_steps=num_steps,
        bounds=bounds,
    )
    return System(family(), method)


def input_gradient(family: Family, *, weight: float = 0.5) -> System:
    """Small input gradients of the loss. A soft promise, at the data. See `methods.input_gradient`."""
    return System(family(), methods.input_gradient(weight))


def jacobian(family: Family, *, weight: float = 0.01, num_projections: int | None = 1) -> System:
    """Small Jacobians of the logits. A soft promise, at the data. See `methods.jacobian`."""
    return System(family(), methods.jacobian(weight, num_projections=num_projections))


def gaussian(family: Family, *, sigma: float = 0.25) -> System:
    """Noisy inputs. With `smoothing.certify`, a hard promise where that certifies. See `methods.gaussian`."""
    return System(family(), methods.gaussian(sigma))


def spectral(family: Family, *, offset: float = OFFSET, temperature: float = 0.25) -> System:
    """SN: kernels divided by a bound of the convolution's norm. A hard promise, everywhere. See `networks.spectral`."""
    return System(family(layers=networks.spectral), methods.offset(offset, temperature))


def aol(family: Family, *, offset: float = math.sqrt(2.0), temperature: float = 0.25) -> System:
    """AOL: almost-orthogonal layers. A hard promise, everywhere. See `networks.aol` and `methods.offset`."""
    return System(family(layers=networks.aol), methods.offset(offset, temperature))


def sll(family: Family, *, offset: float = 3 / math.sqrt(2.0), temperature: float = 0.25) -> System:
    """SLL: SDP-based residual layers. A hard promise, everywhere. See `networks.sll` and `methods.offset`."""
    return System(family(layers=networks.sll), methods.offset(offset, temperature))


def orthogonal(family: Family, *, offset: float = OFFSET, temperature: float = 0.25) -> System:
    """OC: orthogonal convolutions. A hard promise, everywhere. See `networks.orthogonal` and `methods.offset`."""
    return System(family(layers=networks.orthogonal), methods.offset(offset, temperature))


def combine(*rows: Row) -> Row:
    """A row that does what all the rows do: their methods chained, on the layers of the one that chooses any.

    Args:
        *rows: Rows, at most one of which gives the family layers.

    Returns:
        The combined row. It raises ValueError where two rows choose layers, or two replace the loss.

    Example:
        >>> from functools import partial
        >>> row = combine(parseval, partial(laplacian, weight=1e-3), adversarial)
        >>> network, method = row(partial(networks.mlp, 10))
    """

    def combined(family: Family) -> System:
        plain = family()

        def recorded(layers: Layers | None = None) -> Network:
            return plain if layers is None else family(layers=layers)

        systems = [row(recorded) for row in rows]
        chosen = [system.network for system in systems if system.network is not plain]
        if len(chosen) > 1:
            raise ValueError(f"at most one of the combined systems may choose the layers, got {len(chosen)}")
        return System(chosen[0] if chosen else plain, methods.chain(*(system.method for system in systems)))

    return combined


TALK: dict[str, Row] = {
    "V": vanilla,
    "P": parseval,
    "L2NN": l2_nonexpansive,
    "L": laplacian,
    "PGD": adversarial,
}
"""The five systems of Lassance, Gripon, Tang and Ortega 2019 (arXiv 1909.05095), by the talk's abbreviations."""
