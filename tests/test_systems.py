"""The rows of the comparison."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lipjax import layers, methods, networks, norms, systems
from lipjax.systems import ROWS, Row, combine
from lipjax.types import Batch, Method, Model, Output

NETWORK = networks.mlp(3, widths=(4, 4))
CERTIFIED = ("spectral", "aol", "sll", "orthogonal")


def params_of(system):
    return system.network.init(jax.random.key(0), (5,)).params


def test_the_talks_five_rows_are_there():
    assert list(systems.TALK) == ["V", "P", "L2NN", "L", "PGD"]
    assert systems.TALK.items() <= ROWS.items()


def test_every_method_is_a_row():
    for name, method in methods.NAMES.items():
        assert ROWS[name].method == method()


@pytest.mark.parametrize("name", [*systems.TALK, *CERTIFIED])
@pytest.mark.parametrize(
    "network",
    [
        NETWORK,
        networks.cnn(3, channels=(2,), widths=(4,)),
        networks.wide_resnet(3, 10, 1),
        networks.per_class(3, trunk_stages=((2,),), trunk_widths=(4,), head_widths=(2,)),
    ],
    ids=lambda network: type(network).__name__,
)
def test_every_row_takes_every_family(name, network):
    network, _ = ROWS[name](network)

    def logits(key, inputs):
        return network.apply(network.init(key, (8, 8, 3)), inputs, train=False)[0].logits

    assert jax.eval_shape(logits, jax.random.key(0), jnp.zeros((2, 8, 8, 3))).shape == (2, 3)


def test_the_plain_row_is_the_network_without_hooks():
    assert systems.vanilla(NETWORK) == (NETWORK, Method())


def test_a_combination_takes_the_layers_of_the_row_that_chooses_and_chains_the_methods(key):
    parts = [methods.laplacian(), methods.parseval(0.1), methods.adversarial(norms.linf.ball(0.05))]
    row = combine(Row(method=parts[0]), Row(layers.parseval, parts[1]), Row(method=parts[2]))
    assert row == Row(layers.parseval, methods.chain(*parts))
    system = row(NETWORK)
    assert system.network == NETWORK.replace(layers=layers.parseval)
    stretched = jax.tree.map(lambda leaf: 2.0 * leaf, params_of(system))
    np.testing.assert_allclose(
        system.method.project(stretched)["logits"]["kernel"], parts[1].project(stretched)["logits"]["kernel"]
    )
    model = Model(system.network, system.network.init(key, (5,)))
    batch = Batch(jax.random.uniform(key, (2, 5)), jnp.array([0, 1]))
    moved = system.method.perturb(key, model, batch).inputs - batch.inputs
    assert 0.0 < norms.linf.value(moved) <= 0.05 + 1e-6
    output = Output(jnp.zeros((2, 3)), {"a": jnp.eye(2), "b": jnp.ones((2, 2))})
    assert set(system.method.penalize(key, model, batch, output)) == {"laplacian"}


def test_a_combination_without_layers_of_its_own_keeps_the_networks():
    assert combine(systems.laplacian, systems.adversarial)(NETWORK).network == NETWORK


def test_the_nonexpansive_row_keeps_its_trained_scales_in_a_combination():
    system = combine(systems.l2_nonexpansive, systems.adversarial)(NETWORK)
    assert set(params_of(system)) == {"network", "scales"}
    assert system.method.replaces_loss


def test_two_rows_that_choose_the_layers_are_refused():
    with pytest.raises(ValueError, match="at most one of the combined systems may choose the layers, got 2"):
        combine(systems.parseval, systems.l2_nonexpansive)


def test_two_rows_that_replace_the_loss_are_refused():
    with pytest.raises(ValueError, match="at most one method may replace the loss, got 2"):
        combine(Row(method=methods.offset()), Row(method=methods.l2_nonexpansive()))


@pytest.mark.parametrize("name", CERTIFIED)
def test_a_certified_row_has_the_layers_of_its_name_and_the_loss_for_margins(name):
    assert ROWS[name].layers == layers.named(name)
    assert type(ROWS[name].method) is methods.offset


def test_the_variants_of_parseval_have_the_layers_and_the_retraction_of_their_sources():
    network = networks.wide_resnet(3, 10, 1)
    shapes = {
        name: jax.eval_shape(lambda row=row: row(network).network.init(jax.random.key(0), (8, 8, 1))).params
        for name, row in (("cisse", systems.parseval_cisse), ("lassance", systems.parseval_lassance))
    }
    trained = {name: "aggregation" in str(tree) for name, tree in shapes.items()}
    assert trained == {"cisse": True, "lassance": False}
    system = systems.parseval_cisse(NETWORK)
    params = jax.tree.map(lambda leaf: 2.0 * leaf, params_of(system))
    jax.tree.map(np.testing.assert_array_equal, system.method.project(params), params)
    retracted = system.method.retract(jax.random.key(0), params)["dense1"]["kernel"]
    assert np.sum(np.any(retracted != params["dense1"]["kernel"], axis=0)) == 1  # three tenths of four rows, rounded
