"""alpha(r): how steep a trained network is around its training points, on balls of every radius r, as a bracket.

    python -m experiments.train --system=PGD --out_dir=runs/pgd
    python -m experiments.local_lipschitz --run_dir=runs/pgd
    python -m experiments.local_lipschitz --run_dir=runs/pgd --preset=talk

Two sides, never mixed: `lower` values were attained, each at a perturbation that was found; `upper` bounds are exceeded
by no pair of points of the ball. Which constant is measured is the estimator's: slopes anchored at the training point
(the talk's alpha; `slope`, `ascent`, `sampled`, `talk`) or the constant of any two points of the ball (`pairwise`).
Upper bounds hold for both. A lower value above its upper bound stops the run.

Writes into the run directory: `lipschitz.json` (over points, at every radius: maximum, which is alpha_lim(r) of the
talk, mean and quantiles of the lower values, maximum and mean of the upper bounds), `lipschitz_points.csv` (a row per
training point), and as PNG and SVG `lipschitz_alpha` (the curves, brackets shaded), `lipschitz_points` (how values are
distributed over points) and `lipschitz_steepest` (the training images around which the network is steepest at the
largest radius, the perturbed images that show it, and the differences; of `pairwise` the two images of each pair).
"""

import dataclasses
from pathlib import Path
from typing import Any, ClassVar

import jax
import numpy as np
from jaxtyping import Array, Num
from matplotlib.figure import Figure

from experiments import choices, cli, train
from lipjax import bounds, estimators, parallel, records, report
from lipjax.types import KeyArray, Model, pixels

Json = dict[str, Any]
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
OUTPUTS = {"probabilities": estimators.probabilities, "logits": lambda logits: logits}
"""What the constant is of: probabilities as in the talk's code, or logits, whose constants certificates are made of."""

NUM_SHOWN = 8
"""Curves in the figure of the distribution, and examples in the gallery."""

NORMS = choices.WORDS["norm"]
LOCAL = ("interval", "expansion", "linear")


@dataclasses.dataclass(frozen=True, kw_only=True)
class AlphaFlags:
    """How alpha(r) is measured."""

    radii: tuple[float, ...] = cli.flag(
        (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75),
        "Radii of the balls around training points.",
        unit="norm_in of the whole image, pixels in [0, 1]",
    )
    num_points: int = cli.flag(100, "Number of training points: the first ones of the training set.")
    norm_in: str = cli.flag("l2", "Norm of the balls and of input differences.", legal=tuple(NORMS))
    norm_out: str = cli.flag("l2", "Norm of output differences.", legal=tuple(NORMS))
    of: str = cli.flag("probabilities", "Which output of the network.", legal=tuple(OUTPUTS))
    estimator: str = cli.flag(
        "slope(num_samples=4, num_restarts=1)",
        f"How perturbations are found: one of {', '.join(choices.ESTIMATORS)}, with options.",
    )
    bound: str = cli.flag(
        "interval",
        "How local upper bounds are found, in addition to the global one: interval is fast, expansion is tighter in "
        "ten times the time, linear a little more so in thirty times.",
        legal=LOCAL,
    )
    num_bounded_points: int = cli.flag(
        2, "Number of points, the first ones, that get local upper bounds, which are dear.", minimum=0
    )

    def __post_init__(self) -> None:
        """Refuses values that can't be used."""
        if not self.radii or min(self.radii) <= 0:
            raise cli.UsageError(f"--radii must be positive numbers, got {self.radii}")
        if self.num_points < 1:
            raise cli.UsageError(f"--num_points must be at least 1, got {self.num_points}")
        choices.estimator(self.estimator)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(AlphaFlags):
    """Flags of the experiment."""

    run_dir: str = cli.flag("", "Run directory of a trained network, as experiments.train writes it.")
    seed: int = cli.flag(0, "Seed of the random perturbations.")
    preset: str = cli.flag(
        "default", "Defaults of other flags: talk for the protocol of the talk's authors.", legal=("default", "talk")
    )

    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {
        "default": {},
        "talk": {
            "radii": estimators.TALK_RADII,
            "num_points": estimators.TALK_NUM_IMAGES,
            "norm_in": "l2",
            "norm_out": "l2",
            "of": "probabilities",
            "estimator": "talk",
        },
    }


def measure(
    key: KeyArray,
    model: Model,
    inputs: Num[Array | np.ndarray, "examples ..."],
    flags: AlphaFlags,
    *,
    keep_witnesses: bool = False,
) -> estimators.Curve:
    """The lower values around the first training inputs, on all devices."""
    return choices.estimator(flags.estimator)(
        key,
        OUTPUTS[flags.of](model.single),
        pixels(inputs[: flags.num_points]),
        flags.radii,
        norm_in=NORMS[flags.norm_in],
        norm_out=NORMS[flags.norm_out],
        keep_witnesses=keep_witnesses,
        mesh=parallel.mesh() if jax.device_count() > 1 else None,
    )


def upper_bounds(model: Model, inputs: Num[Array | np.ndarray, "examples ..."], flags: AlphaFlags) -> bounds.UpperCurve:
    """The upper bounds around the same inputs."""
    return bounds.upper_curve(
        model,
        pixels(inputs[: flags.num_points]),
        flags.radii,
        norm_in=NORMS[flags.norm_in],
        norm_out=NORMS[flags.norm_out],
        of_probabilities=flags.of == "probabilities",
        method=flags.bound,
        num_local=flags.num_bounded_points,
    )


