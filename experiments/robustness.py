"""Is a trained network robust? Its accuracy on clean, corrupted and attacked test images.

    python -m experiments.train --system=PGD --out_dir=runs/pgd
    python -m experiments.robustness --run_dir=runs/pgd --radius=8/255 --attack=standard

Prints the table and writes `robustness.json` and `robustness.csv` into the run directory, and the figure
`robustness_corruptions` (PNG and SVG): accuracy by corruption and severity. The same command continues where it was
stopped: `robustness_journal-*.json` has what was measured, one file for each choice of flags.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import jax

from experiments import choices, cli, train
from experiments.tasks import Task, perform
from lipjax import attacks, checks, corruptions, evaluation, records, report
from lipjax.attacks.suites import Suite
from lipjax.norms import Norm
from lipjax.types import Attack, Batch, KeyArray, Model

SETS = {
    "all": corruptions.NAMES,
    "benchmark": corruptions.BENCHMARK,
    "small": (
        "gaussian_noise",
        "shot_noise",
        "impulse_noise",
        "gaussian_blur",
        "defocus_blur",
        "brightness",
        "contrast",
        "pixelate",
    ),
}
"""Sets of corruptions: all nineteen, the benchmark's fifteen, eight cheap ones of different kinds."""

ATTACKS = {
    "apgd": attacks.apgd,
    "fgsm": attacks.fgsm,
    "momentum_pgd": attacks.momentum_pgd,
    "pgd": attacks.pgd,
    "square": attacks.square,
}

CORRUPTIONS = (*SETS, *corruptions.NAMES)
"""What the flag may name."""

SUITES: dict[str, Suite] = {"standard": attacks.standard}
"""Attacks one after another on what is still robust; `standard` is AutoAttack's."""

Attacker = Callable[[KeyArray, Model, Batch, Path], dict[str, Any]]
"""`(key, model, test, journal folder) -> {accuracies: {attack: accuracy}, warnings}`, the final accuracy last."""

SEVERITIES = (1, 2, 3, 4, 5)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RobustnessFlags:
    """How robustness is measured."""

    corruptions: tuple[str, ...] = cli.flag(("benchmark",), "Corruptions, or sets of them.", legal=CORRUPTIONS)
    attack: str = cli.flag(
        "pgd(num_steps=20)", f"One of {', '.join((*SUITES, *ATTACKS))}; with options: pgd(num_steps=50)."
    )
    norm: str = cli.flag("linf", "Norm of the attack's ball.", legal=tuple(choices.WORDS["norm"]))
    radius: float = cli.flag(8 / 255, "Radius of the attack's ball.", unit="pixels in [0, 1]")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(RobustnessFlags):
    """Flags of the experiment."""

    run_dir: str = cli.flag("", "Run directory of a trained network, as experiments.train writes it.")
    seed: int = cli.flag(0, "Seed of corruptions and attack.")
    progress: bool | None = cli.flag(None, "Show a progress bar; default on terminals only.", recorded=False)


def corruption_names(flags: RobustnessFlags) -> tuple[str, ...]:
    """The corruptions that the flags choose, sets written out, each once."""
    return tuple(dict.fromkeys(name for choice in flags.corruptions for name in SETS.get(choice, (choice,))))


def under_corruption(key: KeyArray, models: Mapping[str, Model], test: Batch, name: str) -> dict[str, list[float]]:
    """Accuracies of models `{model: [severity 1..5]}` on the same corrupted images."""
    accuracies: dict[str, list[float]] = {label: [] for label in models}
    for severity in SEVERITIES:
        images = evaluation.corrupted(key, test, name, severity)
        for label, model in models.items():
            accuracies[label].append(evaluation.accuracy(model, images))
    return accuracies


def corruption_task(key: KeyArray, models: Mapping[str, Model], test: Batch, name: str) -> Task:
    """The task of `under_corruption`."""
    cost = len(SEVERITIES) * len(models) * len(test.labels)
    return Task(f"corruption {name}", cost, lambda advance: under_corruption(key, models, test, name))


