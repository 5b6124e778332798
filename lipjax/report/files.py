"""Charts as files."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lipjax import records

FORMATS = ("png", "svg", "pdf")
RESOLUTION = 2.0
"""Pixels of a PNG file for each of the screen's."""


def save(chart: Any, stem: Path | str, formats: Sequence[str] = FORMATS) -> list[Path]:
    """Writes a chart as `stem.png`, `stem.svg`, `stem.pdf`; also as `stem.html`, interactive and without any network.

    Equal charts give equal bytes, but for PDF, whose objects come in any order; a file appears whole or not at all.

    Args:
        chart: An Altair chart.
        stem: Path without suffix; its folder must exist.
        formats: Any of "png", "svg", "pdf" and "html" (0.9 MB each).

    Returns:
        The paths written.

    Examples:
        >>> import altair, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     chart = altair.Chart(altair.Data(values=[{"alpha": 2}])).mark_tick().encode(x="alpha:Q")
        ...     [path.name for path in save(chart, f"{folder}/curve", ["svg"])]
        ['curve.svg']
    """
    files = written(chart, formats)
    paths = {kind: Path(f"{stem}.{kind}") for kind in files}
    for kind, path in paths.items():
        with records.replacing(path) as partial:
            partial.write_bytes(files[kind])
    return list(paths.values())


def written(chart: Any, formats: Sequence[str]) -> dict[str, bytes]:
    """A chart in several formats; one drawing serves all of them."""
    import altair as alt
    import vl_convert

    specification = chart.to_json()
    version = ".".join(alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
    drawing = _numbered_anew(vl_convert.vegalite_to_svg(specification, vl_version=version))
    makers = {
        "svg": lambda: drawing.encode(),
        "png": lambda: vl_convert.svg_to_png(drawing, scale=RESOLUTION),
        "pdf": lambda: vl_convert.svg_to_pdf(drawing),
        "html": lambda: vl_convert.vegalite_to_html(specification, vl_version=version, bundle=True).encode(),
    }
    return {kind: makers[kind]() for kind in formats}


def _numbered_anew(drawing: str) -> str:
    """A drawing whose gradients and clips are numbered from 0, not from the last one that the process drew."""
    marks = list(dict.fromkeys(re.findall(r"\b(?:gradient_|clip)\d+", drawing)))
    return re.sub(r"\b(gradient_|clip)\d+", lambda found: f"{found[1]}{marks.index(found[0])}", drawing)
