"""What a cascade has done so far, on disk: one file per chunk of examples, each whole or absent."""

import os
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from lipjax import records


class Chunk(NamedTuple):
    """One attack on some examples.

    Attributes:
        rows: Which examples of the batch.
        fooled: Whether the attack made the classifier wrong.
        points: The adversarial inputs of those that it fooled, in order.
    """

    rows: Int[np.ndarray, " chunk"]
    fooled: Bool[np.ndarray, " chunk"]
    points: Float[np.ndarray, "fooled ..."]


class Chunks:
    """Chunks by name, in a folder that belongs to one evaluation; without a folder, every chunk is computed.

    Args:
        folder: Where to keep the chunks; created if need be. None for nowhere.
        settings: Returns what decides the result. It is written to the folder, and must be the same to go on there.

    Raises:
        ValueError: If the folder has the journal of an evaluation with other settings.
    """

    def __init__(self, folder: str | os.PathLike | None, settings: Callable[[], Mapping[str, Any]]) -> None:
        self._folder = None if folder is None else Path(folder)
        if self._folder is None:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        path, now = self._folder / "cascade.json", records.to_json(settings())
        before = records.read_json(path) if path.exists() else now
        differing = sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
        if differing:
            raise ValueError(f"{path} is the journal of another evaluation, with other {', '.join(differing)}")
        records.write_json(path, now)

    def recalled(self, name: str, rows: Int[np.ndarray, " chunk"], compute: Callable[[], Chunk]) -> Chunk:
        """The chunk of that name as it is on disk, or as it is computed and written down now.

        Args:
            name: Name of the chunk.
            rows: The examples that it must be about.
            compute: Makes the chunk.

        Raises:
            ValueError: If the file is about other examples. A damaged one is set aside, and computed again.
        """
        if self._folder is None:
            return compute()
        path = self._folder / f"{name}.npz"
        chunk = _read(path) if path.exists() else None
        if chunk is None:
            chunk = compute()
            with records.replacing(path) as partial:
                np.savez(partial, **chunk._asdict())
            return chunk
        if not np.array_equal(chunk.rows, rows):
            raise ValueError(f"{path} is about other examples than this evaluation: delete it to go on without it")
        return chunk


def _read(path: Path) -> Chunk | None:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return Chunk(arrays["rows"], arrays["fooled"], arrays["points"])
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        records.set_aside(path, error, "computed again")
        return None
