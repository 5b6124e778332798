"""The main job: trains the talk's five systems and asks whether alpha(r) around training points predicts robustness.

    python -m experiments.study
    python -m experiments.study --preset=cifar10_cpu --data_dir=~/tensorflow_datasets

Trains V, P, L2NN, L and PGD on one dataset; measures each on clean, corrupted and attacked test images, what its
global bound certifies, and its slope alpha(r) around *training* images, from below and from above; prints one table,
and the rankings by clean accuracy, by relative performance (clean minus corrupted accuracy) and by alpha at the
smallest radius, with Kendall's tau between the last two. The run directory then has `results.json`, `results.csv` and,
as PNG and SVG, the figures `alpha_relative` (slide 17 of the talk), `alpha` and `corruptions`; below it lies the run
directory of every training, which experiments.robustness and experiments.local_lipschitz take. The same command
continues where it was stopped.
"""

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import jax
import numpy as np

from experiments import choices, cli, corruption_sets, local_lipschitz, robustness, train
from experiments.tasks import Advance, Task, perform
from lipjax import evaluation, records, report
from lipjax.types import Dataset, Model

Json = dict[str, Any]
AVERAGED = ("max", "mean", "upper", "upper_mean")
"""What is averaged over seeds of a system's alpha."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(choices.DataFlags, choices.TrainingFlags, robustness.RobustnessFlags, local_lipschitz.AlphaFlags):
    """Flags of the experiment: which systems, and the flags of its parts."""

    network: str = cli.flag("cnn", f"One of {', '.join(choices.NETWORKS)}, with options.")
    systems: tuple[str, ...] = cli.flag(
        ("V", "P(beta=3e-4)", "L2NN", "L(gamma=0.003)", "PGD(num_steps=7)"),
        f"What is compared: any of {', '.join(choices.SYSTEMS)}, with options, or several joined by +.",
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
    optimizer: str = cli.flag("adam", f"One of {', '.join(choices.OPTIMIZERS)}, with options.")
    learning_rate: float = cli.flag(0.002, "Learning rate at its peak.")
    num_bounded_points: int = cli.flag(
        0, "Number of points, the first ones, that get local upper bounds too: about half a minute.", minimum=0
    )
    corruptions: tuple[str, ...] = cli.flag(("small",), "Corruptions, or sets of them.", legal=corruption_sets.LEGAL)
    out_dir: str = cli.flag("", "The run directory; default runs/study/DATASET-DIGEST of the flags.", recorded=False)
    progress: bool | None = cli.flag(None, "Show a progress bar; default on terminals only.", recorded=False)

    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {
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
            "radii": tuple(j / 30 * 1.75 for j in range(1, 31)),
            "num_points": 1_000,
        },
    }


class Unit(NamedTuple):
    """One training of the study."""

    label: str
    config: train.Config

    @property
    def name(self) -> str:
        """Its name in the journal, and below the study's directory."""
        return Path(self.config.out_dir).name


def label_of(system: str) -> str:
    """The name of a system in results: without its options, `PGD` for `PGD(radius=0.1)`."""
    return re.sub(r"\(.*?\)", "", system).replace(" ", "")


def _recipe_of(label: str, config: Config) -> Json:
    legal = {field.name for field in dataclasses.fields(choices.TrainingFlags)} - {"seed"}
    recipes = {choice.name: choice.options for choice in map(choices.only, config.recipes)}
    for name, options in recipes.items():
        if unknown := sorted(options.keys() - legal):
            raise cli.UsageError(f"--recipes: {name} has no {', '.join(unknown)}, only {', '.join(sorted(legal))}")
    return recipes.get(label, {})


def units_of(config: Config, folder: Path) -> list[Unit]:
    """The trainings: every system with every seed."""
    names = {field.name for field in dataclasses.fields(train.Config)} & {f.name for f in dataclasses.fields(config)}
    shared = {name: getattr(config, name) for name in names} | {"progress": False}
    units = []
    for system in config.systems:
        label = label_of(system)
        for seed in range(config.seed, config.seed + config.num_seeds):
            own = {"system": system, "seed": seed, "out_dir": str(folder / f"{label}-seed{seed}")}
            units.append(Unit(label, train.Config(**shared | _recipe_of(label, config) | own)))
    return units


