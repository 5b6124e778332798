"""One page with all results: a file that opens anywhere, without a network."""

import base64
import gzip
import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from lipjax import records
from lipjax.report import agreements, board, figures, frames
from lipjax.report.appearance import MARKERS, notation, theme
from lipjax.report.figures import Systems
from lipjax.report.frames import Figures
from lipjax.values import Json


class RunOf(NamedTuple):
    """Where the numbers of a system and seed come from.

    Attributes:
        system: Name of the system in the results.
        seed: Its seed.
        name: Name of the run directory.
        settings: What decided the run, and with which software it was made, by name.
        command: The command that makes it again.
        losses: `(step, loss)` during training.
    """

    system: str
    seed: int
    name: str
    settings: Mapping[str, Any] = {}
    command: str = ""
    losses: Sequence[tuple[float, float]] = ()


class Picture(NamedTuple):
    """An image of the gallery: its caption, and where it is, usually as a data URL."""

    caption: str
    url: str


class Figure(NamedTuple):
    """A figure of the page: charts by what is shown and by the scale of its axes ("log", "linear" or "any")."""

    name: str
    title: str
    caption: str
    filters: tuple[str, ...]
    charts: Mapping[tuple[str, str], Any]
    fades: bool = False
    wide: bool = False

    @property
    def choices(self) -> list[str]:
        return list(dict.fromkeys(choice for choice, _ in self.charts))


def page(
    path: Path | str,
    results: Figures,
    *,
    title: str = "Steepness and robustness",
    about: str = "",
    runs: Sequence[RunOf] = (),
    pictures: Sequence[Picture] = (),
    problems: Sequence[str] = (),
    commands: Sequence[str] = (),
) -> Path:
    """Writes a page of results: verdict, leaderboard, linked figures, gallery, settings, and what is missing.

    The file needs no network and nothing beside it. The same arguments give the same bytes.

    Args:
        path: Where to write; a file with the suffix .html.
        results: Made by `frames.joined` of answers and their summary; whatever it lacks is said on the page.
        title: Title of the page.
        about: A line below it, such as network and data.
        runs: Where the numbers come from.
        pictures: What the gallery shows.
        problems: What else is missing or damaged, in sentences.
        commands: Commands that make all of it again.

    Returns:
        The path.

    Examples:
        >>> import tempfile, xarray
        >>> accuracy = xarray.DataArray([[0.5]], {"system": ["V"], "seed": [0]}, ("system", "seed"))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     written = page(f"{folder}/page.html", xarray.Dataset({"clean_accuracy": accuracy}))
        ...     "No steepness was measured" in written.read_text()
        True
    """
    systems = Systems([str(name) for name in results.system.values], legend=False)
    drawn = list(_figures(results, runs, systems))
    columns = board.columns(results)
    text = _template().render(
        title=title,
        about=about,
        verdict=board.verdict(results),
        problems=[*problems, *board.missing(results)],
        columns=[{"key": "name", "title": "system", "help": "name of the system"}, *(one._asdict() for one in columns)],
        rows=_rows(results, columns, systems),
        controls=_controls(results),
        figures=drawn,
        pictures=pictures,
        measured=sorted((str(name), str(text)) for name, text in results.attrs.items()),
        **_settings(runs, systems),
        commands=commands,
        licences=_part("licences.txt"),
        style=_markup(_part("page.css")),
        script=_markup(_part("page.js")),
        library=_packed(_library()),
        data=_packed(_data(drawn, systems)),
    )
    path = Path(path)
    records.write_text(path, text)
    return path


def _part(name: str) -> str:
    return resources.files("lipjax.report").joinpath("template", name).read_text(encoding="utf-8")


def _template() -> Any:
    import jinja2

    return jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(_part("page.html"))


def _markup(text: str) -> Any:
    import markupsafe

    return markupsafe.Markup(text)


def _library() -> str:
    """Vega, Vega-Lite and Vega-Embed, as vl-convert bundles them."""
    import vl_convert

    bundled: Any = vl_convert.javascript_bundle  # its stub asks for what is optional
    return str(bundled())


