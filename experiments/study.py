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

import jax
import numpy as np

from experiments import cli, corruption_sets, flags, language, measuring, reported, train, workers
from lipjax import estimators, measurements, records, report, statistics
from lipjax.measurements import Measurement
from lipjax.sweep import Sweep
from lipjax.types import Dataset

if TYPE_CHECKING:
    import xarray

Json = dict[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(
    flags.DataFlags, flags.TrainingFlags, measuring.RobustnessFlags, measuring.AlphaFlags, workers.WorkerFlags
):
    """Flags of the experiment: which systems, and the flags of its parts."""

    network: str = cli.flag("cnn", f"One of {', '.join(flags.NETWORKS)}, with options.")
    systems: tuple[str, ...] = cli.flag(
        ("V", "P(beta=3e-4)", "L2NN", "L(gamma=0.003)", "PGD(num_steps=7)"),
        f"What is compared: any of {', '.join(flags.SYSTEMS)}, with options, or several joined by +.",
    )
    preset: str = cli.flag(
        "default",
        "Defaults of other flags: cifar10_cpu for two CPU cores, talk for the authors' recipe on an accelerator.",
        legal=("default", "cifar10_cpu", "talk"),
    )
    recipes: tuple[str, ...] = cli.flag(
        ('L2NN(optimizer="sgd(weight_decay=0)", learning_rate=0.05)',),
        "Training flags for single systems, in place of those for all: their name with the flags as options.",
    )
    num_seeds: int = cli.flag(1, "Trainings of each system, with the seeds from --seed upwards.", minimum=1)
    num_steps: int = cli.flag(500, "Length of each training.", unit="updates", minimum=1)
    batch_size: int = cli.flag(100, "Size of a batch.", unit="examples", minimum=1)
    optimizer: str = cli.flag("adam", f"One of {', '.join(flags.OPTIMIZERS)}, with options.")
    learning_rate: float = cli.flag(0.002, "Learning rate at its peak.")
    num_bounded_points: int = cli.flag(
        0, "Number of points, the first ones, that get local upper bounds too: about half a minute.", minimum=0
    )
    corruptions: tuple[str, ...] = cli.flag(("small",), corruption_sets.HELP)
    out_dir: str = cli.flag("", "The run directory; default runs/study/DATASET-DIGEST of the flags.", recorded=False)

    PRESETS: ClassVar[dict[str, Json]] = {
        "default": {},
        "cifar10_cpu": {
            "dataset": "cifar10",
            "network": "cnn(channels=(32, 64), widths=(128,))",
            "num_test": 1_000,
            "num_steps": 1_000,
        },
        "talk": {
            "dataset": "cifar10",
            "network": "preact_resnet(depth=18)",
            "systems": ("V", "P(layers=parseval_lassance)", "L2NN", "L", "PGD"),
            "optimizer": "sgd",
            "learning_rate": 0.1,
            "schedule": "drops(at=(0.5,), factor=0.01)",
            "num_steps": 50_000,
            "corruptions": ("benchmark",),
            "radii": estimators.TALK_RADII,
            "num_points": estimators.TALK_NUM_IMAGES,
        },
    }


def labels_of(systems: tuple[str, ...]) -> dict[str, str]:
    """Names of the systems in results: `PGD` for `PGD(radius=0.1)`, or the whole text where two differ in options.

    Raises:
        UsageError: If a system is named twice, or its text can't be read.

    Example:
        >>> labels_of(("V", "P(beta=1e-4)", "L(gamma=0.003)+PGD"))
        {'V': 'V', 'P(beta=1e-4)': 'P', 'L(gamma=0.003)+PGD': 'L+PGD'}
        >>> list(labels_of(("P(beta=1e-4)", "P(beta=1e-3)")).values())
        ['P(beta=1e-4)', 'P(beta=1e-3)']
    """
    if len(set(systems)) < len(systems):
        raise cli.UsageError(f"--systems has a name twice: {', '.join(systems)}")
    short = {text: "+".join(choice.name for choice in language.parse(text)) for text in systems}
    names = list(short.values())
    return {text: name if names.count(name) == 1 else text for text, name in short.items()}


def recipes_of(config: Config) -> dict[str, Json]:
    """Training flags of single systems, by the system's label.

    Raises:
        UsageError: If a recipe is of a system that is not compared, or has a flag that there is not.
    """
    legal = {field.name for field in dataclasses.fields(flags.TrainingFlags)} - {"seed"}
    labels = labels_of(config.systems).values()
    recipes = {choice.name: choice.settings for choice in map(language.only, config.recipes)}
    default = {language.only(text).name for text in Config.recipes}
    for name, options in recipes.items():
        if name not in labels and name not in default:
            raise cli.UsageError(f"--recipes: {name!r} is none of the systems {', '.join(labels)}")
        if unknown := sorted(options.keys() - legal):
            raise cli.UsageError(f"--recipes: {name} has no {', '.join(unknown)}, only {', '.join(sorted(legal))}")
    return recipes


def trainings(config: Config) -> list[tuple[str, train.Config]]:
    """Every system with every seed: its label, and the flags of its training."""
    names = {field.name for field in dataclasses.fields(train.Config)} & set(vars(config))
    shared = {name: getattr(config, name) for name in names} | {"out_dir": ""}
    recipes = recipes_of(config)
    return [
        (label, train.Config(**shared | recipes.get(label, {}) | {"system": system, "seed": seed}))
        for system, label in labels_of(config.systems).items()
        for seed in range(config.seed, config.seed + config.num_seeds)
    ]


def prepare(config: Config, dataset: Dataset, asked: list[Measurement]) -> Sweep:
    """The sweep that the study shows; all that can be wrong with the trainings is found here, before any compute.

    Raises:
        UsageError: If a flag can't be used.
    """
    chosen = trainings(config)
    cells = [train.prepare(one, dataset)._replace(name=label) for label, one in chosen]
    execution = train.execution(chosen[0][1])._replace(progress=False)
    with language.flag_errors("systems"):
        return Sweep(jax.random.key(config.seed), cells, dataset, asked, Path(config.store).expanduser(), execution)


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


def table_of(systems: Mapping[str, Json], radii: tuple[float, ...]) -> list[Json]:
    """One row per system."""
    return [
        {
            "system": label,
            "clean %": f"{100 * np.mean(system['clean_accuracy']):.1f}",
            "corrupted %": f"{100 * system['mean_corruption_accuracy']:.1f}",
            "relative %": f"{100 * system['relative_performance']:.1f}",
            "attacked %": f"{100 * system['attacked_accuracy']:.1f}",
            **{
                f"certified({radius:.3g}) %": f"{100 * accuracy:.1f}"
                for radius, accuracy in zip(
                    system["certified"]["radii"], system["certified"]["accuracies"], strict=True
                )
            },
            f"alpha({radii[0]:g})": f"{system['alpha']['max'][0]:.4g}",
            f"mean alpha({radii[0]:g})": f"{system['alpha']['mean'][0]:.4g}",
            f"alpha({radii[-1]:g})": f"{system['alpha']['max'][-1]:.4g}",
            f"upper({radii[0]:g})": f"{system['alpha']['upper'][0]:.4g}",
        }
        for label, system in systems.items()
    ]


def _draw(folder: Path, figures: "xarray.Dataset", about: str) -> None:
    for name, chart in report.charts(figures, about).items():
        report.save(chart, folder / name)


def _show(results: Json, config: Config, folder: Path) -> None:
    ranking = results["ranking"]
    print(report.text_table(table_of(results["systems"], config.radii)))
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
    sweep = prepare(config, dataset, [*measuring.robustness(config, dataset, config.data_dir), alpha])
    settings = cli.settings(config)
    name = records.name_of(settings, "study", Path(config.dataset).stem)
    with records.open_run(config.out_dir or Path(config.store) / name, settings) as held:
        answers, failures = workers.completed(sweep, config, "study")
        figures = measurements.summary(answers, certified_at=config.certified_radii)
        systems = {}
        for text, label in labels_of(config.systems).items():
            if label not in figures.system:
                continue
            own = figures.sel(system=label)
            systems[label] = reported.of_system(own) | {"system": text, "alpha": reported.of_alpha(own, alpha)}
        found = {
            "dataset": config.dataset,
            "network": config.network,
            "seeds": list(range(config.seed, config.seed + config.num_seeds)),
            "environment": records.environment(),
            "settings": settings,
            "systems": systems,
            "ranking": ranking_of(systems),
        }
        held.finish(found)
        report.write_csv(held.path / "results.csv", table_of(systems, config.radii))
        _draw(held.path, report.frames.joined(figures, answers), f"{config.network} on {config.dataset}")
    _show(found, config, held.path)
    workers.refuse(failures)
    return found


if __name__ == "__main__":
    cli.run_main(Config, run, __doc__)
