"""What is in a store: one line per run, without reading its arrays."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import filelock

from lipjax.records.files import read_json

FAILURE = "failed.json"
"""In the directory of a training that met numbers that are not finite: it would meet them again."""


class Listed(NamedTuple):
    """A run directory at a glance; what can't be read is empty.

    Attributes:
        name: The directory.
        date: When its results were written, ISO 8601.
        system: What it trained.
        dataset: On what.
        seed: With which seed.
        state: "finished", "running" (a process holds it), "failed" or "stopped".
        train_accuracy: Accuracy on the training examples.
        test_accuracy: Accuracy on the test examples.
        measured: Names of what was measured.

    Examples:
        >>> import tempfile
        >>> from lipjax.records.files import write_json
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_json(Path(folder) / "config.json", {})
        ...     write_json(Path(folder) / "flags.json", {"system": "parseval", "dataset": "mnist", "seed": 3})
        ...     (run,) = listed([folder])
        >>> run.system, run.seed, run.state, run.test_accuracy
        ('parseval', 3, 'stopped', None)
    """

    name: str
    date: str
    system: str
    dataset: str
    seed: int | None
    state: str
    train_accuracy: float | None
    test_accuracy: float | None
    measured: tuple[str, ...]


def listed(run_dirs: Iterable[str | os.PathLike]) -> list[Listed]:
    """The training runs among some directories, in their order.

    Examples:
        >>> import tempfile
        >>> from lipjax.records.run import open_run
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with open_run(f"{folder}/mine", {"seed": 3}):
        ...         running = listed([f"{folder}/mine"])
        ...     [run.state for run in (*running, *listed([f"{folder}/mine"]))]
        ['running', 'stopped']
    """
    paths = [Path(run_dir) for run_dir in run_dirs]
    return [_at_a_glance(path) for path in paths if (path / "config.json").exists()]


def _at_a_glance(path: Path) -> Listed:
    results, flags = _read(path / "results.json"), _read(path / "flags.json")
    measured = sorted(record.name.rpartition("-")[0] for record in path.glob("measurements/*.json"))
    return Listed(
        path.name,
        str(results.get("environment", {}).get("date", "")),
        str(flags.get("system", "")),
        str(flags.get("dataset", "")),
        flags.get("seed"),
        _state(path, bool(results)),
        results.get("train_accuracy"),
        results.get("test_accuracy"),
        tuple(dict.fromkeys(measured)),
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(read_json(path))
    except (OSError, ValueError, TypeError):
        return {}


def _state(path: Path, is_finished: bool) -> str:
    if _is_held(path):
        return "running"
    if is_finished:
        return "finished"
    return "failed" if (path / FAILURE).exists() else "stopped"


def _is_held(path: Path) -> bool:
    if not (path / ".lock").exists():
        return False
    try:
        with filelock.FileLock(path / ".lock", timeout=0):
            return False
    except filelock.Timeout:
        return True
    except OSError:  # a directory that can't be written to is held by nobody
        return False
