"""Tidy tables (pandas) that figures are drawn from: one row per mark.

Their source is one labelled dataset with axes `system` and `seed`: `joined` makes it of answers and of what
`measurements.summary` says of them. What it lacks gives an empty table.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from lipjax import statistics

if TYPE_CHECKING:
    import pandas as pd
    import xarray

Figures: TypeAlias = "xarray.Dataset"
Frame: TypeAlias = "pd.DataFrame"

TARGETS = {
    "relative_performance": "clean less corrupted accuracy (%)",
    "mean_corruption_accuracy": "corrupted accuracy (%)",
    "attacked_accuracy": "attacked accuracy (%)",
}
"""What alpha is compared with."""

MOST_STEPS = 40
"""Steps of a drawn distribution, as long as there are few."""


POINTWISE = ("alpha", "alpha_upper", "bounded", "steepest", "witness")
"""Answers that are drawn point by point, or shown as images."""


def joined(summary: Figures, answers: "xarray.Dataset") -> Figures:
    """A summary with those of the answers that are drawn point by point."""
    return summary.assign({name: answers[name] for name in POINTWISE if name in answers})


def _long(arrays: "Mapping[str, xarray.DataArray]") -> Frame:
    """Arrays as columns of one table, without rows in which all are missing."""
    import pandas as pd
    import xarray

    if not arrays:
        return pd.DataFrame()
    frame = xarray.Dataset(dict(arrays)).to_dataframe().dropna(how="all").reset_index()
    return frame[[name for name in frame if name in arrays or name not in ("quantile",)]]


def _over_seeds(name: str, array: "xarray.DataArray") -> "dict[str, xarray.DataArray]":
    """The mean over seeds, and where there are several the smallest and the largest."""
    several = array.count("seed") > 1
    ends = {"low": array.min("seed").where(several), "high": array.max("seed").where(several)}
    return {name: array.mean("seed"), **{f"{name}_{end}": values for end, values in ends.items()}}


def alpha(figures: Figures) -> Frame:
    """How steep each system is: a row per constant, system and radius.

    Columns `maximum` over points with `maximum_low` and `maximum_high` over seeds, `share` of its largest value in
    percent, `mean` over points with the middle nine tenths of them, `upper`, the bound of all points, and `local`, that
    of the points that have one of their own.
    """
    if "alpha_max" not in figures:
        return _long({})
    arrays = _over_seeds("maximum", figures.alpha_max)
    arrays["share"] = 100 * arrays["maximum"] / arrays["maximum"].max("radius").where(lambda most: most > 0)
    arrays["mean"] = figures.alpha_mean.mean("seed")
    quantiles = figures.alpha_quantile.mean("seed")
    arrays |= {"mean_low": quantiles.min("quantile"), "mean_high": quantiles.max("quantile")}
    arrays["upper"] = figures.alpha_upper_max.mean("seed")
    if "bounded" in figures:
        arrays["local"] = figures.alpha_upper.where(figures.bounded == 1).max("point").mean("seed")
    frame = _long(arrays)
    return frame.replace([np.inf, -np.inf], np.nan)


def accuracies(figures: Figures) -> Frame:
    """Accuracy in percent by corruption and severity: severity 0 is the clean image, "attack" what withstands attacks.

    The corruption `mean` is that over all corruptions.
    """
    import pandas as pd
    import xarray

    if "corruption_accuracy" not in figures:
        return _long({})
    by_severity = figures.corruption_accuracy
    mean = by_severity.mean("corruption").expand_dims(corruption=["mean"])
    parts = [_steps(xarray.concat([mean, by_severity], "corruption"), None)]
    for step, name in (("0", "clean_accuracy"), ("attack", "attacked_accuracy")):
        if name in figures:
            parts.append(_steps(figures[name], step))
    corruptions = pd.DataFrame({"corruption": list(dict.fromkeys(parts[0]["corruption"]))})
    others = [part.merge(corruptions, how="cross") for part in parts[1:]]
    return pd.concat([parts[0], *others], ignore_index=True).sort_values(
        "corruption", key=_mean_first, kind="stable", ignore_index=True
    )


def _mean_first(column: Any) -> Any:
    return column.where(column != "mean", "")


def _steps(accuracy: "xarray.DataArray", step: str | None) -> Frame:
    frame = _long(_over_seeds("accuracy", 100 * accuracy))
    return frame.rename(columns={"severity": "step"}).astype({"step": str}) if step is None else frame.assign(step=step)


def by_corruption(figures: Figures) -> Frame:
    """Accuracy in percent of every system on clean, corrupted (mean over severities) and attacked images."""
    import xarray

    columns = {}
    if "clean_accuracy" in figures:
        columns["clean"] = figures.clean_accuracy
    if "attacked_accuracy" in figures:
        columns["attacked"] = figures.attacked_accuracy
    if "corruption_accuracy" in figures:
        of_each = figures.corruption_accuracy.mean("severity")
        columns |= {str(name): of_each.sel(corruption=name, drop=True) for name in of_each.corruption.values}
    arrays = [array.mean("seed").expand_dims(images=[name]) for name, array in columns.items()]
    return _long({"accuracy": 100 * xarray.concat(arrays, "images")}) if arrays else _long({})


def radii(figures: Figures) -> dict[str, list[float]]:
    """The radii at which each constant was measured; first the talk's constant, of probabilities, at most radii."""
    known = np.isfinite(figures.alpha_max).any([axis for axis in figures.alpha_max.dims if axis in ("system", "seed")])
    found = {
        str(name): sorted(figures.radius.values[known.sel(constant=name).transpose("radius").values].tolist())
        for name in figures.constant.values
    }
    return dict(sorted(found.items(), key=lambda item: ("of probabilities" not in item[0], -len(item[1]))))


