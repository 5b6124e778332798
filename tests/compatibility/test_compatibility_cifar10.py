"""The numbers of the talk, on the real images."""

from pathlib import Path

import numpy as np
import pytest
from compatibility_oracle import all_distances, assert_counts_are, pair_mask

from lipjax import datasets
from lipjax.compatibility import Counting, PairDistances, pair_distances
from lipjax.norms import Norm, l1, l2, linf
from lipjax.types import Batch


@pytest.fixture(scope="module")
def train(tfds_dir: Path) -> Batch:
    return datasets.load("cifar10", tfds_dir, dtype="uint8").train


@pytest.fixture(scope="module")
def everything(train: Batch) -> PairDistances:
    return pair_distances(*train)


def test_cifar10_forbids_what_slide_13_says(everything: PairDistances) -> None:
    assert everything.different_class_pairs == 1_125_000_000
    assert everything.same_class_pairs == 50_000 * 49_999 // 2 - 1_125_000_000
    alphas = 1 / (0.25 + 0.04 * np.arange(20))
    # Counts above 10,000 were read from the slide's curve, to about 1e-4.
    slide = [10, 112, 1387, 9719.7, 53185.4, 235802.9, 871396.5, 3044043.0, 8194988.8, 19430066.8, 41302564.3]
    slide += [79735738.7, 148798194.9, 241714666.6, 365569299.8, 517773587.7, 687972037.0, 875377575.4, 1022653921.8]
    counts = everything.count_incompatible(alphas)
    np.testing.assert_array_equal(counts[:3], slide[:3])
    np.testing.assert_allclose(counts[:-1], slide, rtol=2e-4)
    assert everything.fraction_incompatible(alphas[-1]) == 1.0
    np.testing.assert_array_equal(everything.count_incompatible(alphas, radius=0.15), [10, 112] + [253] * 18)


def test_cifar10_is_separated_as_yang_et_al_say(everything: PairDistances) -> None:
    assert everything.min_distance == 54 / 255
    assert everything.smallest_compatible_alpha() == 255 / 54
    assert everything.separation.minimum == 54 / 255
    assert everything.separation.mean == pytest.approx(0.4795, abs=5e-5)
    assert len(everything.conflicts) == 0


def test_the_closest_pairs_of_cifar10_are_as_close_as_counted(everything: PairDistances, train: Batch) -> None:
    pairs, distances = everything.closest_pairs(50)
    first, second = (np.asarray(train.inputs)[index].astype(int) for index in pairs.T)
    np.testing.assert_allclose(np.abs(first - second).max((1, 2, 3)) / 255, distances)
    assert np.all(np.asarray(train.labels)[pairs[:, 0]] != np.asarray(train.labels)[pairs[:, 1]])


@pytest.mark.parametrize("norm", [linf, l1, l2], ids=lambda norm: norm.name)
def test_500_real_images_have_the_counts_of_brute_force(norm: Norm, train: Batch) -> None:
    images, labels = np.asarray(train.inputs[:500]), np.asarray(train.labels[:500])
    result = pair_distances(images, labels, norm, counting=Counting(block_size=192))
    distances = all_distances(norm.name, images)
    assert_counts_are(result, distances, pair_mask(labels, same=False), pair_mask(labels, same=True))
