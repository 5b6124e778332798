"""Figures, tables and the page, made from the answers of measurements: one figure serves paper and page.

A figure is a Vega-Altair chart of a tidy table (`frames`), `finished` with its title; `save` writes it as PNG, SVG, PDF
or as an HTML file that needs no network, and `page` puts all of them on one.
"""

import importlib
from typing import TYPE_CHECKING, Any

from lipjax.report import frames as frames
from lipjax.report.appearance import looks as looks
from lipjax.report.appearance import notation as notation
from lipjax.report.files import save as save
from lipjax.report.tables import counted as counted
from lipjax.report.tables import text_table as text_table
from lipjax.report.tables import write_csv as write_csv

if TYPE_CHECKING:
    from lipjax.report.agreements import agreement as agreement
    from lipjax.report.datasets import incompatible_pairs as incompatible_pairs
    from lipjax.report.datasets import one_dimensional_fits as one_dimensional_fits
    from lipjax.report.figures import Systems as Systems
    from lipjax.report.figures import alpha_curves as alpha_curves
    from lipjax.report.figures import corruption_curves as corruption_curves
    from lipjax.report.figures import distributions as distributions
    from lipjax.report.figures import finished as finished
    from lipjax.report.figures import heat_map as heat_map
    from lipjax.report.figures import training_curves as training_curves
    from lipjax.report.images import differences as differences
    from lipjax.report.images import image_grid as image_grid
    from lipjax.report.pages import Picture as Picture
    from lipjax.report.pages import RunOf as RunOf
    from lipjax.report.pages import page as page
    from lipjax.report.study import BRACKET as BRACKET
    from lipjax.report.study import MEAN as MEAN
    from lipjax.report.study import charts as charts
    from lipjax.report.zoo import against as against
    from lipjax.report.zoo import rank_dots as rank_dots

_HOMES = {
    "agreements": ("agreement",),
    "datasets": ("incompatible_pairs", "one_dimensional_fits"),
    "figures": (
        *("Systems", "alpha_curves", "corruption_curves", "distributions"),
        *("finished", "heat_map", "training_curves"),
    ),
    "images": ("differences", "image_grid"),
    "pages": ("Picture", "RunOf", "page"),
    "study": ("BRACKET", "MEAN", "charts"),
    "zoo": ("against", "rank_dots"),
}
_LATE = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Altair takes a while to import: it is, when the first of its users is asked for."""
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_LATE[name]}"), name)
