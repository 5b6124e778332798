"""Datasets of the user's own: folders of images and .npz archives, good and bad."""

import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lipjax import datasets

RNG = np.random.default_rng(1)
LEVELS = RNG.integers(0, 256, (4, 5, 6, 3), np.uint8)
LABELS = np.array([0, 1, 1, 0])
ARRAYS = {"x_train": LEVELS, "y_train": LABELS, "x_test": LEVELS[:2], "y_test": LABELS[:2]}


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of two classes with two training images and one test image each."""
    root = tmp_path / "pets"
    for index, path in enumerate(["train/cat/a", "train/cat/b", "train/dog/a", "train/dog/b"]):
        save(root / f"{path}.png", LEVELS[index])
    save(root / "test/cat/1.png", LEVELS[0])
    save(root / "test/dog/1.PNG", LEVELS[3])
    return root


def test_a_folder_gives_its_images_sorted_by_class_and_file(folder: Path) -> None:
    dataset = datasets.load(folder, dtype="uint8")
    np.testing.assert_array_equal(dataset.train.inputs, LEVELS)
    np.testing.assert_array_equal(dataset.test.inputs, LEVELS[[0, 3]])
    assert dataset.train.labels.tolist() == [0, 0, 1, 1]
    assert (dataset.name, dataset.class_names, dataset.num_classes) == (str(folder), ("cat", "dog"), 2)


def test_a_folder_may_be_written_from_the_working_directory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    assert datasets.load("./pets").num_classes == 2
    monkeypatch.chdir(folder.parent.parent)
    assert datasets.load(f"{folder.parent.name}/pets").num_classes == 2


def test_hidden_files_are_ignored(folder: Path) -> None:
    (folder / "train" / ".DS_Store").write_text("")
    (folder / "train" / "cat" / ".DS_Store").write_text("")
    (folder / "train" / ".thumbnails").mkdir()
    assert len(datasets.load(folder).train.labels) == 4


def test_grey_images_have_one_channel_and_a_colour_image_makes_all_of_them_rgb(folder: Path) -> None:
    for path in folder.rglob("*.[pP]*"):
        save(path, np.full((5, 6), 9, np.uint8))
    assert datasets.load(folder).input_shape == (5, 6, 1)
    save(folder / "train/cat/b.png", LEVELS[1])
    mixed = datasets.load(folder, dtype="uint8").train.inputs
    np.testing.assert_array_equal(mixed[0], np.full((5, 6, 3), 9))
    np.testing.assert_array_equal(mixed[1], LEVELS[1])


def test_jpeg_and_transparent_images_are_read(folder: Path) -> None:
    opaque = np.dstack([LEVELS[0], np.full((5, 6), 255, np.uint8)])
    save(folder / "train/cat/a.png", opaque)
    (folder / "train/dog/b.png").unlink()
    save(folder / "train/dog/b.JPG", np.full((5, 6, 3), 100, np.uint8))
    images = datasets.load(folder, dtype="uint8").train.inputs
    np.testing.assert_array_equal(images[0], LEVELS[0])
    np.testing.assert_array_equal(images[3], np.full((5, 6, 3), 100))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:60])


DAMAGE = {
    "no test folder": (lambda root: shutil.rmtree(root / "test"), FileNotFoundError, "there is no folder .*test"),
    "no classes": (
        lambda root: [shutil.rmtree(root / "train" / c) for c in ("cat", "dog")],
        ValueError,
        "no class folders",
    ),
    "a class in train only": (lambda root: shutil.rmtree(root / "test/dog"), ValueError, "only one has dog"),
    "a class in test only": (lambda root: (root / "test/eel").mkdir(), ValueError, "only one has eel"),
    "an empty class": (lambda root: (root / "test/dog/1.PNG").unlink(), ValueError, "dog must hold .*there are none"),
    "a text file": (lambda root: (root / "train/cat/notes.txt").touch(), ValueError, "notes.txt is none"),
    "a folder in a class": (lambda root: (root / "train/cat/more").mkdir(), ValueError, "more is none"),
    "a pipe": (lambda root: os.mkfifo(root / "train/cat/c.png"), ValueError, "c.png is none"),
    "a drawing for Ghostscript": (
        lambda root: (root / "train/cat/b.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 6 5\n"),
        ValueError,
        "b.png can't be read as an image .cannot identify",
    ),
    "another size": (
        lambda root: save(root / "test/cat/1.png", LEVELS[0, :4]),
        ValueError,
        "a.png has 6x5 .*1.png 6x4",
    ),
    "16 bits": (
        lambda root: save(root / "train/cat/b.png", np.ones((5, 6), np.uint16)),
        ValueError,
        "b.png has more than 8 bits",
    ),
    "no image": (lambda root: (root / "train/dog/a.png").write_text("hello"), ValueError, "a.png can't be read as an"),
    "an empty file": (lambda root: (root / "train/dog/a.png").write_text(""), ValueError, "a.png can't be read as an"),
    "half an image": (lambda root: truncate(root / "train/dog/a.png"), ValueError, "a.png can't be read as an image"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_bad_folder_is_refused_by_file(folder: Path, damage: str) -> None:
    spoil, error, message = DAMAGE[damage]
    spoil(folder)
    with pytest.raises(error, match=message):
        datasets.load(folder)


@pytest.mark.parametrize("names", [tuple(ARRAYS), ("train_images", "train_labels", "test_images", "test_labels")])
def test_an_archive_gives_its_arrays(tmp_path: Path, names: tuple[str, ...]) -> None:
    np.savez(tmp_path / "mine.npz", **dict(zip(names, ARRAYS.values(), strict=True)))
    dataset = datasets.load(str(tmp_path / "mine.npz"), dtype="uint8")
    np.testing.assert_array_equal(dataset.train.inputs, LEVELS)
    np.testing.assert_array_equal(dataset.test.labels, LABELS[:2])


def test_grey_images_of_an_archive_get_a_channel_axis(tmp_path: Path) -> None:
    np.savez(tmp_path / "mine.npz", **ARRAYS | {"x_train": LEVELS[..., 0], "x_test": LEVELS[:2, ..., 0]})
    assert datasets.load(tmp_path / "mine.npz").input_shape == (5, 6, 1)


def test_class_names_of_an_archive_say_how_many_classes_there_are(tmp_path: Path) -> None:
    np.savez(tmp_path / "mine.npz", **ARRAYS, class_names=np.array(["cat", "dog", "eel"]))
    dataset = datasets.load(tmp_path / "mine.npz")
    assert (dataset.class_names, dataset.num_classes) == (("cat", "dog", "eel"), 3)


class Trap:
    """Unpickling it leaves a trace."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple:
        return Path.touch, (self.trace,)


