"""Arrays that take long to make, kept on disk: written whole or not at all, checked when they are read."""

import json
import logging
import os
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from lipjax import checks

Arrays = dict[str, Shaped[np.ndarray, "..."]]
CHECKSUMS = "checksums.json"


def root() -> Path:
    """The cache folder: `$LIPJAX_CACHE`, else `$XDG_CACHE_HOME/lipjax`, else `~/.cache/lipjax`."""
    if chosen := os.environ.get("LIPJAX_CACHE"):
        return checks.path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lipjax"


def cached(key: str, make: Callable[[], Arrays]) -> Arrays:
    """The arrays that `make()` returns, made once per key.

    Args:
        key: Relative path of the entry; names everything that the arrays depend on.
        make: Makes named arrays, the same ones at every call.

    Returns:
        The arrays: memory-mapped and read-only where they come from the cache, so that they use memory only where
        they are looked at. An entry that is incomplete or damaged (its checksums differ) is made again. Where the
        cache folder can't be written nothing is kept, which a log line says.

    Examples:
        >>> import pytest, tempfile
        >>> with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        ...     patch.setenv("LIPJAX_CACHE", folder)
        ...     for _ in range(2):
        ...         cached("squares/10", lambda: print("making") or {"values": np.arange(4) ** 2})["values"]
        making
        array([0, 1, 4, 9])
        memmap([0, 1, 4, 9])
    """
    folder = root() / key
    arrays = _read(folder)
    if arrays is None:
        arrays = make()
        try:
            _write(folder, arrays)
        except OSError as error:
            logging.getLogger(__name__).warning(
                "%s can't be written (%s), so it will be made again next time; LIPJAX_CACHE names another cache folder",
                folder,
                error,
            )
    return arrays


def _read(folder: Path) -> Arrays | None:
    try:
        checksums = dict(json.loads((folder / CHECKSUMS).read_bytes()))
        if any(_checksum(folder / f"{name}.npy") != checksum for name, checksum in checksums.items()):
            return None
        return {name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in checksums} or None
    except (OSError, ValueError, TypeError):
        return None


def _write(folder: Path, arrays: Arrays) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as name_of_partial:
        partial = Path(name_of_partial)
        for name, array in arrays.items():
            np.save(partial / f"{name}.npy", array, allow_pickle=False)
        checksums = {name: _checksum(partial / f"{name}.npy") for name in arrays}
        (partial / CHECKSUMS).write_text(json.dumps(checksums))
        # Whoever has an old file mapped keeps it. The checksums come last: without the right ones nothing counts.
        for file in [*(f"{name}.npy" for name in arrays), CHECKSUMS]:
            os.replace(partial / file, folder / file)


def _checksum(path: Path) -> int:
    return zlib.crc32(np.memmap(path, np.uint8, mode="r").data)
