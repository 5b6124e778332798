"""Programs lower for accelerators, with the choices that are made there, on a machine that has none."""

import jax
import jax.export
import jax.numpy as jnp
import pytest

from lipjax import attacks, corruptions, estimators, networks, training
from lipjax.norms import l2
from lipjax.training.step import init, make_step
from lipjax.types import Batch, Method, Model

KEY = jax.random.key(0)
BATCH = Batch(jnp.ones((2, 8, 8, 1)), jnp.zeros(2, int))
NETWORK = networks.cnn(3, channels=(4,), widths=(4,))


def training_step():
    optimizer = training.sgd(0.1)
    step = make_step(NETWORK, Method(), optimizer)
    return lambda batch: step(KEY, init(KEY, NETWORK, (8, 8, 1), optimizer), batch)


def around(search):
    model = Model(NETWORK, NETWORK.init(KEY, (8, 8, 1)))
    return lambda batch: search(model.single, batch.inputs[0])


PROGRAMS = {
    "step": training_step,
    "pgd": lambda: around(lambda f, x: attacks.pgd(num_steps=2)(KEY, attacks.evasion(f, 0), x)),
    "slope": lambda: around(lambda f, x: estimators.sampled_slope(l2.ball(0.1), num_samples=2)(KEY, f, x)),
    "noise": lambda: lambda batch: corruptions.gaussian_noise(0.1)(KEY, (255 * batch.inputs[0]).astype(jnp.uint8)),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_lower_for_accelerators(name, monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    exported = jax.export.export(jax.jit(PROGRAMS[name]()), platforms=("cuda", "tpu"))(BATCH)
    assert ("stablehlo.convolution" in exported.mlir_module()) == (name != "noise")
