"""Figures of a zoo of networks: what predicts robustness, target by target."""

import altair as alt
import pandas as pd

from lipjax.report.figures import Systems, _axis, _tooltip, data

COLOURS = ("#9b4903", "#20a6d2")
"""Of the measure in question and of the one beside it."""


def rank_dots(frame: pd.DataFrame) -> alt.LayerChart:
    """Kendall's tau of two measures with targets, a row per target: dots with their intervals.

    Args:
        frame: Columns `target`, `measure`, `tau`, `low`, `high`.
    """
    order = list(dict.fromkeys(frame["target"]))
    measures = list(dict.fromkeys(frame["measure"]))
    colour = alt.Color(
        "measure:N",
        scale=alt.Scale(domain=measures, range=list(COLOURS)),
        legend=alt.Legend(orient="top", title=None),
    )
    base = alt.Chart(data(frame)).encode(
        y=alt.Y("target:N", sort=order, title=None),
        yOffset=alt.YOffset("measure:N", sort=measures),
        color=colour,
        tooltip=_tooltip("target", "tau", "low", "high"),
    )
    axis = alt.Scale(domain=[-1, 1])
    layers = (
        alt.Chart().mark_rule(strokeDash=[3, 3], opacity=0.6).encode(x=alt.datum(0.0)),
        base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q", scale=axis, title="Kendall’s τ"), x2="high:Q"),
        base.mark_point(filled=True, size=45, opacity=1).encode(x=alt.X("tau:Q", scale=axis)),
    )
    return alt.layer(*layers).properties(width=380, height=alt.Step(9))


def against(frame: pd.DataFrame, *, columns: int = 2) -> alt.ConcatChart:
    """Each target against the measure, a point per network, coloured by family.

    Args:
        frame: Columns `system` (the family), `seed`, `alpha`, `target`, `value`.
        columns: Panels side by side.
    """
    systems = Systems(list(frame["system"]))
    labelled = systems.label(frame[frame["alpha"] > 0])
    panels = [
        alt.Chart(data(own, str(target)))
        .mark_point(filled=True, size=34, opacity=0.75)
        .encode(
            x=alt.X("alpha:Q", title="mean α(0.05)", scale=alt.Scale(type="log", nice=False), axis=_axis(True)),
            y=alt.Y("value:Q", title=str(target), scale=alt.Scale(zero=False, padding=10)),
            **systems.encode(),
            tooltip=_tooltip("system", "seed", "alpha", "value"),
        )
        .properties(width=280, height=210)
        for target, own in labelled.groupby("target", sort=False)
    ]
    return alt.concat(*panels, columns=columns)
