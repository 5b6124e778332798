"""Answers of measurements on disk: labelled arrays, one file per measurement, known by what decides them.

    measurements/alpha-0123456789ab.nc      the arrays (netCDF-4, readable by any tool)
    measurements/alpha-0123456789ab.json    what decided them, their checksum, where they were computed; written last

A file without its record, or one that has changed since, is no answer: it is set aside and computed again.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lipjax.records.environment import environment
from lipjax.records.files import (
    Json,
    digest_of_file,
    digest_of_settings,
    read_json,
    replacing,
    set_aside,
    to_json,
    write_json,
)

if TYPE_CHECKING:
    import xarray

SCHEMA = 1
"""Version of the layout; files of another version are not read."""


def recalled(
    folder: Path | None, name: str, decided_by: Json, compute: "Callable[[], xarray.Dataset]"
) -> "xarray.Dataset":
    """The answers of a measurement: as they are on disk, or computed and written down now.

    Args:
        folder: Where answers are kept; None for nowhere.
        name: Name of the measurement.
        decided_by: All that decides the answers, in terms of JSON; another digest is another file.
        compute: Measures.

    Examples:
        >>> import tempfile, xarray
        >>> def compute():
        ...     print("computed")
        ...     return xarray.Dataset({"correct": ("example", [True, False])})
        >>> with tempfile.TemporaryDirectory() as name:
        ...     first = recalled(Path(name), "clean", {"seed": 0}, compute)
        ...     second = recalled(Path(name), "clean", {"seed": 0}, compute)
        computed
        >>> second.identical(first)
        True
    """
    if folder is None:
        return compute()
    path = path_of(folder, name, decided_by)
    found = read(path)
    if found is None:
        found = compute()
        write(path, found, decided_by)
    return found


def path_of(folder: Path, name: str, decided_by: Json) -> Path:
    """The file of a measurement's answers.

    Args:
        folder: Where answers are kept.
        name: Name of the measurement.
        decided_by: All that decides the answers, in terms of JSON: its digest is in the file's name.

    Examples:
        >>> path_of(Path("measurements"), "alpha", {"seed": 0}).name
        'alpha-de7d7744ccd7.nc'
        >>> path_of(Path("measurements"), "alpha", {"seed": 1}).name
        'alpha-a4bbadc1c789.nc'
    """
    return folder / f"{name}-{digest_of_settings(decided_by)[:12]}.nc"


def write(path: Path, answers: "xarray.Dataset", decided_by: Any) -> None:
    """Writes labelled arrays, then their record: they count from then on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial:
        answers.to_netcdf(partial, engine="h5netcdf")
        checksum = digest_of_file(partial)
    record = {"schema": SCHEMA, "decided_by": to_json(decided_by), "sha256": checksum, "environment": environment()}
    write_json(path.with_suffix(".json"), record)


def read(path: Path) -> "xarray.Dataset | None":
    """The labelled arrays of a file, or None where there are none that can be trusted, with a warning if damaged."""
    import xarray

    record = path.with_suffix(".json")
    if not path.exists() or not record.exists():
        return None
    try:
        known = read_json(record)
        if known["schema"] == SCHEMA and known["sha256"] == digest_of_file(path):
            return xarray.load_dataset(path, engine="h5netcdf")
        problem = "it has changed since it was written, or is of another version"
    except (OSError, ValueError, KeyError, TypeError) as error:
        problem = str(error)
    for damaged in (path, record):
        set_aside(damaged, problem, "measured again")
    return None


LABELS = ("attack", "constant", "corruption")
"""Axes along which several measurements of one thing are put side by side."""


def joined(found: "Sequence[xarray.Dataset]", *, newest_first: bool = False) -> "xarray.Dataset":
    """Answers of several measurements as one dataset: two that say the same of other attacks lie along `attack`.

    Args:
        found: One dataset per measurement.
        newest_first: Whether of two answers to the same question the first is taken; otherwise they are refused.

    Raises:
        ValueError: If two measurements answer the same question.

    Examples:
        >>> import xarray
        >>> def answers(attack, correct):
        ...     return xarray.Dataset({"correct": (("attack", "example"), [correct])}, {"attack": [attack]})
        >>> both = joined([answers("fgsm", [1, 1, 0]), answers("pgd", [1, 0, 0])])
        >>> both["correct"].sel(attack="pgd").values
        array([1, 0, 0])
        >>> joined([answers("pgd", [1, 0, 0]), answers("pgd", [0, 0, 0])])
        Traceback (most recent call last):
            ...
        ValueError: two measurements give 'correct' of the same things: leave one of them out
    """
    import xarray

    arrays: dict[str, list[xarray.DataArray]] = {}
    for answers in found:
        for name, array in answers.data_vars.items():
            before = arrays.setdefault(str(name), [])
            news = _news(array, before)
            if news.size < array.size and not newest_first:
                raise ValueError(f"two measurements give {name!r} of the same things: leave one of them out")
            before.extend([news] if news.size else [])
    merged = {name: _side_by_side(same) for name, same in arrays.items()}
    merged = _aligned(merged)
    attributes = {name: value for answers in reversed(found) for name, value in answers.attrs.items()}
    return xarray.Dataset(merged, attrs=attributes)