def _gradients_per_step(unit: Unit) -> int:
    # Inner maximisations are the rows' options `num_steps`: each step costs another gradient.
    inner = 0
    for choice in choices.parse(unit.config.system):
        inner += {**choices.options(choices.SYSTEMS[choice.name]), **choice.options}.get("num_steps", 0)
    return unit.config.batch_size * (1 + inner)


def tasks_of(config: Config, folder: Path, dataset: Dataset, units: list[Unit]) -> list[Task]:
    """Everything that is computed, in order; models are read from the run directories of the trainings."""
    key, models = jax.random.key(config.seed), dict[str, Model]()
    num_test, attackers = len(dataset.test.labels), robustness.attackers_of(config)
    certifier = robustness.certifier_of(config)
    images = corruption_sets.images_of(config, key, dataset, config.data_dir)

    def model(unit: Unit) -> Model:
        if unit.name not in models:
            models[unit.name] = train.load(unit.config.out_dir).model
        return models[unit.name]

    def training(unit: Unit) -> Task:
        cost = _gradients_per_step(unit)

        def compute(advance: Advance) -> Json:
            return train.run(unit.config, log=lambda step, metrics: advance(cost * unit.config.log_every))

        return Task(f"train {unit.name}", cost * unit.config.num_steps, compute)

    def corruption(name: str) -> Task:
        def compute(advance: Advance) -> Json:
            every = {unit.name: model(unit) for unit in units}
            return robustness.under_corruption(every, images, name, advance)

        return Task(f"corruption {name}", len(corruption_sets.SEVERITIES) * len(units) * num_test, compute)

    def attack(unit: Unit, number: int, text: str) -> Task:
        def compute(advance: Advance) -> Json:
            journal = folder / f"{unit.name}-attack-{number}"
            return attackers[text].run(key, model(unit), dataset.test, journal, advance)

        return Task(f"attack {unit.name} {text}", attackers[text].cost * num_test, compute)

    def certified(unit: Unit) -> Task:
        return Task(f"certified {unit.name}", num_test, lambda advance: certifier(model(unit), dataset.test))

    def alpha(unit: Unit) -> Task:
        def compute(advance: Advance) -> Json:
            around = model(unit), dataset.train.inputs, config
            curve, upper = local_lipschitz.measure(key, *around), local_lipschitz.upper_bounds(*around)
            return local_lipschitz.summary(unit.name, curve, upper, config)

        return Task(f"alpha {unit.name}", 1000 * config.num_points, compute)

    names = corruption_sets.names(config.corruptions)
    attacked = [attack(unit, number, text) for unit in units for number, text in enumerate(attackers)]
    return [*map(training, units), *map(corruption, names), *attacked, *map(certified, units), *map(alpha, units)]


def of_system(label: str, units: list[Unit], done: Json, config: Config) -> Json:
    """What results.json says of a system: means over its seeds, and lists where readers want every seed."""
    mine = [unit for unit in units if unit.label == label]
    clean = [done[f"train {unit.name}"]["test_accuracy"] for unit in mine]
    by_name = {
        name: np.mean([done[f"corruption {name}"][unit.name] for unit in mine], axis=0).tolist()
        for name in corruption_sets.names(config.corruptions)
    }
    attacked = {text: _over_seeds([done[f"attack {unit.name} {text}"] for unit in mine]) for text in config.attacks}
    certified = _certified_over_seeds([done[f"certified {unit.name}"] for unit in mine])
    alphas = [done[f"alpha {unit.name}"] for unit in mine]
    alpha = {name: np.mean([one[name] for one in alphas], axis=0).tolist() for name in AVERAGED}
    measured = robustness.summary(float(np.mean(clean)), by_name, attacked, certified, None)
    return measured | {
        "system": mine[0].config.system,
        "clean_accuracy": clean,
        "train_accuracy": [done[f"train {unit.name}"]["train_accuracy"] for unit in mine],
        "pgd_accuracy": measured["attacked_accuracy"],
        "alpha": alphas[0] | alpha | {"per_seed": [one["max"] for one in alphas]},
    }


