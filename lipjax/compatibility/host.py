"""The counts on the processor: Numba kernels on uint8, a thread per core.

A tile of 64 x 64 pairs is computed four rows at a time: a column is read once for four rows, and the compiler fills
whole vector registers with differences of bytes. Then the tile's values are counted, while they are in the cache.
"""

import math
from typing import no_type_check

import numpy as np
from numba import config, njit

from lipjax.compatibility.bins import Bins
from lipjax.compatibility.blocks import Block, Counts, Pairs, Worker, no_counts
from lipjax.compatibility.units import Values

TILE = 64
FEATURES_AT_ONCE = 4096
"""Squared differences of so many levels fit in 32 bits."""


@njit
@no_type_check
def _levels_apart(a, b):
    return np.int32(np.int32(a) - np.int32(b))


@njit
@no_type_check
def _apart(a, b):
    return np.float64(a) - np.float64(b)


_ADD, _LARGER = njit(lambda total, part: total + part), njit(lambda total, part: max(total, part))

# By exponent, and whether the features are levels: one more feature, one more part of the features, and nothing yet.
KERNELS = {
    (math.inf, True): (njit(lambda total, a, b: max(total, np.uint8(max(a, b) - min(a, b)))), _LARGER, np.uint8(0)),
    (1.0, True): (njit(lambda total, a, b: np.int32(total + abs(_levels_apart(a, b)))), _ADD, np.int32(0)),
    (2.0, True): (njit(lambda total, a, b: np.int32(total + np.int32(_levels_apart(a, b) ** 2))), _ADD, np.int32(0)),
    (math.inf, False): (njit(lambda total, a, b: max(total, abs(_apart(a, b)))), _LARGER, 0.0),
    (1.0, False): (njit(lambda total, a, b: total + abs(_apart(a, b))), _ADD, 0.0),
    (2.0, False): (njit(lambda total, a, b: total + _apart(a, b) ** 2), _ADD, 0.0),
}


@njit(nogil=True)
@no_type_check
def tile_values(step, merge, zero, rows, columns, tile):
    """Values of rows against columns, into `tile`, whose height is a multiple of 4; its other entries are undefined."""
    tile[:] = zero
    last = rows.shape[0] - 1
    for start in range(0, rows.shape[1], FEATURES_AT_ONCE):
        part = slice(start, start + FEATURES_AT_ONCE)
        for i in range(0, rows.shape[0], 4):
            a0, a1 = rows[i, part], rows[min(i + 1, last), part]
            a2, a3 = rows[min(i + 2, last), part], rows[min(i + 3, last), part]
            for j in range(columns.shape[0]):
                b = columns[j, part]
                t0 = t1 = t2 = t3 = zero
                for k in range(b.shape[0]):
                    t0 = step(t0, a0[k], b[k])
                    t1 = step(t1, a1[k], b[k])
                    t2 = step(t2, a2[k], b[k])
                    t3 = step(t3, a3[k], b[k])
                tile[i, j] = merge(tile[i, j], t0)
                tile[i + 1, j] = merge(tile[i + 1, j], t1)
                tile[i + 2, j] = merge(tile[i + 2, j], t2)
                tile[i + 3, j] = merge(tile[i + 3, j], t3)


@njit
@no_type_check
def _bin_of(bins, value):
    if bins.guide.shape[0] == 0:
        return np.int64(value)
    cell = np.int64(value * bins.cells_per_unit)
    low, high = bins.guide[cell], bins.guide[cell + 1]
    while low < high:
        middle = (low + high) // 2
        if bins.edges[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low


@njit(nogil=True)
@no_type_check
def _count_block(step, merge, zero, pairs, bins, block, counts, tile):
    for row in range(block.row_start, block.row_stop, TILE):
        rows = slice(row, min(row + TILE, block.row_stop))
        for column in range(block.column_start, block.column_stop, TILE):
            columns = slice(column, min(column + TILE, block.column_stop))
            if pairs.within and columns.stop <= rows.start + 1:
                continue
            tile_values(step, merge, zero, pairs.rows[rows], pairs.columns[columns], tile)
            _count_tile(pairs, bins, block, counts, tile, rows, columns)


@njit
@no_type_check
def _count_tile(pairs, bins, block, counts, tile, rows, columns):
    # Views of this tile's part, and locals for what a row needs: the inner loop does nothing but count.
    labels = pairs.column_labels[columns]
    within_block = slice(columns.start - block.column_start, columns.stop - block.column_start)
    column_nearest, column_neighbor = counts.column_nearest[within_block], counts.column_neighbor[within_block]
    different, same = counts.histogram
    for i in range(rows.start, rows.stop):
        label, values = pairs.row_labels[i], tile[i - rows.start]
        minima = counts.class_minima[label]
        nearest = counts.row_nearest[i - block.row_start]
        neighbor = counts.row_neighbor[i - block.row_start]
        for j in range(max(0, i + 1 - columns.start) if pairs.within else 0, labels.shape[0]):
            value, other = values[j], labels[j]
            if label == other:
                same[_bin_of(bins, value)] += 1
                continue
            different[_bin_of(bins, value)] += 1
            if value < nearest:
                nearest, neighbor = value, columns.start + j
            if value < column_nearest[j]:
                column_nearest[j], column_neighbor[j] = value, i
            if value < minima[other]:
                minima[other] = value
        counts.row_nearest[i - block.row_start] = nearest
        counts.row_neighbor[i - block.row_start] = neighbor


def value_matrix(pairs: Pairs) -> Values:
    """Values of every row against every column, all at once."""
    whole_groups = -(-len(pairs.rows) // 4) * 4
    matrix: Values = np.empty((whole_groups, len(pairs.columns)), pairs.unit.dtype)
    tile_values(*KERNELS[pairs.exponent, pairs.unit.whole], pairs.rows, pairs.columns, matrix)
    return matrix[: len(pairs.rows)]


def workers(pairs: Pairs, bins: Bins, block_size: int) -> list[Worker]:
    """One worker for every core that this process may use."""
    kernel = KERNELS[pairs.exponent, pairs.unit.whole]

    def count(block: Block) -> Counts:
        counts = no_counts(pairs, bins.edges, block)
        tile: Values = np.empty((TILE, TILE), pairs.unit.dtype)
        _count_block(*kernel, pairs, bins, block, counts, tile)
        return counts

    return [count] * config.NUMBA_NUM_THREADS
