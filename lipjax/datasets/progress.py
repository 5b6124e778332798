"""A progress bar for what may take long, silent otherwise."""

from collections.abc import Iterable
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")


def progress(items: Iterable[T], title: str) -> Iterable[T]:
    """The items; on a terminal, after two seconds, with a bar on stderr that goes away at the end."""
    return tqdm(items, title, delay=2, leave=False, disable=None)
