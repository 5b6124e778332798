"""The worst environment: where does a measure order pairs of networks wrongly? (Dziugaite et al. 2020)."""

from collections.abc import Hashable, Mapping
from itertools import combinations
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from lipjax import checks
from lipjax.statistics import data

Pairs = Int[np.ndarray, "pairs 2"]


class SignError(NamedTuple):
    """How often a measure orders two networks wrongly, over environments; NaN if there is none.

    Attributes:
        mean: Over environments.
        percentile_90: Over environments.
        maximum: The robust sign error: that of the worst environment.
        by_environment: In [0, 1], 0 where every pair is in the right order.

    Examples:
        >>> environments = {"right": [(0, 1)], "tied": [(1, 2)], "wrong": [(0, 2)]}
        >>> sign_error([1, 2, 2], [2, 3, 1], environments)
        SignError(mean=0.5, percentile_90=0.9, maximum=1.0, by_environment={'right': 0.0, 'tied': 0.5, 'wrong': 1.0})
    """

    mean: float
    percentile_90: float
    maximum: float
    by_environment: dict[Hashable, float]


def coupled_pairs(design: data.Settings) -> dict[tuple[str, int, int], Pairs]:
    """The environments of a design: for any two configurations that differ in one setting, all pairs of their networks.

    Args:
        design: The settings of each network, by axis; networks with equal settings are seeds of one configuration.

    Returns:
        Index pairs by `(axis, first, second)`, which names each configuration by its first network.

    Examples:
        >>> coupled_pairs({"width": [1, 1, 2, 2], "rate": [0.1, 0.2, 0.1, 0.2]}).keys()
        dict_keys([('width', 0, 2), ('width', 1, 3), ('rate', 0, 1), ('rate', 2, 3)])
    """
    num_networks = max((len(np.atleast_1d(column)) for column in design.values()), default=0)
    environments = {}
    for axis, (line, level) in data.lines(design, num_networks).items():
        for number in range(line.max() + 1):
            on_line = np.flatnonzero(line == number)
            seeds = [on_line[level[on_line] == each] for each in np.unique(level[on_line])]
            for first, second in combinations(seeds, 2):
                pairs = np.stack(np.meshgrid(first, second), axis=-1).reshape(-1, 2)
                environments[axis, int(first[0]), int(second[0])] = pairs
    return environments


def sign_error(
    measure: ArrayLike,
    target: ArrayLike,
    environments: Mapping[Hashable, ArrayLike],
    *,
    num_test: int | None = None,
    min_effective: float = 0.0,
) -> SignError:
    """Share of pairs of networks that a measure orders wrongly, in each environment.

        SE = sum w (1 - sign(dm) sign(dt)) / 2 / sum w,  over the pairs of the environment

    A tie of either is half an error. The measure is taken to rise with the target; negate one that falls. With
    `num_test` pairs whose targets differ by chance count less, or not at all (Hoeffding's inequality):

        w = max(0, max(0, 1 - 2 exp(-num_test dt^2 / 2))^2 - 1/2)

    Args:
        measure: One value per network.
        target: One value per network; an accuracy or error in [0, 1] if `num_test` is given.
        environments: Index pairs `[pairs, 2]` of networks by environment, as `coupled_pairs` makes them.
        num_test: Test examples of which `target` is the mean; None counts every pair once.
        min_effective: Environments with fewer effective pairs, (sum w)^2 / sum w^2, are left out; the paper's is 12.

    Returns:
        Mean, 90th percentile and maximum over environments, and each of them; one without weight is left out.

    Examples:
        >>> environments = coupled_pairs({"width": [1, 1, 2, 2], "rate": [0.1, 0.2, 0.1, 0.2]})
        >>> result = sign_error([1, 2, 3, 4], [2, 1, 4, 3], environments)
        >>> result.mean, result.maximum
        (0.5, 1.0)

    References:
        Dziugaite et al., In search of robust measures of generalization, NeurIPS 2020.
    """
    measure, target = data.values(measure=measure, target=target)
    checks.at_least(1, num_test=1 if num_test is None else num_test)
    checks.not_negative(min_effective=min_effective)
    by_environment = {}
    for name, pairs in environments.items():
        first, second = _pairs(name, pairs, len(measure)).T
        difference = target[first] - target[second]
        errors = (1 - np.sign(measure[first] - measure[second]) * np.sign(difference)) / 2
        weights = np.ones(len(first)) if num_test is None else _weights(difference, num_test)
        if weights.any() and weights.sum() ** 2 / (weights**2).sum() >= min_effective * (1 - 1e-9):
            by_environment[name] = float(np.average(errors, weights=weights))
    found = np.array([*by_environment.values()] or [np.nan])
    return SignError(float(found.mean()), float(np.percentile(found, 90)), float(found.max()), by_environment)


def _pairs(name: Hashable, pairs: ArrayLike, num_networks: int) -> Pairs:
    array = np.asarray(pairs)
    if array.ndim != 2 or array.shape[1] != 2 or array.dtype.kind not in "iu" or np.any(array // num_networks):
        raise ValueError(f"environment {name} must be pairs [pairs, 2] of whole numbers from 0 to {num_networks - 1}")
    return array


def _weights(difference: Float[np.ndarray, " pairs"], num_test: int) -> Float[np.ndarray, " pairs"]:
    sure = np.maximum(0, 1 - 2 * np.exp(-num_test * difference**2 / 2))
    return np.maximum(0, sure**2 - 0.5)
