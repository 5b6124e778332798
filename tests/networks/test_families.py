"""What every network family promises, on every kind of layers."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lipjax import layers as kinds
from lipjax import networks
from lipjax.layers.vanilla import Weights
from lipjax.types import Model, Variables

FAMILIES = {
    "mlp": functools.partial(networks.mlp, 3, widths=(6, 5)),
    "cnn": functools.partial(networks.cnn, 3, channels=(3, 4), widths=(5,)),
    "preact_resnet": functools.partial(networks.preact_resnet, 3, width=2),
    "wide_resnet": functools.partial(networks.wide_resnet, 3, depth=10, width=1),
    "per_class": functools.partial(
        networks.per_class, 3, trunk_stages=((3,), (4,)), trunk_widths=(5,), head_widths=(4,)
    ),
}
LAYERS = kinds.NAMES
HARD = ("nonexpansive", "spectral", "aol", "sll", "orthogonal")
REPRESENTATIONS = {
    "mlp": ["dense0", "dense1"],
    "cnn": ["conv0", "conv1", "dense0"],
    "preact_resnet": [
        *(f"stage{s}_block{b}_{which}" for s in range(4) for b in range(2) for which in ("first", "second")),
        "final",
    ],
    "wide_resnet": [*(f"stage{s}_block0_{which}" for s in range(3) for which in ("first", "second")), "final"],
    "per_class": [
        "trunk_conv0_0",
        "trunk_conv1_0",
        "trunk_dense0",
        *(f"head{label}_dense0" for label in range(3)),
    ],
}
each_family = pytest.mark.parametrize("family", FAMILIES)
each_kind = pytest.mark.parametrize("layers", LAYERS)
# Residual networks and separate heads take long to compile: those run on the first four kinds, the others are traced.
BUILT = [(f, k) for k in LAYERS for f in FAMILIES if f in ("mlp", "cnn") or k in list(LAYERS)[:4]]
each_built = pytest.mark.parametrize(("family", "layers"), BUILT, ids=str)


def some_variables(network, shape, seed=0):
    """Variables with arbitrary values: `init` itself is traced but not run, because it takes seconds to compile."""
    shapes = jax.eval_shape(lambda key: network.init(key, shape), jax.random.key(0))
    rng = np.random.default_rng(seed)

    def values(leaf):
        fan_in = max(np.prod(leaf.shape[:-1]), 1)
        return jnp.asarray(rng.normal(size=leaf.shape) * np.sqrt(2.0 / fan_in), jnp.float32)

    state = jax.tree.map(lambda leaf: jnp.ones(leaf.shape), shapes.state)
    return Variables(jax.tree.map(values, shapes.params), state)


@functools.cache
def built(family, layers):
    """A model for 8 x 8 grey images and its compiled evaluation."""
    network = FAMILIES[family](layers=LAYERS[layers], mean=0.3, std=0.4)
    return Model(network, some_variables(network, (8, 8, 1))), jax.jit(lambda model, inputs: model(inputs, train=False))


def images(*shape):
    return jax.random.uniform(jax.random.key(7), shape)


@each_built
def test_logits_are_finite_and_those_of_an_example_depend_on_it_alone(family, layers):
    model, run = built(family, layers)
    inputs = images(4, 8, 8, 1)
    output, state = run(model, inputs)
    assert output.logits.shape == (4, 3)
    assert output.logits.dtype == jnp.float32
    assert jnp.all(jnp.isfinite(output.logits))
    assert jnp.ptp(output.logits) > 0.0
    jax.tree.map(np.testing.assert_array_equal, state, model.variables.state)
    others, _ = run(model, inputs.at[jnp.array([0, 1, 3])].set(0.5))
    np.testing.assert_allclose(others.logits[2], output.logits[2], rtol=1e-5, atol=1e-6)


@each_built
def test_representations_are_named_in_depth_order_and_not_negative(family, layers):
    model, run = built(family, layers)
    names = []

    def trace(inputs):
        # Inside the trace, since `jit` returns a dictionary sorted by its keys.
        names.extend(model(inputs)[0].representations)

    jax.eval_shape(trace, images(4, 8, 8, 1))
    assert names == REPRESENTATIONS[family]
    representations = run(model, images(4, 8, 8, 1))[0].representations
    assert all(len(value) == 4 and jnp.all(value >= 0.0) for value in representations.values())


@each_built
def test_only_normalised_networks_have_a_state(family, layers):
    state = built(family, layers)[0].variables.state
    assert bool(jax.tree.leaves(state)) == ("resnet" in family and layers not in HARD)


def test_training_moves_the_batch_statistics_towards_those_of_the_batch():
    model, _ = built("wide_resnet", "vanilla")
    _, state = jax.jit(lambda model, inputs: model(inputs, train=True))(model, images(4, 8, 8, 1))
    moved = jax.tree.map(lambda a, b: bool(jnp.all(a != b)), state, model.variables.state)
    assert all(jax.tree.leaves(moved))


def test_the_initial_parameters_depend_on_the_key_alone():
    network = networks.mlp(3, widths=(4,))
    first, again, other = (network.init(jax.random.key(seed), (5,)).params for seed in (0, 0, 1))
    jax.tree.map(np.testing.assert_array_equal, first, again)
    assert jnp.all(first["dense0"]["kernel"] != other["dense0"]["kernel"])


@each_family
@each_kind
def test_any_image_size_is_taken_and_bfloat16_computes_with_float32_parameters_and_gives_float32_logits(family, layers):
    shape = (9, 12, 3)
    network = FAMILIES[family](layers=LAYERS[layers], mean=(0.5,) * 3, std=(0.2,) * 3, dtype="bfloat16")

    def run(key, inputs):
        variables = network.init(key, shape)
        return variables, network.apply(variables, inputs, train=True)

    variables, (output, state) = jax.eval_shape(run, jax.random.key(0), images(2, *shape))
    assert output.logits.shape == (2, 3)
    assert {leaf.dtype for leaf in jax.tree.leaves((variables, state))} == {jnp.dtype(jnp.float32)}
    assert {leaf.dtype for leaf in output.representations.values()} == {jnp.dtype(jnp.bfloat16)}
    assert output.logits.dtype == jnp.float32


def test_bfloat16_is_near_float32():
    model, run = built("cnn", "vanilla")
    low = FAMILIES["cnn"](layers=kinds.vanilla, mean=0.3, std=0.4, dtype="bfloat16")
    exact = run(model, images(4, 8, 8, 1))[0].logits
    logits = run(Model(low, model.variables), images(4, 8, 8, 1))[0].logits
    np.testing.assert_allclose(logits, exact, atol=0.05 * float(jnp.max(jnp.abs(exact))))
    assert jnp.any(logits != exact)


@pytest.mark.parametrize("family", ["cnn", "wide_resnet", "per_class"])
def test_standardisation_is_the_first_layer(family):
    model, run = built(family, "vanilla")
    inputs = images(4, 8, 8, 1)
    plain = FAMILIES[family](layers=kinds.vanilla)
    folded = run(Model(plain, model.variables), (inputs - 0.3) / 0.4)[0].logits
    np.testing.assert_allclose(run(model, inputs)[0].logits, folded, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("family", "layers"), [*((f, k) for f, k in BUILT if k in HARD), ("wide_resnet", "aol")], ids=str
)
def test_no_distance_between_inputs_expands_on_hard_layers(family, layers):
    # Large kernels, so that the bounds of the layers are at work.
    network = FAMILIES[family](layers=LAYERS[layers], mean=0.3, std=0.4)
    variables = jax.tree.map(lambda leaf: 3.0 * leaf, some_variables(network, (8, 8, 1), seed=1))
    model = Model(network, variables)
    # One class at a time for scalar sub-networks, all together otherwise.
    axis = -1 if family == "per_class" else (-2, -1)
    xs = images(5, 8, 8, 1) * jnp.logspace(-3, 0, 5).reshape(5, 1, 1, 1)
    logits, jacobians = jax.jit(lambda xs: jax.lax.map(lambda x: (model.single(x), jax.jacrev(model.single)(x)), xs))(
        xs
    )
    steepness = np.linalg.norm(np.asarray(jacobians, np.float64).reshape(5, 3, 64), 2, axis=axis)
    assert np.max(steepness) <= 1.0 + 1e-5
    assert np.all(np.max(np.abs(jacobians), axis=(2, 3, 4)) > 0.0)
    apart = np.asarray(logits[:, None] - logits[None], np.float64)
    between = np.linalg.norm(np.asarray(xs[:, None] - xs[None], np.float64).reshape(5, 5, -1), axis=-1)
    expansion = np.abs(apart).max(-1) if axis == -1 else np.linalg.norm(apart, axis=-1)
    assert np.all(expansion <= between * (1 + 1e-5) + 1e-6)


class _Thinned(nn.Module):
    """A convolution that only repeats the first channel of every `strides`-th pixel."""

    features: int
    kernel_size: int
    strides: int
    use_bias: bool
    dtype: object

    def __call__(self, x):
        thinned = x[:, :: self.strides, :: self.strides, :1]
        return jnp.broadcast_to(thinned, (*thinned.shape[:3], self.features))


class _Repeated(nn.Module):
    """A dense layer that only repeats the first feature."""

    features: int
    dtype: object

    def __call__(self, x):
        return jnp.broadcast_to(x[:, :1], (len(x), self.features))


class _Scales(nn.Module):
    def __call__(self):
        return Weights(split_body=0.2, split_skip=0.3, merge_body=5.0, merge_skip=7.0)


class _Own(kinds.Layers):
    name = "own"
    residual = _Scales

    def conv(self, features, kernel_size, strides=1, **options):
        return _Thinned(features, kernel_size, strides, **options)

    def dense(self, features, **options):
        return _Repeated(features, **options)

    def normalize(self, train, **options):
        return kinds.nonexpansive.normalize(train, **options)


@pytest.mark.parametrize("family", ["preact_resnet", "wide_resnet"])
def test_a_block_scales_both_branches_on_splitting_and_on_merging_in_layers_of_the_users_own(family):
    network = FAMILIES[family](layers=_Own())
    variables = network.init(jax.random.key(0), (8, 8, 1))
    logits = network.apply(variables, jnp.ones((1, 8, 8, 1)), train=False)[0].logits
    num_blocks = (len(REPRESENTATIONS[family]) - 1) / 2
    np.testing.assert_allclose(logits, (0.2 * 5.0 + 0.3 * 7.0) ** num_blocks * jnp.ones((1, 3)), rtol=1e-5)


@pytest.mark.parametrize(
    ("network", "count"),
    [
        (networks.preact_resnet(10, width=1), 17),
        (networks.preact_resnet(10, depth=34, width=1), 33),
        (networks.wide_resnet(10, 28, 1), 25),
        (networks.wide_resnet(10, 16, 2), 13),
    ],
    ids=["resnet18", "resnet34", "wrn28", "wrn16"],
)
def test_residual_networks_have_two_representations_per_block_and_the_last(network, count):
    def representations(key):
        inputs = jnp.zeros((1, 8, 8, 3))
        return network.apply(network.init(key, (8, 8, 3)), inputs, train=False)[0].representations

    assert len(jax.eval_shape(representations, jax.random.key(0))) == count


def test_the_sizes_of_the_residual_networks_are_the_published_ones():
    def count(network):
        shapes = jax.eval_shape(lambda key: network.init(key, (32, 32, 3)), jax.random.key(0))
        return sum(leaf.size for leaf in jax.tree.leaves(shapes.params))

    # 11.17 and 36.5 million parameters for CIFAR-10.
    assert round(count(networks.preact_resnet(10)) / 1e6, 2) == 11.17
    assert round(count(networks.wide_resnet(10)) / 1e6, 1) == 36.5


@pytest.mark.parametrize(
    ("family", "sizes", "message"),
    [
        ("mlp", {"widths": (0,)}, "must be a whole number of at least 1, got 0"),
        ("cnn", {"channels": (4, -1)}, "must be a whole number of at least 1, got -1"),
        ("cnn", {"std": 0.0}, "std must be positive, got 0.0"),
        ("preact_resnet", {"depth": 20}, "depth must be one of 18, 34; got 20"),
        ("wide_resnet", {"depth": 27}, r"depth must be 6 n \+ 4 \(10, 16, 22, 28, ...\), got 27"),
        ("wide_resnet", {"width": 0}, "width must be a whole number of at least 1, got 0"),
        ("per_class", {"crop": -2}, "crop must be a whole number of at least 1, got -2"),
    ],
)
def test_wrong_sizes_are_refused_by_the_constructor(family, sizes, message):
    with pytest.raises(ValueError, match=message):
        FAMILIES[family](**sizes)


def test_separate_sub_networks_share_no_parameter_and_the_crop_is_central():
    network = networks.per_class(
        2, trunk_stages=(), trunk_widths=(), head_stages=((2, 2), (3,)), head_widths=(4,), crop=8
    )
    model = Model(network, some_variables(network, (12, 12, 1)))
    assert set(model.variables.params) == {
        *(f"head{label}_{layer}" for label in (0, 1) for layer in ("conv0_0", "conv0_1", "conv1_0", "dense0")),
        "logit0",
        "logit1",
    }
    slope = jax.jit(jax.jacrev(model.single))(images(12, 12, 1))
    assert jnp.any(slope[:, 2:10, 2:10] != 0.0)
    assert jnp.all(slope.at[:, 2:10, 2:10].set(0.0) == 0.0)


def test_a_crop_beyond_the_image_is_refused():
    network = networks.per_class(2, crop=9)
    with pytest.raises(ValueError, match="crop must be at most the side of the images, 8, got 9"):
        network.init(jax.random.key(0), (8, 12, 1))
