"""What a zoo's table says: the tests that docs/preregistration.md fixed, as numbers."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pandas

from lipjax import corruptions, statistics
from lipjax.statistics import Interval

CONSTANTS = {name: f"slope of {name}, l2 to l2" for name in ("probabilities", "logits")}
CONSTANTS["probabilities, linf"] = "slope of probabilities, linf to l2"
ATTACKS = {
    "attacked linf 8/255": "pgd(num_steps=20)",
    "attacked linf 4/255": "pgd(ball=Ball(norm=linf, radius=0.0156863), num_steps=20)",
    "attacked linf 2/255": "pgd(ball=Ball(norm=linf, radius=0.00784314), num_steps=20)",
    "attacked l2 0.5": "pgd(ball=Ball(norm=l2, radius=0.5), num_steps=20)",
}
"""Attacks by the names that the page gives their accuracies."""

RADII = (0.05, 0.1, 0.25, 0.5, 1.0, 1.75)
RELATIVE, ATTACKED, CLEAN, MARGIN = "relative", "attacked linf 8/255", "clean_accuracy", "margin"
CHANCE = 0.1
NUM_RESAMPLES = 1000

Frame: TypeAlias = pandas.DataFrame
Statistic = Callable[..., float]


def alpha(statistic: str = "mean", radius: float = 0.05, of: str = "probabilities") -> str:
    """The column of an alpha over training points.

    Examples:
        >>> alpha("max", 0.5, of="logits")
        'alpha_max[slope of logits, l2 to l2; 0.5]'
    """
    return f"alpha_{statistic}[{CONSTANTS[of]}; {radius:g}]"


def prepared(rows: Frame) -> tuple[Frame, Frame]:
    """The networks that count, with the targets as columns of which large is robust; and the excluded ones."""
    drops = {RELATIVE: rows["mean_corruption_accuracy"] - rows[CLEAN]}
    for column in rows.filter(regex=r"^(corruption|family)_accuracy\["):
        drops[f"{RELATIVE} {column[column.index('[') + 1 : -1]}"] = rows[column] - rows[CLEAN]
    attacked = {name: rows[f"attack_accuracy[{attack}]"] for name, attack in ATTACKS.items()}
    others = {"alpha over margin": rows[alpha()] / rows[MARGIN], "saturation": _saturation(rows)}
    full = pandas.concat([rows, Frame(drops | attacked | others)], axis=1)
    counts = (full[CLEAN] > 2 * CHANCE) & full[[alpha(), RELATIVE, ATTACKED]].notna().all(axis=1)
    return full[counts].reset_index(drop=True), full[~counts]


def _saturation(rows: Frame) -> np.ndarray:
    """The first radius at which the maximum over points is 99 % of what it is at the largest radius."""
    curves = rows[[alpha("max", radius) for radius in RADII]].to_numpy()
    return np.asarray(RADII)[np.argmax(curves >= 0.99 * curves[:, -1:], axis=1)]


def tau(zoo: Frame, measure: str, target: str, clusters: str = "name") -> Interval:
    """Kendall's tau with its interval over configurations, or over another column's groups."""
    groups = zoo[clusters].to_numpy()
    return statistics.bootstrap_tau(zoo[measure], zoo[target], clusters=groups, num_resamples=NUM_RESAMPLES)


def partial(zoo: Frame, measure: str, target: str, given: Sequence[str]) -> Interval:
    """The partial rank correlation given other columns, with its interval over configurations."""
    known = {name: zoo[name].to_numpy() for name in given}
    options = {"clusters": zoo["name"].to_numpy(), "num_resamples": NUM_RESAMPLES}
    return statistics.bootstrap_partial_tau(zoo[measure], zoo[target], known, **options)


def difference(zoo: Frame, first: str, second: str, target: str) -> Interval:
    """Tau of one measure less that of another."""

    def statistic(a: Any, b: Any, t: Any) -> float:
        return statistics.kendall_tau(a, t).value - statistics.kendall_tau(b, t).value

    return _interval(zoo, statistic, [zoo[first], zoo[second], zoo[target]])


def _interval(zoo: Frame, statistic: Statistic, arrays: Sequence[Any]) -> Interval:
    columns = [array.to_numpy() if isinstance(array, pandas.Series) else array for array in arrays]
    return _resampled(statistic, *columns, clusters=zoo["name"].to_numpy())


def _resampled(statistic: Statistic, *arrays: Any, clusters: Any) -> Interval:
    return statistics.bootstrap(statistic, *arrays, clusters=clusters, num_resamples=NUM_RESAMPLES)


def within_families(zoo: Frame, measure: str, target: str) -> Interval:
    """Tau within families, mean over those in which it is defined: granulated along the variant."""

    def statistic(m: Any, t: Any, design: Any) -> float:
        return statistics.granulated_tau(m, t, design).by_axis["variant"]

    design = {name: zoo[name].to_numpy() for name in ("family", "variant")}
    return _interval(zoo, statistic, [zoo[measure], zoo[target], design])


def between_families(zoo: Frame, measure: str, target: str) -> Interval:
    """Tau of the means of families, with its interval over families."""
    means = zoo.groupby("family", sort=False)[[measure, target]].mean().reset_index()
    return tau(means, measure, target, "family")


def increment(zoo: Frame, measure: str, target: str) -> tuple[statistics.Increment, Interval]:
    """What the measure adds to {family, clean accuracy, margin}, and the interval of the gain over configurations."""
    baseline = {name: zoo[name].to_numpy() for name in ("family", CLEAN, MARGIN)}
    found = statistics.increment(zoo[measure].to_numpy(), zoo[target].to_numpy(), baseline, zoo["name"].to_numpy())
    return found, _resampled(np.mean, found.per_network, clusters=zoo["name"].to_numpy())


class Hypothesis(NamedTuple):
    """One row of the preregistration's table."""

    name: str
    says: str
    target: str
    sign: int
    test: Callable[[Frame], Interval]


