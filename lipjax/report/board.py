"""What a page says in words and numbers: the verdict, the leaderboard, and what is missing."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lipjax import statistics
from lipjax.report import frames
from lipjax.report.appearance import notation
from lipjax.report.frames import Figures
from lipjax.report.tables import counted

if TYPE_CHECKING:
    import xarray

_STEEPER = {
    "relative_performance": ("lose more accuracy under corruptions", 1),
    "mean_corruption_accuracy": ("are less accurate on corrupted images", -1),
    "attacked_accuracy": ("are less accurate under attack", -1),
}
"""What is expected of networks that are steeper, and the sign that tau has then."""

_MEASURED = {
    "clean_accuracy": "accuracy on clean images",
    "mean_corruption_accuracy": "accuracy on corrupted images",
    "attacked_accuracy": "accuracy under attack",
    "alpha_max": "steepness alpha",
}


class Column(NamedTuple):
    """A column of the leaderboard: word to filter by, title, meaning, numbers `[system, seed]`, format."""

    key: str
    title: str
    help: str
    values: "xarray.DataArray"
    format: str


def verdict(figures: Figures) -> list[str]:
    """What the numbers say, in sentences."""
    if "alpha_max" not in figures:
        return ["No steepness was measured of these runs, so nothing can be said.", *_best(figures)]
    own = smallest(figures)
    taus = frames.taus(frames.agreement(own))
    said = [_judged(row) for row in taus.itertuples()] if len(taus) else []
    return [
        *(said or ["One run, or no robustness, was measured: no order can be compared."]),
        *_about(own),
        *_best(figures),
    ]


def smallest(figures: Figures) -> Figures:
    """The first constant of `frames.radii` at its smallest radius."""
    constant, levels = next(iter(frames.radii(figures).items()))
    return figures.sel(constant=[constant], radius=levels[:1])


def _judged(tau: Any) -> str:
    words, sign = _STEEPER[tau.target]
    interval = "" if math.isnan(tau.low) else f", 95 % interval {tau.low:.2f} to {tau.high:.2f}"
    numbers = f"Kendall’s τ = {tau.tau:.2f}{interval}{frames.chance(tau.p_value)}"
    sizes = f"{counted(tau.num_runs, 'run')} of {counted(tau.num_systems, 'system')}"
    low, high = sorted((sign * tau.low, sign * tau.high))
    if low > 0:
        return f"Yes: runs that are steeper {words} ({numbers}; {sizes})."
    if high < 0:
        return f"The other way round: it is the less steep runs that {words} ({numbers}; {sizes})."
    return f"Undecided, whether runs that are steeper {words} ({numbers}; {sizes})."


def _about(figures: Figures) -> list[str]:
    count = figures.num_points.max() if "num_points" in figures else figures.sizes.get("point", 0)
    what = f"Steepness is the {notation(str(figures.constant.values[0]))}, in the mean over training points"
    where = f" ({int(count)} of them)" if count else ""
    about = f"{what}{where}, within r = {float(figures.radius.values[0]):g} of each."
    detectable = statistics.smallest_detectable_tau(figures.sizes["system"])
    if math.isnan(detectable):
        return [f"{about} With fewer than five systems no order of them is significant."]
    systems = f"{figures.sizes['system']} independent systems"
    return [f"{about} With {systems} a true |τ| of {detectable:.2f} is found with probability 0.8."]


def _best(figures: Figures) -> list[str]:
    parts = []
    for name, words in list(_MEASURED.items())[:3]:
        if name in figures and figures[name].notnull().any():
            mean = figures[name].mean("seed")
            parts.append(
                f"{words} {100 * float(mean.max()):.1f} % ({mean.system.values[int(mean.fillna(-1).values.argmax())]})"
            )
    return [f"The best: {', '.join(parts)}."] if parts else []


def columns(figures: Figures) -> list[Column]:
    """The columns of the leaderboard that there are numbers for."""
    return [column for column in _columns(figures) if column.values.notnull().any()]


def _columns(figures: Figures) -> Iterator[Column]:
    for key, name, meaning in (
        ("clean", "clean_accuracy", "accuracy on clean test images"),
        ("corrupted", "mean_corruption_accuracy", "mean over corruptions of the mean over severities"),
        ("relative", "relative_performance", "clean less corrupted accuracy: less is better"),
        ("attacked", "attacked_accuracy", "test images that withstand all attacks"),
    ):
        if name in figures:
            yield Column(key, f"{key} %", meaning, 100 * figures[name], ".1f")
    for radius in figures.certified_at.values if "certified_accuracy" in figures else ():
        own = 100 * figures.certified_accuracy.sel(certified_at=radius)
        key = f"certified({radius:.3g})"
        yield Column(key, f"{key} %", f"right, and certified by the global bound within {radius:.3g} in L₂", own, ".1f")
    if "alpha_max" in figures:
        own, radius = smallest(figures).isel(constant=0, radius=0), f"{float(smallest(figures).radius.values[0]):g}"
        of = f"{notation(str(own.constant.values))}, within r = {radius} of a training point"
        yield Column("alpha", f"α({radius})", f"largest {of}", own.alpha_max, ".3g")
        yield Column("mean", f"mean α({radius})", f"mean over points of {of}", own.alpha_mean, ".3g")
        yield Column("bound", f"bound({radius})", f"upper bound of the {of}", own.alpha_upper_max, ".3g")


def cell(values: np.ndarray, form: str) -> dict[str, Any]:
    """The mean over seeds, as text and as a number to sort by, and the range where there are several."""
    known = values[~np.isnan(values)]
    if not known.size:
        return {"value": "", "text": "–", "range": ""}
    ends = f"{known.min():{form}} to {known.max():{form}}" if known.size > 1 else ""
    return {"value": f"{known.mean():.6g}", "text": f"{known.mean():{form}}", "range": ends}


def missing(figures: Figures) -> list[str]:
    """What was not measured, of which systems and seeds."""
    found = []
    runs = ["clean_accuracy", "corruption_accuracy", "alpha_max", "attacked_accuracy"]
    there = [
        figures[name].notnull().any([axis for axis in figures[name].dims if axis not in ("system", "seed")])
        for name in runs
        if name in figures
    ]
    exists = (
        np.any([one.transpose("system", "seed").values for one in there], axis=0) if there else np.zeros((0, 0), bool)
    )
    for name, words in _MEASURED.items():
        if name not in figures:
            found.append(f"No {words} was measured.")
            continue
        own = figures[name]
        known = (
            own.notnull()
            .any([axis for axis in own.dims if axis not in ("system", "seed")])
            .transpose("system", "seed")
            .values
        )
        lacking = [
            (str(figures.system.values[row]), int(figures.seed.values[column]))
            for row, column in np.argwhere(exists & ~known)
        ]
        if lacking:
            shown = ", ".join(f"{system} (seed {seed})" for system, seed in lacking[:10])
            found.append(f"No {words} of {shown}{f' and {len(lacking) - 10} more' if len(lacking) > 10 else ''}.")
    return found
