"""What every method promises, one row per method."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lipjax import layers, networks, norms
from lipjax.methods import (
    adversarial,
    chain,
    fast_adversarial,
    gaussian,
    input_gradient,
    jacobian,
    l2_nonexpansive,
    label_smoothing,
    laplacian,
    local_linearity,
    local_slope,
    mixup,
    offset,
    parseval,
    trades,
    with_scales,
)
from lipjax.types import Batch, Method, Model, Variables

METHODS = {
    "vanilla": Method(),
    "adversarial": adversarial(norms.linf.ball(0.1), num_steps=2),
    "adversarial_l2": adversarial(norms.l2.ball(0.3), num_steps=1),
    "parseval": parseval(),
    "parseval_rows": parseval(row_fraction=0.3, hidden_only=True),
    "laplacian": laplacian(),
    "laplacian_knn": laplacian(power=3, num_neighbors=2),
    "l2_nonexpansive": l2_nonexpansive(),
    "fast_adversarial": fast_adversarial(),
    "trades": trades(num_steps=1),
    "local_linearity": local_linearity(num_steps=1),
    "input_gradient": input_gradient(),
    "jacobian": jacobian(),
    "gaussian": gaussian(),
    "local_slope": local_slope(norms.l2.ball(0.2), weight=0.1, alpha=0.1, num_steps=1),
    "offset": offset(),
    "mixup": mixup(),
    "label_smoothing": label_smoothing(),
}
SOFT = ("mixup", "label_smoothing")
COMBINED = {
    "parseval+laplacian": chain(parseval(), laplacian()),
    "parseval+adversarial": chain(parseval(), adversarial(num_steps=1)),
    "laplacian+adversarial": chain(laplacian(), adversarial(num_steps=1)),
    "parseval+laplacian+adversarial": chain(parseval(), laplacian(), adversarial(num_steps=1)),
}
EVERY = METHODS | COMBINED
UNOPTIMISED = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}  # compiles faster
each_method = pytest.mark.parametrize("name", EVERY)


@pytest.fixture(scope="module")
def model():
    network = with_scales(networks.mlp(3, widths=(6, 5), layers=layers.parseval))
    return Model(network, network.init(jax.random.key(0), (4, 4, 1)))


@pytest.fixture(scope="module")
def batch():
    return Batch(jax.random.uniform(jax.random.key(1), (5, 4, 4, 1)), np.arange(5) % 3)


def terms_of(method, key, model, batch):
    """All terms of one training step's loss, as a function of the parameters, and the batch that it saw."""
    perturbed = method.perturb(key, model, batch)

    def terms(params):
        moved = Model(model.network, Variables(params, model.variables.state))
        output, _ = moved(perturbed.inputs, train=True)
        loss = method.loss(moved, perturbed, output)
        return {"loss": loss, "penalty": method.penalize(key, moved, perturbed, output)}

    return terms, perturbed


@functools.cache
def compiled_step(name):
    method = EVERY[name]

    def step(key, model, batch):
        terms, perturbed = terms_of(method, key, model, batch)
        total = lambda params: sum(jax.tree.leaves(terms(params)))  # noqa: E731
        params = model.variables.params
        moved = method.project(method.retract(key, params))
        return terms(params), jax.grad(total)(params), perturbed, moved

    return jax.jit(step, compiler_options=UNOPTIMISED)


@pytest.fixture(scope="module")
def steps(model, batch):
    return {name: compiled_step(name)(jax.random.key(2), model, batch) for name in EVERY}


@each_method
def test_the_hooks_keep_shapes_and_types(steps, model, batch, name):
    _, _, perturbed, projected = steps[name]
    assert perturbed.inputs.shape == batch.inputs.shape
    assert perturbed.inputs.dtype == jnp.float32
    if name in SOFT:
        assert perturbed.labels.shape == (5, 3)
        np.testing.assert_allclose(jnp.sum(perturbed.labels, axis=1), 1.0, rtol=1e-6)
    else:
        np.testing.assert_array_equal(perturbed.labels, batch.labels)
    for before, after in zip(jax.tree.leaves(model.variables.params), jax.tree.leaves(projected), strict=True):
        assert (before.shape, before.dtype) == (after.shape, after.dtype)


@each_method
def test_the_terms_are_finite_named_scalars(steps, name):
    terms = steps[name][0]
    assert not terms["loss"].keys() & terms["penalty"].keys()
    for value in jax.tree.leaves(terms):
        assert value.shape == ()
        assert jnp.isfinite(value)


@each_method
def test_the_gradient_is_finite_even_for_an_input_of_zeros(model, batch, name):
    zeroed = batch._replace(inputs=batch.inputs.at[0].set(0.0))
    # In a network without biases an input of zeros has representations of zeros, where norms have a corner.
    gradient = compiled_step(name)(jax.random.key(2), model, zeroed)[1]
    assert all(jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(gradient))
    assert any(jnp.any(leaf != 0.0) for leaf in jax.tree.leaves(gradient))


@each_method
def test_projecting_twice_from_orthonormal_kernels_stays_there(model, name):
    params = model.variables.params
    once = EVERY[name].project(params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), once, params)


@pytest.mark.parametrize("name", COMBINED)
def test_a_combination_does_what_each_of_its_methods_does(steps, model, name):
    parts = name.split("+")
    terms, _, perturbed, _ = steps[name]
    assert list(terms["penalty"]) == [term for part in parts for term in steps[part][0]["penalty"]]
    stretched = jax.tree.map(lambda leaf: 1.5 * leaf, model.variables.params)
    expected = EVERY["parseval" if "parseval" in parts else "vanilla"].project(stretched)
    jax.tree.map(np.testing.assert_array_equal, EVERY[name].project(stretched), expected)
    moves = np.abs(perturbed.inputs - steps["vanilla"][2].inputs).max()
    assert (moves > 0.01) == ("adversarial" in parts)


@pytest.mark.parametrize("pair", list(itertools.combinations(METHODS, 2)), ids="+".join)
def test_every_pair_of_different_methods_chains(model, batch, pair):
    if pair[0].split("_")[0] == pair[1].split("_")[0]:
        pytest.skip("two settings of one method")
    if all(METHODS[name].replaces_loss for name in pair):
        with pytest.raises(ValueError, match="at most one method may replace the loss, got 2"):
            chain(*(METHODS[name] for name in pair))
        return
    chained = chain(*(METHODS[name] for name in pair))

    def trace(model, batch):
        terms, _ = terms_of(chained, jax.random.key(2), model, batch)
        return terms(model.variables.params), chained.project(model.variables.params)

    terms, _ = jax.eval_shape(trace, model, batch)
    names = {name for group in terms.values() for name in group}
    assert "l2_nonexpansive" not in pair or {"gap", "nonexpansive"} <= names
    assert not any(name.startswith("laplacian") for name in pair) or "laplacian" in names
