"""Results that were computed once are not computed again."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from lipjax import parallel
from lipjax.records.files import Json, read_json, to_json, write_json


class Journal:
    """Results of named computations in one JSON file: what was computed once is not computed again.

    The file is whole at any moment. A killed program that asks for the same names in any order continues with the
    first result that is missing.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "journal.json"
        ...     Journal(path).get("accuracy", lambda: 0.9), Journal(path).get("accuracy", lambda: 0.1)
        (0.9, 0.9)
    """

    def __init__(self, path: Path):
        self._path = path
        self._results: Json = read_json(path) if path.exists() else {}

    def __contains__(self, name: str) -> bool:
        return name in self._results

    def get(self, name: str, compute: Callable[[], Any]) -> Any:
        """The recorded result of a name, else the result of `compute()`, in terms of JSON, which is then recorded."""
        if name not in self._results:
            self._results[name] = to_json(compute())
            if parallel.is_main_process():
                write_json(self._path, self._results)
        return self._results[name]