_PLAIN = "mean alpha(0.05)"


def _of(name: str, target: str, sign: int, measure: str = alpha(), says: str = _PLAIN) -> Hypothesis:
    return Hypothesis(name, says, target, sign, lambda zoo: tau(zoo, measure, target))


HYPOTHESES = (
    _of("H1", RELATIVE, -1),
    _of("H2", ATTACKED, -1),
    _of("S1", ATTACKED, 1, "boundary_distance", "boundary distance"),
    _of("S2", f"{RELATIVE} contrast", 1),
    _of("S3", f"{RELATIVE} fog", 1),
    _of("S4", f"{RELATIVE} noise", -1),
    Hypothesis(
        "S5",
        f"{_PLAIN}, given clean accuracy",
        "attacked linf 2/255",
        -1,
        lambda zoo: partial(zoo, alpha(), "attacked linf 2/255", [CLEAN]),
    ),
    _of("S6", RELATIVE, -1, alpha("max"), "maximal alpha(0.05)"),
    _of("S7", ATTACKED, -1, alpha("max"), "maximal alpha(0.05)"),
    Hypothesis(
        "S8",
        "tau of mean alpha(0.05) less that of logits",
        ATTACKED,
        -1,
        lambda zoo: difference(zoo, alpha(), alpha(of="logits"), ATTACKED),
    ),
)
"""All of them, in the page's order."""


def verdict(found: Interval, sign: int) -> str:
    """What the preregistration calls an interval."""
    if math.isnan(found.low):
        return "not yet run at this scale"
    if found.low <= 0 <= found.high:
        return "not reproduced"
    return "reproduced" if np.sign(found.low) == sign else "opposite"


def by_corruption(zoo: Frame) -> dict[tuple[str, str], dict[str, Interval]]:
    """Tau of alpha and of clean accuracy with what each family of corruptions, and each corruption, costs."""
    listed = [(family, name) for family, names in corruptions.FAMILIES.items() for name in ("", *names)]
    columns = {(family, name): f"{RELATIVE} {name or family}" for family, name in listed}
    return {
        cell: {"alpha": tau(zoo, alpha(), column), "clean accuracy": tau(zoo, CLEAN, column)}
        for cell, column in columns.items()
        if column in zoo
    }


def explored(zoo: Frame, measures: Sequence[str], targets: Sequence[str]) -> tuple[Frame, Frame]:
    """Kendall's tau of all measures with all targets over means of configurations, and their q-values."""
    means = zoo.groupby("name", sort=False)[list(dict.fromkeys([*measures, *targets]))].mean()
    found = [[_tested(means[measure], means[target]) for target in targets] for measure in measures]
    taus = Frame([[one.value for one in row] for row in found], measures, targets)
    q_values = statistics.q_values([[one.p_value for one in row] for row in found])
    return taus, Frame(q_values, measures, targets)


def _tested(measure: pandas.Series, target: pandas.Series) -> statistics.KendallTau:
    if measure.name == target.name or not np.isfinite([measure, target]).all():
        return statistics.KendallTau(math.nan, math.nan)
    return statistics.kendall_tau(measure, target)


def agreement(by_seed: np.ndarray) -> Interval:
    """Kendall's tau of an order with measured numbers `[seed, thing]` that should fall, interval over seeds."""

    def statistic(rows: np.ndarray) -> float:
        return statistics.kendall_tau(-np.arange(rows.shape[1]), rows.mean(axis=0)).value

    if len(by_seed) < 2:
        return Interval(statistic(by_seed), math.nan, math.nan, 1.0)
    return _resampled(statistic, by_seed, clusters=range(len(by_seed)))
