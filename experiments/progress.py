"""What a command tells of its progress: one bar over all of its work."""

from collections.abc import Iterator
from contextlib import contextmanager

from lipjax.measurements.measure import Told


@contextmanager
def bar(total: float, shown: bool | None = None) -> Iterator[Told]:
    """Work in gradients of one image, shown as a bar on stderr.

    Args:
        total: All the work there is.
        shown: Whether to show the bar; None shows it on terminals only.
    """
    from tqdm import tqdm

    layout = "{desc}{percentage:3.0f}%|{bar:30}| {elapsed} so far, {remaining} left"
    with tqdm(total=1.0, bar_format=layout, disable=None if shown is None else not shown) as shown_bar:

        def tell(what: str, share: float) -> None:
            shown_bar.set_description(what, refresh=False)
            shown_bar.update(share - shown_bar.n)

        yield Told(tell, total)
