"""The figures of a study, each finished with its title: what is written beside its results."""

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from lipjax.report import frames
from lipjax.report.agreements import agreement
from lipjax.report.appearance import notation
from lipjax.report.figures import Systems, alpha_curves, corruption_curves, distributions, finished, heat_map
from lipjax.report.frames import Figures
from lipjax.report.tables import counted

Drawn: TypeAlias = tuple[str, str, str, Any]
"""Name, title, subtitle and chart."""

BRACKET = "solid: steepest point found; dashed: upper bound of all points; ▽: of points with local bounds; bars: seeds"
SHARE = "each curve in percent of its own largest value"
MEAN = "line: mean over points; shaded: from the 5 % to the 95 % quantile over points"
SEEDS = "mean over seeds; bars: range over seeds"
POINTS = "one point per run; α in the mean over training points; τ with its 95 % interval over systems"


def charts(figures: Figures, about: str) -> Mapping[str, Any]:
    """The figures that a dataset has the numbers for, by the name of their file.

    Args:
        figures: Made by `frames.joined`.
        about: Network and data, for the subtitles.
    """
    systems = Systems([str(name) for name in figures.system.values])
    drawn = list(_corrupted(figures, systems)) if "corruption_accuracy" in figures else []
    for number, constant in enumerate(figures.constant.values if "alpha_max" in figures else []):
        own, suffix = figures.sel(constant=[constant]), f"_{number + 1}" if number else ""
        what = f"{notation(str(constant))}, "
        drawn += [(name + suffix, title, what + more, chart) for name, title, more, chart in _steep(own, systems)]
    return {name: finished(chart, title, f"{about}\n{more}") for name, title, more, chart in drawn}


def _corrupted(figures: Figures, systems: Systems) -> Iterator[Drawn]:
    curves = corruption_curves(frames.accuracies(figures), systems=systems)
    yield "corruptions", "Accuracy by corruption and severity", SEEDS, curves
    table = heat_map(frames.by_corruption(figures), systems=systems)
    yield "heat_map", "Accuracy by corruption", "mean over severities and seeds", table


def _steep(figures: Figures, systems: Systems) -> Iterator[Drawn]:
    curves, title = frames.alpha(figures), "Steepness around training points"
    for name, show, more in (
        ("alpha", "bracket", BRACKET),
        ("alpha_relative", "share", SHARE),
        ("alpha_mean", "mean", MEAN),
    ):
        yield name, title, more, alpha_curves(curves, show=show, systems=systems)
    smallest = figures.sel(radius=[figures.radius.values.min()])
    at = f"r = {float(smallest.radius.min()):g}"
    pairs = frames.agreement(smallest)
    if len(pairs):
        figure = agreement(pairs, frames.taus(pairs), systems=systems)
        yield "agreement", "Does steepness at the smallest radius predict robustness?", f"{at}; {POINTS}", figure
    if "alpha" in figures:
        of = f"{at}; {counted(figures.sizes['point'], 'point')} of every seed"
        spread = distributions(frames.distributions(smallest), systems=systems)
        yield "points", "How steepness is distributed over points", of, spread
