"""An experiment as a list of named tasks: each is computed once, and the time that is left is shown."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from tqdm import tqdm

from lipjax.records import Journal

Advance = Callable[[float], Any]


class Task(NamedTuple):
    """One entry of the journal.

    Attributes:
        name: Its name there.
        cost: What it takes, in gradients of one image: the unit of the progress bar.
        compute: `(advance) -> result`, which may call `advance(cost)` while its work goes on.
    """

    name: str
    cost: float
    compute: Callable[[Advance], Any]


def perform(tasks: Sequence[Task], journal: Journal, *, progress: bool | None = None) -> dict[str, Any]:
    """The results of tasks by name, in terms of JSON.

    Args:
        tasks: What to compute, in this order.
        journal: Has the results of earlier processes, which are not computed again, and gets the new ones.
        progress: Whether to show a progress bar on stderr; None shows it on terminals only.

    Example:
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     journal = Journal(pathlib.Path(folder) / "journal.json")
        ...     perform([Task("sum", 1.0, lambda advance: 1 + 1)], journal, progress=False)
        {'sum': 2}
    """
    done = [task.name in journal for task in tasks]
    known = sum(task.cost for task, is_done in zip(tasks, done, strict=True) if is_done)
    layout = "{desc}: {percentage:3.0f}%|{bar:30}| {elapsed} so far, {remaining} left"
    with tqdm(
        total=sum(task.cost for task in tasks),
        initial=known,
        bar_format=layout,
        disable=None if progress is None else not progress,
    ) as bar:
        results = {}
        for task, is_done in zip(tasks, done, strict=True):
            bar.set_description(task.name)
            before = bar.n
            results[task.name] = journal.get(task.name, partial(task.compute, bar.update))
            if not is_done:
                bar.update(before + task.cost - bar.n)
    return results
