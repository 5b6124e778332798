"""Images and labels of the user's own: a folder of image files, or an .npz archive of arrays."""

import contextlib
import math
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Shaped, UInt8

from lipjax import checks
from lipjax.datasets.arrays import from_arrays
from lipjax.datasets.on_disk import OnDisk, is_large
from lipjax.datasets.progress import progress
from lipjax.types import Dataset

if TYPE_CHECKING:
    import PIL.Image

LAYOUTS = (
    ("x_train", "y_train", "x_test", "y_test"),
    ("train_images", "train_labels", "test_images", "test_labels"),
)
SUFFIXES = (".png", ".jpg", ".jpeg")
FORMATS = ("PNG", "JPEG")
"""What Pillow may take a file for: it would start Ghostscript for an EPS file of another name."""
GREY = {"1", "L"}
DEEP = ("I", "F")
"""First letters of Pillow's modes with more than 8 bits per channel."""


def from_path(path: Path) -> Dataset:
    """Dataset of a folder of images (`from_folder`) or arrays (`from_npy`), or of an .npz file (`from_npz`).

    Raises:
        FileNotFoundError: If there is none of them.
    """
    if path.is_dir():
        return from_npy(path) if any(path.glob("*.npy")) else from_folder(path)
    if path.is_file():
        return from_npz(path)
    raise FileNotFoundError(f"{path}: there is no such folder or .npz file")


def from_npz(path: Path) -> Dataset:
    """Dataset of an .npz archive with the arrays `x_train`, `y_train`, `x_test`, `y_test`.

    Equally good are `train_images`, `train_labels`, `test_images`, `test_labels`. Optional is `class_names`, an array
    of strings. Images `[batch, height, width]` get a channel axis. Archives that hold pickled objects are refused:
    unpickling runs whatever code a file asks for. One that is larger than the memory may be unpacked into a folder.

    Raises:
        ValueError: If it is no archive of plain arrays, lacks one of the four, is larger than the memory, or
            fails the check of `from_arrays`.
    """
    return _from_named(path, _read_npz(path))


def from_npy(path: Path) -> Dataset:
    """Dataset of a folder with `x_train.npy` and so on, as `from_npz`: what an unpacked archive is.

    The files are mapped: what is read of them takes memory, and nothing else does.

    Raises:
        ValueError: As `from_npz`.
    """
    try:
        arrays = {file.stem: np.load(file, mmap_mode="r", allow_pickle=False) for file in sorted(path.glob("*.npy"))}
    except (ValueError, EOFError, OSError) as error:
        raise ValueError(f"{path} has a file that can't be read ({error}); write plain arrays, not objects") from error
    return _from_named(path, arrays)


def _from_named(path: Path, arrays: dict[str, Shaped[np.ndarray, "..."]]) -> Dataset:
    layout = next((keys for keys in LAYOUTS if set(keys) <= set(arrays)), None)
    if layout is None:
        legal = " or ".join(", ".join(keys) for keys in LAYOUTS)
        raise ValueError(f"{path} must hold the arrays {legal}; it holds {', '.join(arrays) or 'none'}")
    x_train, y_train, x_test, y_test = (arrays[key] for key in layout)
    names = tuple(str(name) for name in arrays.get("class_names", ()))
    train, test = (_with_channel(x_train), y_train), (_with_channel(x_test), y_test)
    return from_arrays(str(path), train, test, num_classes=len(names) or None, class_names=names)


