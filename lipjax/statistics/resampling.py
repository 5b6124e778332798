"""How sure is a number, and how many of many findings are by chance?"""

import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from lipjax import checks
from lipjax.statistics import data
from lipjax.statistics.correlation import rest


class Interval(NamedTuple):
    """A statistic and its percentile bootstrap interval: numbers, or arrays of the statistic's shape.

    Attributes:
        value: The statistic of the data.
        low: Lower end; NaN if no resample has a value.
        high: Upper end.
        defined: Share of the resamples in which the statistic is not NaN: the interval is of these.

    Examples:
        >>> accuracy, configuration = np.array([0.4, 0.6, 0.8, 1.0]), [0, 0, 1, 1]
        >>> print(*bootstrap(np.mean, accuracy, clusters=configuration))  # a quarter has the first one twice
        0.7 0.5 0.9 1.0
    """

    value: Any
    low: Any
    high: Any
    defined: Any


def bootstrap(
    statistic: Callable[..., ArrayLike],
    *arrays: ArrayLike | data.Settings,
    clusters: ArrayLike,
    level: float = 0.95,
    num_resamples: int = 1000,
    seed: int | np.random.Generator = 0,
) -> Interval:
    """Percentile interval of a statistic over resampled clusters of networks: over configurations, not seeds.

    Clusters are drawn with replacement, as many as there are, each with all its networks: seeds of one configuration
    are alike, and drawing them one by one would give too short an interval.

    Args:
        statistic: Maps the arrays to a number, or an array of numbers that are resampled together.
        *arrays: What it takes, one row per network; a mapping (a design) is resampled column by column.
        clusters: Configuration of each network; `range(num_networks)` draws networks one by one.
        level: Probability that the interval shall have the truth in it.
        num_resamples: Number of resamples.
        seed: Of the draws.

    Returns:
        The statistic and both ends; resamples in which it is NaN (a constant measure) do not count, and are reported.

    Raises:
        ValueError: If there are fewer than two clusters, or an array has another number of rows.

    Examples:
        >>> from lipjax.statistics import kendall_tau
        >>> alpha, attacked = np.array([3, 4, 2, 1, 5, 6.0]), np.array([6, 5, 4, 3, 2, 1.0])
        >>> tau = bootstrap(lambda a, b: kendall_tau(a, b).value, alpha, attacked, clusters=range(6))
        >>> bool(tau.low < tau.value < tau.high)
        True

    References:
        Davison and Hinkley, Bootstrap methods and their application, 1997, sections 3.8 and 5.3.
    """
    cluster, draws = _drawn(clusters, level, num_resamples, seed)
    members = [np.flatnonzero(cluster == number) for number in range(cluster.max() + 1)]

    def of(rows: np.ndarray) -> np.ndarray:
        return np.asarray(statistic(*(_rows(array, rows, len(cluster)) for array in arrays)), float)

    resampled = np.stack([of(np.concatenate([members[number] for number in draw])) for draw in draws])
    return _percentiles(of(np.arange(len(cluster)))[()], resampled, level)


def bootstrap_tau(
    first: ArrayLike,
    second: ArrayLike,
    *,
    clusters: ArrayLike,
    level: float = 0.95,
    num_resamples: int = 1000,
    seed: int | np.random.Generator = 0,
) -> Interval:
    """`bootstrap` of Kendall's tau-b, a hundred times as fast: resamples are weights w of the networks' pairs.

        tau = w'(S * T)w / sqrt(w'(S * S)w w'(T * T)w),  S_ij = sign(first_i - first_j), T alike

    Args:
        first: One value per network.
        second: One value per network.
        clusters: Configuration of each network.
        level: Probability that the interval shall have the truth in it.
        num_resamples: Number of resamples.
        seed: Of the draws, which are those of `bootstrap`.

    Examples:
        >>> tau = bootstrap_tau([3, 4, 2, 1, 5, 6], [6, 5, 4, 3, 2, 1], clusters=range(6))
        >>> bool(tau.low < tau.value < tau.high)
        True
    """
    both = data.values(first=first, second=second)
    data.columns({"clusters": clusters}, len(both[0]))
    weights = _weights(clusters, level, num_resamples, seed)
    s, t = (np.sign(each[:, None] - each) for each in both)
    agreement, own, other = (np.sum(weights @ pairs * weights, axis=1) for pairs in (s * t, s * s, t * t))
    scale = np.sqrt(own * other)
    taus = np.divide(agreement, scale, out=np.full(len(scale), np.nan), where=scale > 0)
    return _percentiles(taus[0], taus[1:], level)


