"""Image classification datasets of TFDS, read without TensorFlow and decoded once.

Importing this module imports tensorflow_datasets, so `load` does it only when such a dataset is asked for.
"""

import contextlib
import difflib
import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow_datasets
from absl import logging
from jaxtyping import Int
from tensorflow_datasets.core import DatasetBuilder, DatasetNotFoundError
from tensorflow_datasets.core.features import ClassLabel, Image, Text

from lipjax import checks
from lipjax.datasets import cache
from lipjax.datasets.arrays import from_arrays
from lipjax.datasets.embedded import EMBEDDED
from lipjax.datasets.progress import progress
from lipjax.types import Batch, Dataset

DECODER = "1"
"""Part of the cache's key: to be raised when the same files are to give other arrays."""


class Keys(NamedTuple):
    """Names of the features of an example that are its image, its class and, where there is one, its id."""

    image: str
    label: str
    id: str | None


def from_tfds(name: str, data_dir: str | Path | None = None) -> Dataset:
    """Dataset that TFDS knows as `name`, `name/config` or `name:version`, prepared on this machine before.

    Nothing is downloaded. The test split is `test`, or `validation` where there is no `test`. Examples are in the
    order of the files, except where they have ids that end in the numbers 0, 1, ..., each once: then that number is
    the position. For CIFAR-10 this is the official order (data_batch_1 to data_batch_5, test_batch).

    Decoded images are kept in the cache folder, one entry per dataset, version, split and content of the prepared
    folder (names, sizes and times of its files, text of its JSON files). A progress bar shows when decoding takes
    more than two seconds.

    Args:
        name: Name in the TFDS catalogue.
        data_dir: TFDS data directory; None for `$TFDS_DATA_DIR` or `~/tensorflow_datasets`.

    Returns:
        A dataset of uint8 levels, memory-mapped where they come from the cache.

    Raises:
        FileNotFoundError: If data_dir does not exist or does not hold the dataset.
        ValueError: If TFDS has no such dataset, version or config; if it has no 8-bit images of one size with class
            labels, or no train and test split; if its files are damaged or can't be read without TensorFlow.
    """
    with _quiet():
        builder = _builder(name, data_dir)
        keys = _keys(name, builder)
        _check_prepared(name, builder)
        train, test = (_decoded(name, builder, keys, split) for split in _splits(name, builder))
    label = builder.info.features[keys.label]
    return from_arrays(name, train, test, num_classes=label.num_classes, class_names=tuple(label.names))


def only_test(name: str, data_dir: str | Path | None = None) -> Batch:
    """The split `test` of a dataset that `from_tfds` would refuse for having no other; the rest is as there."""
    with _quiet():
        builder = _builder(name, data_dir)
        keys = _keys(name, builder)
        _check_prepared(name, builder)
        if "test" not in builder.info.splits:
            raise ValueError(f"{name} has no split test, only {', '.join(builder.info.splits)}")
        images, labels = _decoded(name, builder, keys, "test")
    return Batch(images, labels)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    # TFDS advises to install OpenCV, and warns where the folder of a dataset is missing, which is our own error.
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)


def _builder(name: str, data_dir: str | Path | None) -> DatasetBuilder:
    if data_dir is not None and not checks.path(data_dir).is_dir():
        raise FileNotFoundError(f"there is no data_dir {data_dir}; it must be the TFDS data directory")
    try:
        return tensorflow_datasets.builder(name, data_dir=data_dir and checks.path(data_dir))
    except DatasetNotFoundError as error:
        known = tensorflow_datasets.list_builders(with_community_datasets=False)
        near = difflib.get_close_matches(name.lower(), known) or ["cifar10", "mnist"]
        raise ValueError(
            f"unknown dataset {name!r}: legal are {', '.join(EMBEDDED)}, the names of TFDS ({', '.join(near)}, ...), "
            f"and the path of a folder ('./{name}') or of an .npz file"
        ) from error
    except (AssertionError, ImportError, ValueError) as error:
        raise ValueError(f"TFDS has no dataset, config or version {name!r} that can be read here: {error}") from error


