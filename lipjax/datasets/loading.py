"""One function that finds a dataset by its name."""

import re
from pathlib import Path

from lipjax import checks
from lipjax.datasets.embedded import EMBEDDED
from lipjax.datasets.files import from_path
from lipjax.datasets.views import CONVERSIONS, with_dtype
from lipjax.types import Batch, Dataset


def load(name: str | Path, data_dir: str | Path | None = None, *, dtype: str = "float32") -> Dataset:
    """Train and test examples of a classification problem, by name or by path.

    | name | what it is |
    |---|---|
    | `fashion_mnist_mini` | 5,000 + 1,000 real images 28 x 28 that come with the package |
    | `toy` | the talk's two classes on the line segment [-2, 1] |
    | `cifar10`, `mnist`, `name/config`, `name:version`, ... | any image classification dataset of TFDS, prepared |
    | `./folder`, `/a/folder` | `train/CLASS/*.png` and `test/CLASS/*.png` (or .jpg) |
    | `images.npz` | arrays `x_train`, `y_train`, `x_test`, `y_test` |
    | `./arrays` | a folder with `x_train.npy` and so on, as an archive has them; mapped, not read |

    A name is taken as a path if it is a `Path`, ends in `.npz`, starts with `.`, `~` or `/`, or has a `/` and exists;
    a folder in the working directory is therefore written `./folder`. The details, and what is refused, are in
    `files.from_folder`, `files.from_npz`, `tfds.from_tfds`; nothing is ever downloaded or unpickled. Datasets of TFDS
    are decoded once and then come from the cache folder: `$LIPJAX_CACHE`, else `$XDG_CACHE_HOME/lipjax`, else
    `~/.cache/lipjax`.

    Args:
        name: Name or path.
        data_dir: TFDS data directory, for datasets of TFDS; None for `$TFDS_DATA_DIR` or `~/tensorflow_datasets`.
        dtype: "float32" for pixels in [0, 1], or "uint8" for levels 0..255 that stand for level / 255, in a quarter of
            the memory. Real-valued inputs (`toy`) exist as float32 only. "stored" gives whichever of both there is.

    Returns:
        A dataset in host memory that passed the check of `from_arrays`, under the name that was asked for. Levels that
        come from the cache are memory-mapped and read-only. Inputs that would take more than half of the memory are
        `OnDisk`: they have the shape and type of an array, and are read, decoded and converted where rows of them are
        asked for. Training streams them, evaluation takes them in parts.

    Raises:
        FileNotFoundError: If there is no such file or folder, or a dataset of TFDS is not prepared.
        ValueError: If the name is unknown or a community's (`huggingface:mnist`), dtype is wrong, or what was found is
            no dataset; the message names the file, the problem and what to do.

    Examples:
        >>> dataset = load("fashion_mnist_mini")
        >>> dataset.train.inputs.shape, dataset.test.inputs.shape, dataset.num_classes
        ((5000, 28, 28, 1), (1000, 28, 28, 1), 10)
        >>> load("toy").box
        (-2.0, 1.0)
    """
    checks.one_of("dtype", dtype, list(CONVERSIONS))
    return with_dtype(_find(name, data_dir), dtype)._replace(name=str(name))


def load_test(name: str, data_dir: str | Path | None = None) -> Batch:
    """The test examples of a TFDS dataset that may have no training examples, as uint8 levels.

    `cifar10_corrupted/fog_3` is one; its images are in an order of their own.

    Args:
        name: `name`, `name/config` or `name:version` of TFDS.
        data_dir: TFDS data directory; None for `$TFDS_DATA_DIR` or `~/tensorflow_datasets`.

    Raises:
        FileNotFoundError: If the dataset is not prepared.
        ValueError: If the name is a community's (`huggingface:mnist`), TFDS has no such dataset, or it can't be used;
            see `tfds.from_tfds`.
    """
    _check_local(name)
    from lipjax.datasets.tfds import only_test  # imports tensorflow_datasets, which the others do without

    return only_test(name, data_dir)


def _find(name: str | Path, data_dir: str | Path | None) -> Dataset:
    if _is_path(name):
        return from_path(checks.path(name))
    if name in EMBEDDED:
        return EMBEDDED[name]()
    _check_local(str(name))
    from lipjax.datasets.tfds import from_tfds  # imports tensorflow_datasets, which the others do without

    return from_tfds(str(name), data_dir)


def _check_local(name: str) -> None:
    if not re.fullmatch(r"[^:]*(:[\d.*]+(/.*)?)?", name):
        raise ValueError(
            f"{name!r}: only a version may follow a colon, as in mnist:3.0.1; TFDS would look for the datasets of a "
            "community in the network, from which nothing is loaded here"
        )


def _is_path(name: str | Path) -> bool:
    if isinstance(name, Path) or Path(name).is_absolute():
        return True
    return name.startswith((".", "~")) or name.endswith(".npz") or ("/" in name and Path(name).exists())