def agreement(figures: Figures) -> Frame:
    """Mean alpha over points and what it shall predict: a row per constant, radius, target, system and seed."""
    import pandas as pd

    if "alpha_mean" not in figures:
        return _long({})
    parts = []
    for target in TARGETS:
        if target in figures:
            frame = _long({"alpha": figures.alpha_mean, "value": 100 * figures[target]}).dropna()
            parts.append(frame.assign(target=target))
    found = pd.concat(parts, ignore_index=True) if parts else _long({})
    return found[np.isfinite(found["alpha"])] if len(found) else found


FEWEST = 5
"""Systems from which on an order of them can be significant, and has an interval."""


def taus(pairs: Frame) -> Frame:
    """Kendall's tau over the rows of `agreement`, by constant, radius and target, with its interval over systems.

    Columns `tau`, `p_value`, `low`, `high`, `num_runs`, `num_systems`; no interval for fewer than five systems, no
    row for one. The p-value is of the systems' means, since seeds of one system are no independent systems.
    """
    import pandas as pd

    if not len(pairs):
        return _long({})
    groups = pairs.groupby(["constant", "target", "radius"], sort=False)
    rows = [
        {"constant": constant, "target": target, "radius": radius, **_tau(group)}
        for (constant, target, radius), group in groups
        if group["system"].nunique() > 1
    ]
    return pd.DataFrame(rows)


def _tau(group: Frame) -> dict[str, Any]:
    alphas, values = group["alpha"].to_numpy(), group["value"].to_numpy()
    means = group.groupby("system", sort=False)[["alpha", "value"]].mean()
    count = len(means)
    p_value = statistics.kendall_tau(means["alpha"], means["value"]).p_value if count > 1 else np.nan
    tau = statistics.kendall_tau(alphas, values).value
    found = {"tau": tau, "p_value": p_value, "low": np.nan, "high": np.nan}
    if count >= FEWEST:
        interval = statistics.bootstrap_tau(alphas, values, clusters=group["system"].to_numpy())
        found |= {"low": interval.low, "high": interval.high}
    return found | {"num_runs": len(group), "num_systems": count}


def chance(p_value: float) -> str:
    """A p-value as the end of a sentence, or nothing where there is none."""
    return "" if np.isnan(p_value) else f", p = {p_value:.2g}"


def distributions(figures: Figures) -> Frame:
    """How alpha is distributed over points, those of all seeds together: steps from 0 to 100 percent of the points."""
    import pandas as pd

    if "alpha" not in figures:
        return _long({})
    most = min(MOST_STEPS, max(10, 12 * MOST_STEPS // figures.sizes["system"]))
    keys = ["constant", "radius", "system"]
    groups = _long({"alpha": figures["alpha"]}).groupby(keys, sort=False)["alpha"]
    parts = {key: steps(group.to_numpy(), most) for key, group in groups}
    return pd.concat(parts, names=keys).reset_index(keys).reset_index(drop=True) if parts else _long({})


def steps(values: np.ndarray, most: int = MOST_STEPS) -> Frame:
    """The share of values at or below each, as steps that start at 0; of many values, evenly spaced ranks.

    Examples:
        >>> steps(np.array([3.0, 1.0])).to_dict("list")
        {'alpha': [1.0, 1.0, 3.0], 'share': [0.0, 50.0, 100.0]}
    """
    import pandas as pd

    ordered = np.sort(values)
    ranks = np.unique(np.linspace(1, len(ordered), min(len(ordered), most)).round().astype(int))
    return pd.DataFrame(
        {"alpha": [ordered[0], *ordered[ranks - 1]], "share": [0.0, *(100 * ranks / len(ordered)).tolist()]}
    )
