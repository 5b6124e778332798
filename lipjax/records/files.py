"""Files of a run directory: JSON that every reader accepts, written so that no reader finds half a file."""

import dataclasses
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

Json = dict[str, Any]


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
