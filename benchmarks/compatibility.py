"""Pair distances per second: lipjax against SciPy, PyTorch and the JAX one-liner, in one run on the same cores.

    python -m benchmarks.compatibility

Everybody measures the same random images of CIFAR-10's size. lipjax also counts histograms and nearest neighbours, the
others only compute a matrix of distances. Rounds take turns, so that whatever else runs slows all of them, and the
median is told. PyTorch is left out where it isn't installed.
"""

import importlib.util
import os
import statistics
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from scipy.spatial.distance import cdist

from lipjax.compatibility import Counting, device, host, pair_distances
from lipjax.compatibility.blocks import Backend
from lipjax.norms import Norm, l1, l2, linf

NUM_PIXELS = 3072
NUM_ROUNDS = 5
Measured = tuple[int, Callable[[], object]]
"""Number of pairs, and the computation of their distances."""


def images(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, NUM_PIXELS), dtype=np.uint8)


def lipjax_on(backend: Backend, norm: Norm, count: int, block_size: int = 1024) -> Measured:
    inputs, labels = images(count), np.arange(count) % 10
    counting = Counting(block_size, backend=backend)
    return count * (count - 1) // 2, lambda: pair_distances(inputs, labels, norm, counting=counting)


def scipy(count: int, metric: str) -> Measured:
    inputs = images(count).astype(np.float64)
    return count**2, lambda: cdist(inputs, inputs, metric)


def torch(count: int, p: float) -> Measured:
    import torch

    inputs = torch.from_numpy(images(count).astype(np.float32))
    return count**2, lambda: torch.cdist(inputs, inputs, p=p)


def jax_one_liner(count: int) -> Measured:
    inputs = jnp.asarray(images(count), jnp.float32)
    distances = jax.jit(lambda x: jnp.abs(x[:, None] - x[None, :]).max(-1))
    return count**2, lambda: distances(inputs).block_until_ready()


def candidates() -> dict[str, dict[str, Measured]]:
    """What is measured, by norm; in each norm the first one is compared with the others."""
    platform = jax.default_backend()
    xla_size = (1024, 1024) if platform == "cpu" else (32768, 4096)
    found = {
        "linf": {
            "lipjax, Numba": lipjax_on(host.workers, linf, 6144),
            f"lipjax, XLA on {platform}": lipjax_on(device.workers, linf, *xla_size),
            "jnp one-liner": jax_one_liner(1024),
            "scipy cdist": scipy(768, "chebyshev"),
        },
        "l1": {"lipjax, Numba": lipjax_on(host.workers, l1, 4096), "scipy cdist": scipy(768, "cityblock")},
        "l2": {"lipjax, Numba": lipjax_on(host.workers, l2, 4096), "scipy cdist": scipy(768, "sqeuclidean")},
    }
    if importlib.util.find_spec("torch") is None:
        print("torch.cdist is left out: PyTorch is not installed (pip install torch)")
        return found
    for norm, p in (("linf", float("inf")), ("l1", 1.0), ("l2", 2.0)):
        found[norm]["torch cdist"] = torch(768, p)
    return found


def medians(computations: list[Callable[[], object]]) -> list[float]:
    """Seconds of each: the median of rounds in which they take turns, after one in which they compile."""
    seconds: list[list[float]] = [[] for _ in computations]
    for _ in range(NUM_ROUNDS + 1):
        for compute, spent in zip(computations, seconds, strict=True):
            started = time.perf_counter()
            compute()
            spent.append(time.perf_counter() - started)
    return [statistics.median(spent[1:]) for spent in seconds]


def main() -> None:
    print(f"{len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f}, {NUM_PIXELS} features per example")
    for norm, measured in candidates().items():
        pairs, computations = zip(*measured.values(), strict=True)
        rates = np.array(pairs) / medians(list(computations))
        for name, rate in zip(measured, rates, strict=True):
            print(
                f"{norm:5} {name:20} {rate:9.3g} pairs/s {rate * NUM_PIXELS / 1e9:6.1f} G features/s"
                f"   lipjax is {rates[0] / rate:6.1f} times as fast"
            )


if __name__ == "__main__":
    main()
