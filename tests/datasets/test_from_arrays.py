"""The check that every dataset passes."""

import jax.numpy as jnp
import numpy as np
import pytest

from lipjax import datasets

IMAGES = np.arange(3 * 2 * 2 * 1, dtype=np.uint8).reshape(3, 2, 2, 1)
LABELS = np.array([0, 1, 2])
GOOD = (IMAGES, LABELS)


def test_levels_are_kept_without_a_copy() -> None:
    dataset = datasets.from_arrays("mine", GOOD, GOOD)
    assert np.shares_memory(dataset.train.inputs, IMAGES)
    assert dataset.train.labels.dtype == np.int32
    assert (dataset.num_classes, dataset.box, dataset.input_shape) == (3, (0.0, 1.0), (2, 2, 1))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_become_float32(dtype: type) -> None:
    pixels = (IMAGES / 255).astype(dtype)
    dataset = datasets.from_arrays("mine", (pixels, LABELS), (pixels, LABELS))
    assert dataset.test.inputs.dtype == np.float32
    np.testing.assert_allclose(dataset.test.inputs, pixels, rtol=1e-6)


def test_device_arrays_and_labels_in_a_column_are_fine() -> None:
    train = (jnp.asarray(IMAGES), jnp.asarray(LABELS)[:, None])
    dataset = datasets.from_arrays("mine", train, GOOD, class_names=("a", "b", "c"))
    np.testing.assert_array_equal(dataset.train.labels, LABELS)
    assert dataset.class_names == ("a", "b", "c")


def test_without_bounds_every_finite_number_is_legal() -> None:
    inputs = np.array([[-1e9], [0.0], [1e9]])
    assert datasets.from_arrays("mine", (inputs, LABELS), (inputs, LABELS), box=None).box is None


def image_with(value: float) -> np.ndarray:
    images = np.full((3, 2, 2, 1), 0.5, np.float32)
    images[1, 0, 0, 0] = value
    return images


@pytest.mark.parametrize(
    ("test", "message"),
    [
        ((IMAGES[:0], LABELS[:0]), "there are no examples"),
        ((IMAGES.astype(np.int64), LABELS), "must be uint8 levels 0..255 or floats, got dtype int64"),
        ((IMAGES.astype(bool), LABELS), "got dtype bool"),
        ((IMAGES.astype(object), LABELS), "got dtype object"),
        ((IMAGES.astype(complex), LABELS), "got dtype complex128"),
        ((image_with(np.nan), LABELS), "input 1 has a NaN or an infinity"),
        ((image_with(np.inf), LABELS), "input 1 has a NaN or an infinity"),
        ((image_with(1.5), LABELS), r"must be in \[0, 1\], got values from 0.5 to 1.5; divide levels"),
        ((image_with(-0.01), LABELS), r"must be in \[0, 1\], got values from -0.01 to 0.5"),
        ((IMAGES, LABELS.astype(float)), "labels must be integers, got dtype float64"),
        ((IMAGES, LABELS[:2]), r"one class index for each of 3 inputs, got shape \(2,\)"),
        ((IMAGES, np.eye(3, dtype=int)), "of one-hot labels take the argmax"),
        ((IMAGES, np.array([0, 1, -1])), r"must be in 0..2 \(3 classes\), got -1 at index 2"),
        ((IMAGES, np.array([0, 3, 1])), "got 3 at index 1"),
        ((IMAGES, np.array([0, 2**40, 1])), "got 1099511627776 at index 1"),
        ((IMAGES[:, :1], LABELS), r"must have one shape, got \(2, 2, 1\) and \(1, 2, 1\)"),
    ],
)
def test_bad_arrays_are_refused_by_name(test: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=f"^mine.*: .*{message}"):
        datasets.from_arrays("mine", GOOD, test)


def test_a_single_class_is_refused() -> None:
    alone = (IMAGES, np.zeros(3, int))
    with pytest.raises(ValueError, match="at least 2 classes, got 1"):
        datasets.from_arrays("mine", alone, alone)


def test_class_names_must_be_as_many_as_classes() -> None:
    with pytest.raises(ValueError, match="2 class names for 3 classes"):
        datasets.from_arrays("mine", GOOD, GOOD, class_names=("cat", "dog"))
