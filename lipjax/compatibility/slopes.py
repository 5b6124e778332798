"""Slopes that a dataset requires of a function: compatibility of Lipschitz constraints with any targets."""

from collections.abc import Callable
from typing import NamedTuple, no_type_check

import numpy as np
from jaxtyping import Array, Float64, Int64, Num
from numba import config, njit

from lipjax import checks
from lipjax.compatibility.blocks import Block, cut
from lipjax.compatibility.conflicts import conflicting_pairs
from lipjax.compatibility.host import KERNELS, TILE, tile_values
from lipjax.compatibility.run import Counting, count_blocks, journal_of
from lipjax.compatibility.units import TOLERANCE, Features, Numbers, Unit, Values, comparable, flat, unit_of
from lipjax.norms import Norm, linf
from lipjax.operators import is_plain


class Required(NamedTuple):
    """What some of the pairs require.

    Attributes:
        incompatible: Number of pairs that are incompatible with each constant `[alphas]`.
        largest: The largest slope that a pair requires, so the smallest compatible constant: infinite if identical
            inputs have different targets, 0 if no pair has different targets.
        pair: A pair that requires it `[2]`, the first one of several; -1 for none.
    """

    incompatible: Int64[np.ndarray, " alphas"]
    largest: float
    pair: Int64[np.ndarray, "2"]


class RequiredSlopes(NamedTuple):
    """Slopes `||y_i - y_j|| / ||x_i - x_j||` that the pairs of a dataset require.

    Attributes:
        alphas: The constants that were asked for `[alphas]`.
        anywhere: What all pairs require.
        within_radius: What the pairs require whose balls of the given radius meet, `||x_i - x_j|| <= 2 r`.
        different_target_pairs: Number of pairs with different targets; the others require nothing.
        conflicts: Pairs `[conflicts, 2]` of identical inputs with different targets, which require an infinite slope;
            the first 100,000 of them.
        seconds: How long the counting took.
    """

    alphas: Float64[np.ndarray, " alphas"]
    anywhere: Required
    within_radius: Required
    different_target_pairs: int
    conflicts: Int64[np.ndarray, "conflicts 2"]
    seconds: float


class Tally(NamedTuple):
    """Counts of all pairs (first entries), and of those within the radius (second entries)."""

    forbidden: Int64[np.ndarray, "2 counts"]  # pairs of different targets, by how many constants they forbid
    largest: Float64[np.ndarray, "2"]  # largest slope
    pair: Int64[np.ndarray, "2 2"]  # the pair that requires it


class Task(NamedTuple):
    """Pairs of a row with a column, whose inputs and targets are compared."""

    rows: Features  # inputs of the first set
    columns: Features  # inputs of the second set
    row_targets: Float64[np.ndarray, "rows targets"]  # targets of the first set
    column_targets: Float64[np.ndarray, "columns targets"]  # targets of the second set
    alphas: Float64[np.ndarray, " alphas"]  # constants, ascending
    within: bool  # whether both sets are the same one, whose pairs i < j count
    unit: Unit  # what a value of two inputs stands for
    unit_out: Unit  # what a value of two targets stands for
    last: float  # largest value of inputs that are within the radius


@njit
@no_type_check
def _distance(unit, value):
    return (np.sqrt(value) if unit.power == 2 else value) / unit.levels


@njit
@no_type_check
def _num_forbidden(alphas, distance, target_distance):
    low, high = 0, alphas.shape[0]
    while low < high:
        middle = (low + high) // 2
        if alphas[middle] * distance < target_distance:
            low = middle + 1
        else:
            high = middle
    return low


@njit
@no_type_check
def _note(tally, scope, forbidden, slope, i, j):
    tally.forbidden[scope, forbidden] += 1
    largest, (first, second) = tally.largest[scope], tally.pair[scope]
    if slope > largest or (slope == largest and (i < first or (i == first and j < second))):
        tally.largest[scope] = slope
        tally.pair[scope, 0], tally.pair[scope, 1] = i, j


@njit
@no_type_check
def _count_tile(task, tally, tile, target_tile, rows, columns):
    for i in range(rows.start, rows.stop):
        for j in range(max(columns.start, i + 1) if task.within else columns.start, columns.stop):
            value = tile[i - rows.start, j - columns.start]
            target_distance = _distance(task.unit_out, target_tile[i - rows.start, j - columns.start])
            if target_distance == 0:
                continue
            distance = _distance(task.unit, value)
            slope = target_distance / distance if distance > 0 else np.inf
            forbidden = _num_forbidden(task.alphas, distance, target_distance * (1 - TOLERANCE))
            _note(tally, 0, forbidden, slope, i, j)
            if value <= task.last:
                _note(tally, 1, forbidden, slope, i, j)


@njit(nogil=True)
@no_type_check
def _count_block(step, merge, zero, step_out, merge_out, zero_out, task, block, tally, tile, target_tile):
    for row in range(block.row_start, block.row_stop, TILE):
        rows = slice(row, min(row + TILE, block.row_stop))
        targets = task.row_targets[rows]
        for column in range(block.column_start, block.column_stop, TILE):
            columns = slice(column, min(column + TILE, block.column_stop))
            tile_values(step, merge, zero, task.rows[rows], task.columns[columns], tile)
            tile_values(step_out, merge_out, zero_out, targets, task.column_targets[columns], target_tile)
            _count_tile(task, tally, tile, target_tile, rows, columns)


def _nothing(num_alphas: int) -> Tally:
    return Tally(np.zeros((2, num_alphas + 1), np.int64), np.zeros(2), np.full((2, 2), -1))


