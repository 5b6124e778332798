"""Inputs that are too many for the memory: read, and decoded, when rows of them are asked for."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Int, Shaped

from lipjax import checks


def is_large(num_bytes: int) -> bool:
    """Whether something takes more than half of this machine's memory, and so is better left where it is.

    Examples:
        >>> is_large(10)
        False
    """
    return num_bytes > checks.memory() / 2


class OnDisk:
    """Stands for an array of inputs: has its shape and its type, and reads rows as indexing asks for them.

    Args:
        read: The inputs at places, as an array `[places, ...]`.
        shape: Of all inputs.
        dtype: Of their entries.

    Examples:
        >>> squares = OnDisk(lambda places: places[:, None] ** 2, (1000, 1), np.int64)
        >>> squares[:3].tolist(), squares[-1], len(squares)
        ([[0], [1], [4]], array([998001]), 1000)
    """

    def __init__(self, read: Callable[[Int[np.ndarray, " places"]], np.ndarray], shape: tuple[int, ...], dtype: Any):
        self._read, self.shape, self.dtype, self.ndim = read, shape, np.dtype(dtype), len(shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> Shaped[np.ndarray, "..."]:
        rows, *rest = index if isinstance(index, tuple) else (index,)
        places = np.arange(len(self))[rows]
        found = self._read(places.reshape(-1)).reshape(*places.shape, *self.shape[1:])
        return found[(slice(None),) * places.ndim + tuple(rest)] if rest else found

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Shaped[np.ndarray, "..."]:
        checks.fits_memory("all inputs at once take", math.prod(self.shape) * self.dtype.itemsize)
        return np.asarray(self[:], dtype)

    def converted(self, convert: Callable[[np.ndarray], np.ndarray]) -> "OnDisk":
        """The same inputs with every row converted as it is read."""
        return OnDisk(lambda places: convert(self._read(places)), self.shape, convert(self._read(np.arange(1))).dtype)
