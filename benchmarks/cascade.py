"""The cascade: `fast` against `standard`, image by image, and both against AutoAttack's own code where it is installed.

    pip install torch pyautoattack
    python -m benchmarks.cascade [--num_images=100] [--norm=linf] [--radius=0.03]

The network of `benchmarks.attacks` and rightly classified test images of the embedded Fashion-MNIST. Told are processor
times of the second call and what the first took beyond it (compilation), the gradients that the stages ask for, the
robust accuracies, and on how many images `fast` and `standard` differ. On the same weights, AutoAttack's code runs in
PyTorch with as many threads as this process has cores.
"""

import argparse
import importlib.util
import os
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from benchmarks.attacks import in_torch, rightly_classified, trained
from lipjax import datasets, evaluation, norms, report
from lipjax.evaluation import Classifier
from lipjax.norms import Ball
from lipjax.types import Batch

SUITES = {"fast": evaluation.fast, "standard": evaluation.standard}
THEIRS = {"linf": "Linf", "l2": "L2", "l1": "L1"}


class Outcome(NamedTuple):
    """What one tool found, and what it took in seconds of processor time and in gradients."""

    robust: np.ndarray
    seconds: float
    compilation: float = 0.0
    gradients: float = float("nan")


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """What a call returns, and its processor time."""
    start = time.process_time()
    return call(), time.process_time() - start


def by_lipjax(f: Classifier, batch: Batch, ball: Ball, suite: str) -> Outcome:
    """A suite of lipjax's."""
    runs = [timed(lambda: evaluation.cascade(jax.random.key(0), f, batch, SUITES[suite](ball))) for _ in range(2)]
    (_, first), (found, second) = runs
    return Outcome(found.robust, second, first - second, found.gradients)


def by_autoattack(module: Any, batch: Batch, ball: Ball) -> Outcome:
    """The authors' code, on images with their channels first."""
    import torch
    from pyautoattack.autoattack import AutoAttack

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    images = torch.from_numpy(np.array(batch.inputs)).permute(0, 3, 1, 2).contiguous()
    labels = torch.from_numpy(np.array(batch.labels, np.int64))
    attack = AutoAttack(module, norm=THEIRS[ball.norm.name], eps=float(ball.radius))
    (points, *_), seconds = timed(lambda: attack.run_standard_evaluation(images, labels))
    return Outcome((module(points).argmax(1) == labels).numpy(), seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num_images", type=int, default=100)
    parser.add_argument("--norm", default="linf", choices=THEIRS)
    parser.add_argument("--radius", type=float, default=0.03)
    flags = parser.parse_args()
    dataset = datasets.load("fashion_mnist_mini")
    model = trained(dataset, num_steps=200)
    batch = Batch(*(leaf[: flags.num_images] for leaf in rightly_classified(model, dataset.test)))
    ball = norms.named(flags.norm).ball(flags.radius)
    outcomes = {suite: by_lipjax(model, batch, ball, suite) for suite in SUITES}
    if importlib.util.find_spec("pyautoattack") is not None:
        outcomes["AutoAttack"] = by_autoattack(in_torch(model), batch, ball)
    print(f"{len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f}, {len(batch.labels)} images, {ball}")
    standard = outcomes["standard"]
    print(
        report.text_table(
            [
                {
                    "suite": name,
                    "seconds": f"{found.seconds:.1f}",
                    "compilation": f"{found.compilation:.1f}",
                    "gradients / standard": f"{found.gradients / standard.gradients:.2f}",
                    "robust": f"{np.mean(found.robust):.3f}",
                    "robust here only": str(int(np.sum(found.robust & ~standard.robust))),
                    "robust in standard only": str(int(np.sum(~found.robust & standard.robust))),
                }
                for name, found in outcomes.items()
            ]
        )
    )


if __name__ == "__main__":
    main()
