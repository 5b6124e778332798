"""The certified accuracy of a trained network's smoothed version: a part of experiments.robustness."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Array, Int

from experiments import cli
from experiments.choices import flag_errors
from experiments.tasks import Advance, Task
from lipjax import checks, report, smoothing
from lipjax.types import Batch, KeyArray, Model

Json = dict[str, Any]
TASK = "smoothing"


@dataclasses.dataclass(frozen=True, kw_only=True)
class SmoothingFlags:
    """What is certified by randomised smoothing."""

    smoothing_sigma: float = cli.flag(
        0.0, "Standard deviation of the noise; 0 for no smoothing.", unit="pixels in [0, 1]"
    )
    smoothing_samples: int = cli.flag(1000, "Draws for each certificate.", minimum=1)
    smoothing_failure: float = cli.flag(0.001, "Probability with which each certificate may be wrong.")
    smoothing_points: int = cli.flag(200, "Number of certified test images: the first ones.", minimum=1)
    smoothing_radii: tuple[float, ...] = cli.flag(
        (0.0, 0.25, 0.5, 0.75, 1.0), "Radii of the certified accuracies.", unit="pixels in [0, 1], l2"
    )


def check(flags: SmoothingFlags) -> None:
    """Raises UsageError if the flags can't be used."""
    with flag_errors("smoothing_sigma"):
        checks.not_negative(smoothing_sigma=flags.smoothing_sigma)
    with flag_errors("smoothing_failure"):
        checks.probability(smoothing_failure=flags.smoothing_failure)


def tasks_of(flags: SmoothingFlags, key: KeyArray, model: Model, test: Batch) -> list[Task]:
    """The task that the flags ask for, if any."""
    inputs = test.inputs[: flags.smoothing_points]

    def compute(advance: Advance) -> Json:
        certificate = smoothing.certify(
            key,
            model,
            inputs,
            sigma=flags.smoothing_sigma,
            num_samples=flags.smoothing_samples,
            failure=flags.smoothing_failure,
            progress=lambda done: advance(flags.smoothing_samples),
        )
        return {"labels": certificate.labels.tolist(), "radii": certificate.radii.tolist()}

    task = Task(TASK, flags.smoothing_samples * len(inputs), compute)
    return [task] if flags.smoothing_sigma else []


def summary(flags: SmoothingFlags, done: Mapping[str, Json], labels: Int[Array | np.ndarray, " examples"]) -> Json:
    """What results say, from what the task computed; nothing where it was not asked for."""
    if TASK not in done:
        return {}
    certificate = smoothing.Certificate(*(np.asarray(done[TASK][name]) for name in ("labels", "radii")))
    first = labels[: flags.smoothing_points]
    return {
        "smoothed_accuracy": smoothing.certified_accuracy(certificate, first, [0.0])[0],
        "smoothing": {
            "num_points": len(first),
            "abstained": float(np.mean(certificate.labels == smoothing.ABSTAIN)),
            "radii": list(flags.smoothing_radii),
            "certified_accuracy": smoothing.certified_accuracy(certificate, first, flags.smoothing_radii),
        },
    }


def show(results: Json) -> None:
    """Prints the certified accuracies, if there are any."""
    if certified := results.get("smoothing"):
        pairs = zip(certified["radii"], certified["certified_accuracy"], strict=True)
        rows: list[Json] = [{"l2 radius": radius, "certified accuracy": accuracy} for radius, accuracy in pairs]
        print()
        print(report.text_table(rows))
