"""Is a trained network robust? Its accuracy on clean, corrupted and attacked test images, and what is certified.

    python -m experiments.train --system=PGD --out_dir=runs/pgd
    python -m experiments.robustness --run_dir=runs/pgd --radius=8/255 --attacks=pgd20,standard
    python -m experiments.robustness --run_dir=runs/cifar --corruptions=cifar10_c --published=CIFAR-10-C

Prints tables by corruption, severity and family and the summary, and writes `robustness.json` and `robustness.csv` into
the run directory, and the figure `robustness_corruptions` (PNG and SVG): accuracy by corruption and severity. The same
command continues where it was stopped: `robustness_journal-*.json` has what was measured and `attack-*` the adversarial
images of a suite, one of each for each choice of flags.

With `--smoothing_sigma` it also certifies the network's smoothed version, which should have been trained by
`--system="gaussian(sigma=...)"` with the same sigma.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments import choices, cli, corruption_sets, smoothed, train
from experiments.corruption_sets import SEVERITIES, Baseline, CorruptionFlags, Images
from experiments.tasks import Advance, Task, perform
from lipjax import attacks, certification, checks, corruptions, evaluation, records, report
from lipjax.attacks.suites import Suite
from lipjax.evaluation import Errors
from lipjax.norms import Norm
from lipjax.types import Attack, Batch, KeyArray, Model

ATTACKS: dict[str, Callable[..., Attack]] = {
    "apgd": attacks.apgd,
    "fgsm": attacks.fgsm,
    "momentum_pgd": attacks.momentum_pgd,
    "pgd": attacks.pgd,
    "pgd20": partial(attacks.pgd, num_steps=20),
    "square": attacks.square,
}

SUITES: dict[str, Suite] = {"standard": attacks.standard}
"""Attacks one after another on what is still robust; `standard` is AutoAttack's."""

Json = dict[str, Any]


class Attacker(NamedTuple):
    """An attack or a suite.

    Attributes:
        cost: Gradients of one image that it takes at most.
        run: `(key, model, test, folder of its journal, advance) -> {accuracies: {attack: accuracy}, warnings}`, the
            final accuracy last; it calls `advance` with parts of cost times the number of images.
    """

    cost: float
    run: Callable[[KeyArray, Model, Batch, Path, Advance], Json]


