"""Makes fashion_mnist_mini.npz from the four idx files of Fashion-MNIST; the same bytes every time.

    apt-get download dataset-fashion-mnist && dpkg -x dataset-fashion-mnist_*.deb fashion
    python -m lipjax.datasets.make_fashion_mnist_mini fashion/usr/share/datasets/fashion-mnist

It keeps the first 500 training and the first 100 test images of every class, in the order of the originals. Nothing in
lipjax imports this module.
"""

import gzip
import sys
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int, UInt8

CLASS_NAMES = [
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
]  # fmt: skip


def read_idx(path: Path) -> UInt8[np.ndarray, "..."]:
    """Array of a gzipped idx file of bytes: magic number 0x0000080d for d axes, d sizes, then the values."""
    content = gzip.decompress(path.read_bytes())
    num_axes = content[3]
    shape = np.frombuffer(content, ">i4", num_axes, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * num_axes).reshape(shape)


def first_of_every_class(labels: UInt8[np.ndarray, " n"], count: int) -> Int[np.ndarray, " kept"]:
    """Positions, in ascending order, of the first `count` examples of every class."""
    return np.sort(np.concatenate([np.flatnonzero(labels == label)[:count] for label in np.unique(labels)]))


def make(folder: Path, target: Path) -> None:
    """Writes the archive of the images in `folder` to `target`."""
    arrays: dict[str, Any] = {"class_names": np.array(CLASS_NAMES)}
    for split, prefix, count in (("train", "train", 500), ("test", "t10k", 100)):
        images = read_idx(folder / f"{prefix}-images-idx3-ubyte.gz")
        labels = read_idx(folder / f"{prefix}-labels-idx1-ubyte.gz")
        kept = first_of_every_class(labels, count)
        arrays |= {f"x_{split}": images[kept], f"y_{split}": labels[kept]}
    np.savez_compressed(target, **arrays)


if __name__ == "__main__":
    make(Path(sys.argv[1]), Path(__file__).with_name("fashion_mnist_mini.npz"))
