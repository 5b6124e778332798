"""Figures of datasets and of functions on the line: which constants pairs forbid, and fits of a step."""

from collections.abc import Mapping

import altair as alt
import numpy as np
import pandas as pd
from jaxtyping import Float, Int, Num

from lipjax.report.appearance import COLOURS
from lipjax.report.figures import data
from lipjax.report.tables import counted

PAIRS, CLOSE = COLOURS[0], COLOURS[5]


def incompatible_pairs(
    curves: Mapping[str, tuple[Float[np.ndarray, " steps"], Float[np.ndarray, " steps"]]],
    *,
    num_pairs: int,
    metric: str,
) -> alt.LayerChart:
    """Fraction of pairs that are incompatible with each constant, in steps (slide 13); every curve with its count.

    Args:
        curves: By name, edges of the steps, ascending, and the number of pairs from each edge to the next.
        num_pairs: Number of all pairs.
        metric: Name of the distance.

    Returns:
        The chart; a curve without any pair is named with 0 pairs.
    """
    names = {name: f"{name}: {counted(int(counts.max(initial=0)), 'pair')}" for name, (_, counts) in curves.items()}
    parts = [
        pd.DataFrame({"alpha": edges, "pairs": counts, "fraction": counts / max(1, num_pairs), "curve": names[name]})
        for name, (edges, counts) in curves.items()
    ]
    table = pd.concat(parts, ignore_index=True)
    low = table["alpha"].min(), table["alpha"].max()
    scale = alt.Scale(domain=list(names.values()), range=[PAIRS, CLOSE, *COLOURS[1:]][: len(names)])
    base = alt.Chart(data(table[table["pairs"] > 0])).encode(
        x=alt.X(
            "alpha:Q", title=f"Lipschitz constant α, metric {metric}", scale=alt.Scale(domain=list(low), nice=False)
        ),
        color=alt.Color("curve:N", title="incompatible pairs", scale=scale, legend=alt.Legend(labelLimit=320)),
        strokeWidth=alt.StrokeWidth(
            "curve:N", scale=alt.Scale(domain=list(names.values()), range=[1.6, 4.0, 1.6][: len(names)]), legend=None
        ),
        tooltip=[alt.Tooltip("curve:N"), alt.Tooltip("alpha:Q", format=".4~g"), alt.Tooltip("pairs:Q", format=",")],
    )
    title, limits = "fraction of incompatible pairs", [0.3 / max(1, num_pairs), 3]
    axis = alt.Axis(format=".0e", tickCount=6)
    y = alt.Y("fraction:Q", title=title, scale=alt.Scale(type="log", domain=limits, nice=False, clamp=True), axis=axis)
    return alt.layer(base.mark_line(interpolate="step-after").encode(y=y)).properties(width=460, height=280)


def one_dimensional_fits(
    grid: Float[np.ndarray, " grid"],
    fits: Mapping[str, Float[np.ndarray, " grid"]],
    captions: Mapping[str, str],
    examples: tuple[Num[np.ndarray, " examples"], Int[np.ndarray, " examples"]],
    *,
    radius: float,
) -> alt.HConcatChart:
    """Fits of a two-class problem on the line, one panel each; around each class the space within the radius is shaded.

    Args:
        grid: Where the fits are evaluated, ascending.
        fits: Name of a fit to its values on the grid.
        captions: Name of a fit to what was measured of it, written below its name.
        examples: Inputs and labels (0 or 1) of the training examples.
        radius: Radius of the balls, in input units.
    """
    inputs, labels = examples
    kinds = [f"class {label}, balls of radius {radius:g}" for label in (0, 1)]
    scale = alt.Scale(domain=["f(x)", *kinds], range=[COLOURS[0], COLOURS[1], COLOURS[2]])
    colour = alt.Color(
        "kind:N", title=None, scale=scale, legend=alt.Legend(orient="bottom", labelLimit=300, symbolOpacity=1)
    )
    points = pd.DataFrame({"x": inputs, "y": labels, "kind": [kinds[int(label)] for label in labels]})
    ends = points.groupby("kind")["x"].agg(["min", "max"]).reset_index()
    ends = ends.assign(low=ends["min"] - radius, high=ends["max"] + radius)
    x, y = alt.Scale(domain=[float(grid[0]), float(grid[-1])], nice=False), alt.Scale(domain=[-0.2, 1.2])
    panels = []
    for name, values in fits.items():
        curve = pd.DataFrame({"x": grid, "y": values, "kind": "f(x)"})
        shade = (
            alt.Chart(data(ends, "balls"))
            .mark_rect(opacity=0.15, clip=True)
            .encode(x="low:Q", x2="high:Q", color=colour)
        )
        line = (
            alt.Chart(data(curve, name))
            .mark_line(clip=True)
            .encode(x=alt.X("x:Q", title="x", scale=x), y=alt.Y("y:Q", title="f(x)", scale=y), color=colour)
        )
        dots = (
            alt.Chart(data(points, "examples")).mark_point(filled=True, size=25).encode(x="x:Q", y="y:Q", color=colour)
        )
        title = alt.TitleParams(name, subtitle=captions[name].split(", "), fontSize=12, anchor="middle")
        panels.append(alt.layer(shade, line, dots).properties(width=230, height=210, title=title))
    return alt.hconcat(*panels)
