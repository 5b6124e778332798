"""Datasets of TFDS: small ones that the tests prepare themselves, and real ones where they are at hand."""

import io
import json
import re
import shutil
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image
from tensorflow_datasets.core.features import ClassLabel, Text
from tensorflow_datasets.core.features import Image as ImageFeature

from lipjax import datasets
from lipjax.datasets import tfds as reader

NUM_TRAIN, NUM_TEST = 13, 5


def image_of(index: int) -> np.ndarray:
    return (np.arange(4 * 5 * 3) + 17 * index).astype(np.uint8).reshape(4, 5, 3)


def png(pixels: np.ndarray) -> io.BytesIO:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    file.seek(0)
    return file


class Tiny(tfds.core.GeneratorBasedBuilder):
    """Base of the builders below; TFDS finds them by the snake case of their names."""

    VERSION = tfds.core.Version("1.0.0")
    SKIP_REGISTERING = True
    shape: tuple[int | None, ...] = (4, 5, 3)
    test_split = "test"

    def features(self) -> dict:
        return {"image": ImageFeature(shape=self.shape), "label": ClassLabel(names=["a", "b", "c"])}

    def example(self, split: str, index: int) -> dict:
        return {"image": png(image_of(index)), "label": index % 3}

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(self.features()))

    def _split_generators(self, manager: object) -> dict:
        counts = {"train": NUM_TRAIN, self.test_split: NUM_TEST}
        return {split: self._generate_examples(split, count) for split, count in counts.items()}

    def _generate_examples(self, split: str, count: int) -> Iterator[tuple[int, dict]]:
        for index in range(count):
            yield index, self.example(split, index)


class TinyWithIds(Tiny):
    """Its ids give the order, as those of CIFAR-10 do."""

    def features(self) -> dict:
        return super().features() | {"id": Text()}

    def example(self, split: str, index: int) -> dict:
        return super().example(split, index) | {"id": f"{split}_{index:05d}"}


class TinyWithOtherIds(TinyWithIds):
    """Its ids end in numbers that are no positions."""

    def example(self, split: str, index: int) -> dict:
        return super().example(split, index) | {"id": f"n{10**19 * (index % 2) + index}"}


class TinyValidation(Tiny):
    """It is grey, and has no test split but one that serves as such."""

    shape = (4, 5, 1)
    test_split = "validation"

    def example(self, split: str, index: int) -> dict:
        return {"image": png(image_of(index)[..., 0]), "label": index % 3}


class TinyExtra(Tiny):
    """It has neither a test nor a validation split."""

    test_split = "extra"


class TinyCorrupted(Tiny):
    """It has a test split only, as cifar10_corrupted does."""

    def _split_generators(self, manager: object) -> dict:
        return {"test": self._generate_examples("test", NUM_TEST)}


class TinySizes(Tiny):
    """Its images may have any size."""

    shape = (None, None, 3)


class TinyText(Tiny):
    """It has no images."""

    def features(self) -> dict:
        return {"text": Text(), "label": ClassLabel(num_classes=3)}

    def example(self, split: str, index: int) -> dict:
        return {"text": "hello", "label": index % 3}


