"""Run directories: what a run was asked for, how it went, where it stood, what came out.

    config.json      the settings, written once; the same directory with other settings is refused
    metrics.jsonl    one JSON object per line
    checkpoints/     the last good states, by orbax
    results.json     what came out, written last

Every file is whole at any moment, or, for the line being appended, recognised as torn. Killing a run therefore costs
the steps since its last checkpoint, and nothing else.
"""

import contextlib
import dataclasses
import datetime
import hashlib
import importlib.metadata
import json
import math
import os
import platform
import subprocess
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import filelock
import jax
import numpy as np
import orbax.checkpoint as ocp

from lipjax import checks, parallel

Tree = TypeVar("Tree")
Json = dict[str, Any]
DIGESTS = "digests.json"


class RunRefused(RuntimeError):  # noqa: N818 - reads as what happened
    """The run directory can't be used: another process holds it, or it belongs to other settings."""


def to_json(value: Any) -> Any:
    """The value in terms of JSON.

    Records and mappings become objects, arrays lists, 0-d arrays numbers, paths strings. JSON has no word for numbers
    that are not finite: they become the strings "NaN", "Infinity" and "-Infinity", which `float` reads back.

    Raises:
        TypeError: For anything else.

    Example:
        >>> to_json({"alpha": np.array([0.5, np.inf]), "radius": np.float32(0.25)})
        {'alpha': [0.5, 'Infinity'], 'radius': 0.25}
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    elif hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, Mapping):
        return {str(name): to_json(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    if isinstance(value, jax.Array | np.ndarray | np.generic):
        return to_json(np.asarray(value).tolist())
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise TypeError(f"{type(value).__name__} has no JSON form")


def write_text(path: Path, text: str) -> None:
    """Writes a file so that whoever reads the path finds the old content or all of the new one."""
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def write_json(path: Path, value: Any) -> None:
    """Writes a value as JSON, atomically; see `to_json`."""
    write_text(path, json.dumps(to_json(value), indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """The value of a JSON file.

    Raises:
        ValueError: If the file is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not a JSON file: {error}") from error


def read_metrics(run_dir: str | os.PathLike) -> list[Json]:
    r"""The lines of a run's metrics.jsonl, in order, without a line that was torn by a kill.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = (Path(folder) / "metrics.jsonl").write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "lo')
        ...     read_metrics(folder)
        [{'step': 1, 'loss': 2.0}]
    """
    path = Path(run_dir) / "metrics.jsonl"
    if not path.exists():
        return []
    whole, _, _ = path.read_text(encoding="utf-8").rpartition("\n")
    return [json.loads(line) for line in whole.splitlines()]


