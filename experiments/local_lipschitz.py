"""alpha(r): how steep a trained network is around its training points, on balls of every radius r, as a bracket.

    python -m experiments.train --system=PGD --out_dir=runs/pgd
    python -m experiments.local_lipschitz --run_dir=runs/pgd
    python -m experiments.local_lipschitz --run_dir=runs/pgd --preset=talk

Two sides, never mixed: `lower` values were attained, each at a perturbation that was found; `upper` bounds are exceeded
by no pair of points of the ball. Which constant is measured is the estimator's: slopes anchored at the training point
(the talk's alpha; `growing_slope`, `ascent_slope`, `sampled_slope`, `talk_slope`) or the constant of any two points of
the ball (`pairwise_slope`). Upper bounds hold for both. A lower value above its upper bound stops the run.

Writes into the run directory, under a name `lipschitz-DIGEST` for each choice of flags: `.json` (over points, at every
radius: maximum, which is alpha_lim(r) of the talk, mean and quantiles of the lower values, maximum and mean of the
upper bounds), `_points.csv` (a row per training point), and as PNG, SVG and PDF `_alpha` (the maximum over
points, its bracket shaded), `_mean`, `_points` (how values are distributed over points) and `_steepest` (the training
images around which the network is steepest at the largest radius, the perturbed images that show it, and the
differences; of `pairwise` the two images of each pair).
"""

import dataclasses
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import jax
import numpy as np
import scipy.stats

from lipjax import estimators, measurements, records, report
from lipjax.measurements import Told
from lipjax.types import Batch, pixels

from . import cli, gallery, measuring, process, progress
from .reported import of_alpha

if TYPE_CHECKING:
    import xarray

Json = dict[str, Any]

NUM_SHOWN = 8
"""Curves in the figure of the distribution, and examples in the gallery."""

TALK: Json = {
    "radii": estimators.TALK_RADII,
    "num_points": estimators.TALK_NUM_IMAGES,
    "norm_in": "l2",
    "norm_out": "l2",
    "of": "probabilities",
    "estimator": "talk_slope",
}
"""The protocol of the talk's authors."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(measuring.RunFlags, measuring.AlphaFlags):
    """Flags of the experiment."""

    preset: str = cli.flag(
        "default", "Defaults of other flags: talk for the protocol of the talk's authors.", legal=("default", "talk")
    )

    PRESETS: ClassVar[dict[str, Json]] = {"default": {}, "talk": TALK}


def run(config: Config) -> Json:
    """Measures the network of a run directory and writes what came out beside it."""
    trained = measuring.trained(config)
    asked = measuring.alpha(config, trained.dataset, num_witnesses=NUM_SHOWN)
    with records.hold(trained.path) as folder:
        parts, key = measurements.Parts(trained.dataset), jax.random.key(config.seed)
        total = asked.cost(trained.dataset)
        with progress.bar(config.progress) as tell:
            answers = measurements.measure_one(
                key, trained.model, parts, [asked], folder / "measurements", Told(tell, total).advance
            )
        combined = records.combined({(trained.system, config.seed): answers})
        figures = measurements.summary(combined)
        alpha = of_alpha(figures.isel(system=0), asked) | {"steepest_point": answers.alpha.values[0].argmax(0)}
        alpha["mean_interval"] = [_interval_of_mean(values) for values in answers.alpha.values[0].T]
        results = {"settings": cli.settings(config), "alpha": alpha, "environment": records.environment()}
        stem = f"lipschitz-{records.digest_of_settings(cli.settings(config))[:8]}"
        records.write_json(folder / f"{stem}.json", results)
        report.write_csv(folder / f"{stem}_points.csv", _rows(answers, trained.dataset.train.labels, alpha))
        _draw(folder / stem, report.frames.joined(figures, combined), trained, alpha)
    print(report.text_table(_table(alpha)))
    print(f"\n{_sides(alpha)}")
    return results


def _rows(answers: "xarray.Dataset", labels: Any, alpha: Json) -> list[Json]:
    def cells(side: str, values: np.ndarray) -> Json:
        columns = (f"{alpha['definition']} at {radius:g}, {side}" for radius in alpha["radii"])
        return dict(zip(columns, map(float, values), strict=True))

    rows = zip(answers.alpha.values[0], answers.alpha_upper.values[0], strict=True)
    return [
        {"point": index, "label": int(labels[index])} | cells("lower", low) | cells("upper", high)
        for index, (low, high) in enumerate(rows)
    ]


def _interval_of_mean(values: np.ndarray) -> tuple[float, float]:
    """The bootstrap's 95 % interval over points: other training points would have another mean."""
    if len(values) < 2:
        return math.nan, math.nan
    low, high = scipy.stats.bootstrap(
        (values,), np.mean, n_resamples=1000, method="percentile", random_state=0
    ).confidence_interval
    return low, high


