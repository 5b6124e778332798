"""The figures of docs/RESULTS.md, from the tables that the page is made of."""

from collections.abc import Mapping
from typing import Any

from lipjax import report

from . import findings
from .findings import ATTACKED, RELATIVE, Frame, alpha
from .results_page import TITLES

SHOWN = {
    RELATIVE: "corrupted less clean accuracy (%)",
    ATTACKED: "attacked accuracy, linf 8/255 (%)",
    f"{RELATIVE} contrast": "contrast, less clean accuracy (%)",
    f"{RELATIVE} noise": "noise, less clean accuracy (%)",
}
"""Targets that are drawn."""


def figures(tables: Mapping[str, Frame]) -> dict[str, Any]:
    """The page's figures by the names of their files.

    Args:
        tables: Those of docs/results/, by the names of their files.
    """
    drawn = {}
    for zoo in (name for name in TITLES if name in tables):
        kept, _ = findings.prepared(tables[zoo])
        about = f"{TITLES[zoo]}; {len(kept)} networks"
        dots = [
            {"target": name.replace("_", " ") or family.upper(), "measure": measure}
            | {"tau": found.value, "low": found.low, "high": found.high}
            for (family, name), both in findings.by_corruption(kept).items()
            for measure, found in both.items()
        ]
        title = "What goes with withstanding corruptions?"
        drawn[f"{zoo}_corruptions"] = report.finished(
            report.rank_dots(Frame(dots)), title, f"{about}\nτ with its 95 % interval over configurations"
        )
        long = kept.melt(["family", "seed", alpha()], [*SHOWN], "target", "value").replace({"target": SHOWN})
        points = long.rename(columns={"family": "system", alpha(): "alpha"}).assign(value=100 * long["value"])
        drawn[f"{zoo}_targets"] = report.finished(
            report.against(points), "Does steepness at training points predict robustness?", about
        )
    return drawn