@dataclasses.dataclass(frozen=True, kw_only=True)
class RobustnessFlags(CorruptionFlags):
    """How robustness is measured."""

    attacks: tuple[str, ...] = cli.flag(
        ("pgd20",), f"Any of {', '.join((*SUITES, *ATTACKS))}; with options: pgd(num_steps=50, num_restarts=5)."
    )
    norm: str = cli.flag("linf", "Norm of the attacks' ball.", legal=tuple(choices.WORDS["norm"]))
    radius: float = cli.flag(8 / 255, "Radius of the attacks' ball.", unit="pixels in [0, 1]")
    certified_radii: tuple[float, ...] = cli.flag(
        (36 / 255,), "Radii in l2 at which the global bound certifies predictions.", unit="pixels in [0, 1]"
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(smoothed.SmoothingFlags, RobustnessFlags):
    """Flags of the experiment."""

    run_dir: str = cli.flag("", "Run directory of a trained network, as experiments.train writes it.")
    baseline: str = cli.flag(
        "none",
        "What mCE is relative to: none, alexnet (published for ImageNet-C), the run directory of another network that "
        "this experiment has measured, or a JSON file {corruption: error, ..., clean: error}.",
    )
    seed: int = cli.flag(0, "Seed of corruptions and attacks.")
    progress: bool | None = cli.flag(None, "Show a progress bar; default on terminals only.", recorded=False)


def under_corruption(models: Mapping[str, Model], images: Images, name: str, advance: Advance) -> Json:
    """Accuracies of models `{model: [severity 1..5]}` on the same corrupted images."""
    accuracies: dict[str, list[float]] = {label: [] for label in models}
    for severity in SEVERITIES:
        batch = images(name, severity)
        for label, model in models.items():
            accuracies[label].append(evaluation.accuracy(model, batch))
        advance(len(models) * len(batch.labels))
    return accuracies


def attackers_of(flags: RobustnessFlags) -> dict[str, Attacker]:
    """What the flags choose, by its name.

    Raises:
        UsageError: If a name, an option or the radius is none that can be used.
    """
    return {text: _attacker(text, flags) for text in flags.attacks}


def _attacker(text: str, flags: RobustnessFlags) -> Attacker:
    norm, choice = choices.WORDS["norm"][flags.norm], choices.only(text)
    with choices.flag_errors("attacks or --radius"):
        checks.not_negative(radius=flags.radius)
        if choice.name in SUITES:
            if choice.options:
                raise cli.UsageError(f"{choice.name} has no options, got {text}")
            suite = SUITES[choice.name]
            cost = sum(stage.cost * stage.repeats for stage in suite(norm, 10, (0.0, 1.0)))
            return Attacker(cost, partial(_by_suite, suite, cost, norm, flags.radius))
        constructor = choices.choose(choice, ATTACKS | SUITES, ("norm", "radius", "bounds"))
        options = choices.options(ATTACKS[choice.name]) | choice.options
        cost = options.get("num_steps", options.get("num_queries", 1)) * options.get("num_restarts", 1)
        return Attacker(cost, partial(_by_attack, text, cost, constructor(norm, flags.radius)))


def _by_suite(
    suite: Suite,
    cost: float,
    norm: Norm,
    radius: float,
    key: KeyArray,
    model: Model,
    test: Batch,
    folder: Path,
    advance: Advance,
) -> Json:
    done = 0.0

    def progress(attack: str, share: float) -> None:
        nonlocal done
        advance((share - done) * cost * len(test.labels))
        done = share

    result = attacks.cascade(
        key, model, *test, norm=norm, radius=radius, suite=suite, journal=folder, progress=progress
    )
    return {"accuracies": result.accuracies, "warnings": result.health.flags}


def _by_attack(
    name: str, cost: float, attack: Attack, key: KeyArray, model: Model, test: Batch, folder: Path, advance: Advance
) -> Json:
    done = 0

    def progress(count: int) -> None:
        nonlocal done
        advance((count - done) * cost)
        done = count

    return {
        "accuracies": {name: evaluation.robust_accuracy(key, model, test, attack, progress=progress)},
        "warnings": {},
    }


def certifier_of(flags: RobustnessFlags) -> Callable[[Model, Batch], Json]:
    """`(model, test) -> {bound, radii, accuracies}`: what the global bound certifies in l2, nothing if it is infinite.

    Raises:
        UsageError: If a radius is negative.
    """
    with choices.flag_errors("certified_radii"):
        checks.not_negative(radius=np.asarray(flags.certified_radii))
    return partial(_certified, flags.certified_radii)


def _certified(radii: tuple[float, ...], model: Model, test: Batch) -> Json:
    bound = certification.gap_bound(model, test.inputs.shape[1:])
    certified = certification.certified_radii(model, test, bound)
    return {"bound": bound, "radii": list(radii), "accuracies": certification.certified_accuracy(certified, radii)}


def final_accuracy(attacked: Json) -> float:
    """Accuracy after an attack, or after all attacks of a suite."""
    return list(attacked["accuracies"].values())[-1]


def summary(
    clean: float,
    by_corruption: Mapping[str, list[float]],
    attacked: Mapping[str, Json],
    certified: Json,
    baseline: Baseline | None,
) -> Json:
    """What is reported of one model."""
    errors = {name: [1 - value for value in values] for name, values in by_corruption.items()}
    return {
        "clean_accuracy": clean,
        "corruption_accuracy": dict(by_corruption),
        "family_accuracy": evaluation.by_family(by_corruption),
        "mean_corruption_accuracy": evaluation.mean_corruption_accuracy(by_corruption),
        "mean_corruption_error": evaluation.mean_corruption_error(errors, baseline=baseline and baseline.errors),
        "relative_mean_corruption_error": _relative_error(errors, 1 - clean, baseline),
        "relative_performance": evaluation.relative_performance(clean, by_corruption),
        "attacked_accuracy": min(map(final_accuracy, attacked.values())),
        "attacks": dict(attacked),
        "certified": certified,
    }


def _relative_error(errors: Errors, clean_error: float, baseline: Baseline | None) -> float | None:
    if baseline is None:
        return evaluation.relative_mean_corruption_error(errors, clean_error)
    if baseline.clean_error is None:
        return None
    return evaluation.relative_mean_corruption_error(
        errors, clean_error, baseline=baseline.errors, baseline_clean_error=baseline.clean_error
    )


def table_of(by_corruption: Mapping[str, list[float]]) -> list[Json]:
    """One row per corruption with its family, and their mean: accuracies by severity and over severities."""
    families = {name: family for family, members in corruptions.FAMILIES.items() for name in members}
    mean = np.mean(list(by_corruption.values()), axis=0).tolist()
    rows = [(name, families[name], values) for name, values in by_corruption.items()]
    return [
        {"corruption": name, "family": family}
        | {f"severity {severity}": value for severity, value in zip(SEVERITIES, values, strict=True)}
        | {"mean": float(np.mean(values))}
        for name, family, values in [*rows, ("mean", "", mean)]
    ]


def certified_table(certified: Json) -> list[Json]:
    """One row per radius."""
    return [
        {"certified in l2 at": radius, "accuracy": accuracy, "bound of gaps": certified["bound"]}
        for radius, accuracy in zip(certified["radii"], certified["accuracies"], strict=True)
    ]


def _show(results: Json) -> None:
    print(report.text_table(table_of(results["corruption_accuracy"])))
    print()
    print(
        report.text_table([{"family": name, "accuracy": value} for name, value in results["family_accuracy"].items()])
    )
    print()
    print(report.text_table(certified_table(results["certified"])))
    print()
    rows: list[Json] = [
        {"attacks": text, "after": name, "accuracy": accuracy}
        for text, attacked in results["attacks"].items()
        for name, accuracy in attacked["accuracies"].items()
    ]
    print(report.text_table(rows))
    for text, attacked in results["attacks"].items():
        for sign, meaning in attacked["warnings"].items():
            print(f"warning: {text}: {sign}: {meaning}")
    smoothed.show(results)
    print()
    numbers: list[Json] = [
        {"figure": name, "value": value} for name, value in results.items() if isinstance(value, float)
    ]
    print(report.text_table(numbers))


def tasks_of(
    config: Config, attackers: Mapping[str, Attacker], folder: Path, digest: str, trained: train.Trained
) -> list[Task]:
    """Everything that is computed, in order."""
    certifier = certifier_of(config)
    key, test, model = jax.random.key(config.seed), trained.dataset.test, trained.model
    images = corruption_sets.images_of(config, key, trained.dataset, trained.config.data_dir)

    def corruption(name: str) -> Task:
        cost = len(SEVERITIES) * len(test.labels)
        return Task(f"corruption {name}", cost, lambda advance: under_corruption({"": model}, images, name, advance))

    def attack(number: int, text: str, attacker: Attacker) -> Task:
        journal = folder / f"attack-{digest}-{number}"
        cost = attacker.cost * len(test.labels)
        return Task(f"attack {text}", cost, lambda advance: attacker.run(key, model, test, journal, advance))

    return [
        Task("clean", len(test.labels), lambda advance: evaluation.accuracy(model, test)),
        Task("certified", len(test.labels), lambda advance: certifier(model, test)),
        *map(corruption, corruption_sets.names(config.corruptions)),
        *(attack(number, *item) for number, item in enumerate(attackers.items())),
        *smoothed.tasks_of(config, key, model, test),
    ]


def run(config: Config) -> Json:
    """Measures the network of a run directory and writes what came out beside it."""
    smoothed.check(config)
    attackers, baseline = attackers_of(config), corruption_sets.baseline_of(config.baseline, config.corruptions)
    trained, folder, settings = train.load(config.run_dir), Path(config.run_dir), cli.settings(config)
    measured = {name: value for name, value in settings.items() if name != "baseline"}
    digest = hashlib.sha256(json.dumps(measured, sort_keys=True).encode()).hexdigest()[:8]
    journal = records.Journal(folder / f"robustness_journal-{digest}.json")
    done = perform(tasks_of(config, attackers, folder, digest, trained), journal, progress=config.progress)
    by_name = {name: done[f"corruption {name}"][""] for name in corruption_sets.names(config.corruptions)}
    attacked = {text: done[f"attack {text}"] for text in attackers}
    results = {"settings": settings, "environment": records.environment()}
    results |= summary(done["clean"], by_name, attacked, done["certified"], baseline)
    results |= smoothed.summary(config, done, trained.dataset.test.labels)
    records.write_json(folder / "robustness.json", results)
    report.write_csv(folder / "robustness.csv", table_of(by_name))
    figure = report.corruption_accuracies({trained.config.system: by_name}, {trained.config.system: done["clean"]})
    report.save(figure, folder / "robustness_corruptions")
    _show(results)
    return results


if __name__ == "__main__":
    cli.run_main(Config, run, __doc__)
