"""Blocks over all cores, devices and processes, with a journal from which a killed run continues."""

import contextlib
import hashlib
import queue
import time
import zipfile
import zlib
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import jax
import numpy as np
from jax.experimental import multihost_utils
from tqdm import tqdm

from lipjax import checks, records
from lipjax.compatibility.blocks import Backend, Block

Tally: TypeAlias = Any
"""A NamedTuple of arrays: the counts of some blocks."""

Absorb = Callable[[Tally, Block, Tally], None]
"""`(total, block, counts)`: adds the counts of a block to a total, in place, in whatever order blocks come."""


class Counting(NamedTuple):
    """How pairs are counted, which decides nothing about the counts.

    Attributes:
        block_size: Examples on either side of a block of pairs: a block is what one core or device does at a time.
        journal_dir: Folder for the counts of the blocks done, from which the same call continues after a crash.
        progress: Whether to show a progress bar with the time left; None shows it on terminals only.
        backend: How blocks are counted; by default `compatibility.host.workers` on CPU and
            `compatibility.device.workers` on accelerators.

    Examples:
        >>> Counting(block_size=0).check()
        Traceback (most recent call last):
            ...
        ValueError: block_size must be a whole number of at least 1, got 0
    """

    block_size: int = 4096
    journal_dir: Path | str | None = None
    progress: bool | None = False
    backend: Backend | None = None

    def check(self) -> None:
        """Raises ValueError unless these are settings of their kinds, and block_size is at least 1."""
        checks.at_least(1, block_size=self.block_size)
        checks.of_type(bool | None, progress=self.progress)
        checks.of_type(Callable | None, backend=self.backend)


class BlockJournal(NamedTuple):
    """A file with the counts of the blocks done so far; nothing is kept if `path` is None."""

    path: Path | None

    def load(self, tally: Tally) -> tuple[int, float, Tally]:
        """Number of blocks done, seconds that they took, and their counts: `tally` if there is no good file."""
        if self.path is None or not self.path.exists():
            return 0, 0.0, tally
        try:
            with self.path.open("rb") as file, np.load(file, allow_pickle=False) as saved:
                arrays = {name: _alike(saved[name], getattr(tally, name)) for name in tally._fields}
                return int(saved["done"]), float(saved["seconds"]), type(tally)(**arrays)
        except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            records.set_aside(self.path, error, "counted again")
            return 0, 0.0, tally

    def save(self, done: int, seconds: float, tally: Tally) -> None:
        """Replaces the file; it is never half written."""
        if self.path is None:
            return
        with records.replacing(self.path, by_every_process=True) as partial:
            np.savez(partial, done=done, seconds=seconds, **tally._asdict())


def _alike(found: np.ndarray, blank: np.ndarray) -> np.ndarray:
    if (found.shape, found.dtype) != (blank.shape, blank.dtype):
        raise ValueError(f"it has {found.dtype} of shape {found.shape}, not {blank.dtype} of shape {blank.shape}")
    return found


def journal_of(folder: Path | str | None, *identity: Any) -> BlockJournal:
    """The journal of the computation that these arrays and settings define; every process has its own."""
    if folder is None:
        return BlockJournal(None)
    digest = hashlib.blake2b(digest_size=12)
    for part in identity:
        is_array = isinstance(part, np.ndarray)
        digest.update(repr((part.shape, part.dtype) if is_array else part).encode())
        digest.update(part.data if is_array else b"")
    Path(folder).mkdir(parents=True, exist_ok=True)
    return BlockJournal(Path(folder) / f"{digest.hexdigest()}-{jax.process_index()}-of-{jax.process_count()}.npz")


def count_blocks(
    blocks: Sequence[Block],
    workers: Sequence[Callable[[Block], Tally]],
    tally: Tally,
    absorb: Absorb,
    *,
    journal: BlockJournal,
    within: bool,
    progress: bool | None,
) -> tuple[Tally, float]:
    """Counts of all blocks, which every process receives, and the seconds that this process spent on its share.

    Args:
        blocks: All blocks; a process takes every `jax.process_count()`-th one.
        workers: Functions that count one block at a time, one per core or device.
        tally: Counts before the first block.
        absorb: How the counts of a block are added to the tally.
        journal: Where the tally is kept after every block.
        within: Whether the blocks are those of one set, for the progress bar.
        progress: Show a progress bar with the time left; None for on terminals only.

    Returns:
        The counts and the seconds, those before an interruption included.
    """
    mine = blocks[jax.process_index() :: jax.process_count()]
    sizes = [block.num_pairs(within) for block in mine]
    done, seconds, tally = journal.load(tally)
    started = time.monotonic() - seconds
    with (
        tqdm(
            total=sum(sizes),
            initial=sum(sizes[:done]),
            unit=" pairs",
            unit_scale=True,
            disable=None if progress is None else not progress,
        ) as bar,
        contextlib.closing(_in_order(workers, mine[done:])) as results,
    ):
        for index, counts in enumerate(results, start=done):
            absorb(tally, mine[index], counts)
            seconds = time.monotonic() - started
            journal.save(index + 1, seconds, tally)
            bar.update(sizes[index])
    return _over_processes(tally, absorb, blocks[-1]), seconds


def _in_order(workers: Sequence[Callable[[Block], Tally]], blocks: Sequence[Block]) -> Generator[Tally, None, None]:
    """Results in the order of the blocks, each computed by the worker that is idle first."""
    idle: queue.SimpleQueue[Callable[[Block], Tally]] = queue.SimpleQueue()
    for worker in workers:
        idle.put(worker)

    def count(block: Block) -> Tally:
        worker = idle.get()
        try:
            return worker(block)
        finally:
            idle.put(worker)

    pool = ThreadPoolExecutor(len(workers))
    try:
        yield from pool.map(count, blocks)
    finally:
        pool.shutdown(cancel_futures=True)


def _over_processes(tally: Tally, absorb: Absorb, last: Block) -> Tally:
    """The sum of the tallies of all processes, in every process."""
    if jax.process_count() == 1:
        return tally
    # As bytes, since JAX would turn 64-bit counts into 32 bits.
    packed = np.frombuffer(b"".join(array.tobytes() for array in tally), np.uint8)
    everything = Block(0, last.row_stop, 0, last.column_stop)
    total, *others = (_unpacked(part, tally) for part in multihost_utils.process_allgather(packed))
    for other in others:
        absorb(total, everything, other)
    return total


def _unpacked(packed: np.ndarray, like: Tally) -> Tally:
    ends = np.cumsum([array.nbytes for array in like])
    parts = np.split(np.array(packed), ends[:-1])
    return type(like)(*(part.view(array.dtype).reshape(array.shape) for part, array in zip(parts, like, strict=True)))
