"""Figures of results: Vega-Altair charts of tidy tables, each good for paper and page."""

import json
from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd

from lipjax.report import appearance
from lipjax.report.appearance import MARKERS

MOST_NAMED = 60
"""Systems that a legend lists; what is beyond says so."""

RADIUS = "radius r (pixels in [0, 1])"


def data(frame: pd.DataFrame, name: str = "rows") -> alt.InlineData:
    """A table as a chart's own data, under a name by which the page finds it: numbers of six digits, gaps left out.

    It is text to Altair, which would compare every single number with its schema.
    """
    rows = [
        {key: _number(value) for key, value in row.items() if not pd.isna(value)} for row in frame.to_dict("records")
    ]
    return alt.InlineData(values=json.dumps(rows, ensure_ascii=False), name=name, format=alt.DataFormat(type="json"))


def _number(value: Any) -> Any:
    return value if isinstance(value, str) else float(f"{float(value):.6g}")


class Systems:
    """Encodings by system: a colour and a marker each, which agree in all figures."""

    def __init__(self, names: Sequence[str], *, legend: bool = True):
        self.looks = appearance.looks(names)
        self._domain = [look.label for look in self.looks.values()]
        columns = 1 + (min(len(self._domain), MOST_NAMED) - 1) // 20
        title = "system" if len(self._domain) <= MOST_NAMED else f"{MOST_NAMED} of {len(self._domain)} systems"
        self._legend = (
            alt.Legend(
                title=title,
                columns=columns,
                symbolLimit=MOST_NAMED,
                labelExpr="split(datum.label, '\\n')",
                symbolOpacity=1,
            )
            if legend
            else None
        )

    def label(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The table with the systems' labels."""
        labels = {name: look.label for name, look in self.looks.items()}
        return frame.assign(label=frame["system"].map(labels)) if len(frame) else frame

    def short(self, name: str) -> str:
        """A system's label in one line."""
        return self.looks[name].label.replace("\n", " ") if name in self.looks else name

    def tokens(self) -> dict[str, list[str]]:
        """The lists that every chart repeats, by a word for each: labels, colours and markers."""
        looks = self.looks.values()
        colours, markers = [look.colour for look in looks], [MARKERS[look.marker] for look in looks]
        return {"$labels": self._domain, "$colours": colours, "$markers": markers}

    @property
    def weight(self) -> float:
        """How heavily lines and markers are drawn: more lightly, the more there are."""
        return 1.0 if len(self.looks) <= 8 else 0.5

    @property
    def colour(self) -> alt.Color:
        return alt.Color("label:N", scale=self._scale("$colours"), legend=self._legend)

    @property
    def marker(self) -> alt.Shape:
        return alt.Shape("label:N", scale=self._scale("$markers"), legend=self._legend)

    def _scale(self, token: str) -> alt.Scale:
        return alt.Scale(domain=self._domain, range=self.tokens()[token])

    def encode(self) -> dict[str, Any]:
        """Colour and marker."""
        return {"color": self.colour, "shape": self.marker}


def _systems(frame: pd.DataFrame, systems: Systems | None) -> Systems:
    return Systems(list(frame["system"])) if systems is None else systems


def finished(chart: Any, title: str, subtitle: str = "", description: str = "", *, dark: bool = False) -> Any:
    """A chart with its title, its alternative text and the look of all figures."""
    lines = [line for line in subtitle.split("\n") if line]
    heading = alt.TitleParams(text=title, subtitle=lines, subtitlePadding=4, offset=10)
    chart = chart.properties(title=heading, description=description or f"{title}. {subtitle}")
    return chart.configure(**appearance.theme(dark=dark))


def _tooltip(*fields: str) -> list[alt.Tooltip]:
    return [
        alt.Tooltip(f"{field}:N") if field in WORDS else alt.Tooltip(f"{field}:Q", format=".4~g") for field in fields
    ]


WORDS = {"system", "corruption", "images", "target", "step", "constant", "kind"}


def alpha_curves(
    frame: pd.DataFrame,
    *,
    show: str = "bracket",
    log: bool = True,
    systems: Systems | None = None,
) -> alt.LayerChart:
    """alpha(r), a curve per system.

    Args:
        frame: Rows of `frames.alpha`, of one constant.
        show: "bracket" for the maximum over points (solid) with upper bounds (dashed: of all points; hollow: of those
            with local bounds) and the space between them shaded; "share" for percent of its own maximum, as on the
            talk's slide 17; "mean" for the mean over points with the middle nine tenths of them shaded.
        log: A logarithmic axis, since systems differ by orders of magnitude; not of shares.
        systems: Encodings to use; default those of the systems in the table.

    Returns:
        The chart: vertical bars are the range over seeds.
    """
    systems = _systems(frame, systems)
    names = {"bracket": "maximum", "share": "share", "mean": "mean"}
    value = names[show]
    labels = {"bracket": "α(r)", "share": "α(r) / αₘₐₓ (%)", "mean": "mean α(r)"}
    scale = alt.Scale(domain=[0, 103]) if show == "share" else _scale(log)
    if show != "share" and log:
        frame = frame[frame[value] > 0]
    base = alt.Chart(data(systems.label(frame))).encode(
        x=alt.X("radius:Q", title=RADIUS, axis=alt.Axis(tickCount=8), scale=alt.Scale(nice=False, zero=True)),
        y=alt.Y(f"{value}:Q", title=labels[show], scale=scale, axis=_axis(log and show != "share")),
        color=systems.colour,
        tooltip=_tooltip(
            "system",
            "radius",
            *{
                "bracket": ("maximum", "upper", "local"),
                "share": ("share", "maximum"),
                "mean": ("mean", "mean_low", "mean_high"),
            }[show],
        ),
    )
    layers = (
        []
        if show == "share"
        else [
            _band(
                base,
                *{"bracket": ("maximum", "upper"), "mean": ("mean_low", "mean_high")}[show],
                count=len(systems.looks),
            )
        ]
    )
    if show == "bracket":
        layers += [base.mark_line(strokeDash=[5, 3], strokeWidth=1, opacity=systems.weight).encode(y="upper:Q")]
        layers += [
            base.mark_point(shape="triangle-down", filled=False, size=45 * systems.weight)
            .encode(y="local:Q")
            .transform_filter("isValid(datum.local)")
        ]
        layers += [
            base.mark_rule(strokeWidth=1.2)
            .encode(y="maximum_low:Q", y2="maximum_high:Q")
            .transform_filter("isValid(datum.maximum_low)")
        ]
    return alt.layer(
        *layers,
        base.mark_line(strokeWidth=1.7 * systems.weight),
        base.mark_point(filled=True, size=45 * systems.weight, opacity=1).encode(shape=systems.marker),
    )


def _scale(log: bool, padding: float = 8) -> alt.Scale:
    return alt.Scale(type="log", nice=False, padding=padding) if log else alt.Scale(zero=True, nice=True)


def _axis(log: bool) -> alt.Axis:
    return alt.Axis(tickCount=6, format="~g", labelOverlap="greedy") if log else alt.Axis()


def _band(base: alt.Chart, low: str, high: str, *, count: int) -> alt.Chart:
    """What is between two columns, the fainter the more systems there are."""
    return (
        base.mark_area(opacity=min(0.16, 0.3 / count), line=False)
        .encode(y=alt.Y(f"{low}:Q"), y2=f"{high}:Q")
        .transform_filter(f"isValid(datum.{low}) && isValid(datum.{high})")
    )


def corruption_curves(frame: pd.DataFrame, *, systems: Systems | None = None, panels: bool = True) -> Any:
    """Accuracy by severity, a curve per system; 0 is the clean image, and what withstands attacks stands apart.

    Args:
        frame: Rows of `frames.accuracies`.
        systems: Encodings to use; default those of the systems in the table.
        panels: A panel for each corruption; otherwise one for all rows.

    Returns:
        The chart: vertical bars are the range over seeds.
    """
    systems = _systems(frame, systems)
    order = [*sorted(set(frame["step"]) - {"attack"}, key=float), "attack"]
    table = data(systems.label(frame.assign(corruption=frame["corruption"].str.replace("_", " "))))
    base = alt.Chart().encode(
        x=alt.X("step:O", sort=order, title="severity (0 = clean)", axis=alt.Axis(labelAngle=0, labelOverlap=False)),
        y=alt.Y("accuracy:Q", title="accuracy (%)", scale=alt.Scale(domain=[0, 100])),
        color=systems.colour,
        tooltip=_tooltip("system", "corruption", "step", "accuracy", "accuracy_low", "accuracy_high"),
    )
    chart = alt.layer(
        base.mark_line(strokeWidth=1.7 * systems.weight).transform_filter("datum.step != 'attack'"),
        base.mark_rule(strokeWidth=1.2)
        .encode(y="accuracy_low:Q", y2="accuracy_high:Q")
        .transform_filter("isValid(datum.accuracy_low)"),
        base.mark_point(filled=True, size=40 * systems.weight, opacity=1).encode(shape=systems.marker),
        data=table,
    )
    if not panels:
        return chart
    names = sorted({name.replace("_", " ") for name in frame["corruption"]}, key=lambda name: (name != "mean", name))
    columns = min(4, len(names))
    facet = alt.Facet("corruption:N", title=None, sort=names, header=alt.Header(labelFontSize=12))
    return chart.properties(width=170, height=140).facet(facet, columns=columns)


def heat_map(frame: pd.DataFrame, *, systems: Systems | None = None) -> alt.LayerChart:
    """Accuracy of every system on every kind of images.

    Args:
        frame: Rows of `frames.by_corruption`.
        systems: Encodings, for the labels; default those of the systems in the table.
    """
    systems = _systems(frame, systems)
    order = list(dict.fromkeys(frame["images"]))
    words = frame.assign(images=frame["images"].str.replace("_", " "))
    lines = max(look.label.count("\n") for look in systems.looks.values()) + 1 if len(systems.looks) <= 10 else 1
    label = "split(datum.label, '\\n')" if lines > 1 else "replace(datum.label, /\\n/g, ' ')"
    base = alt.Chart(data(systems.label(words))).encode(
        x=alt.X(
            "images:N",
            sort=[name.replace("_", " ") for name in order],
            title=None,
            axis=alt.Axis(labelAngle=-40, labelLimit=140, orient="top"),
        ),
        y=alt.Y(
            "label:N",
            sort=[look.label for look in systems.looks.values()],
            title=None,
            axis=alt.Axis(labelExpr=label, labelLimit=330),
        ),
        tooltip=_tooltip("system", "images", "accuracy"),
    )
    colour = alt.Color(
        "accuracy:Q",
        title="accuracy (%)",
        scale=alt.Scale(scheme="viridis", domain=[0, 100]),
        legend=alt.Legend(orient="bottom", direction="horizontal", gradientThickness=10),
    )
    ink = alt.condition("datum.accuracy > 62", alt.value("#111111"), alt.value("#ffffff"))
    chart = alt.layer(
        base.mark_rect().encode(color=colour),
        base.mark_text(fontSize=10).encode(text=alt.Text("accuracy:Q", format=".0f"), color=ink),
    )
    return chart.properties(width=alt.Step(34), height=alt.Step(13 * lines + 7))


def distributions(
    frame: pd.DataFrame, *, by: str = "system", systems: Systems | None = None, log: bool = True
) -> alt.Chart:
    """How alpha is distributed over points, in steps.

    Args:
        frame: Rows of `frames.distributions`, of one constant, and of one radius or one system.
        by: What has a curve each: "system" or "radius".
        systems: Encodings to use; default those of the systems in the table.
        log: A logarithmic axis.
    """
    if by == "radius":
        colour: Any = alt.Color(
            "radius:O", scale=alt.Scale(scheme="viridis", reverse=True), legend=alt.Legend(title="radius r")
        )
        table = frame
    else:
        systems = _systems(frame, systems)
        colour, table = systems.colour, systems.label(frame)
    return (
        alt.Chart(data(table[table["alpha"] > 0] if log else table))
        .mark_line(interpolate="step-after", strokeWidth=1.7 if systems is None else 1.7 * systems.weight)
        .encode(
            x=alt.X("alpha:Q", title="α(r) of a point, lower value", scale=_scale(log), axis=_axis(log)),
            y=alt.Y("share:Q", title="points with at most this value (%)", scale=alt.Scale(domain=[0, 101])),
            color=colour,
            order="share:Q",
            tooltip=_tooltip("system", "radius", "alpha", "share"),
        )
    )


def training_curves(frame: pd.DataFrame, *, systems: Systems | None = None, log: bool = True) -> alt.Chart:
    """Loss during training, a curve per run.

    Args:
        frame: Columns `system`, `seed`, `step`, `loss`.
        systems: Encodings to use; default those of the systems in the table.
        log: A logarithmic axis.
    """
    systems = _systems(frame, systems)
    table = frame[(frame["loss"] > 0) | (not log)]
    return (
        alt.Chart(data(systems.label(table)))
        .mark_line(strokeWidth=1.2, point=alt.OverlayMarkDef(size=12))
        .encode(
            x=alt.X("step:Q", title="step", scale=alt.Scale(nice=False)),
            y=alt.Y("loss:Q", title="loss", scale=alt.Scale(type="log" if log else "linear", nice=True)),
            color=systems.colour,
            detail="seed:N",
            tooltip=[alt.Tooltip("system:N"), *_tooltip("seed"), alt.Tooltip("step:Q"), *_tooltip("loss")],
        )
    )