def _keys(name: str, builder: DatasetBuilder) -> Keys:
    features = builder.info.features
    keys = builder.info.supervised_keys or ("image", "label")
    kinds = [features[key] for key in keys if isinstance(key, str) and key in features]
    if len(kinds) != 2 or not isinstance(kinds[0], Image) or not isinstance(kinds[1], ClassLabel):
        raise ValueError(f"{name} does not classify images: its features are {', '.join(features)}")
    if kinds[0].np_dtype != np.uint8 or None in kinds[0].shape:
        raise ValueError(
            f"{name} has images of shape {kinds[0].shape} and dtype {np.dtype(kinds[0].np_dtype)}; make them uint8 of "
            "one size and give them as a folder or as an .npz file"
        )
    has_id = "id" in features and isinstance(features["id"], Text)
    return Keys(image=keys[0], label=keys[1], id="id" if has_id else None)


def _check_prepared(name: str, builder: DatasetBuilder) -> None:
    if not builder.is_prepared():
        call = f"tfds.data_source('{name}', data_dir='{builder.data_dir_root}')"
        others = sorted(path.name for path in builder.data_path.parent.glob("[0-9]*.*.*"))
        raise FileNotFoundError(
            f"{name} is not prepared in {builder.data_path}"
            + (f", but version {' and '.join(others)} is, which name:version asks for" if others else "")
            + ": give the data_dir that has it, or prepare it once with network access by  "
            f'python -c "import tensorflow_datasets as tfds; {call}"'
        )


def _splits(name: str, builder: DatasetBuilder) -> tuple[str, str]:
    splits = builder.info.splits
    test = "test" if "test" in splits else "validation"
    if "train" not in splits or test not in splits:
        raise ValueError(
            f"{name} must have the splits train and test (or validation), but has {', '.join(splits)}; split it "
            "yourself and give it as a folder or as an .npz file"
        )
    return "train", test


def _decoded(name: str, builder: DatasetBuilder, keys: Keys, split: str) -> tuple[np.ndarray, np.ndarray]:
    entry = f"tfds/{builder.info.full_name}/{_fingerprint(builder)}/{split}"
    arrays = cache.cached(entry, lambda: _decode(name, builder, keys, split))
    return arrays["images"], arrays["labels"]


def _fingerprint(builder: DatasetBuilder) -> str:
    content = [DECODER]
    for path in sorted(builder.data_path.iterdir()):
        stat = path.stat()
        content += [path.name, str(stat.length), str(stat.mtime)]
        content += [path.read_text()] if path.suffix == ".json" else []
    return hashlib.sha256("\n".join(content).encode()).hexdigest()[:16]


def _decode(name: str, builder: DatasetBuilder, keys: Keys, split: str) -> cache.Arrays:
    count = builder.info.splits[split].num_examples
    images = np.empty((count, *builder.info.features[keys.image].shape), np.uint8)
    labels = np.empty(count, np.int32)
    ids = []
    try:
        examples = builder.as_data_source(split)
        for index, example in enumerate(progress(examples, f"decoding {name}, {split}")):
            images[index], labels[index] = example[keys.image], example[keys.label]
            ids.append(example[keys.id] if keys.id else b"")
    except Exception as error:  # array_record, protobuf, Pillow and TFDS each raise their own kind
        raise ValueError(
            f"{name}, {split}: example {len(ids)} of {count} can't be read from {builder.data_path} ({error}); prepare "
            "the dataset anew, with file_format='array_record'"
        ) from error
    order = _order(ids)
    return {"images": images[order], "labels": labels[order]}


def _order(ids: Sequence[bytes]) -> Int[np.ndarray, " examples"]:
    endings = [re.search(rb"(?<!\d)\d{1,18}$", id_) for id_ in ids]  # longer numbers are no positions
    numbers = np.array([int(ending[0]) if ending else -1 for ending in endings], np.int64)
    order = np.argsort(numbers, kind="stable")
    places = np.arange(len(ids))
    return order if np.array_equal(numbers[order], places) else places
