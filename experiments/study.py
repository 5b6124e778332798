"""The main job: trains the talk's five systems and asks whether alpha(r) around training points predicts robustness.

    python -m experiments.study
    python -m experiments.study --preset=cifar10_cpu --data_dir=~/tensorflow_datasets

Trains V, P, L2NN, L and PGD on one dataset; measures each on clean, corrupted and attacked test images, what its
global bound certifies, and its slope alpha(r) around *training* images, from below and from above; prints one table,
and the rankings by clean accuracy, by relative performance (clean minus corrupted accuracy) and by alpha at the
smallest radius, with Kendall's tau between the last two. The run directory then has `results.json`, `results.csv` and,
as PNG, SVG and PDF, the figures: `alpha` in its bracket, `alpha_relative` (slide 17 of the talk), `agreement` of alpha
and robustness, `corruptions` and others. Trainings lie in runs/,
one directory each, which experiments.robustness and experiments.local_lipschitz take; what was trained and measured of
them is found there again, whichever command asks. The same command continues where it was stopped, and another system,
seed, radius, attack or corruption computes what is missing.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from experiments import cli, corruption_sets, flags, measuring, reported, sweep, workers
from lipjax import estimators, measurements, records, report, statistics

if TYPE_CHECKING:
    import xarray

Json = dict[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(sweep.Config):
    """Flags of the experiment: those of a sweep, with other defaults."""

    system: tuple[str, ...] = sweep.default(
        "system",
        "V",
        "P(beta=3e-4)",
        'L2NN(optimizer="sgd(weight_decay=0)", learning_rate=0.05)',
        "L(gamma=0.003)",
        "PGD(num_steps=7)",
    )
    num_steps: tuple[int, ...] = sweep.default("num_steps", 500)
    preset: str = cli.flag(
        "default",
        "Defaults of other flags: cifar10_cpu for two CPU cores, talk for the authors' recipe on an accelerator.",
        legal=("default", "cifar10_cpu", "talk"),
    )
    corruptions: tuple[str, ...] = cli.flag(("small",), corruption_sets.HELP)
    num_bounded_points: int = cli.flag(
        0, "Number of points, the first ones, that get local upper bounds too: about half a minute.", minimum=0
    )

    PRESETS: ClassVar[dict[str, Json]] = {
        "default": {},
        "cifar10_cpu": {
            "dataset": "cifar10",
            "network": ("cnn(channels=(32, 64), widths=(128,))",),
            "num_test": 1_000,
            "num_steps": (1_000,),
        },
        "talk": {
            "dataset": "cifar10",
            "network": ("preact_resnet(depth=18)",),
            "system": ("V", "P(layers=parseval_lassance)", 'L2NN(optimizer="sgd(weight_decay=0)")', "L", "PGD"),
            "optimizer": ("sgd",),
            "learning_rate": (0.1,),
            "schedule": ("drops(at=(0.5,), factor=0.01)",),
            "num_steps": (50_000,),
            "corruptions": ("benchmark",),
            "radii": estimators.TALK_RADII,
            "num_points": estimators.TALK_NUM_IMAGES,
        },
    }


def ranking_of(systems: Mapping[str, Json]) -> Json:
    """The three orders of the systems, best first, and whether the last two agree."""
    clean = {label: float(np.mean(system["clean_accuracy"])) for label, system in systems.items()}
    drop = {label: system["relative_performance"] for label, system in systems.items()}
    alpha = {label: system["alpha"]["max"][0] for label, system in systems.items()}
    ranking: Json = {
        "clean": sorted(clean, key=lambda label: -clean[label]),
        "relative_performance": sorted(drop, key=lambda label: drop[label]),
        "small_radius_alpha": sorted(alpha, key=lambda label: alpha[label]),
        "kendall_tau": None,
        "kendall_p_value": None,
    }
    if len(systems) > 1:
        tau, p_value = statistics.kendall_tau([*alpha.values()], [*drop.values()])
        ranking |= {"kendall_tau": tau, "kendall_p_value": p_value}
    return ranking


def _draw(folder: Path, figures: "xarray.Dataset", about: str) -> None:
    for name, chart in report.charts(figures, about).items():
        report.save(chart, folder / name)


def _show(results: Json, config: Config, folder: Path) -> None:
    ranking = results["ranking"]
    print(report.text_table(results["table"]))
    print()
    for name in ("clean", "relative_performance", "small_radius_alpha"):
        print(f"{name:>21}, best first:  {' > '.join(ranking[name])}")
    if ranking["kendall_tau"] is not None:
        tau, p_value = float(ranking["kendall_tau"]), float(ranking["kendall_p_value"])
        print(f"Kendall's tau of the last two: {tau:.2f} (p = {p_value:.2g})")
    print(f"\nresults and figures: {folder}")


def run(config: Config) -> Json:
    """Trains and measures all systems, or what is missing of it, and writes results and figures."""
    dataset = flags.dataset(config)
    alpha = measuring.alpha(config, dataset)
    cells = sweep.prepare(config, dataset, sweep.measured(config, dataset))
    if workers.is_worker(config):
        return workers.work(cells, config)
    settings = cli.settings(config)
    name = records.name_of(settings, "study", Path(config.dataset).stem)
    with records.open_run(config.out_dir or Path(config.store) / name, settings) as held:
        answers, failures = workers.completed(cells, config, "study")
        figures = measurements.summary(answers, certified_at=config.certified_radii)
        systems = {}
        for label in figures.system.values.tolist():
            own = figures.sel(system=label)
            systems[label] = reported.of_system(own) | {"alpha": reported.of_alpha(own, alpha)}
        rows = sweep.table(figures)
        found = {
            "dataset": config.dataset,
            "network": ", ".join(config.network),
            "seeds": list(config.seed),
            "environment": records.environment(),
            "settings": settings,
            "systems": systems,
            "ranking": ranking_of(systems),
            "table": rows,
        }
        held.finish(found)
        report.write_csv(held.path / "results.csv", rows)
        about = f"{', '.join(config.network)} on {config.dataset}"
        _draw(held.path, report.frames.joined(figures, answers), about)
    _show(found, config, held.path)
    workers.refuse(failures)
    return found


if __name__ == "__main__":
    cli.run_main(Config, run, __doc__)