def _packed(text: str) -> str:
    """A text as a third of its size, which browsers unpack: letters, digits, + and / only."""
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def _rows(results: Figures, columns: Sequence[board.Column], systems: Systems) -> list[Json]:
    values = [column.values.transpose("system", "seed").values for column in columns]
    rows = []
    for number, (name, look) in enumerate(systems.looks.items()):
        cells = [board.cell(own[number], column.format) for own, column in zip(values, columns, strict=True)]
        row = {"name": name, "short": systems.short(name), "colour": look.colour, "shape": MARKERS[look.marker]}
        rows.append(row | {"cells": [{"value": name, "text": name}, *cells]})
    return rows


def _controls(results: Figures) -> list[Json]:
    controls = []
    if "alpha_max" in results:
        of = frames.radii(results)
        constants = [{"value": name, "text": notation(name)} for name in of]
        radii = [
            {"value": f"{radius:{_DIGITS}}", "text": f"{radius:.3g}", "of": [name for name in of if radius in of[name]]}
            for radius in sorted(set(itertools.chain(*of.values())))
        ]
        if len(constants) > 1:
            controls.append({"key": "constant", "title": "constant", "options": constants})
        controls.append({"key": "radius", "title": "radius r", "options": radii})
    if "corruption_accuracy" in results:
        names = ["mean", *(str(name).replace("_", " ") for name in results.corruption.values)]
        options = [{"value": name, "text": name} for name in names]
        controls.append({"key": "corruption", "title": "corruption", "options": options})
    return controls


def _figures(results: Figures, runs: Sequence[RunOf], systems: Systems) -> Iterator[Figure]:
    if "alpha_max" in results:
        yield from _agreements(results, systems)
        yield _alpha(results, systems)
    if "corruption_accuracy" in results:
        chart = figures.corruption_curves(frames.accuracies(results), systems=systems, panels=False)
        caption = "Mean over seeds; bars: range over seeds. On the right what withstands all attacks."
        yield Figure(
            "corruptions", "Accuracy by severity of a corruption", caption, ("corruption",), {("", "any"): chart}
        )
    points = frames.distributions(results)
    if len(points):
        charts = {("", scale): figures.distributions(points, systems=systems, log=scale == "log") for scale in SCALES}
        caption = "The share of training points, of all seeds, whose α is at most so large."
        yield Figure("points", "Steepness over training points", caption, ("constant", "radius"), charts)
    table = frames.by_corruption(results)
    if len(table):
        chart = figures.heat_map(table, systems=systems)
        yield Figure(
            "heat", "Accuracy by corruption", "Mean over severities and seeds.", (), {("", "any"): chart}, wide=True
        )
    losses = [
        {"system": run.system, "seed": run.seed, "step": step, "loss": loss}
        for run in runs
        for step, loss in run.losses
    ]
    if losses:
        curves = pd.DataFrame(losses)
        charts = {("", scale): figures.training_curves(curves, systems=systems, log=scale == "log") for scale in SCALES}
        yield Figure("training", "Training", "Loss of every run.", (), charts)


_DIGITS = ".4g"
"""Of the numbers of tables, and so of the radii by which their rows are chosen."""

SCALES = ("log", "linear")
AGREEMENTS = {
    "relative_performance": "α(r) and what corruptions cost",
    "mean_corruption_accuracy": "α(r) and accuracy on corrupted images",
    "attacked_accuracy": "α(r) and accuracy under attack",
}


def _agreements(results: Figures, systems: Systems) -> Iterator[Figure]:
    pairs = frames.agreement(results)
    taus = frames.taus(pairs)
    for target, title in AGREEMENTS.items() if len(pairs) else ():
        if target in set(pairs["target"]):
            charts = {
                ("", scale): agreements.against(pairs, taus, target, systems, log=scale == "log") for scale in SCALES
            }
            caption = (
                "A point per run, α in the mean over points. τ and its 95 % interval are of all runs, ticked or not."
            )
            yield Figure(target, title, caption, ("constant", "radius"), charts, fades=True)


