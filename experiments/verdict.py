"""Does alpha predict robustness, among the networks of one study? The numbers, and what they allow to say.

One value per network: the primary measure is the mean of alpha over training points at the smallest radius, the primary
targets are relative performance (here signed so that large is robust: corrupted less clean accuracy) and the accuracy
under attack. docs/preregistration.md has the reasons, and the same questions put to many more networks.
"""

import math
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lipjax import statistics
from lipjax.statistics import Interval
from lipjax.values import Json

if TYPE_CHECKING:
    import xarray

PRIMARY = ("relative performance", "attacked accuracy")
FEWEST = 5
"""Configurations below which no order is significant."""
UNKNOWN = Interval(math.nan, math.nan, math.nan, 0.0)


class Networks(NamedTuple):
    """One value per network.

    Attributes:
        configuration: Name of the configuration, which several seeds share.
        family: The system without its options.
        alpha: The measure.
        clean: Clean accuracy.
        targets: Robustness by name; large is robust.
    """

    configuration: np.ndarray
    family: np.ndarray
    alpha: np.ndarray
    clean: np.ndarray
    targets: dict[str, np.ndarray]


def family_of(name: str) -> str:
    """The system of a configuration, without options and other settings.

    Examples:
        >>> family_of("P(beta=0.001)+PGD(radius=8/255), learning_rate=0.001")
        'P+PGD'
    """
    kept, depth = "", 0
    for letter in name:
        if letter == "," and depth == 0:
            break
        depth += letter == "("
        kept += letter if depth == 0 else ""
        depth -= letter == ")"
    return kept


def of_one_constant(figures: "xarray.Dataset") -> "xarray.Dataset":
    """The figures with the constant that tables and the verdict are of: the first one of probabilities, if any."""
    names = [str(name) for name in figures.constant.values]
    chosen = next((index for index, name in enumerate(names) if " of probabilities," in name), 0)
    return figures.isel(constant=chosen).dropna("radius", how="all", subset=["alpha_mean"]).sortby("radius")


def networks_of(figures: "xarray.Dataset") -> Networks:
    """The networks of a study, of which everything that is needed was measured.

    Args:
        figures: What `measurements.summary` says.
    """
    rows = of_one_constant(figures).stack(network=("system", "seed"))
    first = rows.radius.values.argmin()
    targets = {
        PRIMARY[0]: -rows.relative_performance.values,
        PRIMARY[1]: rows.attacked_accuracy.values,
        "corrupted accuracy": rows.mean_corruption_accuracy.values,
    }
    alpha, clean = rows.alpha_mean.transpose("network", "radius").values[:, first], rows.clean_accuracy.values
    known = np.isfinite([alpha, clean, *targets.values()]).all(axis=0)
    names = rows.system.values[known]
    families = np.array([family_of(str(name)) for name in names])
    return Networks(names, families, alpha[known], clean[known], {name: t[known] for name, t in targets.items()})


def of(networks: Networks, *, num_resamples: int = 1000) -> Json:
    """All numbers of the verdict, in terms of JSON.

    Returns:
        `num_networks`, `num_configurations`, `smallest_detectable_tau` of that many configurations; by target:
        Kendall's `tau` of alpha with 95 % intervals over configurations (`low`, `high`) and over families
        (`family_low`, `family_high`), `given_clean` (partial rank correlation given clean accuracy, with its interval),
        `within` and `between` families, `clean` (tau of clean accuracy), and `says`: "as the talk says", "the
        opposite" or "undecided". No target where there are too few networks.
    """
    count = len(set(networks.configuration))
    found: Json = {
        "num_networks": len(networks.alpha),
        "num_configurations": count,
        "smallest_detectable_tau": statistics.smallest_detectable_tau(count) if count >= FEWEST else None,
        "targets": {},
    }
    if count >= FEWEST:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "All-NaN slice", RuntimeWarning)
            found["targets"] = {
                name: _of_target(networks, target, num_resamples) for name, target in networks.targets.items()
            }
    return found


def _of_target(networks: Networks, target: np.ndarray, num_resamples: int) -> Json:
    alpha, clean, families = networks.alpha, networks.clean, networks.family

    options: Json = {"num_resamples": num_resamples}
    tau = statistics.bootstrap_tau(alpha, target, clusters=networks.configuration, **options)
    given = {"clean accuracy": clean}
    partial = statistics.bootstrap_partial_tau(alpha, target, given, clusters=networks.configuration, **options)
    enough = len(set(families)) >= FEWEST
    family = statistics.bootstrap_tau(alpha, target, clusters=families, **options) if enough else UNKNOWN
    return {
        "tau": tau.value,
        "low": tau.low,
        "high": tau.high,
        "family_low": family.low,
        "family_high": family.high,
        "given_clean": partial.value,
        "given_clean_low": partial.low,
        "given_clean_high": partial.high,
        "within": _within(networks, target),
        "between": _between(networks, target),
        "clean": _tau(clean, target),
        "says": _said(tau),
    }


def _tau(first: np.ndarray, second: np.ndarray) -> float:
    return statistics.kendall_tau(first, second).value


def _within(networks: Networks, target: np.ndarray) -> float:
    """Mean over families of tau among the networks of a family."""
    members = [networks.family == family for family in dict.fromkeys(networks.family)]
    taus = [_tau(networks.alpha[own], target[own]) for own in members if own.sum() > 2]
    return float(np.nanmean(taus)) if taus and not np.isnan(taus).all() else math.nan


def _between(networks: Networks, target: np.ndarray) -> float:
    """Tau of the families' means."""
    members = [networks.family == family for family in dict.fromkeys(networks.family)]
    if len(members) < 2:
        return math.nan
    return _tau(*(np.array([values[own].mean() for own in members]) for values in (networks.alpha, target)))


def _said(tau: Interval) -> str:
    return "as the talk says" if tau.high < 0 else "the opposite" if tau.low > 0 else "undecided"


def rows(verdict: Json) -> list[Json]:
    """One row per target."""

    def number(value: float) -> str:
        return "" if math.isnan(value) else f"{value:+.2f}"

    def interval(low: float, high: float) -> str:
        return "" if math.isnan(low) else f"[{low:+.2f}, {high:+.2f}]"

    def both(one: Json, name: str, of: str) -> str:
        return f"{number(one[name])} {interval(one[f'{of}low'], one[f'{of}high'])}".strip()

    return [
        {
            "robustness": name + ("" if name in PRIMARY else " (exploratory)"),
            "tau of alpha": both(one, "tau", ""),
            "over families": interval(one["family_low"], one["family_high"]),
            "given clean accuracy": both(one, "given_clean", "given_clean_"),
            "within families": number(one["within"]),
            "between families": number(one["between"]),
            "tau of clean accuracy": number(one["clean"]),
        }
        for name, one in verdict["targets"].items()
    ]


def sentences(verdict: Json) -> Sequence[str]:
    """What the numbers allow to say."""
    count = f"{verdict['num_networks']} networks of {verdict['num_configurations']} configurations"
    if not verdict["targets"]:
        return [f"{count}: too few for an order to mean anything; --system takes alternatives, P(beta=[1e-4,1e-3])."]
    said = [
        f"{name}: {one['says']} (tau {one['tau']:+.2f}, 95 % interval {one['low']:+.2f} to {one['high']:+.2f})"
        for name, one in verdict["targets"].items()
        if name in PRIMARY
    ]
    return [*said, f"{count} show a true |tau| of {verdict['smallest_detectable_tau']:.2f} with probability 0.8."]