def _read_npz(path: Path) -> dict[str, Shaped[np.ndarray, "..."]]:
    with path.open("rb") as file:
        if not zipfile.is_zipfile(file):
            raise ValueError(f"{path} is no .npz archive; write one with numpy.savez_compressed")
        file.seek(0)
        try:
            with np.load(file, allow_pickle=False) as archive:
                declared = sum(member.file_size for member in archive.zip.infolist())
                checks.fits_memory("its arrays are", declared)
                return dict(archive)
        except (ValueError, EOFError, OSError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
            raise ValueError(f"{path} can't be read ({error}); write plain arrays, not objects, to it anew") from error


def _with_channel(images: Shaped[np.ndarray, "..."]) -> Shaped[np.ndarray, "..."]:
    return images[..., None] if images.ndim == 3 else images


class Files(NamedTuple):
    """Image files with the index of their class."""

    paths: list[Path]
    labels: list[int]


def from_folder(path: Path) -> Dataset:
    """Dataset of the images `train/CLASS/*.png` and `test/CLASS/*.png` (or .jpg, .jpeg) in a folder.

    Classes are the folders of `train` in alphabetical order; `test` must have the same. Examples are sorted by class
    and then by file name. All images must have one size. They become grey if all of them are grey, and otherwise RGB,
    where transparency is dropped. Hidden files are ignored. Images that would take more than half of the memory are
    decoded when they are asked for, again each time.

    Raises:
        FileNotFoundError: If there is no `train` or no `test` folder.
        ValueError: If there are no classes, or others in `test`; if a class has no images or something that is no
            image; if an image is damaged, has more than 8 bits per channel, or has another size.
    """
    names, test_names = _class_names(path / "train"), _class_names(path / "test")
    if names != test_names:
        odd = ", ".join(sorted(set(names) ^ set(test_names)))
        raise ValueError(f"{path}: train and test must have the same class folders, but only one has {odd}")
    splits = [_files(path / split, names) for split in ("train", "test")]
    size, mode = _common_format([file for files in splits for file in files.paths])
    train, test = ((_images(files.paths, size, mode), np.array(files.labels)) for files in splits)
    return from_arrays(str(path), train, test, num_classes=len(names), class_names=names)


def _class_names(folder: Path) -> tuple[str, ...]:
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}; images must be in train/CLASS and test/CLASS")
    names = tuple(sorted(entry.name for entry in _visible(folder) if entry.is_dir()))
    if not names:
        raise ValueError(f"{folder} has no class folders; images must be in {folder.name}/CLASS")
    return names


def _visible(folder: Path) -> list[Path]:
    return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))


def _files(folder: Path, names: tuple[str, ...]) -> Files:
    files = Files([], [])
    for label, name in enumerate(names):
        paths = _visible(folder / name)
        strange = [path for path in paths if path.suffix.lower() not in SUFFIXES or not path.is_file()]
        if strange or not paths:
            found = f"{strange[0]} is none" if strange else "there are none"
            raise ValueError(f"{folder / name} must hold {', '.join(SUFFIXES)} images and nothing else, but {found}")
        files.paths.extend(paths)
        files.labels.extend([label] * len(paths))
    return files


def _common_format(paths: list[Path]) -> tuple[tuple[int, int], str]:
    sizes: dict[tuple[int, int], Path] = {}
    modes: dict[str, Path] = {}
    for path in paths:
        with _opened(path) as image:
            sizes.setdefault(image.size, path)
            modes.setdefault(image.mode, path)
    deep = [path for mode, path in modes.items() if mode.startswith(DEEP)]
    if deep:
        raise ValueError(f"{deep[0]} has more than 8 bits per channel; convert it, or give the images as an .npz file")
    if len(sizes) > 1:
        (width, height), (other_width, other_height) = list(sizes)[:2]
        first, other = list(sizes.values())[:2]
        raise ValueError(
            f"all images must have one size, but {first} has {width}x{height} and {other} {other_width}x{other_height} "
            "pixels; resize them first"
        )
    return next(iter(sizes)), "L" if set(modes) <= GREY else "RGB"


def _images(paths: list[Path], size: tuple[int, int], mode: str) -> Any:
    shape = (len(paths), size[1], size[0], len(mode))
    if is_large(math.prod(shape)):
        return OnDisk(lambda places: _decode([paths[place] for place in places], shape[1:], mode), shape, np.uint8)
    return _decode(paths, shape[1:], mode)


def _decode(paths: list[Path], shape: tuple[int, ...], mode: str) -> UInt8[np.ndarray, "n height width channel"]:
    images = np.empty((len(paths), *shape), np.uint8)
    for index, path in enumerate(progress(paths, "decoding images")):
        with _opened(path) as image:
            images[index] = np.asarray(image.convert(mode)).reshape(shape)
    return images


@contextlib.contextmanager
def _opened(path: Path) -> Iterator["PIL.Image.Image"]:
    from PIL import Image

    try:
        with Image.open(path, formats=FORMATS) as image:
            yield image
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path} can't be read as an image ({error}); replace or remove it") from error
