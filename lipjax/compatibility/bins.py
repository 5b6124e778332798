"""Bins of counted values: as fine as memory allows, and always split where a count was asked for.

Bin b holds the values v with `edges[b - 1] < v <= edges[b]`. A threshold on an edge, or in a bin that stayed empty, has
an exact count; any other threshold is refused.
"""

from typing import NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Int32, Int64, Shaped

from lipjax.compatibility.units import Numbers, Unit, Values

WHOLE_BINS = 2**20
"""Where fewer whole numbers than this are possible, every one has a bin of its own."""

NUM_BINS = 2**14
"""Otherwise there are this many bins, equally wide in distance."""

NUM_CELLS = 2**16

Edges = Shaped[np.ndarray, " bins"]
Count: TypeAlias = Int64[np.ndarray, "..."] | np.int64


class Bins(NamedTuple):
    """Edges of bins, with a table that finds the bin of a value in a step or two."""

    edges: Edges  # largest value of each bin, ascending; the last one is the largest that can occur
    guide: Int32[np.ndarray, " cells"]  # `guide[c] <= bin <= guide[c + 1]` in cell c; none where values are bins
    cells_per_unit: float  # the cell of a value v is `int(v * cells_per_unit)`


def with_guide(edges: Edges) -> Bins:
    """Bins with these edges."""
    if np.array_equal(edges, np.arange(len(edges))):
        return Bins(edges, np.zeros(0, np.int32), 1.0)
    cells_per_unit = float((NUM_CELLS - 1) / (edges[-1] or 1))
    cells = (edges * cells_per_unit).astype(np.int64)
    guide = np.searchsorted(cells, np.arange(NUM_CELLS + 1)).astype(np.int32)
    return Bins(edges, guide, cells_per_unit)


def regular_edges(unit: Unit, bound: float, thresholds: Numbers = ()) -> Edges:
    """Ascending edges up to `bound`: every whole number, or equal steps of distance and both sides of thresholds."""
    if unit.whole and bound < WHOLE_BINS:
        return np.arange(int(bound) + 1)
    steps = np.linspace(0.0, float(bound) ** (1 / unit.power), NUM_BINS + 1)[1:-1] ** unit.power
    asked = [unit.last_within(np.ravel(thresholds), strict=strict) for strict in (True, False)]
    edges = np.unique(np.concatenate([steps.astype(unit.dtype), *asked, [unit.dtype(bound)]]))
    return edges[(edges >= 0) & (edges <= bound)]


def edges_between(unit: Unit, values: Values) -> Edges:
    """Edges that separate all these values, so that every threshold has an exact count."""
    distinct = np.unique(values)
    below = distinct - 1 if unit.whole else np.nextafter(distinct, -np.inf)
    edges = np.unique(np.concatenate([below, distinct]))
    return edges[edges >= 0]


def count_up_to(edges: Edges, histogram: Int64[np.ndarray, " bins"], limits: Values | np.number, unit: Unit) -> Count:
    """Number of values `v <= limit`, for every limit.

    Raises:
        ValueError: If a limit is inside a bin that is not empty.
    """
    slack = 0.0 if unit.whole else 1e-13  # the same threshold, computed in two ways
    first = np.searchsorted(edges, limits * (1 + slack), side="right")
    on_edge = (first > 0) & (edges[first - 1] >= limits * (1 - slack))
    inside = ~on_edge & (limits >= 0) & (np.append(histogram, 0)[first] > 0)
    if np.any(inside):
        asked = ", ".join(f"{distance:.6g}" for distance in unit.distance(np.extract(inside, limits)))
        raise ValueError(
            f"the bins do not tell the count at distance {asked}: "
            "pass such distances (1 / alpha, and 2 * radius) as thresholds to pair_distances"
        )
    return np.append(0, np.cumsum(histogram))[first]
