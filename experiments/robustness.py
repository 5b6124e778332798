"""Is a trained network robust? Its accuracy on clean, corrupted and attacked test images, and what is certified.

    python -m experiments.train --system=PGD --out_dir=runs/pgd
    python -m experiments.robustness --run_dir=runs/pgd --radius=8/255 --attacks=pgd20,standard
    python -m experiments.robustness --run_dir=runs/cifar --corruptions=cifar10_c --published=CIFAR-10-C

Prints tables by corruption, severity and family and the summary, and writes `robustness-DIGEST.json` and `.csv` and the
figure `robustness-DIGEST_corruptions` (PNG, SVG, PDF: accuracy by corruption and severity) and `_images` (test images
with predictions) into the run directory, one of each for each choice of flags. The answers per example are in
`measurements/` there: what is there is not computed again, whichever command asks, and the same command continues where
it was stopped.

With `--smoothing_sigma` it also certifies the network's smoothed version, which should have been trained by
`--system="gaussian(sigma=...)"` with the same sigma.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax

from lipjax import measurements, records, report
from lipjax.measurements import Told

from . import cli, corruption_sets, gallery, measuring, process, progress, reported

Json = dict[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(measuring.RunFlags, measuring.SmoothingFlags, measuring.RobustnessFlags):
    """Flags of the experiment."""

    baseline: str = cli.flag(
        "none",
        "What mCE is relative to: none, alexnet (published for ImageNet-C), the run directory of another network that "
        "this experiment has measured, or a JSON file {corruption: error, ..., clean: error}.",
    )


_OF_GAPS = (
    "bound of gaps: how fast z_y - z_j can change, in l2; at most sqrt(2) times the global bound of the logits, which\n"
    "local_lipschitz prints, and that at most the product over the layers, which audit prints."
)


def _show(found: Json, num_examples: int) -> None:
    def counted(name: str, accuracies: Mapping[str, float]) -> list[Json]:
        return [reported.accuracy_row(name, of, accuracy, num_examples) for of, accuracy in accuracies.items()]

    of_all = ("clean_accuracy", "attacked_accuracy")
    tables = [
        reported.corruption_table(found["corruption_accuracy"]),
        [{"family": name, "accuracy": value} for name, value in found["family_accuracy"].items()],
        reported.certified_table(found["certified"]),
        counted("after", found["attacks"]),
        reported.smoothing_table(found.get("smoothing")),
        counted("of all test images", {name: found[name] for name in of_all}),
        [
            {"figure": name, "value": value}
            for name, value in found.items()
            if isinstance(value, float) and name not in of_all
        ],
    ]
    print("\n\n".join(report.text_table(rows) for rows in tables if rows))
    print(f"\n{_OF_GAPS}")
    for attack, signs in found["warnings"].items():
        for sign, meaning in signs.items():
            print(f"warning: {attack}: {sign}: {meaning}")


def run(config: Config) -> Json:
    """Measures the network of a run directory and writes what came out beside it."""
    smoothing, baseline = measuring.smoothing(config), corruption_sets.baseline_of(config.baseline, config.corruptions)
    trained = measuring.trained(config)
    asked = [*measuring.robustness(config, trained.dataset, config.data_dir), *smoothing]
    with records.hold(trained.path) as folder:
        total = sum(measurement.cost(trained.dataset) for measurement in asked)
        with progress.bar(config.progress) as tell:
            parts = measurements.Parts(trained.dataset)
            key = jax.random.key(config.seed)
            answers = measurements.measure_one(
                key, trained.model, parts, asked, folder / "measurements", Told(tell, total).advance
            )
        figures = measurements.summary(
            records.combined({(trained.system, config.seed): answers}),
            certified_at=config.certified_radii,
            smoothed_at=config.smoothing_radii,
        )
        settings = cli.settings(config)
        found: Json = {"settings": settings, "environment": records.environment()}
        found |= reported.of_system(figures.sel(system=trained.system), baseline)
        found |= {name: found[name][0] for name in ("clean_accuracy", "train_accuracy")}
        found |= reported.of_smoothing(figures.sel(system=trained.system))
        stem = folder / f"robustness-{records.digest_of_settings(settings)[:8]}"
        records.write_json(stem.with_suffix(".json"), found)
        report.write_csv(stem.with_suffix(".csv"), reported.corruption_table(found["corruption_accuracy"]))
        curves = report.corruption_curves(report.frames.accuracies(figures))
        figure = report.finished(curves, "Accuracy under corruptions and attacks", trained.dataset.name)
        report.save(figure, stem.with_name(f"{stem.name}_corruptions"))
        if len(trained.dataset.input_shape) == 3:
            images = gallery.sheet(key, trained, asked)
            about = f"{trained.system} on {trained.dataset.name}: true class above, prediction below"
            report.save(report.finished(images, "Test images", about), stem.with_name(f"{stem.name}_images"))
    _show(found, len(trained.dataset.test.labels))
    return found


if __name__ == "__main__":
    process.main(Config, run, __doc__)