def bootstrap_partial_tau(
    measure: ArrayLike,
    target: ArrayLike,
    given: data.Settings,
    *,
    clusters: ArrayLike,
    level: float = 0.95,
    num_resamples: int = 1000,
    seed: int | np.random.Generator = 0,
) -> Interval:
    """`bootstrap` of the tau of `partial_rank`, several times as fast, since resamples are weights of the networks.

    Args:
        measure: One value per network.
        target: One value per network.
        given: Numbers or words, one per network, by name.
        clusters: Configuration of each network.
        level: Probability that the interval shall have the truth in it.
        num_resamples: Number of resamples.
        seed: Of the draws, which are those of `bootstrap`.

    Examples:
        >>> clean = np.arange(6.0)
        >>> alpha, attacked = clean + [0, 2, 0, 2, 0, 2], clean - [0, 2, 0, 2, 0, 2]
        >>> tau = bootstrap_partial_tau(alpha, attacked, {"clean": clean}, clusters=range(6))
        >>> bool(tau.low <= tau.value < 0)
        True
    """
    both = data.values(measure=measure, target=target)
    known = data.columns(given, len(both[0]))
    data.columns({"clusters": clusters}, len(both[0]))
    weights = _weights(clusters, level, num_resamples, seed)
    ranks = np.stack([data.weighted_ranks(column, weights) for column in both], axis=-1)
    numbers = [column for column in known if column.dtype.kind == "f"]
    words = [data.numbers(column) for column in known if column.dtype.kind != "f"]
    fixed = np.concatenate([np.ones((len(both[0]), 1)), *words], axis=1)
    varying = np.stack([data.weighted_ranks(column, weights) for column in numbers], axis=-1) if numbers else None
    taus = np.array(
        [
            _tau_of_rest(w, r, fixed if varying is None else np.concatenate([fixed, varying[i]], axis=1))
            for i, (w, r) in enumerate(zip(weights, ranks, strict=True))
        ]
    )
    return _percentiles(taus[0], taus[1:], level)


def _tau_of_rest(weights: np.ndarray, ranks: np.ndarray, known: np.ndarray) -> float:
    """Tau of what a fit on the known columns leaves of two rankings, of networks that count so often."""
    here = weights > 0
    weights, ranks, known = weights[here], ranks[here], known[here]
    left = rest(ranks, known, weights)
    if left is None:
        return np.nan
    s, t = (np.sign(column[:, None] - column) for column in left.T.round(9))  # as in `partial_rank`
    agreement, own, other = (weights @ pairs @ weights for pairs in (s * t, s * s, t * t))
    return float(agreement / np.sqrt(own * other)) if own * other > 0 else np.nan


def _drawn(
    clusters: ArrayLike, level: float, num_resamples: int, seed: int | np.random.Generator
) -> tuple[data.Codes, Int[np.ndarray, "resamples clusters"]]:
    """The cluster of each network, and the clusters of each resample."""
    cluster = np.unique(checks.array("clusters", clusters), return_inverse=True)[1]
    count = cluster.max(initial=0) + 1
    checks.at_least(2, number_of_clusters=count)
    checks.at_least(1, num_resamples=num_resamples)
    checks.probability(level=level)
    return cluster, np.random.default_rng(seed).integers(0, count, (num_resamples, count))


def _weights(
    clusters: ArrayLike, level: float, num_resamples: int, seed: int | np.random.Generator
) -> Float[np.ndarray, "resamples networks"]:
    """How often each network is in the data, and then in each resample."""
    cluster, draws = _drawn(clusters, level, num_resamples, seed)
    drawn = np.stack([np.bincount(draw, minlength=draws.shape[1]) for draw in draws])
    return np.concatenate([np.ones((1, len(cluster))), drawn[:, cluster]])


def _percentiles(value: Any, resampled: Float[np.ndarray, "resamples ..."], level: float) -> Interval:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN slice", RuntimeWarning)
        low, high = np.nanquantile(resampled, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return Interval(value, low, high, np.mean(~np.isnan(resampled), axis=0))


def q_values(p_values: ArrayLike) -> Float[np.ndarray, "..."]:
    """Benjamini-Hochberg q-values: the smallest rate of false discoveries at which each test is one.

        q_(i) = min over j >= i of min(1, m p_(j) / j),  p_(1) <= ... <= p_(m)

    Findings with q <= 0.05 are wrong in at most 5 % on average, for tests that are independent or positively dependent.

    Args:
        p_values: Of all tests that were made, in any shape; NaN (no test) does not count and stays NaN.

    Returns:
        q-values of the same shape, each at least its p-value.

    Raises:
        ValueError: If a p-value is not in [0, 1].

    Examples:
        >>> q_values([0.01, 0.04, 0.03, np.nan])
        array([0.03, 0.04, 0.04,  nan])

    References:
        Benjamini and Hochberg, Controlling the false discovery rate, J. R. Stat. Soc. B 1995.
    """
    import scipy.stats

    if np.size(p_values):
        checks.numbers(p_values=p_values)
    result = np.array(p_values, float)
    tested = ~np.isnan(result)
    checks.fraction(p_values=result[tested])
    if tested.any():
        result[tested] = scipy.stats.false_discovery_control(result[tested])
    return result


def _rows(array: Any, rows: np.ndarray, num_networks: int) -> Any:
    if isinstance(array, Mapping):
        return {name: _rows(column, rows, num_networks) for name, column in array.items()}
    if len(array) != num_networks:
        raise ValueError(f"every array must have one row for each of {num_networks} networks, got {len(array)}")
    return np.asarray(array)[rows]
