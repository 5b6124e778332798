"""Rank correlation of two quantities over networks, alone and given others."""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from lipjax import checks
from lipjax.statistics import data

_NOTHING_LEFT = 1e-10
"""Share of a quantity's variation below which what the others leave of it is rounding."""


class KendallTau(NamedTuple):
    """How well two quantities order the same networks.

    Attributes:
        value: Kendall's tau-b, 1 for the same order, -1 for the reverse; NaN if one quantity is constant.
        p_value: Probability of a tau at least this far from 0 if the orders of independent networks were unrelated.

    Examples:
        >>> kendall_tau([1, 2, 3, 4], [1, 2, 4, 3])  # (5 - 1) / 6; 8 of 24 orders are as far from 0
        KendallTau(value=0.6666666666666669, p_value=0.3333333333333333)
    """

    value: float
    p_value: float


class PartialRank(NamedTuple):
    """Rank correlation of two quantities given others; NaN where the others determine one of the two.

    Attributes:
        tau: The partial tau.
        spearman: The partial Spearman correlation.
        p_value: Of `spearman`, by Student's t; NaN if no degree of freedom is left.

    Examples:
        >>> clean = [1, 1, 1, 1, 2, 2, 2, 2]
        >>> measure, target = [1, 2, 3, 4, 5, 6, 7, 8], [4, 3, 2, 1, 8, 7, 6, 5]
        >>> kendall_tau(measure, target).value > 0
        True
        >>> partial_rank(measure, target, {"clean": clean})
        PartialRank(tau=-1.0, spearman=-1.0, p_value=0.0)
    """

    tau: float
    spearman: float
    p_value: float


def kendall_tau(first: ArrayLike, second: ArrayLike) -> KendallTau:
    """Kendall's tau-b with its p-value, by SciPy.

        tau = sum_ij s_ij t_ij / sqrt(sum_ij s_ij^2 sum_ij t_ij^2),  s_ij = sign(first_i - first_j), t_ij alike

    The p-value takes networks for independent. Seeds of one configuration are not: `bootstrap` has an interval.

    Args:
        first: One value per network.
        second: One value per network.

    Returns:
        Tau and its p-value, both NaN if one quantity is constant.

    Examples:
        >>> kendall_tau([1.0, 2.0, 3.0], [10.0, 20.0, 15.0]).value
        0.3333333333333333

    References:
        Kendall, The treatment of ties in ranking problems, Biometrika 1945.
    """
    # Imported here, as everywhere in this package, because its import takes longer than most programs' start.
    import scipy.stats

    result = scipy.stats.kendalltau(*data.values(first=first, second=second))
    return KendallTau(float(result.statistic), float(result.pvalue))


def partial_rank(measure: ArrayLike, target: ArrayLike, given: data.Settings) -> PartialRank:
    """Rank correlation of a measure and a target given other quantities, as clean accuracy and the design.

    The correlations of what a linear fit on the given ranks leaves of the ranks of each; words enter as one indicator
    each. This adjusts for monotone, additive influence and for no more: `increment` has interactions too. It is not
    Kendall's partial tau (1942), which is not 0 where two quantities share nothing but the given one.

    Where the given quantities explain nearly all (a raw tau above 0.9), resampling configurations makes ranks uneven
    and `bootstrap`'s interval lies too far from 0: read `increment` there.

    Args:
        measure: One value per network.
        target: One value per network.
        given: Numbers or words, one per network, by name; with none, both are the raw correlations.

    Returns:
        Both correlations, and the p-value of Spearman's for independent networks.

    Examples:
        >>> clean = np.arange(6.0)
        >>> alpha, attacked = clean + [0, 2, 0, 2, 0, 2], clean - [0, 2, 0, 2, 0, 2]
        >>> kendall_tau(alpha, attacked).value > 0, partial_rank(alpha, attacked, {"clean": clean}).tau < 0
        (True, True)

    References:
        Conover, Practical nonparametric statistics, 1999, section 5.4.
    """
    import scipy.stats

    both = np.column_stack(data.values(measure=measure, target=target))
    known = np.column_stack([np.ones(len(both)), *map(data.numbers, data.columns(given, len(both)))])
    ranks = data.ranks(both)
    left = rest(ranks, known, np.ones(len(both)))
    if left is None:
        return PartialRank(math.nan, math.nan, math.nan)
    spearman = float(np.corrcoef(left.T)[0, 1])
    freedom = len(both) - 1 - int(np.linalg.matrix_rank(known))
    distance = abs(spearman) * math.sqrt(freedom / max(1 - spearman**2, 1e-300))
    # Rounded, so that networks with equal values stay tied.
    tau = scipy.stats.kendalltau(*left.T.round(9)).statistic
    return PartialRank(float(tau), spearman, float(2 * scipy.stats.t.sf(distance, freedom)))


def rest(
    ranks: Float[np.ndarray, "networks two"], known: Float[np.ndarray, "networks _"], weights: data.Values
) -> Float[np.ndarray, "networks two"] | None:
    """What the best weighted linear fit on the known columns leaves of both rankings; None where that is nothing."""
    scale = np.sqrt(weights)[:, None]
    left = ranks - known @ np.linalg.lstsq(scale * known, scale * ranks)[0]
    if np.any(weights @ left**2 <= _NOTHING_LEFT * (weights @ ranks**2)):
        return None
    return left


def smallest_detectable_tau(num_networks: int, power: float = 0.8, level: float = 0.05) -> float:
    """The smallest |tau| that a two-sided test with so many independent networks finds with the given probability.

        tanh((z(1 - level / 2) + z(power)) sqrt(0.437 / (num_networks - 4)))

    Simulated power of normal data at this tau is within 0.07 of the one asked for from five networks on.

    Args:
        num_networks: Number of independent networks: of configurations, if seeds of one are much alike.
        power: Probability of finding it.
        level: Probability of finding a tau that is 0.

    Returns:
        A tau in (0, 1); NaN for fewer than five networks, which no order makes significant at 5 %.

    Examples:
        >>> [round(smallest_detectable_tau(n), 2) for n in (5, 12, 48, 240)]
        [0.95, 0.57, 0.27, 0.12]

    References:
        Fieller, Hartley and Pearson, Tests for rank correlation coefficients I, Biometrika 1957.
    """
    import scipy.special

    checks.at_least(1, num_networks=num_networks)
    checks.probability(power=power, level=level)
    if num_networks <= 4:
        return math.nan
    distance = scipy.special.ndtri(1 - level / 2) + scipy.special.ndtri(power)
    return math.tanh(distance * math.sqrt(0.437 / (num_networks - 4)))
