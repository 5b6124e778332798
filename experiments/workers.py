"""Sweeps as commands: processes or jobs, each with the command's own flags, and what they tell."""

import dataclasses
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import jax

from lipjax import checks
from lipjax.sweep import PACKS, Place, Sweep, local, num_cores, slurm

from . import cli, language, process, progress

if TYPE_CHECKING:
    import xarray


@dataclasses.dataclass(frozen=True, kw_only=True)
class WorkerFlags:
    """Where the work is done."""

    JOINS: ClassVar[bool] = False
    """Processes of a cluster share the cells, each of which one process trains."""

    store: str = cli.flag("runs", "Folder of the trainings, found there again by their settings.", recorded=False)
    num_workers: int = cli.flag(
        0, "Processes that share the work; default one per core, or one on an accelerator.", minimum=0, recorded=False
    )
    launcher: str = cli.flag(
        "local",
        "Where the work is done: local, or jobs of a cluster, slurm(num_jobs=8, minutes=120, gpus=1), which share the "
        "work, are requeued when their time is up, and are followed by one that writes the results.",
        recorded=False,
    )
    pack: str = cli.flag(
        "auto",
        "How trainings that differ in seeds and numbers only are made by one call: vmap, map (one after another within "
        "it), none, or auto: on accelerators as a trial says, on CPU none.",
        legal=[*PACKS],
        recorded=False,
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
    most = config.num_workers or (num_cores() if jax.default_backend() == "cpu" else 1)
    count = min(most, len(sweep.unfinished()))
    with progress.bar(config.progress) as tell:
        # One that is left has a process of its own too: several threads sum in another order than one.
        failures = _share(sweep, config, command, count, tell) if most > 1 and count else sweep.work(tell)
    if len(failures) == len(sweep.places):
        refuse(failures)
    return sweep.answers(), failures


def launcher(config: WorkerFlags) -> slurm | None:
    """The cluster that the flags choose; None for this machine.

    Raises:
        UsageError: If the flag can't be used.
    """
    with language.flag_errors("launcher"):
        if config.launcher == "local":
            return None
        chosen = language.build(config.launcher, {"slurm": slurm})
        checks.of_type(slurm, launcher=chosen)
        return chosen


def submit(sweep: Sweep, config: WorkerFlags, command: str) -> dict[str, list[str]]:
    """Submits what is missing of a sweep, and says what was submitted.

    Raises:
        UsageError: If the cluster refuses it.
    """
    chosen = launcher(config) or slurm()
    count = max(min(chosen.num_jobs, len(sweep.unfinished())), 1)
    here = dataclasses.replace(config, launcher="local", progress=False)
    folder = checks.path(config.store) / "slurm"
    with language.flag_errors("launcher"):
        jobs = chosen.submit(_commands(here, command, count), folder, command)
        after = jobs[0].partition("_")[0]
        last = chosen.submit([_words(command, dataclasses.replace(here, num_workers=1))], folder, command, after)
    print(
        f"submitted {command} as {', '.join(jobs)}; {last[0]} writes the results after them. squeue shows what waits,"
    )
    print(f"{folder} has what they print, and python -m experiments.list what is done.")
    return {"jobs": jobs + last}


def refuse(failures: Mapping[str, str]) -> None:
    """Raises Incomplete, with the reasons, if cells failed."""
    if failures:
        reasons = "\n".join(f"  {label}: {problem}" for label, problem in failures.items())
        raise process.Incomplete(f"{len(failures)} failed, the same command tries again what may succeed:\n{reasons}")


def is_worker(config: WorkerFlags) -> bool:
    """Whether this process is one of several that a command started."""
    return config.worker >= 0


def work(sweep: Sweep, config: WorkerFlags) -> dict[str, str]:
    """The share of one of several processes: it begins where the others do not."""
    return sweep.work(report=_say, share=(config.worker, max(config.num_workers, 1)))


def _say(place: Place, problem: str | None) -> None:
    """A line for the process that listens; where that is gone, writing ends this one too."""
    print("finished", place.label, problem or "", sep="\t", flush=True)


def _share(sweep: Sweep, config: WorkerFlags, command: str, count: int, tell: progress.Progress) -> dict[str, str]:
    finished: dict[str, str] = {}
    lost: dict[str, str] = {}
    for index, said in local(_commands(config, command, count)):
        if isinstance(said, int) and said:
            lost[f"process {index}"] = f"ended with status {said}; the same command continues"
        elif isinstance(said, str) and said.startswith("finished\t"):
            _, label, problem = said.split("\t", 2)
            finished[label] = problem
            tell(f"{len(finished)} of {len(sweep.places)}, {label}", len(finished) / len(sweep.places))
    return {label: problem for label, problem in finished.items() if problem} | lost


def _commands(config: WorkerFlags, command: str, count: int) -> list[list[str]]:
    own = [dataclasses.replace(config, num_workers=count, worker=index, progress=False) for index in range(count)]
    return [_words(command, one) for one in own]


def _words(command: str, config: WorkerFlags) -> list[str]:
    return [sys.executable, "-m", f"{__package__}.{command}", *cli.arguments(config)]
