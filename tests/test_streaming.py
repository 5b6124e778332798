"""Data larger than memory: batches that are read while the device works are those of data on the device."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lipjax import networks, parallel, records, training
from lipjax.augmentation import random_crop
from lipjax.training import Trainee, feeding
from lipjax.types import Batch, Dataset, Method, Model, Network, Output, System, Variables

SHAPE, CLASSES, COUNT, STEPS = (4, 4, 1), 3, 20, 11
RNG = np.random.default_rng(0)
LEVELS, LABELS = RNG.integers(0, 256, (COUNT, *SHAPE), np.uint8), RNG.integers(0, CLASSES, COUNT)


class Rows:
    """Images that can't be had all at once."""

    shape, dtype, ndim = LEVELS.shape, LEVELS.dtype, LEVELS.ndim

    def __init__(self) -> None:
        self.read: list[np.ndarray] = []

    def __len__(self) -> int:
        return COUNT

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        self.read.append(np.asarray(rows))
        return LEVELS[rows]

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


def test_data_that_fill_half_of_the_devices_memory_are_streamed(monkeypatch: pytest.MonkeyPatch) -> None:
    examples = Batch(LEVELS, LABELS)
    monkeypatch.setattr(parallel, "memory", lambda: 2 * LEVELS.nbytes)
    assert not feeding.is_streamed(examples, None)
    monkeypatch.setattr(parallel, "memory", lambda: 2 * LEVELS.nbytes - 1)
    assert feeding.is_streamed(examples, None)
    assert not feeding.is_streamed(examples, stream=False)
    assert len(trained(Rows())) == 1
    assert jnp.all(parallel.taken(LEVELS, np.array([[0, 3]]), parallel.mesh(), axis=1) == LEVELS[None, [0, 3]])
