"""Pixels or levels, subsets and channel statistics."""

import numpy as np
import pytest

from lipjax import datasets
from lipjax.datasets.views import with_dtype
from lipjax.types import Batch, Dataset, pixels

RNG = np.random.default_rng(0)


def dataset_of(labels: list[int], test_labels: list[int] | None = None) -> Dataset:
    def batch(labels: list[int]) -> tuple[np.ndarray, np.ndarray]:
        return np.arange(len(labels), dtype=np.uint8).reshape(-1, 1, 1, 1), np.array(labels)

    return datasets.from_arrays("mine", batch(labels), batch(test_labels or labels))


def kept(batch: Batch) -> list[int]:
    return batch.inputs.ravel().tolist()


def test_pixels_are_levels_over_255_to_the_last_bit() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(2, 8, 16, 1)
    dataset = datasets.from_arrays("mine", (levels, np.array([0, 1])), (levels, np.array([0, 1])))
    converted = with_dtype(dataset, "float32").train.inputs
    np.testing.assert_array_equal(converted, (levels / 255.0).astype(np.float32))
    # XLA multiplies by the rounded reciprocal, so what a model makes of levels may differ in the last bit.
    np.testing.assert_array_max_ulp(converted, np.asarray(pixels(levels)), maxulp=1)


def test_levels_of_real_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="toy: inputs are real numbers and not levels, so use dtype 'float32'"):
        with_dtype(datasets.load("toy"), "uint8")


def test_a_subset_has_the_first_examples_of_every_class_in_order() -> None:
    small = datasets.subset(dataset_of([0, 0, 0, 1, 1, 2, 0, 2, 1]), num_train=6)
    assert kept(small.train) == [0, 1, 3, 4, 5, 7]
    assert small.train.labels.tolist() == [0, 0, 1, 1, 2, 2]


def test_a_subset_that_does_not_divide_differs_by_one_per_class() -> None:
    small = datasets.subset(dataset_of([0] * 5 + [1] * 5 + [2] * 5), num_train=7, num_test=2)
    assert np.bincount(small.train.labels).tolist() == [3, 2, 2]
    assert small.test.labels.tolist() == [0, 1]


def test_a_class_that_runs_out_leaves_its_turns_to_the_others() -> None:
    small = datasets.subset(dataset_of([0, 0, 0, 0, 1, 2, 2]), num_train=6)
    assert kept(small.train) == [0, 1, 2, 4, 5, 6]


def test_a_subset_of_everything_is_everything() -> None:
    dataset = dataset_of([2, 0, 1, 1])
    small = datasets.subset(dataset, num_train=4)
    assert kept(small.train) == kept(dataset.train)
    assert small.test is dataset.test
    assert small.num_classes == dataset.num_classes


@pytest.mark.parametrize("count", [0, -1])
def test_a_subset_of_no_examples_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match="num_train must be a whole number of at least 1"):
        datasets.subset(dataset_of([0, 1]), num_train=count)


def test_a_subset_larger_than_the_dataset_is_refused() -> None:
    with pytest.raises(ValueError, match="num_test must be at most 2, the number of examples there are, got 3"):
        datasets.subset(dataset_of([0, 1]), num_test=3)


@pytest.mark.parametrize("channels", [1, 3])
def test_statistics_agree_with_numpy_in_double_precision(channels: int) -> None:
    levels = RNG.integers(0, 256, (300, 20, 21, channels), np.uint8)
    mean, std = datasets.channel_statistics(Batch(levels, np.zeros(300, np.int32)))
    exact = levels / 255.0
    np.testing.assert_allclose(mean, exact.mean(axis=(0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(std, exact.std(axis=(0, 1, 2)), rtol=1e-12)


def test_statistics_of_levels_and_of_their_pixels_agree() -> None:
    levels = RNG.integers(0, 256, (50, 8, 8, 3), np.uint8)
    labels = np.zeros(50, np.int32)
    of_levels = datasets.channel_statistics(Batch(levels, labels))
    of_pixels = datasets.channel_statistics(Batch(np.asarray(pixels(levels)), labels))
    np.testing.assert_allclose(of_levels, of_pixels, rtol=1e-7)


@pytest.mark.parametrize("constant", [np.uint8(7), np.float32(0.1)])
def test_a_constant_channel_has_deviation_1(constant: np.generic) -> None:
    mean, std = datasets.channel_statistics(Batch(np.full((70_000, 1), constant), np.zeros(70_000, np.int32)))
    assert std == (1.0,)
    assert mean == pytest.approx([float(constant) / (255 if constant.dtype == np.uint8 else 1)], rel=1e-12)