def _table(alpha: Json) -> list[Json]:
    columns = {"radius": alpha["radii"], "max": alpha["max"], "upper": alpha["upper"], "mean": alpha["mean"]}
    columns |= dict(zip(("mean from", "to"), zip(*alpha["mean_interval"], strict=True), strict=True))
    columns |= {f"quantile {q}": values for q, values in alpha["quantiles"].items()}
    return [dict(zip(columns, map(float, row), strict=True)) for row in zip(*columns.values(), strict=True)]


def _sides(alpha: Json) -> str:
    return (
        f"{alpha['definition']} of {alpha['of']}, {alpha['norm_in']} to {alpha['norm_out']}, radii in pixels.\n"
        "max, mean, quantiles: lower values, attained; from, to: 95 % interval of the mean over points (bootstrap).\n"
        f"upper: the largest upper bound of a point, from the global bound {alpha['global_bound_of_logits']:.4g} of "
        f"the logits, and\nfor {alpha['num_bounded_points']} points from {alpha['bound']} bounds of their balls."
    )


def _draw(stem: Path, found: "xarray.Dataset", trained: measuring.Trained, alpha: Json) -> None:
    constant = report.notation(f"{alpha['definition']} of {alpha['of']}, {alpha['norm_in']} to {alpha['norm_out']}")
    points = report.counted(alpha["num_points"], "training point")
    about = f"{trained.system} on {trained.dataset.name}: {constant}; {points}"

    def save(chart: Any, name: str, title: str, more: str = "") -> None:
        report.save(report.finished(chart, title, f"{about}\n{more}"), stem.with_name(f"{stem.name}_{name}"))

    curves = report.frames.alpha(found)
    save(report.alpha_curves(curves), "alpha", "Steepness around training points", report.BRACKET)
    save(report.alpha_curves(curves, show="mean"), "mean", "Steepness around training points", report.MEAN)
    spread = report.frames.distributions(found)
    radii = np.array(alpha["radii"])[np.unique(np.linspace(0, len(alpha["radii"]) - 1, NUM_SHOWN).round().astype(int))]
    shown = report.distributions(spread[spread["radius"].isin(radii)], by="radius")
    save(shown, "points", "How steepness is distributed over points")
    inputs = np.asarray(trained.dataset.train.inputs)
    if inputs.ndim == 4:
        answers = found.isel(system=0, seed=0, constant=0)
        save(_gallery(answers, inputs, trained, alpha), "steepest", f"Steepest examples, r = {max(radii):g}")


def _gallery(answers: "xarray.Dataset", inputs: np.ndarray, trained: measuring.Trained, alpha: Json) -> Any:
    """The steepest examples at the largest radius, the perturbed images that show it, and the differences."""
    steepest, witnesses = answers.steepest.values.astype(int), answers.witness.values
    values = answers.alpha.values[steepest, int(np.argmax(alpha["radii"]))]
    labels = np.asarray(trained.dataset.train.labels)[steepest]
    heads = [f"#{index}, α = {value:.3g}" for index, value in zip(steepest, values, strict=True)]
    if alpha["definition"] == "pairwise":
        first, second = np.moveaxis(witnesses, 1, 0)
    else:
        first, second = np.asarray(pixels(inputs[steepest])), witnesses
    changes, largest = report.differences(first, second)
    rows = ["image", "perturbed", f"difference\n(white: +{largest:.2g})"]
    return report.image_grid(
        [list(first), list(second), list(changes)],
        rows=rows,
        columns=heads,
        captions=[*(gallery.captions(trained, Batch(side, labels)) for side in (first, second)), [""] * len(first)],
        size=96,
    )


if __name__ == "__main__":
    process.main(Config, run, __doc__)