class TinyConfigs(Tiny):
    """It comes in two configurations."""

    BUILDER_CONFIGS = [tfds.core.BuilderConfig(name="plain"), tfds.core.BuilderConfig(name="fancy")]  # noqa: RUF012


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A TFDS data directory that holds all the builders above but TinyText."""
    folder = tmp_path_factory.mktemp("tfds")
    for builder in (TinyWithIds, TinyWithOtherIds, TinyValidation, TinyExtra, TinyCorrupted):
        builder(data_dir=folder, file_format="array_record").download_and_prepare()
    TinyConfigs(config="fancy", data_dir=folder, file_format="array_record").download_and_prepare()
    return folder


@pytest.fixture
def copy(prepared: Path, tmp_path: Path) -> Path:
    """The prepared folder of tiny_with_ids, for one test to damage."""
    shutil.copytree(prepared / "tiny_with_ids", tmp_path / "tfds" / "tiny_with_ids")
    return tmp_path / "tfds"


def test_ids_give_the_order(prepared: Path) -> None:
    dataset = datasets.load("tiny_with_ids", prepared, dtype="uint8")
    np.testing.assert_array_equal(dataset.train.inputs, [image_of(index) for index in range(NUM_TRAIN)])
    np.testing.assert_array_equal(dataset.train.labels, np.arange(NUM_TRAIN) % 3)
    np.testing.assert_array_equal(dataset.test.labels, np.arange(NUM_TEST) % 3)
    assert (dataset.name, dataset.num_classes, dataset.class_names) == ("tiny_with_ids", 3, ("a", "b", "c"))


def test_without_such_ids_the_order_is_that_of_the_files(prepared: Path) -> None:
    dataset = datasets.load("tiny_with_other_ids", str(prepared), dtype="uint8")
    source = tfds.builder("tiny_with_other_ids", data_dir=prepared).as_data_source("train")
    np.testing.assert_array_equal(dataset.train.inputs, [example["image"] for example in source])
    np.testing.assert_array_equal(dataset.train.labels, [example["label"] for example in source])


@pytest.mark.parametrize("name", ["tiny_with_ids:1.0.0", "tiny_configs/fancy", "tiny_configs/fancy:1.0.0"])
def test_versions_and_configurations_may_be_named(prepared: Path, name: str) -> None:
    dataset = datasets.load(name, prepared)
    assert dataset.train.inputs.shape == (NUM_TRAIN, 4, 5, 3)
    assert dataset.name == name


def test_a_validation_split_serves_as_test_split(prepared: Path) -> None:
    dataset = datasets.load("tiny_validation", prepared, dtype="uint8")
    assert dataset.test.inputs.shape == (NUM_TEST, 4, 5, 1)
    assert {image.tobytes() for image in dataset.test.inputs} == {
        image_of(i)[..., :1].tobytes() for i in range(NUM_TEST)
    }


def test_a_dataset_may_have_test_examples_alone(prepared: Path) -> None:
    test = datasets.load_test("tiny_corrupted", prepared)
    assert {image.tobytes() for image in test.inputs} == {image_of(i).tobytes() for i in range(NUM_TEST)}
    assert sorted(test.labels) == sorted(i % 3 for i in range(NUM_TEST))
    with pytest.raises(ValueError, match="tiny_corrupted must have the splits train and test"):
        datasets.load("tiny_corrupted", prepared)
    with pytest.raises(ValueError, match="tiny_extra has no split test, only "):
        datasets.load_test("tiny_extra", prepared)


def count_decoding(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    decoded: list[str] = []
    decode = reader._decode

    def counting(name: str, builder: tfds.core.DatasetBuilder, keys: reader.Keys, split: str) -> dict:
        decoded.append(split)
        return decode(name, builder, keys, split)

    monkeypatch.setattr(reader, "_decode", counting)
    return decoded


def test_images_are_decoded_once(copy: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = count_decoding(monkeypatch)
    first = datasets.load("tiny_with_ids", copy)
    again = datasets.load("tiny_with_ids", copy)
    assert decoded == ["train", "test"]
    np.testing.assert_array_equal(first.train.inputs, again.train.inputs)
    assert again.train.inputs.flags.writeable


def test_another_content_of_the_folder_is_decoded_anew(
    copy: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded = count_decoding(monkeypatch)
    datasets.load("tiny_with_ids", copy)
    folder = copy / "tiny_with_ids" / "1.0.0"
    info = json.loads((folder / "dataset_info.json").read_text())
    (folder / "dataset_info.json").write_text(json.dumps(info | {"citation": "changed"}))
    datasets.load("tiny_with_ids", copy)
    assert decoded == ["train", "test"] * 2


def test_a_damaged_cache_is_decoded_anew(copy: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = datasets.load("tiny_with_ids", copy)
    (images,) = own_cache.rglob("train/images.npy")
    images.write_bytes(images.read_bytes()[:-100])
    decoded = count_decoding(monkeypatch)
    np.testing.assert_array_equal(datasets.load("tiny_with_ids", copy).train.inputs, right.train.inputs)
    assert decoded == ["train"]


def test_loading_says_nothing(copy: Path, own_cache: Path, capfd: pytest.CaptureFixture) -> None:
    datasets.load("tiny_with_ids", copy)
    assert capfd.readouterr() == ("", "")


def test_an_unknown_name_is_answered_with_the_known_ones(prepared: Path) -> None:
    message = (
        r"unknown dataset 'cifra10': legal are fashion_mnist_mini, toy, the names of TFDS \(.*cifar10.*'./cifra10'"
    )
    with pytest.raises(ValueError, match=message):
        datasets.load("cifra10", prepared)


@pytest.mark.parametrize("name", ["", "two words", "cifar10:9.9.9", "tiny_configs/none", "cifar10/"])
def test_an_impossible_name_is_refused(prepared: Path, name: str) -> None:
    with pytest.raises(ValueError, match=f"TFDS has no dataset, config or version {name!r} that can be read here"):
        datasets.load(name, prepared)


def test_an_unprepared_dataset_is_refused_with_what_to_do(prepared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        tfds.core.DatasetBuilder, "download_and_prepare", lambda *args, **kwargs: pytest.fail("it downloads")
    )
    folder = re.escape(str(prepared))
    message = rf"cifar100 is not prepared in {folder}/cifar100/.*tfds.data_source\('cifar100', data_dir='{folder}'\)"
    with pytest.raises(FileNotFoundError, match=message):
        datasets.load("cifar100", prepared)


def test_another_version_is_pointed_out_and_can_be_asked_for(copy: Path, own_cache: Path) -> None:
    folder = (copy / "tiny_with_ids" / "1.0.0").rename(copy / "tiny_with_ids" / "0.9.0")
    info = (folder / "dataset_info.json").read_text().replace('"1.0.0"', '"0.9.0"')
    (folder / "dataset_info.json").write_text(info)
    with pytest.raises(FileNotFoundError, match=r"but version 0\.9\.0 is, which name:version asks for"):
        datasets.load("tiny_with_ids", copy)
    assert len(datasets.load("tiny_with_ids:0.9.0", copy).train.labels) == NUM_TRAIN


def test_a_missing_data_dir_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no data_dir .*/nowhere"):
        datasets.load("cifar10", tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tiny_text", "does not classify images: its features are text, label"),
        ("tiny_sizes", r"has images of shape \(None, None, 3\) and dtype uint8; make them uint8 of one size"),
        ("tiny_extra", r"must have the splits train and test \(or validation\), but has train, extra"),
    ],
)
def test_a_dataset_of_another_kind_is_refused(prepared: Path, name: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"{name} {message}"):
        datasets.load(name, prepared)


def damaged(content: bytes) -> bytes:
    return content[: len(content) // 2] + bytes(64) + content[len(content) // 2 + 64 :]


@pytest.mark.parametrize("spoil", [damaged, lambda content: content[: len(content) // 2], lambda content: b""])
def test_damaged_files_are_refused_by_split(copy: Path, own_cache: Path, spoil: object) -> None:
    (records,) = (copy / "tiny_with_ids" / "1.0.0").glob("*-test.array_record*")
    content = records.read_bytes()
    start = content.index(b"IHDR") if spoil is damaged else 0
    records.write_bytes(content[:start] + spoil(content[start:]))  # type: ignore[operator]
    with pytest.raises(ValueError, match=r"tiny_with_ids, test: example \d of 5 can't be read from .*prepare"):
        datasets.load("tiny_with_ids", copy)


def test_a_missing_file_is_refused(copy: Path, own_cache: Path) -> None:
    (records,) = (copy / "tiny_with_ids" / "1.0.0").glob("*-train.array_record*")
    records.unlink()
    with pytest.raises(ValueError, match=r"example 0 of 13 can't be read .*No such file"):
        datasets.load("tiny_with_ids", copy)


def test_files_that_need_tensorflow_are_refused_with_what_to_do(copy: Path, own_cache: Path) -> None:
    folder = copy / "tiny_with_ids" / "1.0.0"
    for path in folder.glob("*.array_record*"):
        path.rename(path.with_name(path.name.replace("array_record", "tfrecord")))
    info = (folder / "dataset_info.json").read_text().replace("array_record", "tfrecord")
    (folder / "dataset_info.json").write_text(info)
    with pytest.raises(ValueError, match="prepare the dataset anew, with file_format='array_record'"):
        datasets.load("tiny_with_ids", copy)


def test_real_cifar10_is_in_its_official_order(tfds_dir: Path) -> None:
    cifar = datasets.load("cifar10", tfds_dir, dtype="uint8")
    assert (cifar.train.inputs.shape, cifar.test.inputs.shape) == ((50_000, 32, 32, 3), (10_000, 32, 32, 3))
    assert np.bincount(cifar.train.labels).tolist() == [5000] * 10
    # What data_batch_1 and test_batch begin with: frog, truck, truck, deer, ...; cat, ship, ship, airplane, ...
    assert cifar.train.labels[:10].tolist() == [6, 9, 9, 4, 1, 1, 2, 7, 8, 3]
    assert cifar.test.labels[:10].tolist() == [3, 8, 8, 0, 6, 6, 1, 6, 3, 1]
    assert cifar.train.inputs[0, 0, 0].tolist() == [59, 62, 63]


def test_real_cifar10_has_the_published_statistics(tfds_dir: Path) -> None:
    cifar = datasets.load("cifar10", tfds_dir, dtype="uint8")
    mean, std = datasets.channel_statistics(cifar.train)
    np.testing.assert_allclose(mean, [0.4914, 0.4822, 0.4465], atol=5e-5)
    np.testing.assert_allclose(std, [0.2470, 0.2435, 0.2616], atol=5e-5)


def test_real_cifar10_from_the_cache_allocates_its_arrays_and_little_more(tfds_dir: Path) -> None:
    datasets.load("cifar10", tfds_dir, dtype="uint8")
    tracemalloc.start()
    cifar = datasets.load("cifar10", tfds_dir)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1.02 * (cifar.train.inputs.nbytes + cifar.test.inputs.nbytes)
