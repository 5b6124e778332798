"""What a system looks like in every figure, today and in another run: a colour and a marker derived from its name."""

import hashlib
import textwrap
from collections.abc import Iterable
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
    "circle": "circle",
    "square": "square",
    "triangle": "triangle-up",
    "diamond": "diamond",
    "cross": "cross",
    "triangle down": "triangle-down",
    "triangle right": "triangle-right",
    "triangle left": "triangle-left",
    "star": "M0,-1.1L0.26,-0.36L1.05,-0.34L0.42,0.14L0.65,0.89L0,0.44L-0.65,0.89L-0.42,0.14L-1.05,-0.34L-0.26,-0.36Z",
    "hexagon": "M0.9,0L0.45,0.78L-0.45,0.78L-0.9,0L-0.45,-0.78L0.45,-0.78Z",
    "hourglass": "M-0.8,-0.8L0.8,-0.8L-0.8,0.8L0.8,0.8Z",
    "saltire": "M-0.9,-0.5L-0.5,-0.9L0,-0.4L0.5,-0.9L0.9,-0.5L0.4,0L0.9,0.5L0.5,0.9L0,0.4L-0.5,0.9L-0.9,0.5L-0.4,0Z",
}
"""Shapes by name, as Vega reads them."""

_OF_THE_TALK = {"V": 0, "P": 11, "L2NN": 22, "L": 33, "PGD": 44}
"""Slots, each a colour and a marker, of the systems that the talk compares."""


class Look(NamedTuple):
    """How a system is drawn: its label (lines of at most `WIDTH` letters), a colour and a marker."""

    label: str
    colour: str
    marker: str


WIDTH, LINES = 26, 3


def looks(names: Iterable[str]) -> dict[str, Look]:
    """The looks of systems, by name, in the order given.

    A name's own slot is that of the talk, or a digest of the name. Where two names of one figure have the same, the
    later in the alphabet takes its next one: so all of one figure differ, up to 120 systems.

    Example:
        >>> own = looks(["PGD", "mine", "V"])
        >>> own["V"].marker, own["V"].colour, own["mine"] == looks(["mine"])["mine"]
        ('circle', '#20a6d2', True)
    """
    listed = list(dict.fromkeys(names))
    taken: dict[int, str] = {}
    for name in sorted(listed, key=lambda name: (name not in _OF_THE_TALK, name)):
        taken[_slot(name, taken)] = name
    slots = {name: slot for slot, name in taken.items()}
    labels = dict(zip(sorted(listed), _distinct(sorted(listed)), strict=True))
    shapes = list(MARKERS)
    count = len(COLOURS)
    return {
        name: Look(labels[name], COLOURS[slots[name] % count], shapes[slots[name] // count % len(shapes)])
        for name in listed
    }


def _slot(name: str, taken: dict[int, str]) -> int:
    number = len(COLOURS) * len(MARKERS)
    if len(taken) >= number:  # all are in use: slots beyond repeat their looks
        return len(taken)
    own = _OF_THE_TALK.get(name)
    attempt = 0
    while own is None or own in taken:
        own = int(hashlib.sha256(f"{name}#{attempt}".encode()).hexdigest(), 16) % number
        attempt += 1
    return own


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

    Example:
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

    Example:
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
