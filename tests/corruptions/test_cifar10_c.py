import numpy as np
import pytest

from lipjax.corruptions import load_cifar10_c

IMAGES = np.random.default_rng(0).integers(0, 256, (15, 8, 8, 3)).astype(np.uint8)


@pytest.fixture
def folder(tmp_path):
    np.save(tmp_path / "fog.npy", IMAGES)
    np.save(tmp_path / "labels.npy", np.tile([3, 1, 2], 5))
    return tmp_path


@pytest.mark.parametrize("severity", [1, 5])
def test_a_severity_is_its_block(folder, severity):
    batch = load_cifar10_c(folder, "fog", severity)
    np.testing.assert_array_equal(batch.inputs, IMAGES[3 * severity - 3 : 3 * severity])
    np.testing.assert_array_equal(batch.labels, [3, 1, 2])
    assert isinstance(batch.inputs, np.memmap)


def test_labels_may_be_those_of_one_block(folder):
    np.save(folder / "labels.npy", np.array([4, 5, 6], np.uint8))
    np.testing.assert_array_equal(load_cifar10_c(folder, "fog", 2).labels, [4, 5, 6])


def test_a_missing_file_is_named_with_those_that_are_there(folder):
    with pytest.raises(FileNotFoundError, match=r"snow.npy is not there; .* has fog.npy, labels.npy"):
        load_cifar10_c(folder, "snow", 1)


@pytest.mark.parametrize("images", [IMAGES / 255, IMAGES[:14], IMAGES[..., 0]])
def test_another_layout_of_images_is_refused(folder, images):
    np.save(folder / "fog.npy", images)
    with pytest.raises(ValueError, match=r"fog.npy must hold uint8 images \[5 n, height, width, channel\]"):
        load_cifar10_c(folder, "fog", 1)


def test_labels_that_do_not_fit_are_refused(folder):
    np.save(folder / "labels.npy", np.arange(4))
    with pytest.raises(ValueError, match=r"labels.npy must hold 3 or 15 whole numbers"):
        load_cifar10_c(folder, "fog", 1)


def test_a_pickle_is_never_loaded(folder):
    np.save(folder / "fog.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"fog.npy is not an array file that can be read safely"):
        load_cifar10_c(folder, "fog", 1)


def test_unknown_names_and_severities_are_refused(folder):
    with pytest.raises(ValueError, match="name must be one of"):
        load_cifar10_c(folder, "rain", 1)
    with pytest.raises(ValueError, match="severity must be one of"):
        load_cifar10_c(folder, "fog", 6)
