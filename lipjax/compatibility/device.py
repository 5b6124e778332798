"""The counts as an XLA program: what runs on accelerators, a worker per device.

The values of a block grow by a few features at a time, in one fused loop over all of its pairs; the histogram is summed
from several partial ones, so that few pairs at a time want the same counter.
"""

import math
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Int, Int32, UInt8

from lipjax.compatibility.bins import Bins
from lipjax.compatibility.blocks import Block, Counts, Indices, Labels, Pairs, Worker
from lipjax.compatibility.units import Features, Values

FEATURES_AT_ONCE = 32
NUM_COUNTERS = 2**22
NONE = np.iinfo(np.int32).max
"""Stands for no pair, where all values are smaller."""

Matrix = Int32[Array, "rows columns"]

STEPS: dict[float, Callable[[Matrix, Matrix], Matrix]] = {
    math.inf: lambda total, difference: jnp.maximum(total, jnp.abs(difference)),
    1.0: lambda total, difference: total + jnp.abs(difference),
    2.0: lambda total, difference: total + difference**2,
}


def can_count(pairs: Pairs, bins: Bins, block_size: int) -> bool:
    """Whether the inputs are images, with values and counts of a block that fit in 32 bits."""
    return pairs.unit.whole and max(int(bins.edges[-1]), block_size**2) < NONE


def workers(pairs: Pairs, bins: Bins, block_size: int) -> list[Worker]:
    """One worker for every device of this process.

    Raises:
        ValueError: If `can_count` is false.
    """
    if not can_count(pairs, bins, block_size):
        raise ValueError("only images can be counted here, in blocks and with values under 2^31: use host.workers")
    rows = _padded(pairs.rows, pairs.row_labels, block_size)
    columns = rows if pairs.within else _padded(pairs.columns, pairs.column_labels, block_size)
    edges = np.zeros(0, np.int32) if len(bins.guide) == 0 else bins.edges.astype(np.int32)
    program = jax.jit(partial(_count, pairs, len(bins.edges), block_size))
    return [_worker(program, jax.device_put((*rows, *columns, edges), device)) for device in jax.local_devices()]


def _padded(features: Features, labels: Labels, size: int) -> tuple[UInt8[np.ndarray, "..."], Int32[np.ndarray, "..."]]:
    """Examples filled up to whole blocks, with the label -1, and features to whole steps."""
    num_examples, num_features = features.shape
    rest = -num_examples % size
    filled = np.pad(features, ((0, rest), (0, -num_features % FEATURES_AT_ONCE)))
    return filled, np.pad(labels.astype(np.int32), (0, rest), constant_values=-1)


def _worker(program: Callable, data: tuple[Array, ...]) -> Worker:
    def count(block: Block) -> Counts:
        counts = Counts(*jax.device_get(program(*data, block.row_start, block.column_start)))
        height, width = block.row_stop - block.row_start, block.column_stop - block.column_start
        return Counts(
            counts.histogram.astype(np.int64),
            _values(counts.row_nearest[:height]),
            _neighbors(counts.row_nearest, counts.row_neighbor, block.column_start)[:height],
            _values(counts.column_nearest[:width]),
            _neighbors(counts.column_nearest, counts.column_neighbor, block.row_start)[:width],
            _values(counts.class_minima),
        )

    return count


def _values(values: Int32[np.ndarray, "..."]) -> Values:
    return np.where(values == NONE, np.iinfo(np.int64).max, values.astype(np.int64))


def _neighbors(nearest: Int32[np.ndarray, " n"], neighbor: Int32[np.ndarray, " n"], start: int) -> Indices:
    return np.where(nearest == NONE, -1, neighbor.astype(np.int64) + start)


def _count(
    pairs: Pairs,
    num_bins: int,
    size: int,
    rows: UInt8[Array, "rows features"],
    row_labels: Int32[Array, " rows"],
    columns: UInt8[Array, "columns features"],
    column_labels: Int32[Array, " columns"],
    edges: Int32[Array, " edges"],
    row_start: Int[Array, ""],
    column_start: Int[Array, ""],
) -> tuple[Array, ...]:
    """Counts of a block of `size` rows and columns; neighbours are counted from the start of the block."""
    features = [lax.dynamic_slice_in_dim(*part, size) for part in ((rows, row_start), (columns, column_start))]
    labels = lax.dynamic_slice_in_dim(row_labels, row_start, size)[:, None]
    others = lax.dynamic_slice_in_dim(column_labels, column_start, size)[None, :]
    i, j = row_start + jnp.arange(size)[:, None], column_start + jnp.arange(size)[None, :]

    values = _values_of_pairs(STEPS[pairs.exponent], *features)
    counted = (labels >= 0) & (others >= 0) & ((i < j) | (not pairs.within))
    nearest = jnp.where(counted & (labels != others), values, NONE)
    by_row = jnp.full((size, pairs.num_classes), NONE).at[jnp.arange(size)[:, None], others].min(nearest)
    return (
        _histograms(jnp.searchsorted(edges, values) if edges.size else values, labels == others, counted, num_bins),
        nearest.min(axis=1),
        nearest.argmin(axis=1),
        nearest.min(axis=0),
        nearest.argmin(axis=0),
        jnp.full((pairs.num_classes, pairs.num_classes), NONE).at[labels[:, 0]].min(by_row),
    )


def _values_of_pairs(
    step: Callable[[Matrix, Matrix], Matrix],
    rows: UInt8[Array, "rows features"],
    columns: UInt8[Array, "columns features"],
) -> Matrix:
    def in_steps(features: UInt8[Array, "examples features"]) -> UInt8[Array, "steps few examples"]:
        return features.T.reshape(-1, FEATURES_AT_ONCE, features.shape[0])

    def add_features(
        total: Matrix, few: tuple[UInt8[Array, "few rows"], UInt8[Array, "few columns"]]
    ) -> tuple[Matrix, None]:
        for row_feature, column_feature in zip(*few, strict=True):
            total = step(total, row_feature[:, None].astype(jnp.int32) - column_feature[None, :].astype(jnp.int32))
        return total, None

    start = jnp.zeros((rows.shape[0], columns.shape[0]), jnp.int32)
    return lax.scan(add_features, start, (in_steps(rows), in_steps(columns)))[0]


def _histograms(
    bins: Matrix, same: Bool[Array, "rows columns"], counted: Bool[Array, "rows columns"], num_bins: int
) -> Int32[Array, "2 bins"]:
    copies = max(1, min(bins.shape[0], NUM_COUNTERS // (2 * num_bins)))
    copy = jnp.broadcast_to((jnp.arange(bins.shape[0]) % copies)[:, None], bins.shape)
    outside = jnp.where(counted, bins, num_bins)
    counters = jnp.zeros((copies, 2, num_bins), jnp.int32)
    return counters.at[copy, same.astype(jnp.int32), outside].add(1, mode="drop").sum(axis=0)
