"""Local Lipschitz constants: lipjax against what a user would otherwise write, on the same weights, in one run.

    python -m benchmarks.estimators [ascent] [clever] [clever_untargeted] [talk]

A small convolutional network is trained on the embedded Fashion-MNIST and copied to PyTorch. Then, on the same cores,

    ascent    20 steps of projected ascent at ten radii, on 50 images: foolbox's L2PGD on the JAX model
    clever    targeted CLEVER, 10 batches of 64 samples, on 8 images: ART, one image after another
    clever_untargeted    over all other classes, on the same images
    talk      the talk's protocol, 100 draws at 30 radii, on 50 images: PyTorch, eagerly, all images of a draw at once

Rounds take turns, so that whatever else runs slows all of them, and medians are told; compilation is told apart. A tool
that is not installed is left out with a word.
"""

import argparse
import functools
import os
import statistics
import warnings
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from benchmarks.attacks import Foolbox, Run, in_torch, is_installed, rightly_classified, seconds, trained
from lipjax import attacks, datasets, estimators
from lipjax.batching import over_examples
from lipjax.estimators.quotient import difference_quotient
from lipjax.norms import l2
from lipjax.types import Batch, Estimate, KeyArray, Model, Point, VectorFn

RADII = tuple(0.175 * j for j in range(1, 11))
NUM_IMAGES, NUM_CLEVER_IMAGES = 50, 8
NUM_ROUNDS = 3
NUM_STEPS = 20
NUM_DRAWS = 100
CLEVER = {"num_samples": 64, "num_batches": 10}
CLEVER_RADIUS = 5.0
KEY = jax.random.key(0)


class pgd_slope(estimators.LocalEstimator):
    """The slope by plain PGD on the quotient: the same number of gradients as the rival's."""

    norm_out = l2

    def __call__(self, key: KeyArray, f: VectorFn, x: Point) -> Estimate:
        quotient = difference_quotient(f, x, norm_in=self.ball.norm, norm_out=self.norm_out)
        witness = attacks.pgd(self.ball, num_steps=NUM_STEPS)(key, quotient, x)
        return Estimate(quotient(witness), witness)


def curve(estimator: estimators.LocalEstimator, model: Model, batch: Batch) -> Run:
    return lambda: estimators.curve(KEY, estimator, model.single, batch.inputs, RADII).values.block_until_ready()


def ascents(model: Model, batch: Batch) -> dict[str, Run]:
    runs = {
        "lipjax pgd_slope": curve(pgd_slope(), model, batch),
        "lipjax growing_slope": curve(estimators.growing_slope(num_samples=4, num_restarts=1), model, batch),
    }
    if is_installed("foolbox"):
        for name, compiler in (("foolbox", lambda f: f), ("foolbox, jitted model", jax.jit)):
            foolbox = Foolbox(model, batch, compiler)
            attack = foolbox.attacks.L2PGD(steps=NUM_STEPS, random_start=False)
            each = [foolbox(attack, epsilon=radius) for radius in RADII]
            runs[name] = lambda each=each: [run() for run in each]
    return runs


def clevers(model: Model, batch: Batch, *, targeted: bool = True) -> dict[str, Run]:
    @jax.jit
    def scores(model: Model, inputs: jax.Array, targets: jax.Array) -> jax.Array:
        def score(key: KeyArray, x: jax.Array, target: jax.Array) -> jax.Array:
            chosen = target if targeted else None
            return estimators.clever(l2.ball(CLEVER_RADIUS), target=chosen, **CLEVER)(key, model.single, x).score

        return over_examples(score, 1)(KEY, inputs, targets)

    inputs = batch.inputs[:NUM_CLEVER_IMAGES]
    targets = (batch.labels[:NUM_CLEVER_IMAGES] + 1) % 10
    runs: dict[str, Run] = {"lipjax clever": lambda: scores(model, inputs, targets).block_until_ready()}
    if is_installed("torch", "art"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import torch
            from art.estimators.classification import PyTorchClassifier
            from art.metrics import clever_t, clever_u
        classifier = PyTorchClassifier(
            in_torch(model), torch.nn.CrossEntropyLoss(), (1, 28, 28), 10, clip_values=(0, 1), device_type="cpu"
        )
        images = np.moveaxis(np.asarray(inputs), -1, 1)
        settings = {"nb_batches": CLEVER["num_batches"], "batch_size": CLEVER["num_samples"]}
        settings |= {"radius": CLEVER_RADIUS, "norm": 2}

        def score(image: np.ndarray, target: int) -> float:
            if targeted:
                return clever_t(classifier, image, target, **settings)
            return clever_u(classifier, image, **settings, verbose=False)

        runs["ART"] = lambda: np.array(
            [score(image, int(target)) for image, target in zip(images, targets, strict=True)]
        )
    return runs


def talks(model: Model, batch: Batch) -> dict[str, Run]:
    runs = {
        "lipjax talk_curve": lambda: estimators.talk_curve(KEY, model.single, batch.inputs).values.block_until_ready()
    }
    if is_installed("torch"):
        import torch

        network = in_torch(model)
        images = torch.from_numpy(np.moveaxis(np.array(batch.inputs), -1, 1).copy())

        def eager() -> np.ndarray:
            with torch.no_grad():
                return torch.stack([largest(radius) for radius in estimators.TALK_RADII], 1).cummax(1).values.numpy()

        def largest(radius: float) -> Any:
            anchored, best = network(images).softmax(1), torch.zeros(len(images))
            for _ in range(NUM_DRAWS):
                noise = 2 * torch.rand_like(images) - 1
                noise = noise * (radius / noise.flatten(1).norm(dim=1))[:, None, None, None]
                moved = (images + noise).clamp(0, 1)
                rise = (network(moved).softmax(1) - anchored).norm(dim=1)
                best = torch.maximum(best, rise / (moved - images).flatten(1).norm(dim=1))
            return best

        runs["PyTorch, eager"] = eager
    return runs


def report(name: str, runs: dict[str, Run]) -> None:
    first = {tool: seconds(run) for tool, run in runs.items()}
    rounds = [{tool: seconds(run)[0] for tool, run in runs.items()} for _ in range(NUM_ROUNDS)]
    times = {tool: statistics.median(spent[tool] for spent in rounds) for tool in runs}
    ours = next(iter(runs))
    for tool in runs:
        values = first[tool][1]
        mean = "" if isinstance(values, list) else f"mean {np.mean(values):7.4f}"
        ratio = statistics.median(spent[tool] / spent[ours] for spent in rounds)
        print(
            f"{name:7} {tool:22} {times[tool]:8.3f} s  x{ratio:6.2f}  first call {first[tool][0]:6.1f} s  {mean}",
            flush=True,
        )


CONTESTS: dict[str, Callable[[Model, Batch], dict[str, Run]]] = {
    "ascent": ascents,
    "clever": clevers,
    "clever_untargeted": functools.partial(clevers, targeted=False),
    "talk": talks,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("contests", nargs="*", choices=[*CONTESTS, []])
    names = parser.parse_args().contests or CONTESTS
    dataset = datasets.load("fashion_mnist_mini")
    model = trained(dataset)
    batch = Batch(*(leaf[:NUM_IMAGES] for leaf in rightly_classified(model, dataset.test)))
    print(f"{len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f}; ratios are to the first of each group")
    for name in names:
        report(name, CONTESTS[name](model, batch))


if __name__ == "__main__":
    main()
