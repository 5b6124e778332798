"""Where batches come from: all examples on the device, or a stream that reads those of the next steps ahead."""

import functools
import math
from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np
from jax.sharding import Mesh
from jaxtyping import Int

from lipjax import parallel
from lipjax.training.program import Way, epoch_order
from lipjax.types import Batch, KeyArray

Spans: TypeAlias = Sequence[tuple[int, int]]
"""First and last update, the last excluded, of each dispatch."""

_AHEAD = 3
"""Dispatches whose batches are read while the device works: each takes its memory on the device."""


def is_streamed(examples: Batch, stream: bool | None) -> bool:
    """Whether batches are read while training: as is said, or where the examples fill half a device's memory.

    Examples:
        >>> is_streamed(Batch(np.zeros((8, 4), np.float32), np.zeros(8, np.int32)), stream=None)
        False
    """
    if stream is not None:
        return stream
    size = math.prod(examples.inputs.shape) * np.dtype(examples.inputs.dtype).itemsize
    return bool(parallel.largest(int(size > parallel.memory() / 2)))


class Dispatches:
    """The batches of every dispatch by its number, in any order: the same as from all examples on the device.

    For each dispatch examples `[steps, batch, ...]`, after an axis of networks if there are several.

    Args:
        keys: Of the orders, one for each network.
        examples: Anything with a shape, a dtype and rows: arrays, files that are mapped, images that are decoded when
            they are asked for. A process reads the rows of its own devices only.
        batch_size: Examples per update.
        spans: The updates of each dispatch.
        way: How networks are trained together.
        mesh: Spreads batches of a network that is trained alone, and else networks.
    """

    def __init__(
        self,
        keys: Sequence[KeyArray],
        examples: Batch,
        batch_size: int,
        spans: Spans,
        way: Way,
        mesh: Mesh | None,
    ):
        self._keys, self._batch_size, self._spans, self._way, self._mesh = keys, batch_size, spans, way, mesh
        self._examples = Batch(*map(parallel.on_host, examples))
        self._orders = functools.lru_cache(maxsize=2)(self._orders_of)

    def __len__(self) -> int:
        return len(self._spans)

    def __getitem__(self, index: int) -> Batch:
        rows = np.stack([self._rows(step) for step in range(*self._spans[index])], axis=-2)
        axis = 1 if self._way == "alone" else 0
        return Batch(*(parallel.taken(part, rows, self._mesh, axis) for part in self._examples))

    def _rows(self, step: int) -> Int[np.ndarray, "*pack batch"]:
        epoch, position = divmod(step, len(self._examples.labels) // self._batch_size)
        first = position * self._batch_size
        return self._orders(epoch)[..., first : first + self._batch_size]

    def _orders_of(self, epoch: int) -> Int[np.ndarray, "*pack examples"]:
        count = len(self._examples.labels)
        orders = [np.asarray(epoch_order(key, epoch, count)) for key in self._keys]
        return orders[0] if self._way == "alone" else np.stack(orders)


def read_ahead(dispatches: Dispatches) -> Iterator[Batch]:
    """The batches of every dispatch, in order; threads of grain read them while the device works."""
    import grain

    options = grain.ReadOptions(num_threads=_AHEAD, prefetch_buffer_size=_AHEAD)
    return iter(grain.MapDataset.source(dispatches).to_iter_dataset(options))
