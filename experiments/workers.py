"""Sweeps as commands: one process per core, each with the command's own flags, and what they tell."""

import dataclasses
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

import jax

from lipjax.sweep import Place, Sweep, local, num_cores

from . import cli, progress

if TYPE_CHECKING:
    import xarray


@dataclasses.dataclass(frozen=True, kw_only=True)
class WorkerFlags:
    """Where the work is done."""

    store: str = cli.flag("runs", "Folder of the trainings, found there again by their settings.", recorded=False)
    num_workers: int = cli.flag(
        0, "Processes that share the work; default one per core, or one on an accelerator.", minimum=0, recorded=False
    )
    worker: int = cli.flag(-1, "Which of these processes this one is: the command says so to its own.", recorded=False)
    progress: bool | None = cli.flag(
        None, "Show progress; default a bar on terminals, elsewhere a line a minute.", recorded=False
    )


def completed(sweep: Sweep, config: WorkerFlags, command: str) -> "tuple[xarray.Dataset, dict[str, str]]":
    """Computes what is missing of a sweep, in as many processes as the flags say.

    Returns:
        The answers of all cells that are finished, and why others failed.

    Raises:
        Incomplete: If no cell is finished.
    """
    cores = num_cores() if jax.default_backend() == "cpu" else 1
    count = min(config.num_workers or cores, len(sweep.unfinished()))
    with progress.bar(config.progress) as tell:
        failures = _share(sweep, config, command, count, tell) if count > 1 else sweep.work(tell)
    if len(failures) == len(sweep.places):
        refuse(failures)
    return sweep.answers(), failures


def refuse(failures: Mapping[str, str]) -> None:
    """Raises Incomplete, with the reasons, if cells failed."""
    if failures:
        reasons = "\n".join(f"  {label}: {problem}" for label, problem in failures.items())
        raise cli.Incomplete(f"{len(failures)} failed, the same command tries again what may succeed:\n{reasons}")


def is_worker(config: WorkerFlags) -> bool:
    """Whether this process is one of several that a command started."""
    return config.worker >= 0


def work(sweep: Sweep, config: WorkerFlags) -> dict[str, str]:
    """The share of one of several processes: it begins where the others do not."""
    return sweep.work(report=_say, first=config.worker * len(sweep.places) // max(config.num_workers, 1))


def _say(place: Place, problem: str | None) -> None:
    """A line for the process that listens; where that is gone, writing ends this one too."""
    print("finished", place.label, problem or "", sep="\t", flush=True)


def _share(sweep: Sweep, config: WorkerFlags, command: str, count: int, tell: progress.Progress) -> dict[str, str]:
    own = [dataclasses.replace(config, num_workers=count, worker=index, progress=False) for index in range(count)]
    commands = [[sys.executable, "-m", f"{__package__}.{command}", *cli.arguments(one)] for one in own]
    finished: dict[str, str] = {}
    lost: dict[str, str] = {}
    for index, said in local(commands):
        if isinstance(said, int) and said:
            lost[f"process {index}"] = f"ended with status {said}; the same command continues"
        elif isinstance(said, str) and said.startswith("finished\t"):
            _, label, problem = said.split("\t", 2)
            finished[label] = problem
            tell(f"{len(finished)} of {len(sweep.places)}, {label}", len(finished) / len(sweep.places))
    return {label: problem for label, problem in finished.items() if problem} | lost