def attacker_of(flags: RobustnessFlags) -> Attacker:
    """What the flags choose, an attack or a suite, as one function.

    Raises:
        UsageError: If the name, an option or the radius is none that can be used.
    """
    norm, choice = choices.WORDS["norm"][flags.norm], choices.only(flags.attack)
    with choices.flag_errors("attack or --radius"):
        checks.not_negative(radius=flags.radius)
        if choice.name in SUITES:
            return partial(_by_suite, SUITES[choice.name], norm, flags.radius)
        constructor = choices.choose(choice, ATTACKS, ("norm", "radius", "bounds"))
        return partial(_by_attack, choice.name, constructor(norm, flags.radius))


def _by_suite(
    suite: Suite, norm: Norm, radius: float, key: KeyArray, model: Model, test: Batch, folder: Path
) -> dict[str, Any]:
    result = attacks.cascade(
        key, model, test.inputs, test.labels, norm=norm, radius=radius, suite=suite, journal=folder
    )
    return {"accuracies": result.accuracies, "warnings": result.health.flags}


def _by_attack(name: str, attack: Attack, key: KeyArray, model: Model, test: Batch, folder: Path) -> dict[str, Any]:
    return {"accuracies": {name: evaluation.robust_accuracy(key, model, test, attack)}, "warnings": {}}


def summary(clean: float, by_corruption: Mapping[str, list[float]], attacked: Mapping[str, Any]) -> dict[str, Any]:
    """What is reported of one model."""
    errors = {name: [1 - value for value in values] for name, values in by_corruption.items()}
    return {
        "clean_accuracy": clean,
        "corruption_accuracy": dict(by_corruption),
        "mean_corruption_accuracy": evaluation.mean_corruption_accuracy(by_corruption),
        "mean_corruption_error": evaluation.mean_corruption_error(errors),
        "relative_mean_corruption_error": evaluation.relative_mean_corruption_error(errors, 1 - clean),
        "relative_performance": evaluation.relative_performance(clean, by_corruption),
        "attacked_accuracy": list(attacked["accuracies"].values())[-1],
        "attack_accuracies": attacked["accuracies"],
        "attack_warnings": attacked["warnings"],
    }


def run(config: Config) -> dict[str, Any]:
    """Measures the network of a run directory and writes what came out beside it."""
    trained = train.load(config.run_dir)
    folder, test, models = Path(config.run_dir), trained.dataset.test, {"": trained.model}
    key = jax.random.key(config.seed)
    settings = cli.settings(config)
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8]
    journal = records.Journal(folder / f"robustness_journal-{digest}.json")
    attacker = attacker_of(config)
    tasks = [
        Task("clean", len(test.labels), lambda advance: evaluation.accuracy(trained.model, test)),
        *(corruption_task(key, models, test, name) for name in corruption_names(config)),
        Task(
            "attack",
            20 * len(test.labels),
            lambda advance: attacker(key, trained.model, test, folder / f"attack-{digest}"),
        ),
    ]
    done = perform(tasks, journal, progress=config.progress)
    by_name = {name: done[f"corruption {name}"][""] for name in corruption_names(config)}
    results = {"settings": settings, "environment": records.environment()} | summary(
        done["clean"], by_name, done["attack"]
    )
    records.write_json(folder / "robustness.json", results)
    rows = [
        {"corruption": name} | {f"severity {s}": value for s, value in zip(SEVERITIES, values, strict=True)}
        for name, values in by_name.items()
    ]
    report.write_csv(folder / "robustness.csv", rows)
    figure = report.corruption_accuracies({trained.config.system: by_name}, {trained.config.system: done["clean"]})
    report.save(figure, folder / "robustness_corruptions")
    print(report.text_table(rows))
    print(report.text_table([{name: value for name, value in results.items() if isinstance(value, float)}]))
    return results


if __name__ == "__main__":
    cli.run_main(Config, run, __doc__)
