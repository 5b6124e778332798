"""Corrupted images on disk, in the layout of the published CIFAR-10-C: a file per corruption and one of labels."""

from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from lipjax import checks
from lipjax.corruptions.suite import NAMES
from lipjax.types import Batch


def load_cifar10_c(folder: str | Path, name: str, severity: int) -> Batch:
    """One corruption at one severity from a folder such as the published CIFAR-10-C.

    `NAME.npy` holds uint8 images `[5 n, height, width, channel]`, one block of n for each severity; `labels.npy` holds
    `[n]` or `[5 n]` labels. `experiments.corrupt` writes such folders.

    Args:
        folder: The folder with the files.
        name: One of `NAMES`.
        severity: 1 to 5.

    Returns:
        The n images, memory-mapped and read-only, and their labels.

    Raises:
        FileNotFoundError: If the folder or a file is not there; the message lists what is.
        ValueError: If an argument is not a legal value, or a file has not the layout above or is pickled.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.save(f"{folder}/fog.npy", np.arange(10, dtype=np.uint8).reshape(10, 1, 1, 1))
        ...     np.save(f"{folder}/labels.npy", np.array([3, 7]))
        ...     images, labels = load_cifar10_c(folder, "fog", severity=2)
        ...     images.ravel().tolist(), labels.tolist()
        ([2, 3], [3, 7])
    """
    checks.one_of("name", name, NAMES)
    if severity not in (1, 2, 3, 4, 5):
        raise ValueError(f"severity must be one of 1, 2, 3, 4, 5; got {severity!r}")
    images, labels = (_open(Path(folder) / f"{stem}.npy") for stem in (name, "labels"))
    if images.ndim != 4 or images.dtype != np.uint8 or len(images) % 5:
        raise ValueError(
            f"{name}.npy must hold uint8 images [5 n, height, width, channel], got {images.dtype} {images.shape}"
        )
    count = len(images) // 5
    if labels.shape not in {(count,), (5 * count,)} or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            f"labels.npy must hold {count} or {5 * count} whole numbers, got {labels.dtype} {labels.shape}"
        )
    block = slice((severity - 1) * count, severity * count)
    return Batch(images[block], np.asarray(labels[block] if len(labels) > count else labels, np.int32))


def _open(path: Path) -> Shaped[np.ndarray, "..."]:
    if not path.is_file():
        found = ", ".join(sorted(other.name for other in path.parent.glob("*.npy"))) or "no .npy files"
        raise FileNotFoundError(f"{path} is not there; {path.parent} has {found}")
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        raise ValueError(f"{path} is not an array file that can be read safely: {error}") from error
