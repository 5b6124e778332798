"""From answers per example to results.json and tables: what study and robustness say of a system."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.stats

from lipjax import corruptions, evaluation, measurements
from lipjax.evaluation import Errors

from .corruption_sets import Baseline

if TYPE_CHECKING:
    import xarray

Json = dict[str, Any]


def of_system(figures: "xarray.Dataset", baseline: Baseline | None = None) -> Json:
    """What is reported of one system: means over its seeds, and lists where readers want every seed.

    Args:
        figures: What `measurements.summary` says of it, with an axis `seed`.
        baseline: What mean corruption errors are relative to.
    """
    mean = figures.mean("seed")
    clean, by_corruption = float(mean.clean_accuracy), _by_corruption(mean.corruption_accuracy)
    errors = {name: [1 - value for value in values] for name, values in by_corruption.items()}
    return {
        "clean_accuracy": figures.clean_accuracy.values.tolist(),
        "train_accuracy": figures.train_accuracy.values.tolist(),
        "corruption_accuracy": by_corruption,
        "family_accuracy": dict(zip(mean.family.values.tolist(), mean.family_accuracy.values.tolist(), strict=True)),
        "mean_corruption_accuracy": float(mean.mean_corruption_accuracy),
        "mean_corruption_error": evaluation.mean_corruption_error(errors, baseline=baseline and baseline.errors),
        "relative_mean_corruption_error": _relative_error(errors, 1 - clean, baseline),
        "relative_performance": float(mean.relative_performance),
        "attacked_accuracy": float(mean.attacked_accuracy),
        "attacks": {attack: float(mean.attack_accuracy.sel(attack=attack)) for attack in mean.attack.values.tolist()},
        "warnings": warnings_of(figures.attrs),
        "certified": {
            "bound": figures.gap_bound.values.tolist(),
            "radii": mean.certified_at.values.tolist(),
            "accuracies": mean.certified_accuracy.values.tolist(),
        },
    }


def _by_corruption(accuracy: "xarray.DataArray") -> dict[str, list[float]]:
    return {name: accuracy.sel(corruption=name).values.tolist() for name in accuracy.corruption.values.tolist()}


def _relative_error(errors: Errors, clean_error: float, baseline: Baseline | None) -> float | None:
    if baseline is None:
        return evaluation.relative_mean_corruption_error(errors, clean_error)
    if baseline.clean_error is None:
        return None
    return evaluation.relative_mean_corruption_error(
        errors, clean_error, baseline=baseline.errors, baseline_clean_error=baseline.clean_error
    )


def warnings_of(attributes: Mapping[str, Any]) -> Json:
    """Signs, by attack, that an evaluation can't be trusted."""
    prefix = "warnings of "
    return {name.removeprefix(prefix): json.loads(text) for name, text in attributes.items() if name.startswith(prefix)}


def of_alpha(figures: "xarray.Dataset", measurement: measurements.alpha) -> Json:
    """A bracket of one system: what it is, and its statistics over points at every radius, means over seeds."""
    one = figures.isel(constant=0)
    mean = one.mean("seed")
    return {
        "definition": measurement.estimator.constant,
        "side": {"max, mean, quantiles": "lower", "upper, upper_mean": "upper"},
        "estimator": repr(measurement.estimator),
        "of": measurement.of,
        "norm_in": measurement.estimator.ball.norm.name,
        "norm_out": measurement.estimator.norm_out.name,
        "num_points": int(one.num_points.min()),
        "radii": list(measurement.radii),
        "max": mean.alpha_max.values.tolist(),
        "mean": mean.alpha_mean.values.tolist(),
        "quantiles": {
            str(q): mean.alpha_quantile.sel(quantile=q).values.tolist() for q in mean["quantile"].values.tolist()
        },
        "upper": mean.alpha_upper_max.values.tolist(),
        "upper_mean": mean.alpha_upper_mean.values.tolist(),
        "bound": measurement.bound,
        "num_bounded_points": measurement.num_bounded,
        "global_bound_of_logits": float(mean.bound_of_logits),
        "per_seed": one.alpha_max.values.tolist(),
    }


def corruption_table(by_corruption: Mapping[str, Sequence[float]]) -> list[Json]:
    """One row per corruption with its family, and their mean: accuracies by severity and over severities."""
    families = {name: family for family, members in corruptions.FAMILIES.items() for name in members}
    mean = np.mean(list(by_corruption.values()), axis=0).tolist()
    rows = [(name, families.get(name, "own"), values) for name, values in by_corruption.items()]
    return [
        {"corruption": name, "family": family}
        | {f"severity {severity}": value for severity, value in enumerate(values, 1)}
        | {"mean": float(np.mean(values))}
        for name, family, values in [*rows, ("mean", "", mean)]
    ]


def certified_table(certified: Json) -> list[Json]:
    """One row per radius."""
    return [
        {"certified in l2 at": radius, "accuracy": accuracy, "bound of gaps": float(np.mean(certified["bound"]))}
        for radius, accuracy in zip(certified["radii"], certified["accuracies"], strict=True)
    ]


def accuracy_row(name: str, of: str, accuracy: float, num_examples: int) -> Json:
    """A row of a table: an accuracy with Wilson's 95 % interval, since other test images would give another one."""
    test = scipy.stats.binomtest(round(accuracy * num_examples), num_examples)
    low, high = test.proportion_ci(method="wilson")
    return {name: of, "accuracy": accuracy, "95 % interval": f"{low:.3f} to {high:.3f}"}


def of_smoothing(figures: "xarray.Dataset") -> Json:
    """What randomised smoothing certified, if it was asked for: means over seeds."""
    if "smoothed_accuracy" not in figures:
        return {}
    accuracy = figures.smoothed_accuracy.mean("seed")
    return {
        "smoothing": {
            "radii": accuracy.smoothed_at.values.tolist(),
            "certified_accuracy": accuracy.values.tolist(),
            "abstained": float(figures.smoothed_abstained.mean()),
            "num_points": int(figures.smoothed_num.min()),
        },
        "smoothed_accuracy": float(accuracy.sel(smoothed_at=0.0)) if 0.0 in accuracy.smoothed_at else None,
    }


def smoothing_table(smoothing: Json | None) -> list[Json]:
    """One row per radius; none without smoothing."""
    if smoothing is None:
        return []
    pairs = zip(smoothing["radii"], smoothing["certified_accuracy"], strict=True)
    return [{"smoothed, certified in l2 at": radius, "certified accuracy": accuracy} for radius, accuracy in pairs]
