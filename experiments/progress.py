"""What a command tells of its progress: a bar on a terminal, elsewhere a line a minute."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from lipjax.measurements.measure import Progress

PACE = 60.0
"""Seconds between two lines."""


@contextmanager
def bar(shown: bool | None = None) -> Iterator[Progress]:
    """Work as a share of all work, with the time left, on stderr.

    Args:
        shown: Whether to show anything; None shows a bar on terminals and lines elsewhere.

    Yields:
        `tell(what is done, share of all work)`.
    """
    from tqdm import tqdm

    on_terminal = sys.stderr.isatty()
    layout = "{desc}{percentage:3.0f}%|{bar:30}| {elapsed} so far, {remaining} left"
    with tqdm(total=1.0, bar_format=layout, disable=shown is False or not (on_terminal or shown)) as shown_bar:
        started = last = time.monotonic()

        def tell(what: str, share: float) -> None:
            nonlocal last
            shown_bar.set_description(what, refresh=False)
            shown_bar.update(share - shown_bar.n)
            now = time.monotonic()
            if shown is None and not on_terminal and now - last >= PACE:
                left = (now - started) * (1 - share) / max(share, 1e-9) / 60
                print(f"{100 * share:.0f} %: {what}; about {left:.0f} min left", file=sys.stderr, flush=True)
                last = now

        yield tell
