"""What does a measure add to a prediction of the target that knows the design already?"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from lipjax import checks
from lipjax.statistics import data

Features = Float[np.ndarray, "networks _"]


class Increment(NamedTuple):
    """Out-of-sample prediction of a target's ranks without and with a measure, as means over assignments to folds.

    Attributes:
        gain: `r_squared - baseline_r_squared`: near 0, or below it, if the measure adds nothing.
        share: Of the squared error that the baseline leaves, what the measure takes away; of no meaning if that is
            rounding.
        baseline_r_squared: Of the baseline; below 0 if it predicts worse than the mean does.
        r_squared: Of the baseline and the measure.
        per_network: Each network's part: their mean is `gain`.

    Examples:
        >>> quality = np.random.default_rng(0).normal(size=40)
        >>> found = increment(quality, quality, {}, np.arange(40))  # nothing is known before, all is known with it
        >>> round(found.r_squared, 2), bool(np.isclose(found.gain, found.per_network.mean()))
        (1.0, True)
    """

    gain: float
    share: float
    baseline_r_squared: float
    r_squared: float
    per_network: data.Values


def increment(
    measure: ArrayLike,
    target: ArrayLike,
    baseline: data.Settings,
    groups: ArrayLike,
    *,
    num_folds: int = 5,
    num_repeats: int = 5,
    ridges: Sequence[float] = (1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0),
    seed: int | np.random.Generator = 0,
) -> Increment:
    """Gain of out-of-sample R^2 by a measure over a baseline: design, clean accuracy, confidence; cross-fitted.

        gain = R^2(baseline, measure) - R^2(baseline),  R^2 = 1 - sum (y - prediction)^2 / sum (y - mean of training)^2

    Groups are dealt to folds, and each fold is predicted from all others, so that no configuration's other seeds give
    it away. Target, measure and the baseline's numbers enter as ranks, words as one indicator each. The baseline has
    all these columns and their products in pairs, squares included; the measure adds itself and its products with the
    columns. Fits are least squares, each with the ridge that predicts best: a ridge that is too
    strong for the baseline would make a gain of its proxies.

    The gain is relative to what that baseline can express. Its interval, given the fits, is
    `bootstrap(np.mean, result.per_network, clusters=groups)`.

    Args:
        measure: One value per network.
        target: One value per network.
        baseline: Numbers or words, one per network, by name; with none it is the mean.
        groups: Configuration of each network: networks with equal labels share a fold.
        num_folds: Number of folds, or of groups if there are fewer.
        num_repeats: Number of assignments to folds.
        ridges: Weights of the squared coefficients, the intercept's apart; ranks are in [-1, 1].
        seed: Of the assignments.

    Returns:
        The gain and its parts; NaN where the target is constant.

    Raises:
        ValueError: If there are fewer than two groups, or a setting is out of range.

    Examples:
        >>> width, (quality, noise) = np.arange(80) // 20, np.random.default_rng(0).normal(size=(2, 80))
        >>> target, baseline, groups = width + quality, {"width": width}, np.arange(80)
        >>> bool(increment(quality, target, baseline, groups).gain > 0.3)
        True
        >>> bool(abs(increment(width + noise, target, baseline, groups).gain) < 0.05)
        True

    References:
        Chernozhukov et al., Double/debiased machine learning for treatment and structural parameters, 2018 (the folds).
    """
    measure, target = data.values(measure=measure, target=target)
    columns = data.columns(baseline, len(measure))
    group = np.unique(data.columns({"groups": groups}, len(measure))[0], return_inverse=True)[1]
    checks.at_least(2, num_folds=num_folds, number_of_groups=group.max() + 1)
    checks.at_least(1, num_repeats=num_repeats)
    checks.positive(ridges=np.asarray(ridges))
    features, y = _features(columns, measure), data.ranks(target)
    generator = np.random.default_rng(seed)
    folds = [_folds(group, num_folds, generator) for _ in range(num_repeats)]
    errors = [[(y - _predictions(x, y, each, np.asarray(ridges))) ** 2 for x in features] for each in folds]
    return _compare(np.mean(errors, axis=0))


def _features(columns: list[data.Column], measure: data.Values) -> tuple[Features, Features, Features]:
    """What predicts by the mean, by the baseline, and by baseline and measure; the first column is the intercept."""
    main = np.column_stack([np.empty((len(measure), 0)), *map(data.numbers, columns)])
    first, second = np.triu_indices(main.shape[1])
    known = np.column_stack([np.ones(len(main)), main, main[:, first] * main[:, second]])
    added = data.numbers(measure)
    return known[:, :1], known, np.column_stack([known, added, added * main])


def _folds(group: data.Codes, num_folds: int, generator: np.random.Generator) -> data.Codes:
    """The fold of each network: groups are shuffled and dealt in turn."""
    fold_of_group = np.empty(group.max() + 1, int)
    fold_of_group[generator.permutation(len(fold_of_group))] = np.arange(len(fold_of_group)) % num_folds
    return fold_of_group[group]


def _predictions(
    features: Features, y: data.Values, folds: data.Codes, ridges: Float[np.ndarray, " ridges"]
) -> data.Values:
    """Each fold's prediction from all others, with the ridge that predicts best."""
    penalties = ridges[:, None, None] * np.diag(np.arange(features.shape[1]) > 0)
    predictions = np.empty((len(ridges), len(y)))
    for fold in np.unique(folds):
        test, x, targets = folds == fold, features[folds != fold], y[folds != fold]
        coefficients = np.linalg.solve(x.T @ x + penalties, (x.T @ targets)[:, None])[..., 0]
        predictions[:, test] = coefficients @ features[test].T
    return predictions[np.argmin(np.sum((y - predictions) ** 2, axis=1))]


def _compare(errors: Float[np.ndarray, "3 networks"]) -> Increment:
    """The record of the squared errors by the mean, by the baseline, and by baseline and measure."""
    by_mean = errors[0].mean() or np.nan
    baseline_r_squared, r_squared = (1 - errors[1:].mean(axis=1) / by_mean).tolist()
    gain = r_squared - baseline_r_squared
    share = gain / (1 - baseline_r_squared) if baseline_r_squared < 1 else np.nan
    return Increment(gain, share, baseline_r_squared, r_squared, (errors[1] - errors[2]) / by_mean)
