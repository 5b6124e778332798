"""The figure of the one-dimensional example: fits of a step, with and without Lipschitz constraints."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int, Num

from lipjax.report.figures import COLOURS, empty_figure, plain

if TYPE_CHECKING:
    import matplotlib.figure


def one_dimensional_fits(
    grid: Float[np.ndarray, " grid"],
    fits: Mapping[str, Float[np.ndarray, " grid"]],
    captions: Mapping[str, str],
    data: tuple[Num[np.ndarray, " examples"], Int[np.ndarray, " examples"]],
    *,
    radius: float,
) -> "matplotlib.figure.Figure":
    """Fits of a two-class problem on the line, one panel each, with the balls around training points shaded.

    Args:
        grid: Where the fits are evaluated, ascending.
        fits: Name of a fit to its values on the grid.
        captions: Name of a fit to what was measured of it, written below its name.
        data: Inputs and labels (0 or 1) of the training examples.
        radius: Radius of the balls, in input units.

    Returns:
        The figure.
    """
    inputs, labels = data
    figure = empty_figure(3.6 * len(fits), 3.4)
    panels = figure.subplots(1, len(fits), sharex=True, sharey=True, squeeze=False)[0]
    for axes, (name, values) in zip(panels, fits.items(), strict=True):
        for label in (0, 1):
            ours = inputs[labels == label]
            axes.axvspan(ours.min() - radius, ours.max() + radius, color=COLOURS[1 + label], alpha=0.12, linewidth=0)
            axes.plot(ours, np.full(ours.size, label), ".", color=COLOURS[1 + label], label=f"class {label}")
        axes.plot(grid, values, color=COLOURS[0], linewidth=1.6, label="f(x)")
        axes.set_title(f"{name}\n{captions[name]}", fontsize="small")
        axes.set(xlabel="x", xlim=(grid[0], grid[-1]), ylim=(-0.2, 1.2))
        plain(axes)
    panels[0].set_ylabel("f(x)")
    panels[0].legend(loc="center left", frameon=False)
    return figure