def _git_commit() -> str | None:
    # Only for a checkout of this project: an installed copy may lie inside the repository of something else.
    here = Path(__file__)
    git = ["git", "-C", str(here.parent)]
    try:
        subprocess.run([*git, "ls-files", "--error-unmatch", here.name], check=True, capture_output=True)
        commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
        changes = subprocess.run([*git, "status", "--porcelain"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit.stdout.strip() + ("+changes" if changes.stdout else "")


def environment() -> Json:
    """What the numbers of a run depend on besides its settings: versions, device, source, date.

    Example:
        >>> sorted(environment())
        ['date', 'device', 'git_commit', 'num_devices', 'platform', 'python', 'versions']
    """
    packages = ("lipjax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "device": jax.devices()[0].device_kind,
        "git_commit": _git_commit(),
        "num_devices": jax.device_count(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in packages},
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _digests(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != DIGESTS)
    return {str(path.relative_to(folder)): _digest(path) for path in files}


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Run:
    """A run directory held by this process; made by `open_run`.

    Where a program runs as several processes, all of them call the same methods: the main process writes the
    records, and all take part in the checkpoints.
    """

    def __init__(self, path: Path, checkpoints: ocp.CheckpointManager):
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
        self._checkpoints.save(step, args=ocp.args.StandardSave(state))
        if self._writes:
            folder = self._folder(step)
            write_json(folder / DIGESTS, _digests(folder))

    def restore(self, template: Tree) -> Tree:
        """The newest good state, or the template itself if there is none.

        Lines of metrics.jsonl that came after the state are removed, so that no step is recorded twice. A checkpoint
        that can't be read is passed over with a warning, and removed once an older one has been read.

        Args:
            template: A pytree of arrays like the saved one; gives structure, types and shardings.

        Raises:
            ValueError: If there are checkpoints and none can be read with this template.
        """
        steps, unread = sorted(self._checkpoints.all_steps(), reverse=True), list[int]()
        for step in steps:
            try:
                state = self._read(step, template)
            except Exception as error:  # orbax raises whatever its parsers raise
                reason = f"{type(error).__name__}: {error}"
                warnings.warn(f"checkpoint {step} of {self.path} can't be read ({reason})", stacklevel=2)
                unread.append(step)
                continue
            for bad in unread:
                self._checkpoints.delete(bad)
            self._keep_metrics_until(step)
            return state
        if unread:
            raise ValueError(f"no checkpoint of {self.path} can be read: is it from another version of the network?")
        self._keep_metrics_until(0)
        return template

    def finish(self, results: Mapping[str, Any]) -> None:
        """Writes results.json."""
        if self._writes:
            write_json(self.path / "results.json", results)

    @property
    def _metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    def _folder(self, step: int) -> Path:
        return self.path / "checkpoints" / str(step)

    def _read(self, step: int, template: Tree) -> Tree:
        # A run that was killed while it wrote the digests had written all the rest.
        folder = self._folder(step)
        if (folder / DIGESTS).exists() and _digests(folder) != read_json(folder / DIGESTS):
            raise ValueError("its files have changed since they were written")
        shapes = jax.tree.map(ocp.utils.to_shape_dtype_struct, template)
        return self._checkpoints.restore(step, args=ocp.args.StandardRestore(shapes))

    def _keep_metrics_until(self, step: int) -> None:
        if self._writes:
            lines = [json.dumps(line) for line in read_metrics(self.path) if line["step"] <= step]
            write_text(self._metrics, "".join(f"{line}\n" for line in lines))


@contextlib.contextmanager
def _held(path: Path) -> Iterator[None]:
    # The operating system drops the lock of a process that dies, so a killed run never blocks its successor.
    lock = filelock.FileLock(path / ".lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise RunRefused(f"{path} is in use by another process") from None
    try:
        yield
    finally:
        lock.release()


def _agree(path: Path, config: Json) -> None:
    if not path.exists():
        return write_json(path, config)
    recorded = read_json(path)
    differing = sorted(name for name in recorded.keys() | config.keys() if recorded.get(name) != config.get(name))
    if differing:
        changes = ", ".join(f"{name} was {recorded.get(name)!r}, now {config.get(name)!r}" for name in differing)
        raise RunRefused(f"{path.parent} belongs to a run with other settings: {changes}")
    return None


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
        RunRefused: If another process holds the directory, or if it was made with other settings.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, open_run(folder, {"seed": 0}) as run:
        ...     run.log(1, {"loss": np.float32(0.5)})
        ...     read_metrics(folder)
        [{'step': 1, 'loss': 0.5}]
    """
    checks.at_least(1, num_checkpoints=num_checkpoints)
    path = Path(run_dir).absolute()
    path.mkdir(parents=True, exist_ok=True)
    options = ocp.CheckpointManagerOptions(max_to_keep=num_checkpoints, enable_async_checkpointing=False)
    main = parallel.is_main_process()
    with _held(path) if main else contextlib.nullcontext():
        if main:
            _agree(path / "config.json", to_json(config))
        with contextlib.closing(ocp.CheckpointManager(path / "checkpoints", options=options)) as checkpoints:
            yield Run(path, checkpoints)