def _label(array: "xarray.DataArray") -> str | None:
    return next((str(axis) for axis in array.dims if axis in LABELS), None)


def _news(array: "xarray.DataArray", before: "Sequence[xarray.DataArray]") -> "xarray.DataArray":
    """The part of an array whose labels are new."""
    label = _label(array)
    if not before:
        return array
    if label is None:
        return array[..., :0] if array.ndim else array.expand_dims("nothing")[:0]
    known = {name for other in before for name in other[label].values.tolist()}
    return array.sel({label: [name for name in array[label].values.tolist() if name not in known]})


def _side_by_side(arrays: "Sequence[xarray.DataArray]") -> "xarray.DataArray":
    import xarray

    if len(arrays) == 1:
        return arrays[0]
    arrays = list(_aligned(dict(enumerate(arrays))).values())
    return xarray.concat(arrays, _label(arrays[0]), join="outer")


def _aligned(arrays: dict) -> dict:
    """Arrays whose common axes have the same entries; where that leaves gaps, truth values become numbers with NaN."""
    import xarray

    sizes: dict = {}
    for array in arrays.values():
        for axis in array.dims:
            if axis not in LABELS:
                sizes.setdefault(axis, set()).add(tuple(array[axis].values.tolist()))
    gaps = {axis for axis, known in sizes.items() if len(known) > 1}
    if not gaps:
        return arrays
    arrays = {name: _as_number(array) if gaps & set(array.dims) else array for name, array in arrays.items()}
    placed = {
        name: array.assign_coords({axis: array[axis] for axis in gaps & set(array.dims)})
        for name, array in arrays.items()
    }
    aligned = xarray.align(*placed.values(), join="outer", exclude=set(LABELS))
    return dict(zip(placed, aligned, strict=True))


def _completed(one: "xarray.Dataset", variables: "Mapping[Any, xarray.DataArray]") -> "xarray.Dataset":
    """With NaN for variables that were measured of others only."""
    import xarray

    missing = {name: array for name, array in variables.items() if name not in one and array.dtype.kind in "bif"}
    blank = {name: xarray.full_like(array, float("nan"), dtype=float) for name, array in missing.items()}
    return xarray.merge([one, xarray.Dataset(blank)], join="outer", compat="override")


def _as_number(array: "xarray.DataArray") -> "xarray.DataArray":
    return array.astype(float) if array.dtype == bool else array


def combined(answers: "Mapping[tuple[str, int], xarray.Dataset]") -> "xarray.Dataset":
    """Answers of many models, by system and seed, as one dataset with axes `system` and `seed`.

    Examples:
        >>> import xarray
        >>> accuracies = {("V", 0): 0.5, ("V", 1): 0.75, ("P", 0): 0.25}
        >>> combined({cell: xarray.Dataset({"accuracy": value}) for cell, value in accuracies.items()}).accuracy.values
        array([[0.5 , 0.75],
               [0.25,  nan]])
    """
    import xarray

    systems = list(dict.fromkeys(system for system, _ in answers))
    seeds = sorted({seed for _, seed in answers})
    variables = {name: array for one in answers.values() for name, array in one.data_vars.items()}
    some_lack = any(set(one.data_vars) != set(variables) for one in answers.values())
    if some_lack or len(answers) < len(systems) * len(seeds):  # a truth value has no word for "not measured"
        answers = {cell: _completed(one, variables).map(_as_number) for cell, one in answers.items()}
    rows = [
        xarray.concat(
            [answers[system, seed].expand_dims(seed=[seed]) for seed in seeds if (system, seed) in answers],
            "seed",
            data_vars="all",
            join="outer",
            combine_attrs="drop_conflicts",
        ).expand_dims(system=[system])
        for system in systems
    ]
    return xarray.concat(rows, "system", data_vars="all", join="outer", combine_attrs="drop_conflicts")
