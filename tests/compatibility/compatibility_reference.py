"""The counts of images in plain NumPy, one row at a time: what the backends are tested against."""

import math

import numpy as np
from jaxtyping import Shaped

from lipjax.compatibility.bins import Bins
from lipjax.compatibility.blocks import Block, Counts, Pairs, Worker, no_counts
from lipjax.compatibility.units import Features, Values

REDUCTIONS = {
    math.inf: lambda differences: differences.max(axis=1),
    1.0: lambda differences: differences.sum(axis=1),
    2.0: lambda differences: (differences**2).sum(axis=1),
}


def values(exponent: float, row: Shaped[np.ndarray, " features"], columns: Features) -> Values:
    """Values of one row against every column."""
    return REDUCTIONS[exponent](np.abs(columns.astype(np.int64) - row.astype(np.int64)))


def workers(pairs: Pairs, bins: Bins, block_size: int) -> list[Worker]:
    """One worker."""

    def count(block: Block) -> Counts:
        counts = no_counts(pairs, bins.edges, block)
        for row in range(block.row_start, block.row_stop):
            _count_row(pairs, bins, block, row, counts)
        return counts

    return [count]


def _count_row(pairs: Pairs, bins: Bins, block: Block, row: int, counts: Counts) -> None:
    indices = np.arange(block.column_start, block.column_stop)
    if pairs.within:
        indices = indices[indices > row]
    label, labels = pairs.row_labels[row], pairs.column_labels[indices]
    distances = values(pairs.exponent, pairs.rows[row], pairs.columns[indices])
    np.add.at(counts.histogram, ((labels == label).astype(int), np.searchsorted(bins.edges, distances)), 1)

    others = indices[labels != label]
    nearest = distances[labels != label]
    np.minimum.at(counts.class_minima, (label, pairs.column_labels[others]), nearest)
    closer_columns = nearest < counts.column_nearest[others - block.column_start]
    counts.column_nearest[others[closer_columns] - block.column_start] = nearest[closer_columns]
    counts.column_neighbor[others[closer_columns] - block.column_start] = row
    if len(others):
        counts.row_nearest[row - block.row_start] = nearest.min()
        counts.row_neighbor[row - block.row_start] = others[nearest.argmin()]
