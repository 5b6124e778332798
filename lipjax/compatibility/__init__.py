"""Which Lipschitz constraints does a dataset forbid? Exact counts over all pairs of its examples.

`pair_distances` counts the pairs of a classification problem by their distance, which answers every constant alpha and
every radius at once; `required_slopes` takes any targets (class scores, soft labels, embeddings) and counts, for given
constants, the pairs that no such function can fit.
"""

from lipjax.compatibility.distances import pair_distances
from lipjax.compatibility.results import PairDistances, Separation
from lipjax.compatibility.slopes import RequiredSlopes, required_slopes

__all__ = ["PairDistances", "RequiredSlopes", "Separation", "pair_distances", "required_slopes"]