def test_a_pickled_archive_is_refused_and_never_unpickled(tmp_path: Path) -> None:
    trap = np.array([Trap(tmp_path / "trace")], dtype=object)
    np.savez(tmp_path / "evil.npz", **ARRAYS | {"y_train": trap})
    with pytest.raises(ValueError, match=r"evil.npz can't be read .*allow_pickle=False.*plain arrays, not objects"):
        datasets.load(tmp_path / "evil.npz")
    np.save(tmp_path / "evil.npy", trap)
    (tmp_path / "evil.npy").rename(tmp_path / "evil.npz")
    with pytest.raises(ValueError, match=r"evil\.npz is no \.npz archive"):
        datasets.load(tmp_path / "evil.npz")
    assert not (tmp_path / "trace").exists()


def test_an_archive_that_declares_more_than_the_memory_is_refused_with_the_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mine.npz"
    np.savez(path, **ARRAYS)
    with zipfile.ZipFile(path, "a") as archive, archive.open("more.npy", "w") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": (10**15,)})
    with pytest.raises(ValueError, match=r"mine.npz can't be read .*909. TiB"):
        datasets.load(path)
    monkeypatch.setattr("os.sysconf", lambda name: 10)
    with pytest.raises(ValueError, match=r"its arrays are 1,[0-9]+ bytes, and this machine has 100 bytes"):
        datasets.load(path)


def test_an_archive_without_the_four_arrays_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "mine.npz", x_train=LEVELS, labels=LABELS)
    with pytest.raises(
        ValueError, match=r"must hold the arrays x_train, .* or train_images, .*; it holds x_train, labels"
    ):
        datasets.load(tmp_path / "mine.npz")


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    np.savez_compressed(path, **ARRAYS)
    whole = path.read_bytes()
    path.write_bytes(whole[:100] + bytes(100) + whole[200:])
    with pytest.raises(ValueError, match=r"mine\.npz can't be read"):
        datasets.load(path)
    path.write_bytes(whole[:-50])
    with pytest.raises(ValueError, match=r"mine\.npz is no \.npz archive"):
        datasets.load(path)


def test_what_is_wrong_in_an_archive_is_said_with_its_path(tmp_path: Path) -> None:
    np.savez(tmp_path / "mine.npz", **ARRAYS | {"x_test": LEVELS[:2].astype(np.float32)})
    with pytest.raises(ValueError, match=r"mine.npz, test: inputs must be in \[0, 1\]"):
        datasets.load(tmp_path / "mine.npz")


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/at/all", "nowhere.npz", Path("nowhere")])
def test_a_missing_path_is_said_to_be_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str | Path
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"nowhere.*: there is no such folder or \.npz file"):
        datasets.load(name)
