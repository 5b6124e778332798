"""What all statistics read, checked before any compute: values, one per network, and designs."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

import numpy as np
from jaxtyping import Float, Int, Shaped
from numpy.typing import ArrayLike

from lipjax import checks

Values: TypeAlias = Float[np.ndarray, " networks"]
Codes: TypeAlias = Int[np.ndarray, " networks"]
Column: TypeAlias = Shaped[np.ndarray, " networks"]
Settings: TypeAlias = Mapping[str, ArrayLike]
"""Numbers or words, one per network, by name: a design, or what is to be adjusted for."""


def values(**named: ArrayLike) -> list[Values]:
    """The arguments as floats; ValueError unless all are finite and of one length, two networks or more.

    Examples:
        >>> values(measure=[1, 2], target=[0.5])
        Traceback (most recent call last):
        ValueError: target must have one value for each of 2 networks, got the shape (1,)
    """
    num_networks = np.size(next(iter(named.values())))
    checks.at_least(2, number_of_networks=num_networks)
    return [array.astype(float) for array in columns(named, num_networks)]


def columns(settings: Settings, num_networks: int) -> list[Column]:
    """The settings as arrays of floats or words; ValueError unless each network has a finite number or a word."""
    arrays = {name: checks.array(name, value) for name, value in settings.items()}
    for name, array in arrays.items():
        if array.shape != (num_networks,):
            raise ValueError(
                f"{name} must have one value for each of {num_networks} networks, got the shape {array.shape}"
            )
        if array.dtype.kind in "biuf":
            checks.inside(None, **{name: array})
    return [array.astype(float if array.dtype.kind in "biuf" else str) for array in arrays.values()]


def ranks(values: Float[np.ndarray, "networks ..."]) -> Float[np.ndarray, "networks ..."]:
    """Ranks along the first axis, ties shared, mapped to [-1, 1]."""
    import scipy.stats

    return (2 * scipy.stats.rankdata(values, axis=0) - 1 - len(values)) / (len(values) - 1)


def weighted_ranks(column: Values, weights: Float[np.ndarray, "resamples networks"]) -> Float[np.ndarray, "..."]:
    """`ranks` of a column in which each network counts as often as it weighs, for many weightings at once.

    Examples:
        >>> weighted_ranks(np.array([5.0, 7.0]), np.array([[1.0, 1.0], [3.0, 1.0]]))
        array([[-1.        ,  1.        ],
               [-0.33333333,  1.        ]])
    """
    levels, level = np.unique(column, return_inverse=True)
    masses = weights @ np.eye(len(levels))[level]
    middle = np.cumsum(masses, axis=1) - (masses - 1) / 2
    count = weights.sum(axis=1, keepdims=True)
    return ((2 * middle - 1 - count) / (count - 1))[:, level]


def numbers(column: Column) -> Float[np.ndarray, "networks _"]:
    """A number's ranks, or indicators of all words but the first."""
    if column.dtype.kind == "f":
        return ranks(column[:, None])
    return (column[:, None] == np.unique(column)[1:]).astype(float)


def lines(design: Settings, num_networks: int) -> dict[str, tuple[Codes, Codes]]:
    """By axis of the design, the line along it that each network is on (all other axes fixed), and its level there."""
    if not design:
        raise ValueError("design must have at least one axis, got none")
    levels = [np.unique(column, return_inverse=True)[1] for column in columns(design, num_networks)]
    others = [cells(levels[:axis] + levels[axis + 1 :], num_networks) for axis in range(len(levels))]
    return dict(zip(design, zip(others, levels, strict=True), strict=True))


def cells(axes: Sequence[Codes], num_networks: int) -> Codes:
    """The number of the cell that each network is in: equal where all axes are; all 0 without axes."""
    stacked = np.stack([np.zeros(num_networks, int), *axes])
    return np.unique(stacked, axis=1, return_inverse=True)[1].reshape(-1)


def mean_of_defined(parts: Iterable[float]) -> float:
    """The mean of those that are not NaN; NaN if none is."""
    defined = [part for part in parts if not np.isnan(part)]
    return float(np.mean(defined)) if defined else np.nan
