"""Interrupted runs continue, several processes share the work, and an error ends it."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from compatibility_oracle import some_images

from lipjax.compatibility import Counting, host, pair_distances, required_slopes
from lipjax.compatibility.bins import Bins
from lipjax.compatibility.blocks import Block, Counts, Pairs, Worker

HERE = Path(__file__).parent

KILLED = """
import os, pathlib, signal, sys, time
sys.path.insert(0, sys.argv[1])
from compatibility_oracle import some_images
from lipjax.compatibility import Counting, host, pair_distances

def workers(pairs, bins, block_size):
    [count, *_] = host.workers(pairs, bins, block_size)
    done = []
    def fragile(block):
        if len(done) == 20:
            while not any(pathlib.Path(sys.argv[2]).glob("[!.]*.npz")):  # whole ones: those being written are hidden
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGKILL)
        done.append(block)
        return count(block)
    return [fragile]

images, labels = some_images()
pair_distances(images, labels, counting=Counting(block_size=64, journal_dir=sys.argv[2], backend=workers))
"""

TWO_PROCESSES = """
import sys, jax, numpy as np
address, index, tests, out = sys.argv[1:]
jax.distributed.initialize(address, num_processes=2, process_id=int(index))
sys.path.insert(0, tests)
from compatibility_oracle import some_images
from lipjax.compatibility import Counting, pair_distances
images, labels = some_images()
result = pair_distances(images, labels, counting=Counting(block_size=64, journal_dir=out))
np.savez(f"{out}/result{index}.npz", different=result.histogram, same=result.same_class_histogram,
         neighbors=result.separation.neighbors, minima=result.class_minima)
"""


def counting(blocks: list[Block]) -> Callable[[Pairs, Bins, int], list[Worker]]:
    """The host backend, which notes the blocks that it counts."""

    def workers(pairs: Pairs, bins: Bins, block_size: int) -> list[Worker]:
        def count(block: Block) -> Counts:
            blocks.append(block)
            return host.workers(pairs, bins, block_size)[0](block)

        return [count]

    return workers


def script(source: str, *arguments: object) -> subprocess.Popen:
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(HERE.parents[1])}
    return subprocess.Popen([sys.executable, "-c", source, *map(str, arguments)], env=environment)


def test_a_run_that_was_killed_continues_where_it_was_and_counts_the_same(tmp_path: Path) -> None:
    assert script(KILLED, HERE, tmp_path).wait() == -signal.SIGKILL
    images, labels = some_images()
    blocks: list[Block] = []
    resumed = pair_distances(
        images, labels, counting=Counting(block_size=64, journal_dir=tmp_path, backend=counting(blocks))
    )
    assert 16 <= len(blocks) < 36  # 20 of 36 were done when it was killed, some of them in the journal
    expected = pair_distances(images, labels, counting=Counting(block_size=64))
    np.testing.assert_array_equal(resumed.histogram, expected.histogram)
    np.testing.assert_array_equal(resumed.same_class_histogram, expected.same_class_histogram)
    np.testing.assert_array_equal(resumed.separation.neighbors, expected.separation.neighbors)
    np.testing.assert_array_equal(resumed.class_minima, expected.class_minima)


def test_a_run_that_is_complete_counts_nothing_again_and_remembers_its_seconds(tmp_path: Path) -> None:
    images, labels = some_images(100)
    first = pair_distances(images, labels, counting=Counting(block_size=64, journal_dir=tmp_path))
    blocks: list[Block] = []
    again = pair_distances(
        images, labels, counting=Counting(block_size=64, journal_dir=tmp_path, backend=counting(blocks))
    )
    assert not blocks
    assert again.seconds == first.seconds > 0
    np.testing.assert_array_equal(again.histogram, first.histogram)


def test_a_journal_of_other_data_is_left_alone(tmp_path: Path) -> None:
    images, labels = some_images(100)
    pair_distances(images, labels, counting=Counting(journal_dir=tmp_path))
    changed = images.copy()
    changed[50, 0, 0, 0] += 1
    result = pair_distances(changed, labels, counting=Counting(journal_dir=tmp_path))
    np.testing.assert_array_equal(result.histogram, pair_distances(changed, labels).histogram)
    assert len(list(tmp_path.iterdir())) == 2


def test_required_slopes_continue_from_their_journal(tmp_path: Path) -> None:
    images, labels = some_images(100)
    first, again = (
        required_slopes(images, labels, alphas=[1.0, 3.0], counting=Counting(block_size=64, journal_dir=tmp_path))
        for _ in range(2)
    )
    assert again.seconds == first.seconds
    np.testing.assert_array_equal(again.anywhere.incompatible, first.anywhere.incompatible)


def test_two_processes_share_the_blocks_and_both_receive_all_counts(tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        address = f"localhost:{listener.getsockname()[1]}"
    processes = [script(TWO_PROCESSES, address, index, HERE, tmp_path) for index in range(2)]
    assert [process.wait() for process in processes] == [0, 0]
    images, labels = some_images()
    expected = pair_distances(images, labels)
    for index in range(2):
        with np.load(tmp_path / f"result{index}.npz") as counts:
            np.testing.assert_array_equal(counts["different"], expected.histogram)
            np.testing.assert_array_equal(counts["same"], expected.same_class_histogram)
            np.testing.assert_array_equal(counts["neighbors"], expected.separation.neighbors)
            np.testing.assert_array_equal(counts["minima"], expected.class_minima)
    journals = list(tmp_path.glob("*-of-2.npz"))
    assert len(journals) == 2
    done = []
    for path in journals:
        with np.load(path) as journal:
            done.append(int(journal["done"]))
    assert done == [18, 18]


def test_an_error_in_a_worker_ends_the_run_before_the_other_blocks() -> None:
    started: list[Block] = []

    def workers(pairs: Pairs, bins: Bins, block_size: int) -> list[Worker]:
        def count(block: Block) -> Counts:
            started.append(block)
            time.sleep(0.001)  # as counting does, so that who waits for it hears of it
            raise RuntimeError("device lost")

        return [count]

    images, labels = some_images()
    with pytest.raises(RuntimeError, match="device lost"):
        pair_distances(images, labels, counting=Counting(block_size=16, backend=workers))
    assert len(started) < 500  # of 528


def test_the_progress_bar_counts_pairs(capsys: pytest.CaptureFixture) -> None:
    images, labels = some_images(100)
    pair_distances(images, labels, counting=Counting(block_size=64, progress=True))
    assert "4.95k/4.95k" in capsys.readouterr().err
