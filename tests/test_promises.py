"""Hard promises on trained weights: exact norms, a search for a violating pair, certificates against attacks."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lipjax import attacks, bounds, certificates, datasets, estimators, evaluation, networks, norms, systems, training
from lipjax.bounds.program import trace
from lipjax.types import Batch, Model, single

pytestmark = pytest.mark.slow

SHAPE = (9, 8, 1)
ROWS = ("l2_nonexpansive", "spectral", "aol", "sll", "orthogonal")
NETWORK = networks.cnn(3, channels=(3, 4), widths=(5,), mean=0.4)
# What runs for milliseconds need not be compiled for minutes.
quickly = partial(
    jax.jit, compiler_options={"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
)
each_row = pytest.mark.parametrize("row", ROWS)


@pytest.fixture(scope="module")
def dataset():
    """Small images of three classes, told apart by where they are bright."""
    rng = np.random.default_rng(0)
    labels = np.arange(90) % 3
    inputs = 0.4 * rng.random((90, *SHAPE))
    for label in range(3):
        inputs[labels == label, 3 * label : 3 * label + 3] += 0.5
    return datasets.from_arrays("stripes", (inputs[:60], labels[:60]), (inputs[60:], labels[60:]))


@pytest.fixture(scope="module")
def models(dataset):
    """Every row after some steps so large that no weight is near where it started."""
    batch = Batch(jnp.asarray(dataset.train.inputs), jnp.asarray(dataset.train.labels))

    def trained(row):
        system, optimizer, key = systems.ROWS[row](NETWORK), training.adam(0.2), jax.random.key(0)
        state = quickly(lambda key: training.init(key, system.network, SHAPE, optimizer))(key)
        step = quickly(training.make_step(*system, optimizer))
        for _ in range(12):
            state, _ = step(key, state, batch)
        return Model(system.network, state.variables)

    return {row: trained(row) for row in ROWS}


@pytest.fixture(scope="module")
def functions(models):
    """The models as functions of one input, their kernels computed once, which compile faster."""
    return {row: trace(model, SHAPE).run for row, model in models.items()}


@each_row
def test_the_functions_are_the_models(models, functions, dataset, row):
    expected = evaluation.logits(models[row], dataset.test)
    np.testing.assert_allclose(evaluation.logits(functions[row], dataset.test), expected, rtol=1e-4, atol=1e-5)


@each_row
def test_no_layer_and_no_network_has_a_norm_above_one_after_training(models, row):
    report = bounds.audit(models[row], SHAPE, tolerance=1e-5)
    assert report.exceeding == report.unknown == ()
    assert 0.0 < report.bound <= 1.0 + 1e-5


@each_row
def test_every_jacobian_is_within_the_global_bound(models, functions, dataset, row):
    jacobians = quickly(jax.vmap(jax.jacrev(functions[row])))(jnp.asarray(dataset.test.inputs[:8]))
    steepest = np.linalg.norm(np.asarray(jacobians, np.float64).reshape(8, 3, -1), 2, axis=(1, 2)).max()
    assert 0.0 < steepest <= bounds.global_bound(models[row], SHAPE) * (1 + 1e-5)


@quickly
def steepest_pair(f, x):
    """The steepest pair of points that a search finds, by one program for all frozen models of the same layers."""
    search = estimators.pairwise_slope(norms.l2.ball(1.0, None), num_samples=16, num_steps=10, num_restarts=2)
    return search(jax.random.key(1), f, x).value


@each_row
def test_no_search_finds_a_pair_that_is_pulled_apart(models, dataset, row):
    frozen = models[row].network.freeze(models[row].variables, SHAPE)
    found = steepest_pair(single(frozen), jnp.asarray(dataset.test.inputs[0]))
    assert 0.0 < float(found) <= bounds.global_bound(models[row], SHAPE) * (1 + 1e-4)


@pytest.mark.parametrize(("row", "attack"), [("l2_nonexpansive", attacks.pgd), ("aol", attacks.apgd)])
def test_certified_accuracy_is_below_clean_accuracy_and_below_what_attacks_leave(
    models, functions, dataset, row, attack
):
    model, test, radius = models[row], dataset.test, 0.1
    radii = certificates.certified_radii(model, test, bounds.gap_bound(model, SHAPE))
    clean, certified, far = certificates.certified(radii, [0.0, radius, 100.0]).mean(axis=0)
    assert clean == evaluation.accuracy(model, test)
    assert clean >= certified > far == 0.0
    found = attack(norms.l2.ball(radius, None), num_steps=10)
    assert certified <= evaluation.robust_accuracy(jax.random.key(2), functions[row], test, found)
