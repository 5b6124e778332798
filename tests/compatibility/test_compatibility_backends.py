"""Every backend counts a block as the reference does, on one device and on eight."""

import os
import subprocess
import sys
from pathlib import Path

import compatibility_reference as reference
import jax
import numpy as np
import pytest
from compatibility_oracle import some_images

from lipjax.compatibility import Counting, device, host, pair_distances
from lipjax.compatibility.bins import with_guide
from lipjax.compatibility.blocks import Backend, Block, Counts, Pairs, absorb, cut, no_counts
from lipjax.compatibility.distances import edges_of, pairs_of
from lipjax.norms import Norm, l1, l2, linf

NORMS = pytest.mark.parametrize("norm", [linf, l1, l2], ids=lambda norm: norm.name)
BACKENDS = pytest.mark.parametrize("backend", [host, device], ids=lambda module: module.__name__.split(".")[-1])


def counts_of(backend: Backend, pairs: Pairs, blocks: list[Block], size: int) -> Counts:
    bins = with_guide(edges_of(pairs))
    worker = backend(pairs, bins, size)[0]
    total = no_counts(pairs, bins.edges)
    for block in blocks:
        absorb(total, block, worker(block))
    return total


def assert_same(first: Counts, second: Counts) -> None:
    for name, value, other in zip(Counts._fields, first, second, strict=True):
        np.testing.assert_array_equal(value, other, err_msg=name)


@BACKENDS
@NORMS
@pytest.mark.parametrize("between", [False, True])
def test_a_backend_counts_what_the_reference_counts(backend: object, norm: Norm, between: bool) -> None:
    images, labels = some_images(150)
    other = some_images(90, seed=1) if between else None
    pairs, _ = pairs_of(images, labels, norm, other)
    blocks = cut(150, 90 if between else 150, 64, within=not between)
    expected = counts_of(reference.workers, pairs, blocks, 64)
    assert_same(counts_of(backend.workers, pairs, blocks, 64), expected)
    assert_same(counts_of(backend.workers, pairs, blocks[::-1], 64), expected)


@BACKENDS
def test_a_backend_counts_bins_that_are_no_range_as_the_reference_does(backend: object) -> None:
    images, labels = some_images(200, (10, 10))
    pairs, _ = pairs_of(images, labels, l2, None)
    blocks = cut(200, 200, 128, within=True)
    assert len(edges_of(pairs)) < edges_of(pairs)[-1]
    assert_same(counts_of(backend.workers, pairs, blocks, 128), counts_of(reference.workers, pairs, blocks, 128))


def test_the_program_for_accelerators_refuses_what_does_not_fit_in_32_bits() -> None:
    features = np.array([[0.1], [0.25]])
    with pytest.raises(ValueError, match="only images"):
        pair_distances(features, np.array([0, 1]), counting=Counting(backend=device.workers))
    corners = np.array([[0], [255]], np.uint8).repeat(34000, axis=1)
    with pytest.raises(ValueError, match="under 2\\^31"):
        pair_distances(corners, np.array([0, 1]), l2, counting=Counting(backend=device.workers))


def test_on_an_accelerator_the_xla_program_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    used = []
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    workers = device.workers
    monkeypatch.setattr(device, "workers", lambda *arguments: used.append("device") or workers(*arguments))
    images, labels = some_images(6)
    pair_distances(images, labels, counting=Counting(block_size=64))
    assert used == ["device"]
    pair_distances(np.array([[0.1], [0.25]]), np.array([0, 1]))  # floats stay on the host
    assert used == ["device"]


EIGHT_DEVICES = """
import sys, jax, numpy as np
sys.path.insert(0, sys.argv[1])
from compatibility_oracle import some_images
from lipjax.compatibility import Counting, device, pair_distances
assert jax.local_device_count() == 8
images, labels = some_images()
result = pair_distances(images, labels, counting=Counting(backend=device.workers, block_size=64))
np.savez(sys.argv[2], different=result.histogram, same=result.same_class_histogram,
         neighbors=result.separation.neighbors, minima=result.class_minima)
"""


def test_eight_devices_count_what_one_does(tmp_path: Path) -> None:
    here = Path(__file__).parent
    environment = {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=8",
        "PYTHONPATH": str(here.parents[1]),
    }
    subprocess.run(
        [sys.executable, "-c", EIGHT_DEVICES, str(here), str(tmp_path / "counts.npz")], env=environment, check=True
    )
    images, labels = some_images()
    expected = pair_distances(images, labels)
    with np.load(tmp_path / "counts.npz") as counts:
        np.testing.assert_array_equal(counts["different"], expected.histogram)
        np.testing.assert_array_equal(counts["same"], expected.same_class_histogram)
        np.testing.assert_array_equal(counts["neighbors"], expected.separation.neighbors)
        np.testing.assert_array_equal(counts["minima"], expected.class_minima)