def _alpha(results: Figures, systems: Systems) -> Figure:
    frame = frames.alpha(results)
    shown = {
        "largest over points, with bounds": "bracket",
        "percent of its largest value": "share",
        "mean over points": "mean",
    }
    charts = {
        (words, scale): figures.alpha_curves(frame, show=show, log=scale == "log", systems=systems)
        for words, show in shown.items()
        for scale in SCALES
    }
    caption = (
        "Solid: largest value found around a training point, mean over seeds; bars: range over seeds; dashed: upper "
        "bound of all points, the space between shaded; ▽: upper bound of the points that have local ones. Of the mean "
        "over points, the space between the 5 % and the 95 % quantile is shaded."
    )
    return Figure("alpha", "Steepness α(r) around training points", caption, ("constant",), charts)


def _settings(runs: Sequence[RunOf], systems: Systems) -> Json:
    texts = [{name: str(value) for name, value in run.settings.items()} for run in runs]
    names = list(dict.fromkeys(name for one in texts for name in one))
    same = {name for name in names if len({one.get(name) for one in texts}) == 1}
    return {
        "common": [(name, texts[0][name]) for name in names if name in same],
        "runs": [
            {
                "title": f"{systems.short(run.system)}, seed {run.seed}: {run.name}",
                "own": [(name, text) for name, text in one.items() if name not in same],
                "command": run.command,
            }
            for run, one in zip(runs, texts, strict=True)
        ],
    }


def _data(drawn: Sequence[Figure], systems: Systems) -> str:
    """What the page's script reads: charts without their tables, tables by column, and themes."""
    tables: dict[str, Json] = {}
    known = systems.tokens()
    described: Json = {}
    for figure in drawn:
        own: dict[str, None] = {}
        charts = {}
        for (choice, scale), chart in figure.charts.items():
            size = {} if figure.wide else {"width": "container", "height": 300}
            specification = chart.properties(**size).to_dict(validate=False)
            del specification["config"]
            specification["description"] = f"{figure.title}. {figure.caption}"
            charts[f"{choice}|{scale}"] = _without_tables(specification, tables, own, known)
        described[figure.name] = {
            "charts": charts,
            "choices": figure.choices,
            "filters": figure.filters,
            "tables": list(own),
            "fades": figure.fades,
        }
    data = {
        "figures": described,
        "tables": tables,
        "tokens": known,
        "systems": list(systems.looks),
        "details": next(iter(described["corruptions"]["tables"])) if "corruptions" in described else None,
        "themes": {"light": theme() | {"background": None}, "dark": theme(dark=True)},
    }
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _without_tables(part: Any, tables: dict[str, Json], own: dict[str, None], known: Mapping[str, list]) -> Any:
    if isinstance(part, dict):
        if isinstance(part.get("values"), str) and "name" in part:
            name = f"{part['name']} {hashlib.sha256(part['values'].encode()).hexdigest()[:8]}"
            own[name] = None
            if name not in tables:
                tables[name] = _by_column(json.loads(part["values"]))
            return {"name": name}
        return {key: _without_tables(one, tables, own, known) for key, one in part.items()}
    if isinstance(part, list):
        token = next((token for token, listed in known.items() if part == listed), None)
        return token or [_without_tables(one, tables, own, known) for one in part]
    return part


def _by_column(rows: Sequence[Mapping[str, Any]]) -> Json:
    names = list(dict.fromkeys(name for row in rows for name in row))
    return {name: _column([row.get(name) for row in rows]) for name in names}


def _column(values: Sequence[Any]) -> Any:
    if not any(isinstance(value, str) for value in values):
        return [
            None if value is None else int(value) if value == int(value) else float(f"{value:{_DIGITS}}")
            for value in values
        ]
    words = list(dict.fromkeys(values))
    places = {word: place for place, word in enumerate(words)}
    return {"words": words, "at": [places[value] for value in values]}
