"""Figures of many networks as one flat table: a row per network, a column per figure."""

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas
    import xarray

CELL = ("system", "seed")
"""What names a row."""


def table(figures: "xarray.Dataset") -> "pandas.DataFrame":
    """One row per system and seed, for CSV files, regressions and other tools.

    Args:
        figures: What `summary` says of networks, with axes `system` and `seed`.

    Returns:
        The columns `system`, `seed` and one per figure: `clean_accuracy`; with other axes, `family_accuracy[noise]`,
        `alpha_mean[slope of probabilities, l2 to l2; 0.05]`, the labels in the order of the axes, numbers to six
        digits. `corruption_accuracy[fog]` is the mean over severities. Rows and columns are in the order of
        the figures; those without any number are left out.

    Examples:
        >>> import xarray
        >>> axes, numbers = ("system", "seed", "family"), [[[0.5, 0.25]], [[0.75, 0.5]]]
        >>> labels = {"system": ["V", "P"], "seed": [0], "family": ["noise", "blur"]}
        >>> table(xarray.Dataset({"family_accuracy": (axes, numbers)}, labels)).iloc[1].to_dict()
        {'system': 'P', 'seed': 0, 'family_accuracy[noise]': 0.75, 'family_accuracy[blur]': 0.5}
    """
    import pandas

    if "severity" in figures.dims:
        figures = figures.mean("severity")
    index = pandas.MultiIndex.from_product([figures[axis].values.tolist() for axis in CELL], names=CELL)
    columns = {
        label: column for name in map(str, figures.data_vars) for label, column in _columns(figures[name]).items()
    }
    found = pandas.DataFrame(columns, index)
    return found.dropna(how="all").dropna(how="all", axis="columns").reset_index()


def _columns(array: "xarray.DataArray") -> dict[str, Any]:
    others = [str(axis) for axis in array.dims if axis not in CELL]
    if not others:
        return {str(array.name): array.transpose(*CELL).values.ravel()}
    stacked = array.stack(label=others).transpose("label", *CELL)
    names = [f"{array.name}[{'; '.join(map(_text, labels))}]" for labels in stacked.label.values]
    return {name: values.ravel() for name, values in zip(names, stacked.values, strict=True)}


def _text(label: Any) -> str:
    """A number to six digits, also where it is part of a name."""
    return re.sub(r"\d+\.\d+", lambda digits: f"{float(digits[0]):g}", str(label))
