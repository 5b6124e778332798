"""The main job: does alpha(r) around training points predict robustness, among the talk's five systems?

    python -m experiments.study
    python -m experiments.study --preset=cifar10_cpu --data_dir=~/tensorflow_datasets

Trains V, P, L2NN, L and PGD at four strengths with two seeds; measures each network on clean, corrupted and attacked
test images, what its global bound certifies, and its slope alpha(r) around *training* images, from below and from
above. Prints the talk's five rows, means over their networks with 95 % intervals; the rankings by clean accuracy, by
relative performance (clean less corrupted accuracy) and by alpha at the smallest radius; and the verdict: Kendall's tau
of the mean alpha at the smallest radius with relative performance and with attacked accuracy, its intervals over
configurations and over systems, what is left of it given clean accuracy, and the smallest tau that so many networks
can show. The run directory then has `results.json`, `results.csv`, the figures as PNG, SVG and PDF, and `page.html`
with all of it, for a browser. It is a sweep with other defaults: its flags are those of experiments.sweep, and what was
trained and measured is found again, whichever command asks.
"""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from lipjax import estimators, measurements, records, report

from . import cli, corruption_sets, flags, measuring, process, reported, sweep, verdict, workers, zoos
from . import report as page

if TYPE_CHECKING:
    import xarray

Json = dict[str, Any]

_RESNETS: Json = {
    "dataset": "cifar10",
    "network": ("preact_resnet(depth=18)",),
    "system": ("V", "P(layers=parseval_lassance)", 'L2NN(optimizer="sgd(weight_decay=0)")', "L", "PGD"),
    "optimizer": ("sgd",),
    "learning_rate": (0.1,),
    "corruptions": ("benchmark",),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(sweep.Config):
    """Flags of the experiment: those of a sweep, with other defaults."""

    system: tuple[str, ...] = sweep.default(
        "system",
        "V(learning_rate=[5e-4,1e-3,2e-3,4e-3])",
        "P(beta=[1e-4,3e-4,1e-3,1e-2])",
        'L2NN(omega=[0.03,0.1,0.3,1.0], optimizer="sgd(weight_decay=0)", learning_rate=0.05)',
        "L(gamma=[0.001,0.003,0.01,0.03])",
        "PGD(radius=[2/255,4/255,8/255,16/255], num_steps=5)",
    )
    num_steps: tuple[int, ...] = sweep.default("num_steps", 300)
    seed: tuple[int, ...] = sweep.default("seed", 0, 1)
    num_points: int = cli.flag(50, "Number of training points: the first ones of the training set.", minimum=1)
    preset: str = cli.flag(
        "default",
        "Defaults of other flags: cifar10_cpu for two CPU cores (90 minutes); zoo and cifar10_zoo, the networks of "
        "docs/preregistration.md (hours); cifar10 and talk, the authors' recipe, for accelerators.",
        legal=("default", "cifar10_cpu", "zoo", "cifar10_zoo", "cifar10", "talk"),
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
        "zoo": {"cells": "experiments.zoos:embedded"} | zoos.MEASURED,
        "cifar10_zoo": {"cells": "experiments.zoos:cifar10", "dataset": "cifar10", "num_train": 20_000} | zoos.MEASURED,
        "cifar10": _RESNETS | {"num_steps": (5_000,), "seed": (0, 1, 2)},
        "talk": _RESNETS
        | {
            "schedule": ("drops(at=(0.5,), factor=0.01)",),
            "num_steps": (50_000,),
            "radii": estimators.TALK_RADII,
            "num_points": estimators.TALK_NUM_IMAGES,
        },
    }


LONGEST = 10
"""Rows of a table that is shown as it is; of more configurations the families are shown."""


def ranking_of(figures: "xarray.Dataset") -> dict[str, list[str]]:
    """Three orders of the systems, best first."""
    mean = verdict.of_one_constant(figures).mean("seed")
    columns = {
        "clean": -mean.clean_accuracy,
        "relative_performance": mean.relative_performance,
        "small_radius_alpha": mean.alpha_max.isel(radius=0),
    }
    return {name: column.sortby(column).system.values.tolist() for name, column in columns.items()}


def _by_family(figures: "xarray.Dataset") -> "xarray.Dataset":
    """All networks of a family as if they were its seeds: with the talk's systems, the talk's rows."""
    names = [str(name) for name in figures.system.values]
    families = {verdict.family_of(name): name for name in names}
    return records.combined(
        {
            (family, number): one
            for family in families
            for number, one in enumerate(
                figures.sel(system=name, seed=seed).drop_vars(["system", "seed"])
                for name in names
                if verdict.family_of(name) == family
                for seed in figures.seed.values
            )
        }
    )


def _draw(folder: Path, figures: "xarray.Dataset", about: str) -> None:
    for name, chart in report.charts(figures, about).items():
        report.save(chart, folder / name)


def _show(results: Json, config: Config, folder: Path) -> None:
    print(report.text_table(results["families"] if len(results["table"]) > LONGEST else results["table"]))
    print()
    for name, order in results["ranking"].items():
        print(f"{name:>21}, best first:  {' > '.join(order)}")
    if results["verdict"]["targets"]:
        print("\nDoes a small mean alpha at the smallest radius go with robustness? The talk expects negative numbers.")
        print(report.text_table(verdict.rows(results["verdict"])))
    print(*verdict.sentences(results["verdict"]), sep="\n")
    print(f"\nresults, figures and page.html: {folder}")


def run(config: Config) -> Json:
    """Trains and measures all systems, or what is missing of it, and writes results and figures."""
    dataset = flags.dataset(config)
    alpha = measuring.alpha(config, dataset)
    cells = sweep.prepare(config, dataset, sweep.measured(config, dataset))
    if workers.is_worker(config):
        return workers.work(cells, config)
    if workers.launcher(config):
        return workers.submit(cells, config, "study")
    settings = cli.settings(config)
    name = records.name_of(settings, "study", Path(config.dataset).stem)
    with records.open_run(config.out_dir or Path(config.store) / name, settings) as held:
        answers, failures = workers.completed(cells, config, "study")
        figures = measurements.summary(answers, certified_at=config.certified_radii)
        systems = {}
        for label in figures.system.values.tolist():
            own = figures.sel(system=label)
            systems[label] = reported.of_system(own) | {"alpha": reported.of_alpha(own, alpha)}
        rows, families = sweep.table(figures), _by_family(figures)
        found = {
            "dataset": config.dataset,
            "network": ", ".join(config.network),
            "seeds": list(config.seed),
            "environment": records.environment(),
            "settings": settings,
            "systems": systems,
            "ranking": ranking_of(families if len(rows) > LONGEST else figures),
            "table": rows,
            "families": sweep.table(families),
            "verdict": verdict.of(verdict.networks_of(figures)),
        }
        held.finish(found)
        report.write_csv(held.path / "results.csv", rows)
        about = f"{', '.join(config.network)} on {config.dataset}"
        drawn = report.frames.joined(figures, answers)
        _draw(held.path, drawn, about)
        places = [(place.cell.name, place.cell.seed, place.path) for place in cells.places]
        page.write(held.path / "page.html", drawn, places, about=about, commands=[cli.command_line("study", config)])
    _show(found, config, held.path)
    workers.refuse(failures)
    return found


if __name__ == "__main__":
    process.main(Config, run, __doc__)
