"""alpha(r): how steep a trained network is around its training points, on balls of every radius r.

    python -m experiments.train --system=PGD --out_dir=runs/pgd
    python -m experiments.local_lipschitz --run_dir=runs/pgd

Writes into the run directory: `lipschitz.json` (curves over radii: the maximum over points, which is alpha_lim(r) of
the talk, the mean, quantiles), `lipschitz_points.csv` (a row per training point), and as PNG and SVG
`lipschitz_alpha` (the curves) and `lipschitz_steepest` (the training images around which the network is steepest, and
the perturbations that show it). Values are slopes anchored at the training point, each attained at a perturbation that
was found: lower bounds.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Num

from experiments import choices, cli, train
from lipjax import estimators, records, report
from lipjax.types import Estimator, KeyArray, Model, pixels

QUANTILES = (0.25, 0.5, 0.75, 0.95)


def _probabilities(model: Model, x: Array) -> Array:
    return jax.nn.softmax(model.single(x))


OUTPUTS = {"probabilities": _probabilities, "logits": Model.single}
"""What the slope is taken of: probabilities as in the talk's code, or logits, whose slope certificates are made of."""

ESTIMATORS: dict[str, Callable[..., Estimator]] = {
    "ascent": estimators.ascent_slope,
    "sampled": estimators.sampled_slope,
}
"""How perturbations are found: by ascent on the quotient, or at random as in the talk's code (much lower values)."""

NORMS = choices.WORDS["norm"]


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
    estimator: str = cli.flag("ascent", "How perturbations are found.", legal=tuple(ESTIMATORS))
    num_samples: int = cli.flag(4, "Random perturbations per point and radius (ascent: per restart).")

    def __post_init__(self) -> None:
        """Refuses values that can't be used."""
        if not self.radii or min(self.radii) <= 0:
            raise cli.UsageError(f"--radii must be positive numbers, got {self.radii}")
        for name in ("num_points", "num_samples"):
            if getattr(self, name) < 1:
                raise cli.UsageError(f"--{name} must be at least 1, got {getattr(self, name)}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(AlphaFlags):
    """Flags of the experiment."""

    run_dir: str = cli.flag("", "Run directory of a trained network, as experiments.train writes it.")
    seed: int = cli.flag(0, "Seed of the random perturbations.")


def measure(
    key: KeyArray, model: Model, inputs: Num[Array | np.ndarray, "examples ..."], flags: AlphaFlags
) -> estimators.Curve:
    """The curve of a model around the first training inputs."""
    return estimators.curve(
        key,
        ESTIMATORS[flags.estimator],
        jax.tree_util.Partial(OUTPUTS[flags.of], model),
        pixels(inputs[: flags.num_points]),
        flags.radii,
        norm_in=NORMS[flags.norm_in],
        norm_out=NORMS[flags.norm_out],
        num_samples=flags.num_samples,
    )


def summary(curve: estimators.Curve, flags: AlphaFlags) -> dict[str, Any]:
    """A curve in terms of JSON: what it is, and its statistics over points at every radius."""
    values = np.asarray(curve.values, np.float64)
    return {
        "definition": "slope",
        "estimator": curve.definition,
        "of": flags.of,
        "norm_in": curve.norm_in,
        "norm_out": curve.norm_out,
        "num_points": len(values),
        "num_samples": flags.num_samples,
        "radii": list(flags.radii),
        "max": values.max(0),
        "mean": values.mean(0),
        "quantiles": {str(q): np.quantile(values, q, axis=0) for q in QUANTILES},
        "steepest_point": curve.steepest,
    }


def run(config: Config) -> dict[str, Any]:
    """Measures the network of a run directory and writes what came out beside it."""
    trained = train.load(config.run_dir)
    inputs = trained.dataset.train.inputs
    curve = measure(jax.random.key(config.seed), trained.model, inputs, config)
    results = {"settings": cli.settings(config), "alpha": summary(curve, config), "environment": records.environment()}
    folder = Path(config.run_dir)
    records.write_json(folder / "lipschitz.json", results)
    report.write_csv(folder / "lipschitz_points.csv", _rows(curve, trained.dataset.train.labels, config))
    _draw(folder, curve, np.asarray(inputs), config)
    print(report.text_table(_table(results["alpha"])))
    return results


def _rows(
    curve: estimators.Curve, labels: Num[Array | np.ndarray, " examples"], config: Config
) -> list[dict[str, Any]]:
    return [
        {"point": index, "label": int(labels[index])}
        | {f"slope at {radius:g}": float(value) for radius, value in zip(config.radii, row, strict=True)}
        for index, row in enumerate(np.asarray(curve.values))
    ]


def _table(alpha: dict[str, Any]) -> list[dict[str, Any]]:
    columns = {"radius": alpha["radii"], "max": alpha["max"], "mean": alpha["mean"]}
    columns |= {f"quantile {q}": values for q, values in alpha["quantiles"].items()}
    return [dict(zip(columns, map(float, row), strict=True)) for row in zip(*columns.values(), strict=True)]


def _draw(folder: Path, curve: estimators.Curve, inputs: Num[np.ndarray, "examples ..."], config: Config) -> None:
    alpha = summary(curve, config)
    figure = report.alpha_curves(
        config.radii,
        {"maximum": alpha["max"], "mean": alpha["mean"], "median": alpha["quantiles"]["0.5"]},
        relative=False,
        xlabel=f"radius r ({curve.norm_in}, pixels in [0, 1])",
        ylabel=f"slope of {config.of} ({curve.norm_in} to {curve.norm_out})",
        title=f"Slope around {alpha['num_points']} training points (lower bounds)",
        legend="over points",
        bands={"median": (alpha["quantiles"]["0.25"], alpha["quantiles"]["0.75"])},
    )
    report.save(figure, folder / "lipschitz_alpha")
    if inputs.ndim == 4:
        steepest = np.asarray(curve.steepest)
        pairs = np.asarray(pixels(inputs))[steepest], np.asarray(curve.witnesses)
        captions = [
            f"r = {r:g}, point {i}\nslope {v:.3g}"
            for r, i, v in zip(config.radii, steepest, np.asarray(curve.maximum), strict=True)
        ]
        report.save(report.image_pairs(*pairs, captions), folder / "lipschitz_steepest")


if __name__ == "__main__":
    cli.run_main(Config, run, __doc__)