def _over_seeds(attacked: list[Json]) -> Json:
    names = attacked[0]["accuracies"]
    accuracies = {name: float(np.mean([one["accuracies"][name] for one in attacked])) for name in names}
    return {
        "accuracies": accuracies,
        "warnings": {sign: text for one in attacked for sign, text in one["warnings"].items()},
    }


def _certified_over_seeds(certified: list[Json]) -> Json:
    bounds = [one["bound"] for one in certified]
    accuracies = np.mean([one["accuracies"] for one in certified], axis=0).tolist()
    return {"bound": bounds, "radii": certified[0]["radii"], "accuracies": accuracies}


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
        agreement = evaluation.rank_agreement([*alpha.values()], [*drop.values()])
        ranking |= {"kendall_tau": agreement.kendall_tau, "kendall_p_value": agreement.kendall_p_value}
    return ranking


def table_of(systems: Mapping[str, Json], radii: tuple[float, ...]) -> list[Json]:
    """One row per system."""
    return [
        {
            "system": label,
            "clean %": f"{100 * np.mean(system['clean_accuracy']):.1f}",
            "corrupted %": f"{100 * system['mean_corruption_accuracy']:.1f}",
            "relative %": f"{100 * system['relative_performance']:.1f}",
            "attacked %": f"{100 * system['pgd_accuracy']:.1f}",
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


def _certified_columns(certified: Json) -> Json:
    return {
        f"certified({radius:.3g}) %": f"{100 * accuracy:.1f}"
        for radius, accuracy in zip(certified["radii"], certified["accuracies"], strict=True)
    }


def _draw(folder: Path, results: Json, config: Config) -> None:
    systems = results["systems"]
    curves = {label: system["alpha"]["max"] for label, system in systems.items()}
    where = f"{results['dataset']}, {config.num_points} training points"
    radius = f"radius r ({config.norm_in}, pixels in [0, 1])"
    for name, relative, ylabel in (
        ("alpha_relative", True, "alpha_lim(r) / alpha_max (%)"),
        ("alpha", False, f"alpha_lim(r) of {config.of} ({config.norm_in} to {config.norm_out})"),
    ):
        figure = report.alpha_curves(config.radii, curves, relative=relative, xlabel=radius, ylabel=ylabel, title=where)
        report.save(figure, folder / name)
    figure = report.corruption_accuracies(
        {label: system["corruption_accuracy"] for label, system in systems.items()},
        {label: float(np.mean(system["clean_accuracy"])) for label, system in systems.items()},
        title=f"{results['dataset']}, {results['network']}",
    )
    report.save(figure, folder / "corruptions")


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
    digest = hashlib.sha256(json.dumps(cli.settings(config), sort_keys=True).encode()).hexdigest()[:8]
    folder = Path(config.out_dir or f"runs/study/{Path(config.dataset).stem}-{digest}")
    units = units_of(config, folder)
    if len({unit.name for unit in units}) < len(units):
        raise cli.UsageError(f"--systems has a name twice: {', '.join(config.systems)}")
    for unit in units:
        train.prepare(unit.config)
    dataset = choices.dataset(config)
    tasks = tasks_of(config, folder, dataset, units)
    with records.open_run(folder, cli.settings(config)) as held:
        done = perform(tasks, records.Journal(folder / "journal.json"), progress=config.progress)
        labels = list(dict.fromkeys(unit.label for unit in units))
        systems = {label: of_system(label, units, done, config) for label in labels}
        results = {
            "dataset": config.dataset,
            "network": config.network,
            "seeds": list(range(config.seed, config.seed + config.num_seeds)),
            "environment": records.environment(),
            "settings": cli.settings(config),
            "systems": systems,
            "ranking": ranking_of(systems),
        }
        held.finish(results)
        report.write_csv(folder / "results.csv", table_of(systems, config.radii))
        _draw(folder, results, config)
    _show(results, config, folder)
    return results


if __name__ == "__main__":
    cli.run_main(Config, run, __doc__)
