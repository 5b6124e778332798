"""Many points: the same values on one device and on eight, and memory that does not grow with their number."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lipjax import parallel
from lipjax.estimators import curve, growing_slope

CHEAP = growing_slope(num_samples=2, num_steps=1, num_restarts=1)
EIGHT_DEVICES = """
import jax, jax.numpy as jnp, numpy as np
from lipjax import parallel
from lipjax.estimators import curve, growing_slope, sampled_slope

assert jax.device_count() == 8
xs = np.random.default_rng(0).uniform(size=(19, 3)).astype(np.float32)  # more than two each, but not three
key, every = jax.random.key(0), parallel.mesh()

def bumps(x):
    return jnp.stack([jnp.sin(5.0 * x).sum(), jnp.maximum(x, 0.4).sum()])

def search(**settings):
    return curve(key, growing_slope(num_samples=4, num_steps=2), bumps, xs, [0.05, 0.2], **settings)

one, eight = search(chunk_size=5), search(chunk_size=2, mesh=every)
np.testing.assert_allclose(eight.values, one.values, rtol=1e-5)
np.testing.assert_array_equal(eight.steepest, one.steepest)
np.testing.assert_allclose(eight.witnesses, one.witnesses, rtol=1e-5)

def sample(**settings):
    return curve(key, sampled_slope(), bumps, xs[:5], [0.1], keep_witnesses=True, **settings)

for a, b in zip(jax.tree.leaves(sample()), jax.tree.leaves(sample(mesh=every)), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-5)
"""


def test_eight_devices_find_what_one_finds() -> None:
    flags = {"XLA_FLAGS": f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=8"}
    path = str(Path(parallel.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", EIGHT_DEVICES],
        env={**os.environ, **flags, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_a_mesh_of_one_device_changes_no_value(key: jax.Array) -> None:
    xs = np.random.default_rng(0).uniform(size=(3, 2)).astype(np.float32)
    plain = curve(key, CHEAP, jnp.sin, xs, [0.05])
    meshed = curve(key, CHEAP, jnp.sin, xs, [0.05], mesh=parallel.mesh(jax.devices()[:1]))
    np.testing.assert_allclose(meshed.values, plain.values, rtol=1e-6)


@pytest.mark.parametrize("keep_witnesses", [False, True])
def test_memory_grows_less_than_a_fifth_when_points_grow_tenfold(keep_witnesses: bool, key: jax.Array) -> None:
    weights = np.random.default_rng(0).normal(size=(2000, 4)).astype(np.float32)

    def wide(x: jax.Array) -> jax.Array:
        return weights.T @ jnp.tanh(weights @ x)

    def peak(num_points: int) -> int:
        def search(xs: jax.Array) -> jax.Array:
            return curve(key, CHEAP, wide, xs, [0.1, 0.3], chunk_size=8, keep_witnesses=keep_witnesses).values

        memory = jax.jit(search).lower(jnp.zeros((num_points, 4))).compile().memory_analysis()
        return memory.temp_size_in_bytes + memory.output_size_in_bytes

    assert peak(1000) < 1.2 * peak(100)
