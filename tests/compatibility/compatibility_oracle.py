"""Brute force over all pairs with SciPy, which knows nothing of blocks, levels or bins."""

import numpy as np
from scipy.spatial.distance import cdist

from lipjax.compatibility import PairDistances

METRICS = {"linf": "chebyshev", "l1": "cityblock", "l2": "euclidean"}


def some_images(count: int = 500, shape: tuple[int, ...] = (5, 3, 3), seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Images of few levels, so that distances tie, some of them repeated under another label; labels 0 to 3."""
    random = np.random.default_rng(seed)
    images = (random.integers(0, 6, (count, *shape)) * 51).astype(np.uint8)
    images[1::2] = images[1::2] // 2 + random.integers(0, 3, images[1::2].shape)
    images[-3:] = images[:3]
    return images, random.integers(0, 4, count)


def all_distances(norm: str, inputs: np.ndarray, other: np.ndarray | None = None) -> np.ndarray:
    """Matrix of distances in input units: levels count 1/255."""
    rows, columns = (
        part.reshape(len(part), -1).astype(np.float64) for part in (inputs, inputs if other is None else other)
    )
    return cdist(rows, columns, METRICS[norm]) / (255.0 if inputs.dtype == np.uint8 else 1.0)


def pair_mask(labels: np.ndarray, other: np.ndarray | None = None, *, same: bool) -> np.ndarray:
    """Which pairs count: of one set those above the diagonal."""
    equal = labels[:, None] == (labels if other is None else other)[None, :]
    mask = equal if same else ~equal
    return np.triu(mask, 1) if other is None else mask


def assert_counts_are(result: PairDistances, distances: np.ndarray, different: np.ndarray, same: np.ndarray) -> None:
    """Every bin of images has the number of distances in it."""
    upper = np.append(-np.inf, result.bin_distances)
    for histogram, mask in ((result.histogram, different), (result.same_class_histogram, same)):
        counts = np.diff(np.searchsorted(np.sort(distances[mask]), upper * (1 + 1e-12), side="right"))
        assert histogram.dtype == np.int64
        np.testing.assert_array_equal(histogram, counts)


def assert_counts_between_are(result: PairDistances, distances: np.ndarray, different: np.ndarray) -> None:
    """Between any two distances that occur, and beyond them, the count is that of brute force."""
    occurring = np.unique(distances)
    gaps = np.flatnonzero(np.diff(occurring) > 1e-9)
    thresholds = np.concatenate([[0.0], (occurring[gaps] + occurring[gaps + 1]) / 2, [occurring[-1] + 1]])
    counts = np.searchsorted(np.sort(distances[different]), thresholds)
    np.testing.assert_array_equal(result.count_within(thresholds), counts)
    np.testing.assert_array_equal(result.count_within(thresholds, strict=True), counts)