def summary(name: str, curve: estimators.Curve, upper: bounds.UpperCurve, flags: AlphaFlags) -> Json:
    """A bracket in terms of JSON: what it is, and its statistics over points at every radius.

    Raises:
        BracketError: If a lower value exceeds its upper bound.
    """
    bounds.check_bracket(name, flags.radii, curve.values, upper.values)
    values = np.asarray(curve.values, np.float64)
    chosen = choices.described(flags.estimator, choices.ESTIMATORS, choices.ESTIMATOR_FLAGS)[0]
    return {
        "definition": "pairwise" if chosen["name"] == "pairwise" else "slope",
        "side": {"max, mean, quantiles": "lower", "upper, upper_mean": "upper"},
        "estimator": chosen,
        "of": flags.of,
        "norm_in": curve.norm_in,
        "norm_out": curve.norm_out,
        "num_points": len(values),
        "num_samples": chosen["num_samples"],
        "radii": list(flags.radii),
        "max": values.max(0),
        "mean": values.mean(0),
        "quantiles": {str(q): np.quantile(values, q, axis=0) for q in QUANTILES},
        "steepest_point": curve.steepest,
        "upper": upper.values.max(0),
        "upper_mean": upper.values.mean(0),
        "bound": flags.bound,
        "num_bounded_points": upper.num_local,
        "global_bound_of_logits": upper.of_network,
    }


def run(config: Config) -> Json:
    """Measures the network of a run directory and writes what came out beside it."""
    trained = train.load(config.run_dir)
    inputs = trained.dataset.train.inputs
    curve = measure(jax.random.key(config.seed), trained.model, inputs, config, keep_witnesses=True)
    upper = upper_bounds(trained.model, inputs, config)
    alpha = summary(config.run_dir, curve, upper, config)
    results = {"settings": cli.settings(config), "alpha": alpha, "environment": records.environment()}
    folder = Path(config.run_dir)
    records.write_json(folder / "lipschitz.json", results)
    report.write_csv(folder / "lipschitz_points.csv", _rows(curve, upper, trained.dataset.train.labels, alpha))
    _draw(folder, curve, np.asarray(inputs), alpha)
    print(report.text_table(_table(alpha)))
    print(f"\n{_sides(alpha)}")
    return results


def _rows(
    curve: estimators.Curve,
    upper: bounds.UpperCurve,
    labels: Num[Array | np.ndarray, " examples"],
    alpha: Json,
) -> list[Json]:
    def cells(side: str, values: np.ndarray) -> Json:
        columns = (f"{alpha['definition']} at {radius:g}, {side}" for radius in alpha["radii"])
        return dict(zip(columns, map(float, values), strict=True))

    rows = zip(np.asarray(curve.values), upper.values, strict=True)
    return [
        {"point": index, "label": int(labels[index])} | cells("lower", low) | cells("upper", high)
        for index, (low, high) in enumerate(rows)
    ]


def _table(alpha: Json) -> list[Json]:
    columns = {"radius": alpha["radii"], "max": alpha["max"], "upper": alpha["upper"], "mean": alpha["mean"]}
    columns |= {f"quantile {q}": values for q, values in alpha["quantiles"].items()}
    return [dict(zip(columns, map(float, row), strict=True)) for row in zip(*columns.values(), strict=True)]


def _sides(alpha: Json) -> str:
    return (
        f"{alpha['definition']} of {alpha['of']}, {alpha['norm_in']} to {alpha['norm_out']}, radii in pixels.\n"
        "max, mean, quantiles: lower values, attained. upper: the largest upper bound of a point, from the global\n"
        f"bound {alpha['global_bound_of_logits']:.4g} of the logits, and for {alpha['num_bounded_points']} points "
        f"from {alpha['bound']} bounds of their balls."
    )


def _draw(folder: Path, curve: estimators.Curve, inputs: Num[np.ndarray, "examples ..."], alpha: Json) -> None:
    radius = f"radius r ({alpha['norm_in']}, pixels in [0, 1])"
    constant = f"{alpha['definition']} of {alpha['of']} ({alpha['norm_in']} to {alpha['norm_out']})"
    figure = report.alpha_curves(
        alpha["radii"],
        {"maximum": alpha["max"], "mean": alpha["mean"]},
        relative=False,
        xlabel=radius,
        ylabel=constant,
        title=f"{alpha['num_points']} training points",
        legend="over points",
        bands={"maximum": alpha["upper"], "mean": alpha["upper_mean"]},
    )
    report.save(figure, folder / "lipschitz_alpha")
    shown = np.unique(np.linspace(0, len(alpha["radii"]) - 1, NUM_SHOWN).round().astype(int))
    radii, values = np.array(alpha["radii"])[shown], np.asarray(curve.values)[:, shown]
    report.save(report.distributions(radii, values, xlabel=f"{constant}, lower value"), folder / "lipschitz_points")
    if inputs.ndim == 4:
        report.save(_gallery(curve, inputs, alpha), folder / "lipschitz_steepest")


def _gallery(curve: estimators.Curve, inputs: Num[np.ndarray, "examples ..."], alpha: Json) -> Figure:
    """The steepest examples at the largest radius, the perturbed images that show it, and the differences."""
    last = int(np.argmax(alpha["radii"]))
    values = np.asarray(curve.values)[:, last]
    steepest = np.argsort(-values)[:NUM_SHOWN]
    captions = [f"point {i}\n{alpha['definition']} {values[i]:.3g}" for i in steepest]
    witnesses = np.asarray(curve.witnesses[steepest, last])
    if alpha["definition"] == "pairwise":
        first, second = np.moveaxis(witnesses, 1, 0)
    else:
        first, second = np.asarray(pixels(inputs[steepest])), witnesses
    return report.image_pairs(first, second, captions)


if __name__ == "__main__":
    cli.run_main(Config, run, __doc__)
