"""Identical inputs with different targets: no Lipschitz constant allows them."""

import hashlib
import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Int64, Num

from lipjax.compatibility.units import Features

MOST_LISTED = 100_000


def conflicting_pairs(
    rows: Features, columns: Features, differ: Callable[[int, int], bool], *, within: bool
) -> Int64[np.ndarray, "conflicts 2"]:
    """Pairs of a row and an identical column whose targets differ, at most MOST_LISTED of them, by ascending indices.

    Args:
        rows: Examples of the first set.
        columns: Examples of the second set.
        differ: Whether the targets of row i and column j differ.
        within: Both sets are the same one: only pairs i < j.

    Returns:
        Indices of rows and columns.
    """
    same = defaultdict(list)
    for j, column in enumerate(columns):
        same[_content(column)].append(j)

    def pairs() -> Iterator[tuple[int, int]]:
        for i, row in enumerate(rows):
            for j in same.get(_content(row), ()):
                if (i < j or not within) and differ(i, j):
                    yield i, j

    listed = list(itertools.islice(pairs(), MOST_LISTED))
    return np.array(listed, np.int64).reshape(-1, 2)


def _content(example: Num[np.ndarray, " features"]) -> bytes:
    without_sign_of_zero = example + example.dtype.type(0)
    return hashlib.blake2b(without_sign_of_zero.data, digest_size=16).digest()
