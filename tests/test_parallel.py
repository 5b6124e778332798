import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from lipjax import parallel

EIGHT_DEVICES = """
import jax, jax.numpy as jnp, numpy as np, optax
from lipjax import attacks, augmentation, datasets, estimators, measurements, methods, networks, norms, parallel
from lipjax import training
from lipjax.types import System

assert jax.device_count() == 8
dataset = datasets.load("fashion_mnist_mini", dtype="uint8")
method = methods.adversarial(norms.linf.ball(0.05), num_steps=2)
system = System(networks.mlp(10, widths=(16,)), method)

def train(mesh):
    lines = []
    model = training.fit(
        jax.random.key(0), system, dataset, optax.sgd(0.1, momentum=0.9), num_steps=6, batch_size=64,
        augment=augmentation.random_crop(2), execution=training.Execution(
            log_every=1, checkpoint_every=1, mesh=mesh, log=lambda step, terms: lines.append(terms)
        ),
    )
    return model, lines

streamed = training.fit(
    jax.random.key(0), system, dataset, optax.sgd(0.1, momentum=0.9), num_steps=6, batch_size=64,
    augment=augmentation.random_crop(2), execution=training.Execution(
        log_every=1, checkpoint_every=1, mesh=parallel.mesh(), stream=True
    ),
)

batch = parallel.shard_batch(jnp.arange(16.0), parallel.mesh())
assert len({shard.device for shard in batch.addressable_shards}) == 8
assert all(shard.data.shape == (2,) for shard in batch.addressable_shards)

(one, lines), (model, parallel_lines) = train(None), train(parallel.mesh())
for leaf in jax.tree.leaves(model.variables):
    assert len(leaf.sharding.device_set) == 8 and leaf.sharding.is_fully_replicated
for a, b in zip(jax.tree.leaves(one.variables), jax.tree.leaves(model.variables), strict=True):
    np.testing.assert_allclose(a, b, atol=1e-5)
for a, b in zip(lines, parallel_lines, strict=True):
    np.testing.assert_allclose(a["loss"], b["loss"], rtol=1e-4)

for a, b in zip(jax.tree.leaves(streamed.variables), jax.tree.leaves(model.variables), strict=True):
    np.testing.assert_array_equal(a, b)

pack = [training.Trainee(jax.random.key(seed), system, training.sgd(0.1)) for seed in range(3)]
execution = training.Execution(log_every=2, checkpoint_every=2, steps_per_dispatch=2)
options = {"num_steps": 4, "batch_size": 50, "way": "map"}  # neither divides among eight
together = [
    training.fit_together(pack, dataset, execution=execution._replace(mesh=mesh, stream=stream), **options)
    for mesh, stream in [(None, False), (parallel.mesh(), False), (parallel.mesh(), True)]
]
for one, *others in zip(*together, strict=True):
    for a, *eight in zip(*(jax.tree.leaves(each.variables) for each in (one, *others)), strict=True):
        for b in eight:
            np.testing.assert_array_equal(a, b)

few = datasets.subset(dataset, 20, 13)
asked = [
    measurements.clean(),
    measurements.corrupted(("contrast",), severities=(3,)),
    measurements.attacked(attacks.fgsm(norms.linf.ball(0.05))),
    measurements.alpha((0.1,), estimators.sampled_slope(num_samples=2), num_points=5, num_bounded=3),
    measurements.confidence(num_points=5),
    measurements.smoothed(num_samples=50, num_examples=1),
]
answers = []
for mesh in (None, parallel.mesh()):
    with parallel.over(mesh):
        answers.append(measurements.measure(jax.random.key(1), {"PGD": model}, few, asked))
for name in answers[0].data_vars:
    np.testing.assert_allclose(*(one[name] for one in answers), rtol=1e-3, atol=1e-4)
"""


def test_eight_devices_train_and_measure_the_same_as_one_and_share_a_pack() -> None:
    flags = {"XLA_FLAGS": f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=8"}
    path = str(Path(parallel.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", EIGHT_DEVICES],
        env={**os.environ, **flags, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_without_a_mesh_a_batch_stays_as_it_is() -> None:
    batch = jnp.arange(6.0)
    assert parallel.shard_batch(batch, None) is batch


def test_one_device_is_a_mesh_that_changes_no_value() -> None:
    mesh = parallel.mesh(jax.devices()[:1])
    batch = {"inputs": jnp.arange(6.0), "labels": jnp.arange(6)}
    for tree in (parallel.shard_batch(batch, mesh), parallel.replicate(batch, mesh)):
        jax.tree.map(np.testing.assert_array_equal, tree, batch)


def test_a_batch_is_spread_inside_jit_too() -> None:
    mesh = parallel.mesh(jax.devices()[:1])
    doubled = jax.jit(lambda batch: parallel.shard_batch(2 * batch, mesh))(jnp.arange(4.0))
    np.testing.assert_array_equal(doubled, [0, 2, 4, 6])


def test_a_single_process_is_the_main_one() -> None:
    assert parallel.is_main_process()
