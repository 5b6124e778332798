"""Layers: the parts a network family is built from, as one value, so that a system replaces parts and not families."""

from lipjax import checks
from lipjax.layers.aol import aol as aol
from lipjax.layers.nonexpansive import nonexpansive as nonexpansive
from lipjax.layers.orthogonal import orthogonal as orthogonal
from lipjax.layers.parseval import parseval as parseval
from lipjax.layers.parseval import parseval_lassance as parseval_lassance
from lipjax.layers.sll import sll as sll
from lipjax.layers.spectral import spectral as spectral
from lipjax.layers.vanilla import Channels as Channels
from lipjax.layers.vanilla import Layers as Layers
from lipjax.layers.vanilla import vanilla as vanilla

NAMES = {
    kind.name: kind for kind in (vanilla, parseval, parseval_lassance, nonexpansive, spectral, aol, sll, orthogonal)
}
"""All kinds of layers by their names."""


def named(name: str) -> Layers:
    """The layers of a name.

    Raises:
        ValueError: If there are none of that name.

    Examples:
        >>> named("aol") is aol
        True
    """
    checks.one_of("layers", name, list(NAMES))
    return NAMES[name]
