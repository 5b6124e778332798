"""The rows of the comparison."""

import inspect
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lipjax import methods, networks, norms, systems
from lipjax.types import Batch, Method, Model, Output

FAMILY = partial(networks.mlp, 3, widths=(4, 4))
CERTIFIED = {name: getattr(systems, name) for name in ("spectral", "aol", "sll", "orthogonal")}
ROWS = systems.TALK | CERTIFIED


def params_of(system):
    return system.network.init(jax.random.key(0), (5,)).params


def test_the_talks_five_rows_are_there():
    assert list(systems.TALK) == ["V", "P", "L2NN", "L", "PGD"]


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize(
    "family",
    [
        FAMILY,
        partial(networks.cnn, 3, channels=(2,), widths=(4,)),
        partial(networks.wide_resnet, 3, 10, 1),
        partial(networks.l2_nonexpansive, 3, trunk_stages=((2,),), trunk_widths=(4,), head_widths=(2,)),
    ],
    ids=["mlp", "cnn", "wide_resnet", "l2_nonexpansive"],
)
def test_every_row_takes_every_family(row, family):
    network, _ = ROWS[row](family)

    def logits(key, inputs):
        return network.apply(network.init(key, (8, 8, 3)), inputs, train=False)[0].logits

    assert jax.eval_shape(logits, jax.random.key(0), jnp.zeros((2, 8, 8, 3))).shape == (2, 3)


def test_the_plain_row_is_the_family_without_hooks():
    system = systems.vanilla(FAMILY)
    assert system.method.loss is None
    params = params_of(system)
    assert system.method.project(params) is params
    expected = FAMILY(layers=networks.vanilla).init(jax.random.key(0), (5,)).params
    jax.tree.map(np.testing.assert_array_equal, params, expected)


def test_a_combination_takes_the_layers_of_the_row_that_chooses_and_chains_the_methods(key):
    row = systems.combine(
        systems.laplacian, partial(systems.parseval, beta=0.1), partial(systems.adversarial, radius=0.05)
    )
    system = row(FAMILY)
    params = params_of(system)
    jax.tree.map(np.testing.assert_array_equal, params, params_of(systems.parseval(FAMILY)))
    stretched = jax.tree.map(lambda leaf: 2.0 * leaf, params)
    np.testing.assert_allclose(
        system.method.project(stretched)["logits"]["kernel"],
        systems.parseval(FAMILY, beta=0.1).method.project(stretched)["logits"]["kernel"],
    )
    model = Model(system.network, system.network.init(key, (5,)))
    batch = Batch(jax.random.uniform(key, (2, 5)), jnp.array([0, 1]))
    moved = system.method.perturb(key, model, batch).inputs - batch.inputs
    assert 0.0 < norms.linf.value(moved) <= 0.05 + 1e-6
    output = Output(jnp.zeros((2, 3)), {"a": jnp.eye(2), "b": jnp.ones((2, 2))})
    assert set(system.method.penalize(key, model, batch, output)) == {"laplacian"}


def test_a_combination_without_layers_of_its_own_keeps_the_familys():
    row = systems.combine(systems.laplacian, systems.adversarial)
    jax.tree.map(np.testing.assert_array_equal, params_of(row(FAMILY)), params_of(systems.vanilla(FAMILY)))


def test_the_nonexpansive_row_keeps_its_trained_scales_in_a_combination():
    system = systems.combine(systems.l2_nonexpansive, systems.adversarial)(FAMILY)
    assert set(params_of(system)) == {"network", "scales"}
    assert system.method.loss is not None


def test_two_rows_that_choose_the_layers_are_refused():
    with pytest.raises(ValueError, match="at most one of the combined systems may choose the layers, got 2"):
        systems.combine(systems.parseval, systems.l2_nonexpansive)(FAMILY)


def test_lassances_layers_are_an_option_of_the_parseval_row():
    system = systems.parseval(partial(networks.wide_resnet, 3, 10, 1), layers=networks.parseval_lassance)
    shapes = jax.eval_shape(lambda key: system.network.init(key, (8, 8, 3)), jax.random.key(0))
    assert not any("merge" in name for name in shapes.params)


@pytest.mark.parametrize("name", CERTIFIED)
def test_a_certified_row_has_the_layers_of_its_name_and_the_loss_for_margins(name):
    system = CERTIFIED[name](FAMILY, offset=0.5, temperature=2.0)
    expected = FAMILY(layers=getattr(networks, name)).init(jax.random.key(0), (5,)).params
    jax.tree.map(np.testing.assert_array_equal, params_of(system), expected)
    batch, output = (
        Batch(jnp.ones((2, 5)), jnp.array([0, 2])),
        Output(jnp.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]), {}),
    )
    model = Model(system.network, system.network.init(jax.random.key(0), (5,)))
    terms = system.method.loss(model, batch, output)
    assert terms == methods.offset(0.5, 2.0).loss(model, batch, output)
    assert list(terms) == ["offset_cross_entropy"]


ON_PLAIN_FAMILIES = (
    "laplacian",
    "adversarial",
    "fast_adversarial",
    "trades",
    "local_linearity",
    "input_gradient",
    "jacobian",
    "gaussian",
)


@pytest.mark.parametrize("name", ON_PLAIN_FAMILIES)
def test_a_rows_options_have_the_defaults_of_its_method_and_reach_it(name, monkeypatch):
    row, constructor = getattr(systems, name), getattr(methods, name)
    of_row, of_method = (
        {key: value.default for key, value in inspect.signature(each).parameters.items() if key != "family"}
        for each in (row, constructor)
    )
    assert of_row == {key: of_method[key] for key in of_row}
    calls = []
    monkeypatch.setattr(methods, name, lambda *args, **kwargs: calls.append((args, kwargs)) or Method())
    options = {key: 1 if default is None else default for key, default in of_row.items()}
    row(FAMILY, **options)
    assert inspect.signature(constructor).bind(*calls[0][0], **calls[0][1]).arguments == options


def test_the_variants_of_parseval_have_the_layers_and_the_retraction_of_their_sources():
    family = partial(networks.wide_resnet, 3, 10, 1)
    shapes = {
        name: jax.eval_shape(lambda row=row: row(family).network.init(jax.random.key(0), (8, 8, 1))).params
        for name, row in (("cisse", systems.parseval_cisse), ("lassance", systems.parseval_lassance))
    }
    trained = {name: "aggregation" in str(tree) for name, tree in shapes.items()}
    assert trained == {"cisse": True, "lassance": False}
    system = systems.parseval_cisse(FAMILY)
    params = jax.tree.map(lambda leaf: 2.0 * leaf, params_of(system))
    jax.tree.map(np.testing.assert_array_equal, system.method.project(params), params)
    retracted = system.method.retract(jax.random.key(0), params)["dense1"]["kernel"]
    assert np.sum(np.any(retracted != params["dense1"]["kernel"], axis=0)) == 1  # three tenths of four rows, rounded
