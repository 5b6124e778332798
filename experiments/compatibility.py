"""Is a Lipschitz constraint compatible with a dataset? Counts all pairs of its examples (slides 10 to 13 of the talk).

    python -m experiments.compatibility --dataset=cifar10 --data_dir=DIR --norm=linf --radius=0.15 --out_dir=runs/pairs

Two examples of different classes that are closer than 1 / alpha can't both get their one-hot targets from an
alpha-Lipschitz function. Prints, for a table of constants alpha, how many pairs forbid it: among all, and among those
whose balls of the given radius meet. Writes into the run directory

    compatibility.json        the exact histograms of distances, and the table
    separation.json           distances to the nearest example of another class, between classes, the closest pairs
    pair_distances.npz        upper ends of the bins; distance and index of every example's nearest one of another class
    compatibility.*           the figure of slide 13 (PNG, SVG, PDF)
    closest_pairs.*           the closest pairs of different classes, for images

Distances are in input units (pixels in [0, 1]). The same command continues a run that was stopped.

The command above takes 50 s of processor time, shared by all cores (AMD EPYC, Zen 4), and 0.6 GiB. Of 1.125e9 pairs of
different classes, 10 forbid alpha = 4.0 and 1,387 forbid 3.03; with r = 0.15 never more than 253 do; none forbids 4.73.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from lipjax import checks, datasets, norms, records, report
from lipjax.compatibility import Counting, PairDistances, pair_distances
from lipjax.types import Batch, Dataset, pixels

from . import cli, process
from .language import flag_errors

EVENLY = 0.05 * np.arange(1, 21)
FRACTIONS = {"linf": 0.25 + 0.04 * np.arange(20), "l2": EVENLY, "l1": EVENLY}
"""Distances of the table, as fractions of the largest possible distance: in linf those of slide 13."""

SPLITS: dict[str, Callable[[Dataset], tuple[Batch, Batch | None]]] = {
    "train": lambda dataset: (dataset.train, None),
    "test": lambda dataset: (dataset.test, None),
    "test-train": lambda dataset: (dataset.test, dataset.train),
}
"""Whose pairs are counted: those within a split, or those of a test and a training example."""

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
NUM_CLOSEST = 8
MOST_STEPS = 500
"""Half of the most steps of a drawn curve."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Flags of the experiment."""

    dataset: str = cli.flag("cifar10", "fashion_mnist_mini or toy, a prepared TFDS dataset, a folder or an .npz file.")
    data_dir: str | None = cli.flag(None, "TFDS data directory, for datasets of TFDS; default ~/tensorflow_datasets.")
    split: str = cli.flag("train", "Whose pairs are counted.", legal=tuple(SPLITS))
    num_examples: int | None = cli.flag(None, "Only the first examples of each split; default all.", minimum=1)
    norm: str = cli.flag("linf", "Norm of the distance.", legal=tuple(norms.NAMES))
    radius: float = cli.flag(
        0.15, "Radius of the balls that must meet.", unit="the norm, of pixels in [0, 1]", check=checks.not_negative
    )
    distances: tuple[float, ...] = cli.flag(
        (), "Distances 1 / alpha of the table; default those of slide 13.", check=checks.positive
    )
    out_dir: str = cli.flag("runs/compatibility", "The run directory.", recorded=False)
    progress: bool | None = cli.flag(None, "Show a progress bar; default on terminals only.", recorded=False)


def load(config: Config) -> Dataset:
    """The dataset, as levels where it consists of images."""
    with flag_errors("dataset"):
        try:
            dataset = datasets.load(config.dataset, config.data_dir, dtype="uint8")
        except ValueError:
            dataset = datasets.load(config.dataset, config.data_dir)
    first = slice(config.num_examples)
    train, test = (Batch(part.inputs[first], part.labels[first]) for part in (dataset.train, dataset.test))
    return dataset._replace(train=train, test=test)


