"""Results that were computed once are not computed again."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from lipjax import parallel
from lipjax.records.files import Json, read_json, set_aside, to_json, write_json


class Journal:
    """Results of named computations in one JSON file: what was computed once is not computed again.

    The file is whole at any moment. A killed program that asks for the same names in any order continues with the
    first result that is missing. A damaged file is set aside, and computed again.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "journal.json"
        ...     Journal(path).get("accuracy", lambda: 0.9), Journal(path).get("accuracy", lambda: 0.1)
        (0.9, 0.9)
    """

    def __init__(self, path: Path):
        self._path = path
        self._results = _read(path)

    def __contains__(self, name: str) -> bool:
        return name in self._results

    def get(self, name: str, compute: Callable[[], Any]) -> Any:
        """The recorded result of a name, else the result of `compute()`, in terms of JSON, which is then recorded."""
        if name not in self._results:
            self.put(name, compute())
        return self._results[name]

    def put(self, name: str, result: Any) -> None:
        """Records the result of a name, in terms of JSON, in place of one that was recorded before."""
        self._results[name] = to_json(result)
        if parallel.is_main_process():
            write_json(self._path, self._results)

    def known(self, name: str) -> Any:
        """The recorded result of a name; None if there is none."""
        return self._results.get(name)


def _read(path: Path) -> Json:
    if not path.exists():
        return {}
    try:
        results = read_json(path)
        if isinstance(results, dict):
            return results
        problem = f"it must be a JSON object, and is a {type(results).__name__}"
    except (OSError, ValueError) as error:
        problem = str(error)
    set_aside(path, problem, "computed again")
    return {}
