"""The rows of the comparison."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lipjax import networks, norms, systems
from lipjax.types import Batch, Model, Output

FAMILY = partial(networks.mlp, 3, widths=(4, 4))


def params_of(system):
    return system.network.init(jax.random.key(0), (5,)).params


def test_the_talks_five_rows_are_there():
    assert list(systems.TALK) == ["V", "P", "L2NN", "L", "PGD"]


@pytest.mark.parametrize("row", systems.TALK)
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
    network, _ = systems.TALK[row](family)

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