def distances_of(config: Config, dataset: Dataset) -> Float[np.ndarray, " distances"]:
    """The distances 1 / alpha of the table."""
    if config.distances:
        return np.array(config.distances)
    low, high = dataset.box or (0.0, 1.0)
    largest = float(norms.named(config.norm).value(jnp.full(dataset.input_shape, high - low)))
    return FRACTIONS[config.norm] * largest


def summary(
    result: PairDistances, config: Config, num_examples: int, distances: Float[np.ndarray, " d"]
) -> dict[str, Any]:
    """The contents of compatibility.json."""
    alphas = 1 / distances
    columns = {
        "alpha": alphas,
        "distance": distances,
        "pairs": result.count_incompatible(alphas),
        "pairs_within_radius": result.count_incompatible(alphas, config.radius),
    }
    pairs = result.different_class_pairs + result.same_class_pairs
    return {
        "dataset": config.dataset,
        "split": config.split,
        "norm": config.norm,
        "examples": num_examples,
        "different_class_pairs": result.different_class_pairs,
        "histogram": result.histogram,
        "same_class_histogram": result.same_class_histogram,
        "thresholds": [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)],
        "min_distance_different_class": result.min_distance,
        "seconds": result.seconds,
        "pairs_per_second": pairs / result.seconds,
    }


def separation(result: PairDistances, dataset: Dataset) -> dict[str, Any]:
    """The contents of separation.json."""
    return {
        "minimum": result.separation.minimum,
        "mean": result.separation.mean,
        "quantiles": {str(q): result.separation.quantile(q) for q in QUANTILES},
        "separated_for_radii_up_to": result.separation.minimum / 2,
        "classes": result.classes,
        "class_names": dataset.class_names,
        "class_minima": result.class_minima,
        "closest_pairs": [
            {"pair": pair, "distance": distance} for pair, distance in zip(*result.closest_pairs(100), strict=True)
        ],
        "conflicts": result.conflicts,
    }


def run(config: Config) -> dict[str, Any]:
    """Counts, and writes the run directory; continues a run that was stopped.

    Raises:
        UsageError: If there is no such dataset.
        RunRefused: If the directory is in use or belongs to other flags.
    """
    dataset = load(config)
    batch, other = SPLITS[config.split](dataset)
    distances = distances_of(config, dataset)
    with records.open_run(config.out_dir, cli.settings(config)) as held:
        result = pair_distances(
            *batch,
            norms.named(config.norm),
            other=other,
            thresholds=[*distances, 2 * config.radius],
            counting=Counting(journal_dir=held.path / "journal", progress=config.progress),
        )
        results = summary(result, config, len(batch.labels), distances)
        records.write_json(held.path / "compatibility.json", results)
        records.write_json(held.path / "separation.json", separation(result, dataset))
        arrays = result.separation._asdict() | {"bin_distances": result.bin_distances}
        with records.replacing(held.path / "pair_distances.npz") as partial:
            np.savez(partial, **arrays)
        _draw(held.path, result, config, dataset)
    _print(result, results, config)
    return records.to_json(results)


def _print(result: PairDistances, results: dict[str, Any], config: Config) -> None:
    pairs = max(1, result.different_class_pairs)
    rows = [
        {
            "alpha": f"{row['alpha']:#.4g}",
            "1/alpha": f"{row['distance']:.4g}",
            "fraction": f"{row['pairs'] / pairs:.4e}",
            "pairs": str(row["pairs"]),
            f"fraction, r = {config.radius:g}": f"{row['pairs_within_radius'] / pairs:.4e}",
            f"pairs, r = {config.radius:g}": str(row["pairs_within_radius"]),
        }
        for row in results["thresholds"]
    ]
    print(
        f"{report.text_table(rows)}\n\n"
        f"{config.dataset} {config.split}: {result.different_class_pairs} pairs of different classes, "
        f"{result.same_class_pairs} of the same class; distances in {config.norm}\n"
        f"closest pair of different classes: {result.min_distance:.4f}, so no pair forbids alpha >= "
        f"{result.smallest_compatible_alpha():.4f}; identical examples of different classes: {len(result.conflicts)}\n"
        f"distance to the nearest example of another class: minimum {result.separation.minimum:.4f}, "
        f"mean {result.separation.mean:.4f}\n"
        f"{result.seconds:.1f} s, {results['pairs_per_second']:.4g} pairs/s"
    )