def _absorb(total: Tally, block: Block, tally: Tally) -> None:
    np.add(total.forbidden, tally.forbidden, out=total.forbidden)
    for scope in range(2):
        mine, other = ((-part.largest[scope], *part.pair[scope]) for part in (total, tally))
        if other < mine:
            total.largest[scope], total.pair[scope] = tally.largest[scope], tally.pair[scope]


def _workers(task: Task, norm: Norm, norm_out: Norm) -> list[Callable[[Block], Tally]]:
    """One worker for every core that this process may use."""
    kernels = (*KERNELS[norm.exponent, task.unit.whole], *KERNELS[norm_out.exponent, False])

    def count(block: Block) -> Tally:
        tally = _nothing(len(task.alphas))
        tile: Values = np.empty((TILE, TILE), task.unit.dtype)
        _count_block(*kernels, task, block, tally, tile, np.empty((TILE, TILE)))
        return tally

    return [count] * config.NUMBA_NUM_THREADS


def required_slopes(
    inputs: Num[Array | np.ndarray, "examples ..."],
    targets: Num[Array | np.ndarray, "targets ..."],
    norm: Norm = linf,
    norm_out: Norm = linf,
    *,
    alphas: Numbers,
    radius: float | None = None,
    other: tuple | None = None,
    counting: Counting = Counting(),  # noqa: B008
) -> RequiredSlopes:
    """Counts the pairs that no alpha-Lipschitz function can fit, for any targets: scores, soft labels, embeddings.

    The pair i, j requires the slope `||y_i - y_j|| / ||x_i - x_j||`, and is incompatible with alpha if
    `alpha ||x_i - x_j|| < ||y_i - y_j||`, strictly; equality is up to a relative 1e-12. Identical inputs with different
    targets require an infinite slope; pairs with equal targets require nothing. With one-hot targets and
    `norm_out=linf` the counts are those of `pair_distances`.

    Runs on the processors of all processes, in memory that does not grow with the number of pairs.

    Args:
        inputs: Examples `[examples, ...]`: uint8 levels, pixels in [0, 1], or any other floats.
        targets: What the function should be there `[examples, ...]`.
        norm: Norm of differences of inputs: linf, l2 or l1.
        norm_out: Norm of differences of targets: linf, l2 or l1.
        alphas: Lipschitz constants whose counts are asked for.
        radius: Radius of the restriction, in input units: pairs whose closed balls of this radius meet are also counted
            apart. None restricts nothing.
        other: Inputs and targets of a second set, to count pairs between the two sets.
        counting: In which blocks the pairs are counted, with a journal and progress. The backend is always the host's.

    Returns:
        The counts, in the order of `alphas`. They do not depend on `counting` or on interruptions.

    Raises:
        ValueError: If there are no examples, inputs and targets do not match, anything is not finite, a constant or the
            radius is negative, or block_size is not a whole number of at least 1.

    Examples:
        >>> inputs, scores = np.array([[0.0], [0.2], [1.0]]), np.array([0.1, 0.9, 0.9])
        >>> slopes = required_slopes(inputs, scores, alphas=[0.5, 1.0, 5.0])
        >>> slopes.anywhere.incompatible
        array([2, 1, 0])
        >>> slopes.anywhere.largest, slopes.anywhere.pair
        (4.0, array([0, 1]))
    """
    checks.of_type(Counting, counting=counting)
    counting.check()
    constants = np.atleast_1d(np.asarray(alphas, np.float64))
    checks.not_negative(alphas=constants, radius=0.0 if radius is None else radius)
    sets = [(inputs, targets)] if other is None else [(inputs, targets), other]
    ascending, order = np.unique(constants, return_inverse=True)
    task = _task(sets, norm, norm_out, ascending, radius)
    tally, seconds = count_blocks(
        cut(len(task.rows), len(task.columns), counting.block_size, within=task.within),
        _workers(task, norm, norm_out),
        _nothing(len(ascending)),
        _absorb,
        journal=journal_of(counting.journal_dir, *task, norm, norm_out, counting.block_size),
        within=task.within,
        progress=counting.progress,
    )
    pairs = int(tally.forbidden[0].sum())
    anywhere, within_radius = (_required(tally, scope, order) for scope in range(2))
    conflicts = conflicting_pairs(
        task,
        lambda i, j: bool(np.any(task.row_targets[i] != task.column_targets[j])),
        exist=not np.isfinite(tally.largest[0]),
    )
    return RequiredSlopes(ascending[order], anywhere, within_radius, pairs, conflicts, seconds)


def _task(
    sets: list[tuple], norm: Norm, norm_out: Norm, alphas: Float64[np.ndarray, " alphas"], radius: float | None
) -> Task:
    is_plain(norm=norm, norm_out=norm_out)
    inputs = comparable(*(flat(examples) for examples, _ in sets))
    targets = [np.asarray(part, np.float64).reshape(len(part), -1) for _, part in sets]
    if [len(part) for part in inputs] != [len(part) for part in targets]:
        raise ValueError(f"inputs and targets must be as many, got {[(len(x), len(y)) for x, y in sets]}")
    if not all(np.all(np.isfinite(part)) for part in targets):
        raise ValueError("targets must be finite, got NaN or infinite entries")
    unit, unit_out = unit_of(norm, inputs[0]), unit_of(norm_out, targets[0])
    last = unit.last_within(np.inf if radius is None else 2 * radius, strict=False)
    return Task(inputs[0], inputs[-1], targets[0], targets[-1], alphas, len(sets) == 1, unit, unit_out, float(last))


def _required(tally: Tally, scope: int, order: Int64[np.ndarray, " alphas"]) -> Required:
    forbid_more = np.cumsum(tally.forbidden[scope, ::-1])[::-1][1:]
    return Required(forbid_more[order], float(tally.largest[scope]), tally.pair[scope])
