"""Mean corruption error, the field's summary of accuracies under corruptions, and its relative form."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np

Errors: TypeAlias = Mapping[str, float | Sequence[float]]
"""Error rates by corruption name: one number, or one for each severity."""

ALEXNET_ERRORS: dict[str, float] = {
    "gaussian_noise": 0.886428,
    "shot_noise": 0.894468,
    "impulse_noise": 0.922640,
    "defocus_blur": 0.819880,
    "glass_blur": 0.826268,
    "motion_blur": 0.785948,
    "zoom_blur": 0.798360,
    "snow": 0.866816,
    "frost": 0.826572,
    "fog": 0.819324,
    "brightness": 0.564592,
    "contrast": 0.853204,
    "elastic_transform": 0.646056,
    "pixelate": 0.717840,
    "jpeg_compression": 0.606500,
}
"""Mean error of AlexNet over the five severities on ImageNet-C: the published baseline of mCE (Hendrycks 2019)."""


def _baseline(errors: Errors, baseline: Errors) -> dict[str, float]:
    missing = sorted(set(errors) - set(baseline))
    if missing:
        raise ValueError(
            f"the baseline has no error for {', '.join(missing)}: give a baseline measured on the same corruptions, "
            "or None for unnormalised errors"
        )
    return {name: float(np.mean(baseline[name])) for name in errors}


def _mean_ratio(values: Mapping[str, float], scale: Mapping[str, float]) -> float:
    if not values:
        raise ValueError("errors must name at least one corruption, got none")
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.mean([np.divide(value, scale[name]) for name, value in values.items()]))


def mean_corruption_error(errors: Errors, *, baseline: Errors | None = None) -> float:
    """Mean corruption error (mCE).

    `CE_c = sum_s E_{s,c} / sum_s E_{s,c}(baseline)` and mCE is the mean of `CE_c` over the corruptions.

    Args:
        errors: Error rates by corruption, one number or one per severity.
        baseline: Errors of the baseline classifier in the same unit, such as `ALEXNET_ERRORS` for ImageNet-C. None
            leaves the errors as they are, which is the custom on CIFAR-10-C.

    Returns:
        The mean, 1.0 for the baseline itself; in the unit of `errors` without baseline. Infinite where the baseline
        makes no error on a corruption and the classifier does, NaN where neither does.

    Raises:
        ValueError: If there are no errors, or the baseline lacks one of the corruptions.

    References:
        Hendrycks and Dietterich 2019, "Benchmarking neural network robustness" (arXiv 1903.12261), section 4.

    Examples:
        >>> mean_corruption_error({"fog": [0.2, 0.4]}, baseline={"fog": [0.5, 0.7]})
        0.5
    """
    scale = _baseline(errors, baseline) if baseline is not None else dict.fromkeys(errors, 1.0)
    return _mean_ratio({name: float(np.mean(values)) for name, values in errors.items()}, scale)


def relative_mean_corruption_error(
    errors: Errors,
    clean_error: float,
    *,
    baseline: Errors | None = None,
    baseline_clean_error: float | None = None,
) -> float:
    """Relative mCE: the mean over corruptions of `sum_s (E_{s,c} - E_clean) / sum_s (E_{s,c} - E_clean)(baseline)`.

    Args:
        errors: Error rates by corruption, one number or one per severity.
        clean_error: Error rate on clean examples, in the same unit.
        baseline: Errors of the baseline; None leaves the differences as they are.
        baseline_clean_error: Clean error of the baseline, needed with one.

    Returns:
        The mean, 1.0 for the baseline itself; in the unit of `errors` without baseline. Infinite where a corruption
        does the baseline no harm, NaN where it does the classifier none either.

    Raises:
        ValueError: If there are no errors, or the baseline lacks a corruption or comes without its clean error.

    References:
        Hendrycks and Dietterich 2019 (arXiv 1903.12261), section 4.

    Examples:
        >>> relative_mean_corruption_error({"fog": 0.3}, 0.1, baseline={"fog": 0.6}, baseline_clean_error=0.2)
        0.5
    """
    if (baseline is None) != (baseline_clean_error is None):
        raise ValueError("baseline and baseline_clean_error must be given together")
    drops = {name: float(np.mean(values)) - clean_error for name, values in errors.items()}
    if baseline is None or baseline_clean_error is None:
        return _mean_ratio(drops, dict.fromkeys(errors, 1.0))
    scale = {name: error - baseline_clean_error for name, error in _baseline(errors, baseline).items()}
    return _mean_ratio(drops, scale)
