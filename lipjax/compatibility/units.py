"""What is counted: whole numbers wherever the inputs are images, so that no count depends on rounding.

Images are uint8 levels, a distance is then a whole number of levels (its square for l2), and a threshold becomes the
largest whole number that it admits. Other inputs are counted as they are, in double precision.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Array, ArrayLike, Float, Num, Shaped, UInt8

from lipjax import checks
from lipjax.norms import Norm

LEVELS = 255
TOLERANCE = 1e-12
"""A distance within this relative distance of a threshold counts as equal to it: 1 / alpha and 2 r are rounded."""

ROWS_AT_ONCE = 1024

Features = Num[np.ndarray, "_ _"]
Numbers: TypeAlias = ArrayLike | Sequence[float]
Values = Num[np.ndarray, "..."]
"""Counted values: whole numbers, or floats."""


# By the norm's exponent: the largest counted value, given the largest difference of every feature.
LARGEST: dict[float, Callable[[Float[np.ndarray, " features"]], np.floating]] = {
    math.inf: np.max,
    1.0: np.sum,
    2.0: lambda differences: np.sum(differences**2),
}


class Unit(NamedTuple):
    """What a counted value stands for."""

    levels: int  # number of steps in an input distance of 1
    power: int  # counted is the distance, in steps, to this power
    whole: bool  # whether all values are whole numbers

    @property
    def dtype(self) -> type:
        """Type of values."""
        return np.int64 if self.whole else np.float64

    @property
    def none(self) -> int | float:
        """The value that says that there is no pair: larger than all others."""
        return np.iinfo(np.int64).max if self.whole else np.inf

    def distance(self, values: Values) -> Float[np.ndarray, "..."]:
        """Distances in input units; infinite where there is no pair."""
        roots = np.sqrt(values) if self.power == 2 else values
        return np.where(values == self.none, np.inf, roots / self.levels)

    def last_within(self, distance: Numbers, *, strict: bool) -> Values | np.number:
        """The largest value whose distance is at most (if strict, less than) the given one."""
        exact = np.multiply(distance, self.levels, dtype=np.float64) ** self.power
        limit = exact * (1 - TOLERANCE if strict else 1 + TOLERANCE)
        if not self.whole:
            return limit
        return np.minimum(np.ceil(limit) - 1 if strict else np.floor(limit), 2.0**62).astype(np.int64)


def unit_of(norm: Norm, features: Features) -> Unit:
    """What values of these features stand for: in l2 squared distances, so whole numbers for images."""
    whole = features.dtype == np.uint8
    return Unit(LEVELS if whole else 1, 2 if norm.exponent == 2.0 else 1, whole)


def flat(inputs: Shaped[Array | np.ndarray, "_ ..."]) -> Features:
    """Inputs as a matrix with a row per example: uint8, or finite floats.

    Raises:
        ValueError: If they are neither, or if there are none.
    """
    array = checks.array("inputs", inputs)
    if array.ndim == 0 or len(array) == 0:
        raise ValueError("inputs must hold at least one example, got none")
    if np.issubdtype(array.dtype, np.floating):
        array = array.astype(np.promote_types(array.dtype, np.float32), copy=False)
        if not np.all(np.isfinite([array.min(), array.max()])):
            raise ValueError("inputs must be finite, got NaN or infinite entries")
    elif array.dtype != np.uint8:
        raise ValueError(f"inputs must be uint8 levels or floats, got {array.dtype}")
    return np.ascontiguousarray(array.reshape(len(array), -1))


def levels_of(features: Features) -> UInt8[np.ndarray, "_ _"] | None:
    """The uint8 levels of pixels k / 255; None if the features are not all of that form, up to rounding."""
    if features.dtype == np.uint8:
        return features
    tolerance = 2 * LEVELS * np.finfo(np.float32).eps
    levels = np.empty(features.shape, np.uint8)
    for start in range(0, len(features), ROWS_AT_ONCE):
        scaled = features[start : start + ROWS_AT_ONCE] * LEVELS
        nearest = np.rint(scaled)
        if not np.all((np.abs(scaled - nearest) <= tolerance) & (nearest >= 0) & (nearest <= LEVELS)):
            return None
        levels[start : start + ROWS_AT_ONCE] = nearest
    return levels


def comparable(*sets: Features) -> tuple[Features, ...]:
    """The sets as levels if all of them are images, and as floats otherwise."""
    if len({part.shape[1] for part in sets}) > 1:
        raise ValueError(f"the sets have different numbers of features: {[part.shape[1] for part in sets]}")
    levels = [part for part in map(levels_of, sets) if part is not None]
    if len(levels) == len(sets):
        return tuple(levels)
    return tuple(part / LEVELS if part.dtype == np.uint8 else part for part in sets)


def largest_value(exponent: float, *sets: Features) -> float:
    """A value that none between examples of these sets exceeds; for images, the largest that images can have."""
    if sets[0].dtype == np.uint8:
        return float(LARGEST[exponent](np.full(sets[0].shape[1], float(LEVELS))))
    highest = np.max([features.max(axis=0) for features in sets], axis=0).astype(np.float64)
    lowest = np.min([features.min(axis=0) for features in sets], axis=0).astype(np.float64)
    return float(LARGEST[exponent](highest - lowest)) * (1 + 1e-9)
