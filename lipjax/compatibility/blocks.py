"""The pairs to count, cut into blocks, and the counts of a block: what a worker receives and returns."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64, Shaped

from lipjax.compatibility.bins import Bins, Edges
from lipjax.compatibility.units import Features, Unit, Values

Labels = Int64[np.ndarray, " _"]
Indices = Int64[np.ndarray, " _"]


class Pairs(NamedTuple):
    """All pairs of a row with a column; if `within`, rows and columns are one set and only pairs i < j count."""

    exponent: float  # the p of the lp norm
    unit: Unit  # what values stand for
    rows: Features  # examples of the first set
    row_labels: Labels  # their classes, as indices from 0
    columns: Features  # examples of the second set
    column_labels: Labels  # their classes
    within: bool  # whether both sets are the same one
    num_classes: int  # number of classes

    @property
    def num_pairs(self) -> int:
        """Number of pairs."""
        return Block(0, len(self.rows), 0, len(self.columns)).num_pairs(self.within)


class Block(NamedTuple):
    """A rectangle of the matrix of pairs."""

    row_start: int
    row_stop: int
    column_start: int
    column_stop: int

    @property
    def rows(self) -> slice:
        """Its rows."""
        return slice(self.row_start, self.row_stop)

    @property
    def columns(self) -> slice:
        """Its columns."""
        return slice(self.column_start, self.column_stop)

    def num_pairs(self, within: bool) -> int:
        """Number of its pairs; for a block of one set that holds the diagonal, of those above the diagonal."""
        height, width = self.row_stop - self.row_start, self.column_stop - self.column_start
        on_diagonal = within and self.row_start == self.column_start
        return height * (height - 1) // 2 if on_diagonal else height * width


def cut(num_rows: int, num_columns: int, size: int, *, within: bool) -> list[Block]:
    """Blocks that cover all pairs once; of one set, those on and above the diagonal."""
    return [
        Block(row, min(row + size, num_rows), column, min(column + size, num_columns))
        for row in range(0, num_rows, size)
        for column in range(row if within else 0, num_columns, size)
    ]


class Counts(NamedTuple):
    """What is known of a block, or of all blocks so far."""

    histogram: Int64[np.ndarray, "2 bins"]  # number of pairs `[2, bins]`: of different classes, of the same class
    row_nearest: Values  # smallest value to a column of another class, per row
    row_neighbor: Indices  # the column that has it, the first one of several; -1 for none
    column_nearest: Values  # smallest value to a row of another class, per column
    column_neighbor: Indices  # the row that has it, the first one of several; -1 for none
    class_minima: Shaped[np.ndarray, "classes classes"]  # smallest value between two classes


Worker = Callable[[Block], Counts]
Backend = Callable[[Pairs, Bins, int], list[Worker]]
"""`(pairs, bins, block_size) -> workers`, one for every core or device; each counts one block at a time."""


def no_counts(pairs: Pairs, edges: Edges, block: Block | None = None) -> Counts:
    """Counts before the first pair, of a block or of everything."""
    num_rows = len(pairs.rows[block.rows if block else slice(None)])
    num_columns = len(pairs.columns[block.columns if block else slice(None)])

    def unset(*shape: int) -> Values:
        return np.full(shape, pairs.unit.none, pairs.unit.dtype)

    return Counts(
        np.zeros((2, len(edges)), np.int64),
        unset(num_rows),
        np.full(num_rows, -1),
        unset(num_columns),
        np.full(num_columns, -1),
        unset(pairs.num_classes, pairs.num_classes),
    )


def absorb(total: Counts, block: Block, counts: Counts) -> None:
    """Adds the counts of a block to a total, in place. The order of blocks does not matter."""
    np.add(total.histogram, counts.histogram, out=total.histogram)
    np.minimum(total.class_minima, counts.class_minima, out=total.class_minima)
    rows, columns = block.rows, block.columns
    closer(total.row_nearest[rows], total.row_neighbor[rows], counts.row_nearest, counts.row_neighbor)
    closer(total.column_nearest[columns], total.column_neighbor[columns], counts.column_nearest, counts.column_neighbor)


def closer(nearest: Values, neighbor: Indices, other_nearest: Values, other_neighbor: Indices) -> None:
    """Keeps the nearer of two neighbours, the one of lower index where both are as near, in place."""
    tie = (other_nearest == nearest) & (other_neighbor < neighbor)
    better = (other_nearest < nearest) | tie
    nearest[better] = other_nearest[better]
    neighbor[better] = other_neighbor[better]
