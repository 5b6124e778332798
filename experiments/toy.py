"""The talk's one-dimensional example: why the Lipschitz condition has to be local.

    python -m experiments.toy

Fits a step between two classes on [-2, 1] three times: without constraint, with a network whose slope can't exceed 1
anywhere, and with the slope kept at 1 on balls of radius 0.1 around the training points only. The global constraint
can't fit the data, which are 0.5 apart: it misses by at least 0.25. The local one fits. All three are trained; the
figure `toy` (PNG and SVG) and `toy.json` say what was measured of each.
"""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from lipjax import checks, datasets, layers, methods, networks, norms, records, report, training
from lipjax.types import Batch, Method, Model, Output, System, Terms

from . import cli, process


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Flags of the experiment."""

    radius: float = cli.flag(0.1, "Radius of the balls of the local constraint.", unit="input units")
    num_steps: int = cli.flag(2000, "Length of each training.", unit="updates", minimum=1)
    learning_rate: float = cli.flag(0.01, "Learning rate at its peak.", check=checks.positive)
    seed: int = cli.flag(0, "Seed of the initial parameters.", minimum=0)
    out_dir: str = cli.flag("runs/toy", "Where figure and numbers are written.", recorded=False)
    progress: bool | None = cli.flag(None, "Show progress bars; default on terminals only.", recorded=False)

    def __post_init__(self) -> None:
        """Refuses values that can't be used."""
        if not 0 < self.radius < 0.25:
            raise cli.UsageError(f"--radius must be above 0 and below 0.25, where balls meet; got {self.radius}")


class squared_error(Method):
    """Fits the labels as numbers."""

    def loss(self, model: Model, batch: Batch, output: Output) -> Terms:
        return {"squared_error": jnp.mean((output.logits[:, 0] - batch.labels) ** 2)}


def systems(config: Config, box: tuple[float, float]) -> dict[str, System]:
    """The three fits: functions of one number to one number, which differ in layers and penalty."""
    network, fit = networks.mlp(1, widths=(64, 64)), squared_error()
    slope = methods.local_slope(norms.l2.ball(config.radius, box), alpha=1.0)
    return {
        "no constraint": System(network, fit),
        "alpha = 1 everywhere": System(network.replace(layers=layers.nonexpansive), fit),
        f"alpha = 1 within {config.radius:g} of the data": System(network, methods.chain(fit, slope)),
    }


def measure(model: Model, inputs: Float[np.ndarray, "examples 1"], labels: Any, config: Config) -> dict[str, float]:
    """Largest error on the data, steepest slope anywhere, and alpha_lim(radius): on grids fine enough to be exact."""
    grid = np.linspace(-2.0, 1.0, 6001, dtype=np.float64)
    offsets = np.linspace(-config.radius, config.radius, 400)

    def values(points: Float[np.ndarray, " points"]) -> Float[np.ndarray, " points"]:
        outputs: Array = model(jnp.asarray(points, jnp.float32)[:, None])[0].logits[:, 0]
        return np.asarray(outputs, np.float64)

    data = inputs[:, 0].astype(np.float64)
    near = np.clip(data[:, None] + offsets, -2.0, 1.0)
    lengths = np.abs(near - data[:, None])
    rises = np.abs(values(near.ravel()).reshape(near.shape) - values(data)[:, None])
    return {
        "largest_error": float(np.max(np.abs(values(data) - labels))),
        "global_slope": float(np.max(np.abs(np.diff(values(grid)) / np.diff(grid)))),
        # Quotients over less than a thousandth measure float32 rounding.
        "local_slope": float(np.max(rises[lengths > 1e-3] / lengths[lengths > 1e-3])),
    }


def run(config: Config) -> dict[str, Any]:
    """Trains the three fits, measures them, and draws them."""
    with records.open_run(config.out_dir, cli.settings(config)) as held:
        return _fitted(config, held.path)


def _fitted(config: Config, folder: Path) -> dict[str, Any]:
    dataset = datasets.load("toy")
    inputs, labels = np.asarray(dataset.train.inputs), np.asarray(dataset.train.labels)
    box = dataset.box or (-2.0, 1.0)
    optimizer = training.adam(training.cosine(config.learning_rate, config.num_steps))
    grid = np.linspace(*box, 1201, dtype=np.float32)
    fits, measured = {}, {}
    for name, system in systems(config, box).items():
        model = training.fit(
            jax.random.key(config.seed),
            system,
            dataset,
            optimizer,
            num_steps=config.num_steps,
            batch_size=len(labels),
            execution=training.Execution(progress=config.progress),
        )
        fits[name] = np.asarray(model(jnp.asarray(grid)[:, None])[0].logits[:, 0])
        measured[name] = measure(model, inputs, labels, config)
    results = {"settings": cli.settings(config), "environment": records.environment(), "fits": measured}
    records.write_json(folder / "toy.json", results)
    captions = {
        name: f"largest error {m['largest_error']:.2f}, slope {m['global_slope']:.2f}, "
        f"near the data {m['local_slope']:.2f}"
        for name, m in measured.items()
    }
    figure = report.one_dimensional_fits(grid, fits, captions, (inputs[:, 0], labels), radius=config.radius)
    about = f"{len(labels)} examples on the line; shaded: what is within {config.radius:g} of a class's examples"
    report.save(report.finished(figure, "Fits of a step", about), folder / "toy")
    print(report.text_table([{"fit": name, **m} for name, m in measured.items()]))
    return results


if __name__ == "__main__":
    process.main(Config, run, __doc__)
