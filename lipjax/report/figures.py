"""Figures of results. No global state: every function returns a Figure of its own, `save` writes it as PNG and SVG."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from jaxtyping import Float

from lipjax import records

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure

# Okabe and Ito's palette, which colour-blind readers can tell apart; markers repeat the distinction in grey print.
COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442")
Values: TypeAlias = Sequence[float] | Float[np.ndarray, " values"]
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")


def _label(name: str) -> str:
    """A name for a legend: long ones in several lines, since beside the plot they would take its room."""
    return textwrap.fill(name, 28)


def _style(index: int, *, every: int = 1) -> dict[str, Any]:
    return {
        "color": COLOURS[index % len(COLOURS)],
        "marker": MARKERS[index % len(MARKERS)],
        "markersize": 4,
        "markevery": every,
        "linewidth": 1.5,
    }


def empty_figure(width: float, height: float) -> "matplotlib.figure.Figure":
    """A figure without axes, of a size in inches."""
    import matplotlib.figure  # takes a while, so not before a figure is asked for

    return matplotlib.figure.Figure(figsize=(width, height), layout="constrained")


def plain(axes: "matplotlib.axes.Axes") -> None:
    """The look of all axes: a light grid and no frame."""
    axes.grid(alpha=0.3, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def alpha_curves(
    radii: Values,
    curves: Mapping[str, Values],
    *,
    relative: bool,
    xlabel: str,
    ylabel: str,
    title: str = "",
    legend: str = "system",
    bands: Mapping[str, Values] | None = None,
) -> "matplotlib.figure.Figure":
    """alpha(r), one curve per system.

    Args:
        radii: Radii `[radii]`, in input units.
        curves: Name of a system to its values `[radii]`.
        relative: Draw every curve in percent of its own maximum, as on the talk's slide 17; otherwise the values
            themselves on a logarithmic axis, since systems differ by orders of magnitude.
        xlabel: Name and unit of the radius.
        ylabel: Name and unit of the slope.
        title: Title of the figure.
        legend: Title of the legend: what the curves are.
        bands: Name of a system to upper bounds `[radii]` of its curve; what is between the two is shaded.

    Returns:
        The figure.
    """
    figure = empty_figure(6.4, 4.2)
    axes = figure.subplots()
    for index, (name, values) in enumerate(curves.items()):
        scale = 100.0 / (np.max(values) or 1.0) if relative else 1.0
        axes.plot(
            radii, np.asarray(values) * scale, label=_label(name), **_style(index, every=max(1, len(radii) // 12))
        )
        if bands and name in bands:
            upper, colour = np.multiply(bands[name], scale), COLOURS[index % len(COLOURS)]
            axes.plot(radii, upper, label=_label(f"{name}, upper bound"), color=colour, linestyle="--", linewidth=1)
            axes.fill_between(radii, np.multiply(values, scale), upper, color=colour, alpha=0.1, linewidth=0)
    if relative:
        axes.set_ylim(0, 103)
    elif any(np.max(values) > 0 for values in curves.values()):
        axes.set_yscale("log")
    axes.set(xlabel=xlabel, ylabel=ylabel, title=title, xlim=(0, None))
    figure.legend(title=legend, frameon=False, loc="outside right upper")
    plain(axes)
    return figure


def distributions(
    radii: Values, values: Float[np.ndarray, "points radii"], *, xlabel: str, title: str = ""
) -> "matplotlib.figure.Figure":
    """How a constant is distributed over points: one curve per radius, the share of points at or below each value.

    Args:
        radii: Radii `[radii]`, in input units.
        values: Values `[points, radii]`.
        xlabel: Name of the values.
        title: Title of the figure.

    Returns:
        The figure.
    """
    from matplotlib import colormaps

    figure = empty_figure(6.4, 4.2)
    axes = figure.subplots()
    shades = colormaps["viridis_r"](np.linspace(0.15, 0.9, len(radii)))
    shares = 100 * np.arange(1, len(values) + 1) / len(values)
    for radius, column, shade in zip(radii, values.T, shades, strict=True):
        axes.step(np.sort(column), shares, where="post", label=f"{radius:g}", color=shade)
    if np.all(values > 0):
        axes.set_xscale("log")
    axes.set(xlabel=xlabel, ylabel="points with at most this value (%)", title=title, ylim=(0, 101))
    axes.legend(title="radius r", frameon=False)
    plain(axes)
    return figure


def corruption_accuracies(
    accuracies: Mapping[str, Mapping[str, Values]],
    clean: Mapping[str, float],
    *,
    title: str = "",
) -> "matplotlib.figure.Figure":
    """Accuracy against severity, one panel per corruption and one curve per system; severity 0 is the clean image.

    Args:
        accuracies: System to corruption to accuracies `[severities]`, as fractions.
        clean: System to its clean accuracy, as a fraction.
        title: Title of the figure.

    Returns:
        The figure.
    """
    names = list(next(iter(accuracies.values())))
    columns = min(4, len(names))
    rows = math.ceil(len(names) / columns)
    figure = empty_figure(2.6 * columns, 2.3 * rows + 0.5)
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axes, name in zip(panels.flat, names, strict=False):
        for index, (system, by_name) in enumerate(accuracies.items()):
            values = [clean[system], *by_name[name]]
            axes.plot(range(len(values)), np.multiply(values, 100), label=_label(system), **_style(index))
        axes.set_title(name.replace("_", " "), fontsize="medium")
        plain(axes)
    for axes in panels.flat[len(names) :]:
        axes.set_visible(False)
    figure.supxlabel("severity (0 = clean)")
    figure.supylabel("accuracy (%)")
    figure.suptitle(title)
    handles, labels = panels.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", title="system", frameon=False)
    return figure


def image_pairs(
    images: Float[np.ndarray, "pairs height width channel"],
    others: Float[np.ndarray, "pairs height width channel"],
    captions: Sequence[str],
) -> "matplotlib.figure.Figure":
    """Pairs of images side by side with their difference: rows of image, other image, difference.

    Args:
        images: Images in [0, 1].
        others: Images in [0, 1], one for each of `images`.
        captions: One caption per pair.

    Returns:
        The figure. Differences are stretched to the full range, grey for none.
    """
    differences = others - images
    scale = np.abs(differences).max((1, 2, 3), keepdims=True)
    stretched = 0.5 + 0.5 * differences / np.where(scale == 0, 1, scale)
    figure = empty_figure(1.3 * len(images) + 0.3, 4.4)
    panels = figure.subplots(3, len(images), squeeze=False)
    for row, (name, shown) in zip(
        panels, {"image": images, "perturbed": others, "difference": stretched}.items(), strict=True
    ):
        for axes, image in zip(row, shown, strict=True):
            axes.imshow(np.clip(image, 0, 1).squeeze(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            axes.set(xticks=[], yticks=[])
        row[0].set_ylabel(name)
    for axes, caption in zip(panels[0], captions, strict=True):
        axes.set_title(caption, fontsize="x-small")
    return figure


def save(figure: "matplotlib.figure.Figure", stem: Path | str) -> list[Path]:
    """Writes a figure as `stem.png` and `stem.svg`.

    Equal figures give equal bytes (no date, no random ids), and a file appears whole or not at all.

    Args:
        figure: The figure.
        stem: Path without suffix; its folder must exist.

    Returns:
        The paths written.
    """
    paths = []
    from matplotlib import rc_context

    with rc_context({"svg.hashsalt": "lipjax", "svg.fonttype": "none"}):
        for suffix, options in ((".png", {"dpi": 160}), (".svg", {"metadata": {"Date": None}})):
            path = Path(f"{stem}{suffix}")
            with records.replacing(path) as partial:
                figure.savefig(partial, format=suffix[1:], **options)
            paths.append(path)
    return paths
