"""One function that finds a dataset by its name."""

from collections.abc import Callable
from pathlib import Path

from lipjax import checks
from lipjax.datasets.files import npz
from lipjax.datasets.toy import toy
from lipjax.datasets.views import CONVERSIONS, with_dtype
from lipjax.types import Dataset


def _fashion_mnist_mini() -> Dataset:
    return npz(Path(__file__).with_name("fashion_mnist_mini.npz"))


EMBEDDED: dict[str, Callable[[], Dataset]] = {"fashion_mnist_mini": _fashion_mnist_mini, "toy": toy}


def load(name: str, data_dir: str | None = None, *, dtype: str = "float32") -> Dataset:
    """Train and test examples by name.

    Example:
        >>> load("fashion_mnist_mini").input_shape
        (28, 28, 1)
    """
    checks.one_of("dtype", dtype, list(CONVERSIONS))
    return with_dtype(EMBEDDED[name](), dtype)._replace(name=name)
