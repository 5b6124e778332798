"""The picture of the project's question: steepness against robustness, a point per run."""

from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from lipjax.report import frames
from lipjax.report.figures import Systems, _axis, _systems, _tooltip, data
from lipjax.report.frames import TARGETS
from lipjax.report.tables import counted


def agreement(
    frame: pd.DataFrame,
    taus: pd.DataFrame,
    *,
    systems: Systems | None = None,
    log: bool = True,
    stacked: bool = False,
) -> Any:
    """Does alpha predict robustness? A point per run for each target, with Kendall's tau and its interval.

    Args:
        frame: Rows of `frames.agreement`, of one constant and radius.
        taus: Rows of `frames.taus` of the same.
        systems: Encodings to use; default those of the systems in the table.
        log: A logarithmic axis of alpha.
        stacked: Panels below one another.
    """
    systems = _systems(frame, systems)
    panels = [
        against(frame, taus, target, systems, log=log).properties(width=250, height=230)
        for target in TARGETS
        if target in set(frame["target"])
    ]
    if not panels:
        return alt.Chart(data(frame)).mark_point()
    return alt.vconcat(*panels, spacing=18) if stacked else alt.hconcat(*panels, spacing=24)


def against(
    frame: pd.DataFrame, taus: pd.DataFrame, target: str, systems: Systems, *, log: bool = True
) -> alt.LayerChart:
    """One target of `agreement`; where rows have a column `chosen`, the others are faint."""
    own = systems.label(frame[frame["target"] == target])
    middle = own.groupby(["constant", "radius"])["alpha"].transform(lambda alpha: np.sqrt(alpha.min() * alpha.max()))
    own = own.assign(steep=(own["alpha"] > middle).astype(int))
    scale = alt.Scale(nice=False, padding=16, **({"type": "log"} if log else {"zero": False}))
    base = alt.Chart(data(own[own["alpha"] > 0] if log else own, target)).encode(
        x=alt.X("alpha:Q", title="mean α(r)", scale=scale, axis=_axis(log)),
        y=alt.Y("value:Q", title=TARGETS[target], scale=alt.Scale(zero=False, padding=12)),
    )
    points = base.mark_point(filled=True, size=70).encode(
        **systems.encode(),
        opacity=alt.condition("datum.chosen === false", alt.value(0.1), alt.value(0.9)),
        tooltip=_tooltip("system", "seed", "radius", "alpha", "value"),
    )
    sentence = (
        alt.Chart(data(said(taus, target), f"tau {target}"))
        .mark_text(align="left", baseline="bottom", lineBreak="\n", fontSize=11, lineHeight=14)
        .encode(x=alt.value(0), y=alt.value(-22), text="text:N")
    )
    layers = [points, sentence]
    if len(own["system"].unique()) <= 12:
        layers += _names(own, base)
    return alt.layer(*layers)


def _names(own: pd.DataFrame, base: alt.Chart) -> list[alt.Chart]:
    """Names of systems beside the points of their first seeds, on the side where there is room."""
    first = f"datum.seed == {int(own['seed'].min())}"
    return [
        base.mark_text(align=align, dx=dx, dy=-6, fontSize=10, limit=110)
        .encode(text="system:N")
        .transform_filter(f"{first} && datum.steep == {steep}")
        for steep, align, dx in ((0, "left", 7), (1, "right", -7))
    ]


def said(taus: pd.DataFrame, target: str) -> pd.DataFrame:
    """The text of every tau of a target: value, interval over systems, p-value, number of runs."""
    if not len(taus):
        return pd.DataFrame([{"text": "no rank correlation of a single system"}])
    own = taus[taus["target"] == target]
    return own.assign(text=[_sentence(row) for row in own.itertuples()])[["constant", "radius", "text"]]


def _sentence(row: Any) -> str:
    interval = "" if np.isnan(row.low) else f" [{row.low:.2f}, {row.high:.2f}]"
    sizes = f"{counted(row.num_runs, 'run')}, {counted(row.num_systems, 'system')}"
    return f"Kendall’s τ = {row.tau:.2f}{interval}{frames.chance(row.p_value)}\n{sizes}"
