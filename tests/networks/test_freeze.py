"""Frozen networks: the same function with plain kernels, and one program for all that differ in how they store them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lipjax import bounds, layers, methods, networks
from lipjax.types import Model, Variables

SHAPE = (8, 8, 1)
FAMILIES = {
    "mlp": networks.mlp(3, widths=(6, 5), mean=0.3, std=0.4),
    "cnn": networks.cnn(3, channels=(3, 4), widths=(5,), mean=0.3, std=0.4),
    "per_class": networks.per_class(2, trunk_stages=((3,),), trunk_widths=(4,), head_widths=(2,)),
    "wide_resnet": networks.wide_resnet(3, depth=10, width=1, mean=0.3),
}
SHARED = {"vanilla": ("parseval", "parseval_lassance"), "nonexpansive": ("spectral", "aol", "orthogonal")}
each_family = pytest.mark.parametrize("family", FAMILIES)
each_kind = pytest.mark.parametrize("kind", layers.NAMES)


def trained(network, seed=0):
    """Variables that are not where training starts: `init` is traced and not run, because it compiles for seconds."""
    shapes = jax.eval_shape(lambda key: network.init(key, SHAPE), jax.random.key(0))
    rng = np.random.default_rng(seed)

    def values(leaf):
        return jnp.asarray(rng.normal(size=leaf.shape) / np.sqrt(max(np.prod(leaf.shape[:-1]), 1)), jnp.float32)

    state = jax.tree.map(lambda leaf: jnp.asarray(1.0 + rng.random(leaf.shape), jnp.float32), shapes.state)
    return Variables(jax.tree.map(values, shapes.params), state)


def frozen_and_trained(family, kind):
    network = FAMILIES[family].replace(layers=layers.named(kind))
    variables = trained(network)
    return network.freeze(variables, SHAPE), Model(network, variables)


@each_family
@each_kind
def test_a_frozen_network_is_the_trained_one_to_rounding(family, kind):
    frozen, model = frozen_and_trained(family, kind)
    inputs = jax.random.uniform(jax.random.key(1), (5, *SHAPE))
    found, expected = (jax.jit(lambda f, inputs: f(inputs)[0])(f, inputs) for f in (frozen, model))
    np.testing.assert_allclose(found.logits, expected.logits, rtol=1e-4, atol=1e-5)
    assert found.representations.keys() == expected.representations.keys()


@each_family
def test_frozen_networks_are_equal_where_only_their_storage_differs(family):
    for kind, others in SHARED.items():
        expected, _ = frozen_and_trained(family, kind)
        for other in others:
            frozen, _ = frozen_and_trained(family, other)
            assert frozen.network == expected.network
            if other != "orthogonal":  # whose kernels have an even side where the stride is 2
                assert jax.tree.structure(frozen) == jax.tree.structure(expected)


def test_no_reparametrisation_is_left_in_the_frozen_program():
    frozen, model = frozen_and_trained("cnn", "orthogonal")
    texts = [str(jax.make_jaxpr(lambda f, x: f.single(x))(f, jnp.ones(SHAPE))) for f in (frozen, model)]
    assert ["while" in text or "scan" in text for text in texts] == [False, True]


@each_kind
@pytest.mark.parametrize("family", ["mlp", "cnn"])
def test_the_frozen_network_has_the_global_bound_of_the_trained_one(family, kind):
    frozen, model = frozen_and_trained(family, kind)
    np.testing.assert_allclose(*(bounds.global_bound(f, SHAPE) for f in (frozen, model)), rtol=1e-4)


def test_frozen_twice_is_frozen_once():
    once, _ = frozen_and_trained("wide_resnet", "parseval")
    twice = once.network.freeze(once.variables, SHAPE)
    assert twice.network == once.network
    jax.tree.map(np.testing.assert_array_equal, twice.variables, once.variables)


def test_the_scales_of_a_loss_are_no_part_of_the_frozen_network():
    plain = FAMILIES["mlp"].replace(layers=layers.nonexpansive)
    network = methods.with_scales(plain)
    variables = network.init(jax.random.key(0), SHAPE)
    frozen = network.freeze(variables, SHAPE)
    assert frozen.network == plain.freeze(Variables(variables.params["network"], {}), SHAPE).network
    x = jnp.ones(SHAPE)
    np.testing.assert_allclose(frozen.single(x), Model(network, variables).single(x), rtol=1e-5, atol=1e-6)


def test_layers_of_somebodys_own_keep_what_they_change_when_frozen():
    class halved(layers.Layers):
        name = "halved"
        reparametrize = staticmethod(lambda kernel, strides: kernel / 2)

        def activation(self, x):
            return jnp.tanh(x)

    network = FAMILIES["mlp"].replace(layers=halved())
    model = Model(network, trained(network))
    frozen, x = network.freeze(model.variables, SHAPE), jnp.ones(SHAPE)
    np.testing.assert_allclose(frozen.single(x), model.single(x), rtol=1e-5, atol=1e-6)
    kernel = model.variables.params["dense0"]["kernel"]
    np.testing.assert_array_equal(frozen.variables.params["dense0"]["kernel"], kernel / 2)