def _draw(folder: Path, result: PairDistances, config: Config, dataset: Dataset) -> None:
    if not result.different_class_pairs:
        return
    batch, other = SPLITS[config.split](dataset)
    about = (
        f"{config.dataset} {config.split}: {report.counted(result.different_class_pairs, 'pair')} of different classes"
    )
    title = "Pairs that forbid a Lipschitz constant"
    report.save(report.finished(curves(result, config), title, about), folder / "compatibility")
    if batch.inputs.ndim == 4:
        pairs = closest_pairs(result, batch, other or batch, dataset.class_names)
        about = f"{about}; d is their distance in {report.notation(config.norm)}"
        report.save(report.finished(pairs, "Closest pairs of different classes", about), folder / "closest_pairs")


def _steps(result: PairDistances) -> tuple[Float[np.ndarray, " edges"], Float[np.ndarray, " steps"]]:
    """Incompatible pairs as a function of alpha: the edges of its steps, ascending, and the number of pairs on each."""
    occupied = np.flatnonzero((result.histogram > 0) & (result.bin_distances > 0))
    # Of a million bins, some everywhere, and nearly all where few pairs are left.
    spread = [space(1, len(occupied), MOST_STEPS).round().astype(int) for space in (np.linspace, np.geomspace)]
    kept = occupied[np.union1d(*spread) - 1][::-1]
    alphas, counts = 1 / result.bin_distances[kept], np.cumsum(result.histogram)[kept]
    identical = float(result.count_within(0.0))
    return np.array([0.9 * alphas[0], *alphas, 1.06 * alphas[-1]]), np.array([*counts, identical], float)


def curves(result: PairDistances, config: Config) -> Any:
    """Fraction of pairs that are incompatible with each alpha: of all, and of those whose balls meet (slide 13)."""
    alphas, counts = _steps(result)
    counts = np.array([*counts, counts[-1]])
    close = np.minimum(counts, int(result.count_within(2 * config.radius)))
    return report.incompatible_pairs(
        {"r = ∞ (all pairs)": (alphas, counts), f"r = {config.radius:g} (balls meet)": (alphas, close)},
        num_pairs=result.different_class_pairs,
        metric=report.notation(config.norm),
    )


def closest_pairs(result: PairDistances, batch: Batch, other: Batch, names: tuple[str, ...]) -> Any:
    """The closest pairs of different classes, a column each: two images, and how they differ; each image once."""
    pairs, distances = _of_different_images(*result.closest_pairs(100), within=other is batch)
    sides = [
        Batch(*(np.asarray(part)[index] for part in side)) for side, index in zip((batch, other), pairs.T, strict=True)
    ]
    first, second = (np.asarray(pixels(side.inputs)) for side in sides)
    captions = [
        [f"{names[label] if names else label}\n#{index}" for label, index in zip(side.labels, column, strict=True)]
        for side, column in zip(sides, pairs.T, strict=True)
    ]
    changes, largest = report.differences(first, second)
    rows = ["image", "nearest one of\nanother class", f"difference\n(white: +{largest:.2g})"]
    heads = [f"d = {distance:#.3g}" for distance in distances]
    return report.image_grid(
        [list(first), list(second), list(changes)], rows=rows, columns=heads, captions=[*captions, [""] * len(pairs)]
    )


def _of_different_images(pairs: np.ndarray, distances: np.ndarray, *, within: bool) -> tuple[np.ndarray, np.ndarray]:
    """The first pairs, each image once; of one split both sides count as one."""
    kept: list[int] = []
    for row, pair in enumerate(pairs):
        before = pairs[kept]
        if not (np.isin(pair, before).any() if within else (before == pair).any()):
            kept.append(row)
    return pairs[kept[:NUM_CLOSEST]], distances[kept[:NUM_CLOSEST]]


if __name__ == "__main__":
    process.main(Config, run, __doc__)
