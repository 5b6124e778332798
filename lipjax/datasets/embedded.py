"""The datasets that come with the package."""

from collections.abc import Callable
from pathlib import Path

from lipjax.datasets.files import from_npz
from lipjax.datasets.toy import toy
from lipjax.types import Dataset


def fashion_mnist_mini() -> Dataset:
    """The first 500 training and the first 100 test images of each of the 10 classes of Fashion-MNIST.

    Grey images `[28, 28, 1]` of clothes and bags on black, 5,000 to train and 1,000 to test, in the order of the
    originals. `make_fashion_mnist_mini.py` made the file, `fashion_mnist_mini.LICENSE` is its licence (Expat).

    Examples:
        >>> fashion_mnist_mini().class_names[9]
        'Ankle boot'

    References:
        Xiao, Rasul and Vollgraf 2017, "Fashion-MNIST: a novel image dataset for benchmarking machine learning
        algorithms" (arXiv 1708.07747).
    """
    return from_npz(Path(__file__).with_name("fashion_mnist_mini.npz"))


EMBEDDED: dict[str, Callable[[], Dataset]] = {"fashion_mnist_mini": fashion_mnist_mini, "toy": toy}
"""What `load` finds without a file of the user's: one more dataset is one function and one row."""
