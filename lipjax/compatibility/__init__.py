"""Which Lipschitz constraints does a dataset forbid? Exact counts over all pairs of its examples.

`pair_distances` counts the pairs of a classification problem by their distance, which answers every constant alpha and
every radius at once; `required_slopes` takes any targets (class scores, soft labels, embeddings) and counts, for given
constants, the pairs that no such function can fit.
"""

import importlib
from typing import TYPE_CHECKING, Any

from lipjax.compatibility.results import PairDistances, Separation

if TYPE_CHECKING:
    from lipjax.compatibility.distances import pair_distances
    from lipjax.compatibility.run import Counting
    from lipjax.compatibility.slopes import RequiredSlopes, required_slopes

__all__ = ["Counting", "PairDistances", "RequiredSlopes", "Separation", "pair_distances", "required_slopes"]
_LATE = {"Counting": "run", "pair_distances": "distances", "RequiredSlopes": "slopes", "required_slopes": "slopes"}


def __getattr__(name: str) -> Any:
    """Numba takes a while to import: it is, when the first of its users is asked for."""
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_LATE[name]}"), name)
