"""The two datasets that come with the package, and how one of them was made."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from lipjax import datasets
from lipjax.datasets import make_fashion_mnist_mini as script

FOLDER = Path(datasets.__file__).parent


def test_fashion_mnist_mini_is_balanced_and_within_bounds() -> None:
    dataset = datasets.load("fashion_mnist_mini")
    assert dataset.train.inputs.shape == (5000, 28, 28, 1)
    assert dataset.test.inputs.shape == (1000, 28, 28, 1)
    assert np.bincount(dataset.train.labels).tolist() == [500] * 10
    assert np.bincount(dataset.test.labels).tolist() == [100] * 10
    assert (dataset.train.inputs.min(), dataset.train.inputs.max(), dataset.box) == (0.0, 1.0, (0.0, 1.0))
    assert len(dataset.class_names) == dataset.num_classes == 10


def test_fashion_mnist_mini_begins_like_the_original() -> None:
    dataset = datasets.load("fashion_mnist_mini")
    assert dataset.train.labels[:10].tolist() == [9, 0, 0, 3, 0, 2, 7, 2, 5, 5]
    assert dataset.test.labels[:10].tolist() == [9, 2, 1, 1, 6, 1, 4, 6, 5, 7]


def test_fashion_mnist_mini_has_no_image_twice() -> None:
    dataset = datasets.load("fashion_mnist_mini", dtype="uint8")
    images = np.concatenate([dataset.train.inputs, dataset.test.inputs]).reshape(6000, -1)
    assert len(np.unique(images, axis=0)) == 6000


def test_fashion_mnist_mini_is_small_and_has_its_licence() -> None:
    assert (FOLDER / "fashion_mnist_mini.npz").stat().st_size <= 4_000_000
    assert "Zalando" in (FOLDER / "fashion_mnist_mini.LICENSE").read_text()


def write_idx(path: Path, array: np.ndarray) -> None:
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes()
    path.write_bytes(gzip.compress(header + array.tobytes()))


def test_the_script_keeps_the_first_of_every_class_and_the_same_bytes(tmp_path: Path) -> None:
    labels = np.tile(np.arange(10, dtype=np.uint8)[::-1], 600)
    images = (np.arange(6000) % 251).astype(np.uint8)[:, None, None] * np.ones((1, 2, 3), np.uint8)
    for prefix in ("train", "t10k"):
        write_idx(tmp_path / f"{prefix}-images-idx3-ubyte.gz", images)
        write_idx(tmp_path / f"{prefix}-labels-idx1-ubyte.gz", labels)
    script.make(tmp_path, tmp_path / "one.npz")
    script.make(tmp_path, tmp_path / "two.npz")
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    dataset = datasets.load(tmp_path / "one.npz", dtype="uint8")
    np.testing.assert_array_equal(dataset.train.inputs[..., 0], images[:5000])
    np.testing.assert_array_equal(dataset.test.labels, labels[:1000])
    assert dataset.class_names == datasets.load("fashion_mnist_mini").class_names


@pytest.fixture(scope="module")
def toy_points() -> tuple[np.ndarray, np.ndarray]:
    """Inputs and labels of all toy examples, training and test."""
    toy = datasets.load("toy")
    inputs = np.concatenate([toy.train.inputs, toy.test.inputs])[:, 0]
    return inputs, np.concatenate([toy.train.labels, toy.test.labels])


def test_toy_points_are_distinct_and_fill_their_bounds(toy_points: tuple[np.ndarray, np.ndarray]) -> None:
    inputs, labels = toy_points
    assert datasets.load("toy").box == (-2.0, 1.0) == (inputs.min(), inputs.max())
    assert len(np.unique(inputs)) == 202
    assert np.bincount(labels).tolist() == [101, 101]
    assert inputs[labels == 0].max() == -0.75
    assert inputs[labels == 1].min() == -0.25


def test_toy_needs_a_global_constant_of_2(toy_points: tuple[np.ndarray, np.ndarray]) -> None:
    inputs, labels = toy_points
    distances = np.abs(inputs[labels == 0][:, None] - inputs[labels == 1])
    assert (1 / distances).max() == 2.0


def test_toy_allows_a_local_constant_of_1_within_a_tenth(toy_points: tuple[np.ndarray, np.ndarray]) -> None:
    inputs, labels = toy_points
    offsets = np.linspace(-0.1, 0.1, 201)

    def jump(x: np.ndarray) -> np.ndarray:
        return (x > -0.5).astype(float)

    np.testing.assert_array_equal(jump(inputs), labels)
    changes = np.abs(jump(inputs[:, None] + offsets) - jump(inputs)[:, None])
    assert (changes <= np.abs(offsets)).all()
