"""Files of a run directory: JSON that every reader accepts, written so that no reader finds half a file."""

import contextlib
import dataclasses
import hashlib
import json
import math
import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lipjax import parallel

Json = dict[str, Any]


def to_json(value: Any) -> Any:
    """The value in terms of JSON.

    Records and mappings become objects, arrays lists, 0-d arrays numbers, paths strings. JSON has no word for numbers
    that are not finite: they become the strings "NaN", "Infinity" and "-Infinity", which `float` reads back.

    Raises:
        TypeError: For anything else.

    Examples:
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


@contextlib.contextmanager
def replacing(path: Path, *, by_every_process: bool = False) -> Iterator[Path]:
    """A path to write to in place of another, which then holds the old content or all of the new one, never a part.

    The one way in which lipjax writes files: what is written lies on the disk before it takes the other's name, and
    nothing is left behind where writing fails. Where several processes run one program, what the main one wrote counts,
    and what the others wrote is gone, unless the file is every process's own.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with replacing(Path(folder) / "a.txt") as partial:
        ...         _ = partial.write_text("whole")
        ...     [path.name for path in Path(folder).iterdir()]
        ['a.txt']
    """
    if not (by_every_process or parallel.is_main_process()):
        with tempfile.TemporaryDirectory() as folder:  # its own may not be there yet
            yield Path(folder) / path.name
        return
    partial = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        yield partial
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def remove_partial(folder: Path) -> None:
    """Removes what writers that were killed left in a folder: for who holds it, so that no writer is at work."""
    for left in folder.glob(".*.partial*"):
        left.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes a text file, as UTF-8; it appears whole or not at all.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_text(Path(folder) / "a.txt", "r ≤ ½")
        ...     (Path(folder) / "a.txt").stat().st_size
        8
    """
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Writes a value as JSON; the file appears whole or not at all.

    Args:
        path: Where to write.
        value: What `to_json` can express.

    Raises:
        TypeError: If it has no JSON form.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_json(Path(folder) / "a.json", {"seed": 0, "losses": (2.5, 1)})
        ...     print((Path(folder) / "a.json").read_text())
        {
          "seed": 0,
          "losses": [
            2.5,
            1
          ]
        }
    """
    write_text(path, json.dumps(to_json(value), indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """The value of a JSON file.

    Raises:
        ValueError: If the file is not JSON.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_json(Path(folder) / "a.json", {"radii": np.array([0.1, 0.2]), "bound": np.inf})
        ...     read_json(Path(folder) / "a.json")
        {'radii': [0.1, 0.2], 'bound': 'Infinity'}
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{path} is not a JSON file: {error}") from error


def set_aside(path: Path, problem: object, then: str) -> None:
    """Renames a file that can't be trusted to `NAME.damaged`, where nothing of it is lost, and warns of it.

    Args:
        path: The file; one that is gone already is warned of all the same.
        problem: What is wrong with it.
        then: What is done instead: `"... is set aside and {then}"`.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(record=True) as told:
        ...     warnings.simplefilter("always")
        ...     _ = (Path(folder) / "a.json").write_text("{")
        ...     set_aside(Path(folder) / "a.json", "it is no JSON", "computed again")
        ...     [path.name for path in Path(folder).iterdir()], len(told)
        (['a.json.damaged'], 1)
    """
    with contextlib.suppress(FileNotFoundError):
        path.rename(path.with_name(f"{path.name}.damaged"))
    reason = " ".join(str(problem).split())
    warnings.warn(f"{path} is set aside as {path.name}.damaged and {then}: {reason}", stacklevel=3)


def digest_of_settings(settings: Any) -> str:
    """SHA-256 of a value in terms of JSON: equal for equal settings, whatever their order.

    Examples:
        >>> digest_of_settings({"a": 1, "b": 2}) == digest_of_settings({"b": 2, "a": 1})
        True
    """
    return hashlib.sha256(json.dumps(to_json(settings), sort_keys=True).encode()).hexdigest()


def digest_of_arrays(tree: Any) -> str:
    """SHA-256 of a tree's arrays: places, shapes, types and bytes.

    Examples:
        >>> digest_of_arrays({"a": np.zeros(2)}) == digest_of_arrays({"a": np.zeros(2)})
        True
        >>> digest_of_arrays({"a": np.zeros(2)}) == digest_of_arrays({"b": np.zeros(2)})
        False
    """
    total = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        is_key = isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        array = np.ascontiguousarray(jax.random.key_data(leaf) if is_key else leaf)
        total.update(f"{jax.tree_util.keystr(path)}{array.dtype}{array.shape}".encode())
        total.update(array.tobytes())
    return total.hexdigest()


def digest_of_file(path: Path) -> str:
    """SHA-256 of a file's content.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_text(Path(folder) / "a.txt", "abc")
        ...     digest_of_file(Path(folder) / "a.txt")[:16]
        'ba7816bf8f01cfea'
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_metrics(run_dir: str | os.PathLike) -> list[Json]:
    r"""The lines of a run's metrics.jsonl, in order, without a line that was torn by a kill.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = (Path(folder) / "metrics.jsonl").write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "lo')
        ...     read_metrics(folder)
        [{'step': 1, 'loss': 2.0}]
    """
    path = Path(run_dir) / "metrics.jsonl"
    if not path.exists():
        return []
    whole, _, _ = path.read_text(encoding="utf-8", errors="replace").rpartition("\n")
    return [line for text in whole.splitlines() if isinstance(line := _parsed(text), dict) and "step" in line]


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError):  # a damaged line: the others are good
        return None
