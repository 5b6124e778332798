"""Images and labels of the user's own: an .npz archive of arrays."""

import zipfile
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from lipjax.datasets.arrays import from_arrays
from lipjax.types import Dataset

LAYOUTS = (
    ("x_train", "y_train", "x_test", "y_test"),
    ("train_images", "train_labels", "test_images", "test_labels"),
)


def npz(path: Path) -> Dataset:
    """Dataset of an .npz archive with the arrays `x_train`, `y_train`, `x_test`, `y_test`.

    Also read are `train_images`, `train_labels`, `test_images`, `test_labels`, and with either `class_names`, an array
    of strings. Images `[batch, height, width]` get a channel axis. An archive that holds pickled objects is refused:
    unpickling runs whatever code the file names.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no archive of plain arrays, lacks one of the four, or fails the check of `from_arrays`.
    """
    arrays = _read(path)
    for keys in LAYOUTS:
        if all(key in arrays for key in keys):
            x_train, y_train, x_test, y_test = (arrays[key] for key in keys)
            names = tuple(str(name) for name in arrays.get("class_names", ()))
            train, test = (_with_channel(x_train), y_train), (_with_channel(x_test), y_test)
            return from_arrays(str(path), train, test, class_names=names)
    legal = " or ".join(", ".join(keys) for keys in LAYOUTS)
    raise ValueError(f"{path}: must hold the arrays {legal}; it holds {', '.join(sorted(arrays)) or 'none'}")


def _read(path: Path) -> dict[str, Shaped[np.ndarray, "..."]]:
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path}: is no .npz archive; write one with numpy.savez_compressed")
    try:
        with np.load(path, allow_pickle=False) as archive:
            return dict(archive.items())
    except (ValueError, EOFError, OSError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(
            f"{path}: can't be read ({error}); write plain arrays of numbers with numpy.savez_compressed"
        ) from error


def _with_channel(images: Shaped[np.ndarray, "..."]) -> Shaped[np.ndarray, "..."]:
    return images[..., None] if images.ndim == 3 else images
