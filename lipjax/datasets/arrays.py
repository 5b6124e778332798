"""Datasets from arrays in memory: the check that every dataset passes."""

from typing import Any

import jax
import numpy as np
from jaxtyping import Int

from lipjax import checks
from lipjax.datasets.on_disk import OnDisk
from lipjax.types import Batch, Box, Dataset

AnyArray = jax.Array | np.ndarray | OnDisk
Labels = Int[np.ndarray, " batch"]


def from_arrays(
    name: str,
    train: tuple[AnyArray, AnyArray],
    test: tuple[AnyArray, AnyArray],
    *,
    num_classes: int | None = None,
    box: Box = (0.0, 1.0),
    class_names: tuple[str, ...] = (),
) -> Dataset:
    """Dataset of arrays in memory, after a check of everything that would otherwise go wrong later and elsewhere.

    Args:
        name: What error messages and results call the dataset.
        train: Inputs and labels of the training examples. Inputs are images `[batch, height, width, channel]` or any
            array with a leading batch axis: uint8 levels 0..255, which stand for level / 255, or floats within
            `box`, or an `OnDisk` of levels that are read when they are asked for. Labels are integers `[batch]` or
            `[batch, 1]`.
        test: Inputs and labels of the test examples.
        num_classes: Number of classes; by default one more than the largest training label.
        box: Lowest and highest legal input value; None for no limits.
        class_names: One name per class, or empty; what can't be printed of them is written as its code.

    Returns:
        A dataset in host memory. uint8 inputs are kept as they are (not copied), floats become float32, labels int32.

    Raises:
        ValueError: If a split is empty; if inputs have another dtype, are not finite or leave the box; if labels
            are not one integer per input in `[0, num_classes)`; if train and test inputs differ in shape; if there
            are fewer than two classes, or names for another number of classes.

    Examples:
        >>> images = np.zeros((3, 8, 8, 1), np.uint8)
        >>> from_arrays("mine", (images, np.array([0, 1, 1])), (images, np.array([0, 1, 2]))).num_classes
        Traceback (most recent call last):
        ValueError: mine, test: labels must be in 0..1 (2 classes), got 2 at index 2
        >>> from_arrays("mine", (images, np.array([0, 1, 2])), (images, np.array([0, 1, 1]))).num_classes
        3
    """
    splits = {"train": train, "test": test}
    inputs = {split: _checked_inputs(f"{name}, {split}", arrays[0], box) for split, arrays in splits.items()}
    labels = {
        split: _checked_labels(f"{name}, {split}", arrays[1], len(inputs[split])) for split, arrays in splits.items()
    }
    num_classes = int(labels["train"].max()) + 1 if num_classes is None else num_classes
    _check_agreement(name, inputs, labels, num_classes, class_names)
    batches = {split: Batch(inputs[split], labels[split].astype(np.int32)) for split in splits}
    return Dataset(name, batches["train"], batches["test"], num_classes, box, tuple(map(_printable, class_names)))


def _printable(name: str) -> str:
    """A name that figures, pages and terminals can show: names of folders may be any bytes."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in name)


def _checked_inputs(where: str, inputs: Any, box: Box) -> Any:
    inputs = inputs if isinstance(inputs, OnDisk) else checks.array(f"{where}: inputs", inputs)
    if inputs.ndim == 0 or 0 in inputs.shape:
        raise ValueError(f"{where}: there are no examples, inputs have shape {inputs.shape}")
    if inputs.dtype == np.uint8:
        return inputs
    if not np.issubdtype(inputs.dtype, np.floating):
        raise ValueError(f"{where}: inputs must be uint8 levels 0..255 or floats, got dtype {inputs.dtype}")
    inputs = inputs.astype(np.float32, copy=False)
    low, high = inputs.min(), inputs.max()  # NaN if any entry is NaN, and no array of flags
    if not np.isfinite([low, high]).all():
        first = int(np.argwhere(~np.isfinite(inputs))[0, 0])
        raise ValueError(f"{where}: inputs must be finite, but input {first} has a NaN or an infinity")
    if box is not None and (low < box[0] or high > box[1]):
        raise ValueError(
            f"{where}: inputs must be in [{box[0]:g}, {box[1]:g}], got values from {low:g} to {high:g}; "
            "divide levels 0..255 by 255 or give them as uint8, or name the legal values as from_arrays(box=...)"
        )
    return inputs


def _checked_labels(where: str, labels: AnyArray, count: int) -> Labels:
    labels = checks.array(f"{where}: labels", labels)
    if not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"{where}: labels must be integers, got dtype {labels.dtype}")
    if labels.shape not in ((count,), (count, 1)):
        raise ValueError(
            f"{where}: labels must be one class index for each of {count} inputs, got shape {labels.shape}; "
            "of one-hot labels take the argmax"
        )
    return labels.reshape(count).astype(np.int64)  # wide enough to show a label that is out of range


def _check_agreement(
    name: str,
    inputs: dict[str, Any],
    labels: dict[str, Labels],
    num_classes: int,
    class_names: tuple[str, ...],
) -> None:
    train, test = (inputs[split].shape[1:] for split in ("train", "test"))
    if train != test:
        raise ValueError(f"{name}: train and test inputs must have one shape, got {train} and {test}")
    if num_classes < 2:
        raise ValueError(f"{name}: there must be at least 2 classes, got {num_classes}")
    if class_names and len(class_names) != num_classes:
        raise ValueError(f"{name}: {len(class_names)} class names for {num_classes} classes")
    for split, indices in labels.items():
        wrong = np.flatnonzero((indices < 0) | (indices >= num_classes))
        if wrong.size:
            raise ValueError(
                f"{name}, {split}: labels must be in 0..{num_classes - 1} ({num_classes} classes), "
                f"got {indices[wrong[0]]} at index {wrong[0]}"
            )
