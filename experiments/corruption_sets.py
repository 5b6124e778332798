"""Which corrupted images, computed here or published, and which baseline their errors are divided by."""

import dataclasses
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lipjax import checks, corruptions, datasets, evaluation, measurements, records
from lipjax.corruptions import Corruption
from lipjax.evaluation import Errors
from lipjax.types import Batch, Dataset, KeyArray
from lipjax.values import Value, setting

from . import cli
from .language import build, flag_errors

SETS = {
    "all": corruptions.NAMES,
    "benchmark": corruptions.BENCHMARK,
    "cifar10_c": corruptions.NAMES,
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
"""Sets of corruptions: all nineteen, the benchmark's fifteen, the published nineteen, eight cheap ones of each kind."""

HELP = f"Corruptions, or sets of them: any of {', '.join((*SETS, *corruptions.NAMES))}; or module:name."

SEVERITIES = (1, 2, 3, 4, 5)

TFDS = "cifar10_corrupted"
_NAMES_IN_TFDS = {"glass_blur": "frosted_glass_blur", "elastic_transform": "elastic"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class CorruptionFlags:
    """Which corrupted images."""

    corruptions: tuple[str, ...] = cli.flag(("benchmark",), HELP)
    published: str | None = cli.flag(
        None,
        "Published images in place of computed ones: a folder of CIFAR-10-C's .npy files, or of those that "
        f"experiments.corrupt wrote, or {TFDS} for TFDS's.",
    )


def names(chosen: tuple[str, ...]) -> tuple[str | Corruption, ...]:
    """The corruptions that a flag chooses, sets written out, each once.

    Raises:
        UsageError: If a name is none of a corruption or set.
    """
    return tuple(dict.fromkeys(name for choice in chosen for name in SETS.get(choice, (_named(choice),))))


def _named(text: str) -> str | Corruption:
    if text in (*SETS, *corruptions.NAMES):
        return text
    with flag_errors("corruptions"):
        return build(text, dict.fromkeys((*SETS, *corruptions.NAMES)))


def images_of(flags: CorruptionFlags, dataset: Dataset, data_dir: str | None = None) -> measurements.Images:
    """Where corrupted test images come from.

    Args:
        flags: Which images.
        dataset: The dataset whose test examples are corrupted.
        data_dir: TFDS data directory, for those of TFDS.

    Raises:
        UsageError: If the published images are not there, or have another shape or more classes.
    """
    if "cifar10_c" in flags.corruptions and flags.published is None:
        raise cli.UsageError(
            "--corruptions=cifar10_c are published images: --published must be their folder, or "
            f"{TFDS} for those of TFDS (--corruptions=all computes such images)"
        )
    if flags.published is None:
        return evaluation.corrupted
    images = published(flags.published, data_dir)
    with flag_errors("published"):
        for name in names(flags.corruptions):
            images.check_suits(dataset, str(name))
    return images


class published(Value):
    """Published images in place of computed ones: a folder in CIFAR-10-C's layout, or those of TFDS.

    They are the first of every class where the dataset has fewer test examples than they are.
    """

    source: str = setting()
    data_dir: str | None = setting(None)

    def __call__(self, key: KeyArray, batch: Batch, corruption: str | Corruption, severity: int) -> Batch:
        found = self._load(str(corruption), severity)
        return datasets.balanced(found, min(len(found.labels), len(batch.labels)))

    def check_suits(self, dataset: Dataset, name: str) -> None:
        """Raises ValueError where the images are not there, or can't test a network for the dataset."""
        batch = self._load(name, 1)
        shape, largest = tuple(batch.inputs.shape[1:]), batch.labels.max()
        if shape != dataset.input_shape or largest >= dataset.num_classes:
            raise ValueError(
                f"images of shape {shape} with classes up to {largest} can't test a network for {dataset.name}, "
                f"shape {dataset.input_shape} and {dataset.num_classes} classes"
            )

    def _load(self, name: str, severity: int) -> Batch:
        if self.source == TFDS:
            return datasets.load_test(f"{TFDS}/{_NAMES_IN_TFDS.get(name, name)}_{severity}", self.data_dir)
        return corruptions.load_cifar10_c(self.source, name, severity)


class Baseline(NamedTuple):
    """Errors by corruption that mCE divides by, and the error on clean images where it is known."""

    errors: Errors
    clean_error: float | None


def _of_run(path: Path) -> Baseline:
    answers = records.answers_of(path)
    if answers is None or not {"corrupted_correct", "correct"} <= set(answers):
        raise ValueError(f"{path} has no corruption accuracies: measure it by experiments.robustness first")
    figures = measurements.summary(answers)
    errors = 1 - figures.corruption_accuracy
    by_name = {name: errors.sel(corruption=name).values.tolist() for name in errors.corruption.values.tolist()}
    return Baseline(by_name, 1 - float(figures.clean_accuracy))


def _of_file(path: Path) -> Baseline:
    found = records.read_json(path) if path.is_file() else None
    if not isinstance(found, dict):
        raise ValueError(f"{path} is neither a run directory nor a JSON file {{corruption: error, ..., clean: error}}")
    errors = {name: float(np.mean(np.asarray(values, float))) for name, values in found.items()}
    checks.fraction(**errors)
    return Baseline(errors, errors.pop("clean", None))


def baseline_of(text: str, chosen: tuple[str, ...]) -> Baseline | None:
    """The baseline that a flag names: `none`, `alexnet`, a run directory with robustness.json, or a JSON file.

    Raises:
        UsageError: If it is none of these, or lacks a corruption.
    """
    if text == "none":
        return None
    with flag_errors("baseline"):
        path = Path(text)
        if text == "alexnet":
            baseline = Baseline(evaluation.ALEXNET_ERRORS, None)
        elif path.is_dir():
            baseline = _of_run(path)
        else:
            baseline = _of_file(path)
        if missing := [name for name in map(str, names(chosen)) if not np.mean(baseline.errors.get(name, 0)) > 0]:
            raise ValueError(f"{text} has no error above 0 for {', '.join(missing)}")
    return baseline
