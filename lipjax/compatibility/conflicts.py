"""Identical inputs with different targets: no Lipschitz constant allows them."""

import hashlib
import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from jaxtyping import Int64, Num

MOST_LISTED = 100_000


def conflicting_pairs(
    pairs: Any, differ: Callable[[int, int], bool], *, exist: bool = True
) -> Int64[np.ndarray, "conflicts 2"]:
    """Indices of identical `rows` and `columns` whose targets differ, ascending, at most MOST_LISTED pairs.

    Only those with i < j if they are `within` one set, and none unless they `exist`.
    """
    same = defaultdict(list)
    for j, column in enumerate(pairs.columns if exist else ()):
        same[_content(column)].append(j)

    def found() -> Iterator[tuple[int, int]]:
        for i, row in enumerate(pairs.rows if exist else ()):
            for j in same.get(_content(row), ()):
                if (i < j or not pairs.within) and differ(i, j):
                    yield i, j

    listed = list(itertools.islice(found(), MOST_LISTED))
    return np.array(listed, np.int64).reshape(-1, 2)


def _content(example: Num[np.ndarray, " features"]) -> bytes:
    without_sign_of_zero = example + example.dtype.type(0)
    return hashlib.blake2b(without_sign_of_zero.data, digest_size=16).digest()
