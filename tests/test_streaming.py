"""Data larger than memory: batches that are read while the device works are those of data on the device."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from lipjax import attacks, checks, datasets, evaluation, networks, norms, parallel, records, training
from lipjax.augmentation import random_crop
from lipjax.datasets.on_disk import OnDisk
from lipjax.evaluation import examples
from lipjax.training import Trainee, feeding
from lipjax.types import Batch, Dataset, Method, Model, Network, Output, System, Variables

SHAPE, CLASSES, COUNT, STEPS = (4, 4, 1), 3, 20, 11
RNG = np.random.default_rng(0)
LEVELS, LABELS = RNG.integers(0, 256, (COUNT, *SHAPE), np.uint8), RNG.integers(0, CLASSES, COUNT)


class Rows:
    """Images that can't be had all at once."""

    def __init__(self, levels: np.ndarray = LEVELS) -> None:
        self.read: list[np.ndarray] = []
        self._levels, self.shape, self.dtype, self.ndim = levels, levels.shape, levels.dtype, levels.ndim

    def __len__(self) -> int:
        return len(self._levels)

    def __getitem__(self, rows: np.ndarray | slice) -> np.ndarray:
        self.read.append(np.arange(len(self))[rows])
        return self._levels[rows]

    def __array__(self, *_: object, **__: object) -> np.ndarray:
        raise MemoryError


def linear() -> Network:
    """Logits W x."""

    def init(key: jax.Array, input_shape: tuple[int, ...]) -> Variables:
        return Variables(jax.random.normal(key, (int(np.prod(input_shape)), CLASSES)), {})

    def apply(variables: Variables, inputs: jax.Array, *, train: bool) -> tuple[Output, dict]:
        return Output(inputs.reshape(len(inputs), -1) @ variables.params, {}), {}

    return networks.from_functions(init, apply)


NETWORK, SGD = linear(), training.sgd(0.1)


def trained(inputs: object, way: str = "alone", count: int = 1, num_steps: int = STEPS, **execution) -> list[Model]:
    """Networks trained with augmentation, on epochs of six batches that dispatches of four steps do not divide."""
    dataset = Dataset("levels", Batch(inputs, LABELS), Batch(LEVELS, LABELS), CLASSES)
    runs = execution.pop("runs", [None] * count)
    pack = [
        Trainee(jax.random.key(seed), System(NETWORK, Method()), SGD, random_crop(1), run)
        for seed, run in enumerate(runs)
    ]
    paces = {"steps_per_dispatch": 4, "log_every": 4, "checkpoint_every": 4} | execution
    return training.fit_together(
        pack, dataset, num_steps=num_steps, batch_size=3, way=way, execution=training.Execution(**paces)
    )


def bits(models: list[Model]) -> list[bytes]:
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves([model.variables for model in models])]


@pytest.fixture(scope="module")
def in_memory() -> list[bytes]:
    """Weights of a training with all examples on the device."""
    return bits(trained(LEVELS, stream=False))


@pytest.mark.parametrize("steps_per_dispatch", [1, 4])
def test_streamed_batches_make_the_same_bits(in_memory: list[bytes], steps_per_dispatch: int) -> None:
    rows = Rows()
    assert bits(trained(rows, stream=True, steps_per_dispatch=steps_per_dispatch)) == in_memory
    assert max(read.size for read in rows.read) == 3 * steps_per_dispatch


@pytest.mark.parametrize("way", ["map", "vmap"])
def test_each_network_of_a_pack_has_its_own_order(way: str) -> None:
    both = [bits(trained(source, way, 2, stream=stream)) for source, stream in ((LEVELS, False), (Rows(), True))]
    assert both[0] == both[1]


def test_a_stream_continues_at_the_step_of_the_checkpoint(in_memory: list[bytes], tmp_path: Path) -> None:
    path, rows = tmp_path / "run", Rows()
    with records.open_run(path, {}) as run:
        trained(LEVELS, num_steps=8, stream=False, runs=[run])
    with records.open_run(path, {}) as run:
        assert bits(trained(rows, stream=True, runs=[run])) == in_memory
    assert sum(read.size for read in rows.read) == 3 * (STEPS - 8)


def test_images_of_imagenet_are_attacked_and_corrupted_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    levels = RNG.integers(0, 256, (5, 224, 224, 3), np.uint8)
    labels, key, attack = np.array([0, 1, 0, 1, 0]), jax.random.key(0), attacks.fgsm(norms.linf.ball(4 / 255))
    monkeypatch.setattr(examples, "_AT_ONCE", 2 * levels[0].size)

    def classify(x: jax.Array) -> jax.Array:
        return jnp.stack([x[::2].mean(), x[1::2].mean()])

    def answers(inputs: object, chunk_size: int) -> list[np.ndarray]:
        batch = Batch(inputs, labels)
        withstood = evaluation.withstood(key, classify, batch, attack, chunk_size=chunk_size)
        return [withstood, evaluation.corrupted(key, batch, "brightness", 3).inputs]

    rows = Rows(levels)
    for some, all_at_once in zip(answers(rows, 2), answers(levels, 5), strict=True):
        np.testing.assert_array_equal(some, all_at_once)
    assert max(read.size for read in rows.read) == 2


def test_folders_larger_than_half_the_memory_are_decoded_when_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for index, split in enumerate(["train/a", "train/b", "test/a", "test/b"]):
        (tmp_path / "images" / split).mkdir(parents=True)
        Image.fromarray(LEVELS[index, ..., 0]).save(tmp_path / "images" / split / "0.png")
    (tmp_path / "arrays").mkdir()
    for name, array in {"x_train": LEVELS, "y_train": LABELS, "x_test": LEVELS, "y_test": LABELS}.items():
        np.save(tmp_path / "arrays" / f"{name}.npy", array)
    small = [datasets.load(tmp_path / name) for name in ("images", "arrays")]
    monkeypatch.setattr(checks, "memory", lambda: 60)
    large = [datasets.load(tmp_path / name) for name in ("images", "arrays")]
    for one, other in zip(small, large, strict=True):
        assert isinstance(other.train.inputs, OnDisk)
        assert (one.train.inputs.shape, one.train.inputs.dtype) == (other.train.inputs.shape, np.float32)
        for index in (0, slice(1, 2), np.array([[1, 0]]), (np.array([1, 1]), 0)):
            np.testing.assert_array_equal(one.train.inputs[index], other.train.inputs[index])
        assert datasets.channel_statistics(one.train) == datasets.channel_statistics(other.train)
    with pytest.raises(ValueError, match="all inputs at once take 1,280 bytes"):
        np.asarray(large[1].train.inputs)
    (tmp_path / "arrays" / "y_train.npy").write_bytes(b"no array")
    with pytest.raises(ValueError, match="arrays has a file that can't be read"):
        datasets.load(tmp_path / "arrays")


def test_data_that_fill_half_of_the_devices_memory_are_streamed(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = Batch(LEVELS, LABELS)
    monkeypatch.setattr(parallel, "memory", lambda: 2 * LEVELS.nbytes)
    assert not feeding.is_streamed(batch, None)
    monkeypatch.setattr(parallel, "memory", lambda: 2 * LEVELS.nbytes - 1)
    assert feeding.is_streamed(batch, None)
    assert not feeding.is_streamed(batch, stream=False)
    assert len(trained(Rows())) == 1
    assert jnp.all(parallel.taken(LEVELS, np.array([[0, 3]]), parallel.mesh(), axis=1) == LEVELS[None, [0, 3]])
