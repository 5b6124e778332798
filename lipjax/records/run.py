"""A run directory, held by one process."""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import filelock

from lipjax import checks, parallel
from lipjax.records.checkpoints import Checkpoints
from lipjax.records.files import Json, read_json, read_metrics, remove_partial, to_json, write_json, write_text

Tree = TypeVar("Tree")


class RunRefused(RuntimeError):  # noqa: N818 - reads as what happened
    """The run directory can't be used: not made, not read, held by another process, or made with other settings.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for seed in (0, 1):
        ...         try:
        ...             with open_run(folder, {"seed": seed}):
        ...                 pass
        ...         except RunRefused as error:
        ...             str(error).removeprefix(folder)
        ' belongs to a run with other settings: seed was 0, now 1'
    """


class Run:
    """A run directory held by this process; made by `open_run`.

    Where a program runs as several processes, all of them call the same methods: the main process writes the
    records, and all take part in the checkpoints.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for _ in range(2):  # killed after the second step, and started again
        ...         with open_run(folder, {"seed": 0}) as run:
        ...             step = run.restore(0)
        ...             run.log(step + 1, {"loss": 1 / (step + 1)})
        ...             run.log(step + 2, {"loss": 1 / (step + 2)})
        ...     read_metrics(folder)
        [{'step': 1, 'loss': 1.0}, {'step': 2, 'loss': 0.5}]
    """

    def __init__(self, path: Path, checkpoints: Checkpoints):
        self.path = path
        self._checkpoints = checkpoints
        self._writes = parallel.is_main_process()

    def log(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Appends a line to metrics.jsonl."""
        if self._writes:
            with self._metrics.open("a", encoding="utf-8") as file:
                file.write(json.dumps(to_json({"step": step, **metrics}), allow_nan=False) + "\n")

    def save(self, step: int, state: Any) -> None:
        """Keeps a pytree of arrays as the state after `step` steps; returns when it is on disk."""
        self._checkpoints.save(step, state)

    def restore(self, template: Tree) -> Tree:
        """The newest good state, or the template itself if there is none.

        Lines of metrics.jsonl that came after the state are removed, so that no step is recorded twice. A checkpoint
        that can't be read is passed over with a warning, and removed once an older one has been read.

        Args:
            template: A pytree of arrays like the saved one; gives structure, types and shardings.

        Raises:
            RunRefused: If there are checkpoints and none can be read with this template.
        """
        try:
            step, state = self._checkpoints.newest(template) or (0, template)
        except ValueError as error:
            raise RunRefused(str(error)) from error
        self._checkpoints.remove_after(step)
        self._keep_metrics_until(step)
        return state

    def finish(self, results: Mapping[str, Any]) -> None:
        """Writes results.json."""
        write_json(self.path / "results.json", results)

    @property
    def _metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    def _keep_metrics_until(self, step: int) -> None:
        if self._writes:
            lines = [json.dumps(line) for line in read_metrics(self.path) if line["step"] <= step]
            write_text(self._metrics, "".join(f"{line}\n" for line in lines))


class RunHeld(RunRefused):
    """Another process is at work in the run directory.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, hold(folder):
        ...     try:
        ...         hold(folder).__enter__()
        ...     except RunHeld as error:
        ...         str(error).removeprefix(folder)
        ' is in use by another process'
    """


@contextlib.contextmanager
def hold(path: str | os.PathLike, *, wait: bool = False) -> Iterator[Path]:
    """Holds a directory, made if need be: no other process can hold it meanwhile.

    The operating system drops the lock of a process that dies, so a killed run never blocks its successor. Of several
    processes of one program the main one holds it for all.

    Args:
        path: The directory.
        wait: Whether to wait until another process that holds it lets go.

    Raises:
        RunRefused: If it can't be made or written into.
        RunHeld: If another process holds it, and `wait` is false.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with hold(f"{folder}/new/run") as path:
        ...         path.is_dir(), path.name
        (True, 'run')
    """
    path = Path(path).absolute()
    if not parallel.is_main_process():
        yield path
        return
    _make(path)
    lock = filelock.FileLock(path / ".lock")
    try:
        lock.acquire(timeout=-1 if wait else 0)
    except filelock.Timeout:
        raise RunHeld(f"{path} is in use by another process") from None
    except OSError as error:
        raise RunRefused(f"can't write into {path}, choose another directory: {error}") from error
    try:
        for folder in (path, path / "measurements"):
            remove_partial(folder)
        yield path
    finally:
        lock.release()


def _make(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunRefused(f"can't make the run directory, choose another: {error}") from error


@contextlib.contextmanager
def _forgetting(path: Path) -> Iterator[None]:
    """What was refused before anything was computed records nothing: the directory takes the corrected settings."""
    is_new = parallel.is_main_process() and not (path / "config.json").exists()
    try:
        yield
    except (ValueError, TypeError, RunRefused):
        if is_new and {file.name for file in path.iterdir()} <= {"config.json", ".lock"}:
            (path / "config.json").unlink(missing_ok=True)
        raise


def _agree(path: Path, config: Json) -> None:
    if not path.exists():
        try:
            write_json(path, config)
        except OSError as error:
            raise RunRefused(f"can't write into {path.parent}, choose another directory: {error}") from error
    try:
        recorded = dict(read_json(path))
    except (OSError, TypeError, ValueError) as error:
        raise RunRefused(f"the settings of {path.parent} can't be read, choose another directory: {error}") from error
    names = sorted(recorded.keys() | config.keys())
    changes = [
        f"{name} was {recorded.get(name)!r}, now {config.get(name)!r}"
        for name in names
        if recorded.get(name) != config.get(name)
    ]
    if changes:
        raise RunRefused(f"{path.parent} belongs to a run with other settings: {', '.join(changes)}")


@contextlib.contextmanager
def open_run(run_dir: str | os.PathLike, config: Any, *, num_checkpoints: int = 2) -> Iterator[Run]:
    """Holds a run directory: makes it, or reopens the one that the same settings made.

    Args:
        run_dir: The directory.
        config: The run's settings: a record or a mapping that JSON can express.
        num_checkpoints: How many of the newest checkpoints are kept.

    Yields:
        The run; no other process can open the directory meanwhile.

    Raises:
        RunRefused: If the directory can't be made or another process holds it, or if it was made with other settings
            or has none that can be read.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, open_run(folder, {"seed": 0}) as run:
        ...     run.log(1, {"loss": 0.5})
        ...     read_metrics(folder)
        [{'step': 1, 'loss': 0.5}]
    """
    checks.at_least(1, num_checkpoints=num_checkpoints)
    path = checks.path(run_dir).absolute()
    with hold(path), _forgetting(path):
        if parallel.is_main_process():
            _agree(path / "config.json", to_json(config))
        with contextlib.closing(Checkpoints(path / "checkpoints", num_checkpoints)) as checkpoints:
            yield Run(path, checkpoints)


def load_state(run_dir: str | os.PathLike, template: Tree) -> Tree:
    """The newest good state of a run, whether or not a process is at work on it.

    Args:
        run_dir: A run directory; it is not changed.
        template: A pytree of arrays like the saved one.

    Raises:
        FileNotFoundError: If there is no checkpoint.
        ValueError: If there are checkpoints and none can be read with this template.

    Examples:
        >>> import tempfile
        >>> import numpy as np
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with open_run(folder, {"seed": 0}) as run:
        ...         run.save(1, {"weights": np.ones(2)})
        ...         run.save(2, {"weights": np.full(2, 0.5)})
        ...     load_state(folder, {"weights": np.zeros(2)})
        {'weights': array([0.5, 0.5])}
    """
    path = checks.path(run_dir).absolute() / "checkpoints"
    if path.is_dir():
        with contextlib.closing(Checkpoints(path, keep=None)) as checkpoints:
            found = checkpoints.newest(template)
        if found is not None:
            return found[1]
    raise FileNotFoundError(f"{run_dir} has no checkpoint")
