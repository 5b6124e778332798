"""Answers per example, reduced to figures: the one place where means, worst cases and quantiles are taken."""

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from lipjax import corruptions

if TYPE_CHECKING:
    import xarray

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def summary(
    answers: "xarray.Dataset",
    *,
    certified_at: Sequence[float] = (36 / 255,),
    smoothed_at: Sequence[float] = (0.0, 0.25, 0.5, 0.75, 1.0),
) -> "xarray.Dataset":
    """The field's figures of what was measured, for every system and seed.

    Args:
        answers: What `measure` or `records.open` returned; whatever is missing in it is missing in the result.
        certified_at: l2 radii of the accuracies that a global bound certifies.
        smoothed_at: l2 radii of the accuracies that randomised smoothing certifies.

    Returns:
        Of those that follow from the answers: `clean_accuracy`, `train_accuracy`; `corruption_accuracy [corruption,
        severity]`, `family_accuracy [family]`, `mean_corruption_accuracy`, `relative_performance` (clean less corrupted
        accuracy); `attack_accuracy [attack]` and `attacked_accuracy`, the share that withstands *all* attacks;
        `certified_accuracy [certified_at]`; `alpha_max`, `alpha_mean`, `alpha_quantile [quantile]` and
        `alpha_upper_max`, `alpha_upper_mean` over points `[constant, radius]`; `smoothed_accuracy [smoothed_at]`; means
        of what `confidence` says (0 is the `boundary_distance` of a wrong prediction), `calibration_error`.

    Examples:
        >>> import xarray
        >>> withstood = xarray.DataArray([[True, False], [False, True]], dims=("attack", "example"))
        >>> figures = summary(xarray.Dataset({"withstood": withstood}))
        >>> figures.attack_accuracy.values, float(figures.attacked_accuracy)
        (array([0.5, 0.5]), 0.0)
    """
    import xarray

    figures: dict[str, xarray.DataArray] = {}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "(All-NaN|Mean of empty)", RuntimeWarning)  # what was not measured is NaN
        for needed, reduce in _REDUCTIONS.items():
            if set(needed) <= set(answers):
                figures |= reduce(*_floats(answers, needed))
    if "certified_radius" in answers:
        figures["certified_accuracy"] = _reached(answers["certified_radius"], "certified_at", certified_at)
    if "smoothed_radius" in answers:
        radius = answers["smoothed_radius"].where(answers["smoothed_correct"] == 1, -1.0)
        figures["smoothed_accuracy"] = _reached(radius, "smoothed_at", smoothed_at)
        figures["smoothed_abstained"] = (answers["smoothed_label"] < 0).astype(float).mean("smoothed_example")
        figures["smoothed_num"] = _counted(answers["smoothed_radius"], "smoothed_example")
    return xarray.Dataset(figures, attrs=answers.attrs)


def _floats(answers: "xarray.Dataset", names: Sequence[str]) -> "list[xarray.DataArray]":
    return [answers[name].astype(float) for name in names]


def _counted(values: "xarray.DataArray", axis: str) -> "xarray.DataArray":
    """How many there are; NaN where nothing was measured."""
    count = values.count(axis)
    return count.where(count > 0)


def _clean(correct: "xarray.DataArray") -> "dict[str, xarray.DataArray]":
    return {"clean_accuracy": correct.mean("example")}


def _train(correct: "xarray.DataArray") -> "dict[str, xarray.DataArray]":
    return {"train_accuracy": correct.mean("train_example")}


def _corrupted(correct: "xarray.DataArray") -> "dict[str, xarray.DataArray]":
    import xarray

    accuracy = correct.mean("example")
    by_corruption = accuracy.mean("severity")
    families = {
        family: by_corruption.sel(corruption=[name for name in names if name in accuracy.corruption]).mean("corruption")
        for family, names in corruptions.FAMILIES.items()
        if set(names) & set(accuracy.corruption.values.tolist())
    }
    labels = xarray.DataArray(list(families), dims="family", name="family")
    return {
        "corruption_accuracy": accuracy,
        "family_accuracy": xarray.concat(families.values(), labels),
        "mean_corruption_accuracy": by_corruption.mean("corruption"),
    }


def _relative(correct: "xarray.DataArray", corrupted: "xarray.DataArray") -> "dict[str, xarray.DataArray]":
    # The mean of every corruption counts alike, whatever the number of its images.
    drop = correct.mean("example") - corrupted.mean("example").mean("severity").mean("corruption")
    return {"relative_performance": drop}


def _attacked(withstood: "xarray.DataArray") -> "dict[str, xarray.DataArray]":
    worst = withstood.min("attack")
    return {"attack_accuracy": withstood.mean("example"), "attacked_accuracy": worst.mean("example")}


def _alpha(values: "xarray.DataArray", upper: "xarray.DataArray") -> "dict[str, xarray.DataArray]":
    return {
        "num_points": _counted(values.max("radius"), "point"),
        "alpha_max": values.max("point"),
        "alpha_mean": values.mean("point"),
        "alpha_quantile": values.quantile(list(QUANTILES), "point"),
        "alpha_upper_max": upper.max("point"),
        "alpha_upper_mean": upper.mean("point"),
    }


def _calibration(correct: "xarray.DataArray", probability: "xarray.DataArray") -> "dict[str, xarray.DataArray]":
    """Expected calibration error in 15 bins of equal width: the mean distance of confidence and accuracy."""
    bins = np.clip(np.ceil(probability * 15), 1, 15)
    gaps = [abs((correct - probability).where(bins == number, 0.0).sum("example")) for number in range(1, 16)]
    return {"calibration_error": sum(gaps[1:], gaps[0]) / probability.count("example")}


def _reached(radii: "xarray.DataArray", axis: str, at: Sequence[float]) -> "xarray.DataArray":
    """The share of examples whose radius is at least so large, for several lengths along a new axis."""
    import xarray

    lengths = xarray.DataArray(list(at), dims=axis, coords={axis: list(at)})
    return (radii >= lengths).astype(float).where(radii.notnull()).mean(str(radii.dims[-1]))


_REDUCTIONS: Mapping = {
    ("correct",): _clean,
    ("train_correct",): _train,
    ("corrupted_correct",): _corrupted,
    ("correct", "corrupted_correct"): _relative,
    ("withstood",): _attacked,
    ("alpha", "alpha_upper"): _alpha,
    ("correct", "probability"): _calibration,
    ("negative_log_likelihood",): lambda loss: {"negative_log_likelihood": loss.mean("example")},
    ("margin",): lambda margin: {"margin": margin.mean("example")},
    ("entropy",): lambda entropy: {"entropy": entropy.mean("example")},
    ("train_loss",): lambda loss: {"train_loss": loss.mean("train_example")},
    ("jacobian_norm",): lambda norm: {"jacobian_norm": norm.mean("point")},
    ("boundary_distance",): lambda distance: {"boundary_distance": distance.clip(min=0).mean("point")},
    ("log_product_of_norms",): lambda norms: {"log_product_of_norms": norms},
    ("distance_from_start",): lambda distance: {"distance_from_start": distance},
    ("gap_bound",): lambda bound: {"gap_bound": bound},
    ("bound_of_logits",): lambda bound: {"bound_of_logits": bound},
    ("network_bound",): lambda bound: {"network_bound": bound},
}
"""What follows from which answers; each is a function of their arrays as floats."""
