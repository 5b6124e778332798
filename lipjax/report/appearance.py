"""What a system looks like in every figure, today and in another run: a colour and a marker derived from its name."""

import hashlib
import itertools
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

COLOURS = (
    "#20a6d2",
    "#9b4903",
    "#037d62",
    "#7227fd",
    "#e6167d",
    "#b4992a",
    "#eb748e",
    "#8b39b3",
    "#a9720e",
    "#9772fe",
)
"""Told apart with normal sight and by the colour-blind; contrast 2.7 or more against white and against near-black."""

MARKERS = {
    "circle": "M-1,0A1,1,0,1,0,1,0A1,1,0,1,0,-1,0Z",
    "square": "M-0.9,-0.9L0.9,-0.9L0.9,0.9L-0.9,0.9Z",
    "triangle": "M0,-1L1,0.8L-1,0.8Z",
    "diamond": "M0,-1.15L0.9,0L0,1.15L-0.9,0Z",
    "cross": "M-1,-0.4L-0.4,-0.4L-0.4,-1L0.4,-1L0.4,-0.4L1,-0.4L1,0.4L0.4,0.4L0.4,1L-0.4,1L-0.4,0.4L-1,0.4Z",
    "triangle down": "M0,1L1,-0.8L-1,-0.8Z",
    "triangle right": "M1,0L-0.8,1L-0.8,-1Z",
    "triangle left": "M-1,0L0.8,1L0.8,-1Z",
    "star": "M0,-1.1L0.26,-0.36L1.05,-0.34L0.42,0.14L0.65,0.89L0,0.44L-0.65,0.89L-0.42,0.14L-1.05,-0.34L-0.26,-0.36Z",
    "hexagon": "M1,0L0.5,0.87L-0.5,0.87L-1,0L-0.5,-0.87L0.5,-0.87Z",
    "hourglass": "M-0.9,-0.9L0.9,-0.9L-0.9,0.9L0.9,0.9Z",
    "saltire": "M-1,-0.5L-0.5,-1L0,-0.5L0.5,-1L1,-0.5L0.5,0L1,0.5L0.5,1L0,0.5L-0.5,1L-1,0.5L-0.5,0Z",
}
"""Outlines in a square from -1 to 1, as SVG paths."""

_OF_THE_TALK = ("V", "P", "L2NN", "L", "PGD")
"""The systems that the talk compares have the first colours and markers."""


class Look(NamedTuple):
    """How a system is drawn: its label (lines of at most `WIDTH` letters), a colour and a marker."""

    label: str
    colour: str
    marker: str


WIDTH, LINES = 26, 3


def looks(names: Iterable[str]) -> dict[str, Look]:
    """The looks of systems, by name, in the order given.

    A name has a marker and a colour of its own, that of the talk or by a digest of the name. Only where another system
    of the figure, one of the talk or earlier in the alphabet, has that colour, the name takes its next one: so up to
    ten systems differ in colour, and up to 120 in colour or marker.

    Examples:
        >>> own = looks(["PGD", "mine", "V"])
        >>> own["V"].marker, own["V"].colour, own["mine"].marker == looks(["mine"])["mine"].marker
        ('circle', '#20a6d2', True)
    """
    listed = list(dict.fromkeys(names))
    taken: dict[tuple[int, int], str] = {}
    for name in sorted(listed, key=lambda name: (name not in _OF_THE_TALK, name)):
        taken[_free(name, taken)] = name
    own = {name: pair for pair, name in taken.items()}
    labels = dict(zip(sorted(listed), _distinct(sorted(listed)), strict=True))
    markers = list(MARKERS)
    return {name: Look(labels[name], COLOURS[own[name][1]], markers[own[name][0] % len(markers)]) for name in listed}


def _free(name: str, taken: Mapping[tuple[int, int], str]) -> tuple[int, int]:
    """The first marker and colour of a name that nobody has, with a colour that nobody has if there is one."""
    if name in _OF_THE_TALK:
        return _OF_THE_TALK.index(name), _OF_THE_TALK.index(name)
    markers, colours = _order(f"marker {name}", len(MARKERS)), _order(f"colour {name}", len(COLOURS))
    used = {colour for _, colour in taken}
    for marker in itertools.chain(markers, itertools.count(len(MARKERS))):  # beyond 120 systems looks come again
        free = [colour for colour in colours if (marker, colour) not in taken]
        if free:
            return marker, next((colour for colour in free if colour not in used), free[0])
    raise AssertionError("numbers never end")


def _order(word: str, count: int) -> list[int]:
    return sorted(range(count), key=lambda number: hashlib.sha256(f"{word} {number}".encode()).digest())


def _distinct(names: list[str]) -> list[str]:
    labels: list[str] = []
    for name in names:
        label, number = wrapped(name), 1
        while label in labels:
            number += 1
            label = wrapped(f"{name[:WIDTH]} … ({number})")
        labels.append(label)
    return labels


def wrapped(name: str) -> str:
    """A name in at most three lines; of longer ones the middle is left out.

    Examples:
        >>> wrapped("L2NN")
        'L2NN'
        >>> [len(line) <= 26 for line in wrapped("x" * 1000).splitlines()]
        [True, True, True]
    """
    lines = textwrap.wrap(name, WIDTH, break_on_hyphens=False) or [" "]
    if len(lines) > LINES:
        lines = [*lines[:2], f"…{name.strip()[1 - WIDTH :]}"]
    return "\n".join(lines)


def notation(text: str) -> str:
    """Norms as mathematics.

    Examples:
        >>> notation("slope of logits, l2 to linf")
        'slope of logits, L₂ → L∞'
    """
    for word, sign in ((" to l", " → l"), ("linf", "L∞"), ("l2", "L₂"), ("l1", "L₁")):
        text = text.replace(word, sign)
    return text


def theme(*, dark: bool = False) -> dict[str, Any]:
    """Vega-Lite's configuration of all figures, on light or dark ground."""
    ink, faint = ("#e6e6e6", "#4a4f57") if dark else ("#222222", "#dddddd")
    text = {"labelColor": ink, "titleColor": ink, "labelFontSize": 11, "titleFontSize": 12, "titleFontWeight": "normal"}
    return {
        "font": "DejaVu Sans, Liberation Sans, Arial, sans-serif",
        "background": None if dark else "white",
        "view": {"stroke": None, "continuousWidth": 420, "continuousHeight": 270},
        "axis": text | {"gridColor": faint, "domainColor": faint, "tickColor": faint, "gridOpacity": 0.7},
        "header": text,
        "legend": text | {"symbolSize": 60, "labelLimit": 240, "rowPadding": 3},
        "title": {"color": ink, "subtitleColor": ink, "anchor": "start", "fontSize": 14, "subtitleFontSize": 11},
        "text": {"color": ink, "fontSize": 11},
        "rule": {"color": ink},
        "line": {"strokeWidth": 1.7},
    }
