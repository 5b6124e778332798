"""Criteria of a designed experiment: does the order hold with the other settings fixed? (Jiang et al. 2020)."""

from itertools import combinations
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from lipjax import checks
from lipjax.statistics import data


class GranulatedTau(NamedTuple):
    """Kendall's tau along lines of the design.

    Attributes:
        value: Mean of `by_axis`, in which an axis without a tau does not count; NaN if no axis has one.
        by_axis: Mean tau over the lines along each axis.

    Examples:
        >>> design = {"width": [1, 1, 2, 2], "rate": [0.1, 0.2, 0.1, 0.2]}
        >>> granulated_tau([1, 2, 3, 4], [1, 2, 3, 4], design)
        GranulatedTau(value=1.0, by_axis={'width': 1.0, 'rate': 1.0})
    """

    value: float
    by_axis: dict[str, float]


class ConditionalMutualInformation(NamedTuple):
    """How much of the target's order the measure's order tells, given settings.

    Attributes:
        value: The smallest of `by_condition`; NaN if none is defined.
        condition: The settings that attain it.
        by_condition: The normalised information given each set of settings; NaN if these determine the target's order.

    Examples:
        >>> design = {"width": [1, 1, 2, 2], "rate": [0.1, 0.2, 0.1, 0.2]}
        >>> conditional_mutual_information([1, 2, 3, 4], [1, 2, 3, 4], design, max_conditions=1)
        ConditionalMutualInformation(value=1.0, condition=(), by_condition={(): 1.0, ('width',): 1.0, ('rate',): 1.0})
    """

    value: float
    condition: tuple[str, ...]
    by_condition: dict[tuple[str, ...], float]


def granulated_tau(measure: ArrayLike, target: ArrayLike, design: data.Settings) -> GranulatedTau:
    """Mean over the axes of a design of the mean tau-b along lines, on which only that setting varies.

        Psi = 1/n sum_i psi_i,  psi_i = mean over lines along axis i of tau(line)

    A measure that merely follows one strong setting has a high tau over all networks and a lower one here. Seeds are
    repeats and no axis: a line holds all seeds of its configurations. A line on which the setting, the measure or the
    target is constant has no tau and does not count.

    Args:
        measure: One value per network.
        target: One value per network.
        design: The settings of each network, by axis.

    Returns:
        The mean and each axis's part, in [-1, 1]; NaN where no line has a tau.

    Examples:
        >>> design = {"width": [1, 1, 2, 2], "rate": [0.1, 0.2, 0.1, 0.2]}
        >>> granulated_tau([1, 2, 3, 4], [2, 1, 4, 3], design)
        GranulatedTau(value=0.0, by_axis={'width': 1.0, 'rate': -1.0})

    References:
        Jiang et al., Fantastic generalization measures and where to find them, ICLR 2020.
    """
    measure, target = data.values(measure=measure, target=target)
    axes = data.lines(design, len(measure))
    by_axis = {
        axis: data.mean_of_defined(_line_taus(measure, target, *line_and_level))
        for axis, line_and_level in axes.items()
    }
    return GranulatedTau(data.mean_of_defined(by_axis.values()), by_axis)


def conditional_mutual_information(
    measure: ArrayLike, target: ArrayLike, design: data.Settings, max_conditions: int = 2
) -> ConditionalMutualInformation:
    """Information of a measure's order of two networks on the target's, given settings; the smallest over small sets.

        K = min over |S| <= max_conditions of I(M; T | U_S) / H(T | U_S)

    M and T are the signs of the differences of measure and target, U_S the values of the settings S in both networks,
    and all ordered pairs of two networks are equally likely. A measure that S explains has little left. The estimate is
    biased upwards where pairs per cell are few: compare measures on one design, and do not read it against 0.

    Args:
        measure: One value per network.
        target: One value per network.
        design: The settings of each network, by axis.
        max_conditions: Largest number of settings in S, which starts at none.

    Returns:
        Numbers in [0, 1]: 1 where the measure's order decides the target's; NaN where the target's is known already.

    Examples:
        >>> design = {"width": [1, 1, 2, 2], "rate": [0.1, 0.2, 0.1, 0.2]}
        >>> result = conditional_mutual_information([1, 1, 2, 2], [1, 2, 3, 4], design)
        >>> result.value, result.condition
        (0.0, ('width',))

    References:
        Jiang et al., Fantastic generalization measures and where to find them, ICLR 2020.
    """
    measure, target = data.values(measure=measure, target=target)
    checks.at_least(0, max_conditions=max_conditions)
    levels = {axis: level for axis, (_, level) in data.lines(design, len(measure)).items()}
    sets = [names for size in range(max_conditions + 1) for names in combinations(levels, size)]
    orders = _signs(measure) + 1, _signs(target) + 1
    by_condition = {
        names: _information(*orders, data.cells([levels[name] for name in names], len(measure))) for names in sets
    }
    defined = {names: value for names, value in by_condition.items() if not np.isnan(value)}
    condition = min(defined, key=defined.__getitem__, default=())
    return ConditionalMutualInformation(defined.get(condition, np.nan), condition, by_condition)


def _signs(values: data.Values) -> Int[np.ndarray, "networks networks"]:
    return np.sign(values[:, None] - values).astype(int)


def _line_taus(
    measure: data.Values, target: data.Values, line: data.Codes, level: data.Codes
) -> Float[np.ndarray, " lines"]:
    """Tau-b of each line along which the level varies, NaN of others."""
    same_line = line[:, None] == line
    s, t, steps = _signs(measure) * same_line, _signs(target) * same_line, _signs(level.astype(float)) * same_line

    def over_lines(of_pairs: np.ndarray) -> np.ndarray:
        return np.bincount(line, of_pairs.sum(axis=1))

    scale = np.sqrt(over_lines(s * s) * over_lines(t * t)) * (over_lines(steps * steps) > 0)
    return np.divide(over_lines(s * t), scale, out=np.full(len(scale), np.nan), where=scale > 0)


def _information(
    measure_order: Int[np.ndarray, "networks networks"],
    target_order: Int[np.ndarray, "networks networks"],
    cell: data.Codes,
) -> float:
    """I(M; T | U) / H(T | U) from the counts of all ordered pairs, by cells of both networks and three signs each."""
    import scipy.stats

    num_cells = cell.max() + 1
    events = ((cell[:, None] * num_cells + cell) * 3 + measure_order) * 3 + target_order
    pairs = events[~np.eye(len(cell), dtype=bool)]
    counts = np.bincount(pairs, minlength=num_cells**2 * 9).reshape(-1, 3, 3)

    def entropy(*summed: int) -> Float[np.floating, ""]:
        return scipy.stats.entropy(counts.sum(axis=summed).ravel())

    target_left = entropy(1) - entropy(1, 2)
    both_left = entropy() - entropy(2)
    return float(np.clip(1 - both_left / target_left, 0, 1)) if target_left > 1e-12 else np.nan
