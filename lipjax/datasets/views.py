"""What users take from a dataset: pixels or levels, a smaller dataset, the statistics of its channels."""

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float, Num, UInt8

from lipjax import checks, parallel
from lipjax.datasets.on_disk import OnDisk, is_large
from lipjax.types import Batch, Dataset

Inputs = Num[np.ndarray, "batch ..."]
BLOCK = 1 << 16
"""Pixels that are in memory in double precision at once."""


def with_dtype(dataset: Dataset, dtype: str) -> Dataset:
    """The dataset with inputs of a dtype: "float32" for pixels in [0, 1], "uint8" for the levels they come from.

    "stored" leaves them as they are: levels of images, real numbers of everything else.

    Raises:
        ValueError: If dtype is another one, or if levels are asked for and the inputs are real numbers.

    Examples:
        >>> levels = Batch(np.array([[0, 51, 255]], np.uint8), np.array([1], np.int32))
        >>> with_dtype(Dataset("mine", levels, levels, 2), "float32").train.inputs
        array([[0. , 0.2, 1. ]], dtype=float32)
    """
    checks.one_of("dtype", dtype, list(CONVERSIONS))
    train, test = (
        Batch(_converted(inputs, functools.partial(CONVERSIONS[dtype], dataset.name)), labels)
        for inputs, labels in (dataset.train, dataset.test)
    )
    return dataset._replace(train=train, test=test)


def _converted(inputs: Any, convert: Callable[[Inputs], Inputs]) -> Any:
    if not isinstance(inputs, OnDisk):
        inputs = np.asarray(inputs)
        if inputs.dtype != np.uint8 or not is_large(4 * inputs.size):
            return convert(inputs)
        inputs = OnDisk(inputs.__getitem__, inputs.shape, inputs.dtype)
    return inputs.converted(convert)


def _to_pixels(name: str, inputs: Inputs) -> Float[np.ndarray, "batch ..."]:
    # Divides in the result's precision, so no second array of the size of the result is made.
    return np.divide(inputs, np.float32(255), dtype=np.float32) if inputs.dtype == np.uint8 else inputs


def _to_levels(name: str, inputs: Inputs) -> UInt8[np.ndarray, "batch ..."]:
    if inputs.dtype != np.uint8:
        raise ValueError(f"{name}: inputs are real numbers and not levels, so use dtype 'float32'")
    return inputs


def _as_stored(name: str, inputs: Inputs) -> Inputs:
    return inputs


CONVERSIONS: dict[str, Callable[[str, np.ndarray], np.ndarray]] = {
    "float32": _to_pixels,
    "uint8": _to_levels,
    "stored": _as_stored,
}


def subset(dataset: Dataset, num_train: int | None = None, num_test: int | None = None) -> Dataset:
    """A smaller, class-balanced dataset: the first examples of every class, in the order of the dataset.

    Classes take turns: the first example of every class, then the second of every class, and so on until there are
    enough, so class counts differ by at most 1 as long as no class runs out. The examples kept stay in their order.
    (For "the first n images" of a protocol, balanced or not, slice: `dataset.train.inputs[:n]`.)

    Args:
        dataset: The dataset.
        num_train: Number of training examples to keep; None keeps all.
        num_test: Number of test examples to keep; None keeps all.

    Raises:
        ValueError: If a number is not a whole number from 1 to the number of examples there are.

    Examples:
        >>> from lipjax import datasets
        >>> small = datasets.subset(datasets.load("fashion_mnist_mini"), num_train=100, num_test=20)
        >>> np.bincount(small.train.labels)
        array([10, 10, 10, 10, 10, 10, 10, 10, 10, 10])
    """
    return dataset._replace(
        train=balanced(dataset.train, num_train, "num_train"),
        test=balanced(dataset.test, num_test, "num_test"),
    )


def balanced(batch: Batch, count: int | None, argument: str = "count") -> Batch:
    """The examples of a batch that `subset` keeps: the first of every class; None keeps all.

    Raises:
        ValueError: If count, told by the name `argument`, is not a whole number from 1 to the size of the batch.
    """
    if count is None:
        return batch
    labels = np.asarray(batch.labels)
    checks.at_least(1, **{argument: count})
    if count > len(labels):
        raise ValueError(f"{argument} must be at most {len(labels)}, the number of examples there are, got {count}")
    by_class = np.argsort(labels, kind="stable")
    starts = np.searchsorted(labels[by_class], labels[by_class])
    turn = np.empty_like(by_class)
    turn[by_class] = np.arange(len(labels)) - starts
    kept = np.sort(np.argsort(turn, kind="stable")[:count])
    return Batch(batch.inputs[kept], batch.labels[kept])


def channel_statistics(batch: Batch) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of every channel over a batch, in pixel units: what a network standardises with.

    Args:
        batch: Examples whose last axis is the channel; uint8 levels count as level / 255.

    Returns:
        Means and (population) standard deviations, one per channel. A channel that is constant has deviation 1, so
        that standardising with it gives 0 and not NaN.

    Examples:
        >>> mean, std = channel_statistics(Batch(np.array([[0.0, 5.0], [1.0, 5.0]], np.float32), np.array([0, 1])))
        >>> mean, std
        ((0.5, 5.0), (0.5, 1.0))
    """
    inputs = parallel.on_host(batch.inputs)
    scale = 255.0 if inputs.dtype == np.uint8 else 1.0
    count, channels = math.prod(inputs.shape[:-1]), inputs.shape[-1]
    # Sums of deviations from the first pixel: exactly 0 for a constant channel, and nothing cancels for the others.
    origin = inputs[:1].reshape(-1, channels)[0].astype(np.float64)
    total = squares = np.zeros_like(origin)
    size = max(1, BLOCK * len(inputs) // count)
    for start in range(0, len(inputs), size):
        rows = inputs[start : start + size].reshape(-1, channels)
        deviations = np.ascontiguousarray(rows.T, np.float64) - origin[:, None]
        total = total + deviations.sum(axis=1)
        squares = squares + (deviations**2).sum(axis=1)
    mean = total / count
    std = np.where(squares == 0, scale, np.sqrt(np.maximum(squares / count - mean**2, 0)))
    return tuple(((origin + mean) / scale).tolist()), tuple((std / scale).tolist())
