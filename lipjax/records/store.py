"""Runs below a folder: found again by what decided them, and opened together."""

import glob
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lipjax.records.answers import combined, joined, read
from lipjax.records.files import digest_of_settings, read_json

if TYPE_CHECKING:
    import xarray


def find(folder: str | os.PathLike, settings: Any) -> Path | None:
    """The run directory in a folder that was made with these settings, whatever its name; None if there is none.

    Examples:
        >>> import tempfile
        >>> from lipjax.records.run import open_run
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with open_run(f"{folder}/mine", {"seed": 3}):
        ...         find(folder, {"seed": 3}).name, find(folder, {"seed": 4})
        ('mine', None)
    """
    return index(folder).get(digest_of_settings(settings))


def index(folder: str | os.PathLike) -> dict[str, Path]:
    """The run directories in a folder, by the digest of their settings; of equal ones the first by name.

    Examples:
        >>> import tempfile
        >>> from lipjax.records.files import write_json
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("first", "again"):
        ...         (Path(folder) / name).mkdir()
        ...         write_json(Path(folder) / name / "config.json", {"seed": 0})
        ...     [path.name for path in index(folder).values()]
        ['again']
    """
    runs = [(digest_of_settings(known), path) for path, known in _runs(Path(folder))]
    return dict(reversed(runs))


def _runs(folder: Path) -> Iterator[tuple[Path, Any]]:
    for path in sorted(folder.glob("*/config.json")):
        try:
            yield path.parent, read_json(path)
        except (OSError, ValueError):
            continue  # no run, or a damaged one: it is not what is looked for


def name_of(settings: Any, *words: str) -> str:
    """A name for a run directory: words for people, and the digest of the settings.

    Examples:
        >>> name_of({"seed": 0}, "P(beta=0.01)", "seed0").rpartition("-")[0]
        'P-beta-0.01-seed0'
    """
    text = "".join(letter if letter.isalnum() or letter in "._" else "-" for letter in "-".join(words))
    readable = "-".join(part for part in text.split("-") if part)[:80]
    return f"{readable}-{digest_of_settings(settings)[:8]}"


def open(*patterns: str | os.PathLike) -> "xarray.Dataset":
    """What was measured of all runs that a pattern matches, as one labelled dataset.

    Args:
        *patterns: Run directories, such as `"runs/*"`.

    Returns:
        The answers with axes `system` and `seed` before their own; `.to_dataframe()` makes a pandas table. Where a
        measurement was made twice of the same things, the newer answers count. A run's system is called as it was
        asked for; runs that differ otherwise (in the learning rate, say) get their directory's name in addition.

    Raises:
        FileNotFoundError: If no run directory with answers matches.

    Examples:
        >>> import tempfile, xarray
        >>> from lipjax.records.answers import recalled
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name, accuracy in [("P", 0.5), ("V", 0.75)]:
        ...         answers = Path(folder) / name / "measurements"
        ...         _ = recalled(answers, "clean", {}, lambda: xarray.Dataset({"accuracy": accuracy}))
        ...     open(f"{folder}/*")["accuracy"].sel(seed=0).to_series().to_dict()
        {'P': 0.5, 'V': 0.75}
    """
    answers: dict[tuple[str, int], xarray.Dataset] = {}
    matching = (name for pattern in patterns for name in sorted(glob.glob(os.fspath(pattern))))
    for name in dict.fromkeys(matching):
        found = answers_of(name)
        if found is not None:
            system, seed = _cell(Path(name))
            cell = (system, seed) if (system, seed) not in answers else (f"{system} ({Path(name).name})", seed)
            answers[cell] = found
    if not answers:
        raise FileNotFoundError(f"no run directory with measurements matches {', '.join(map(str, patterns))}")
    return combined(answers)


def answers_of(run_dir: str | os.PathLike) -> "xarray.Dataset | None":
    """What was measured of one run, without the axes `system` and `seed`; None if nothing was.

    Examples:
        >>> import tempfile, xarray
        >>> from lipjax.records.answers import recalled
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     before = answers_of(folder)
        ...     _ = recalled(Path(folder) / "measurements", "clean", {}, lambda: xarray.Dataset({"accuracy": 0.75}))
        ...     before, answers_of(folder)["accuracy"].item()
        (None, 0.75)
    """
    records = sorted(
        (Path(run_dir) / "measurements").glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True
    )
    found = [answers for record in records if (answers := read(record.with_suffix(".nc"))) is not None]
    return joined(found, newest_first=True) if found else None


def _cell(path: Path) -> tuple[str, int]:
    try:
        flags: Mapping = read_json(path / "flags.json")
        return str(flags["system"]), int(flags["seed"])
    except (OSError, ValueError, KeyError, TypeError):
        return path.name, 0
