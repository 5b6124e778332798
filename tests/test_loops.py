"""JAX's loops with convolutions in XLA's order, against JAX's own."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.extend.core import jaxprs_in_params

from lipjax import attacks, estimators, loops, networks
from lipjax.layers.convolution import _by_slices
from lipjax.losses import cross_entropy
from lipjax.norms import l2, linf
from lipjax.types import Model

IMAGE = np.random.default_rng(0).random((6, 5, 2), np.float32)

CONVOLUTIONS = {
    "padding": ((2, 5, 4, 3), (3, 2, 3, 4), ("NHWC", "HWIO", "NHWC"), {"padding": ((1, 2), (0, 1))}),
    "cropped": ((1, 5, 4, 2), (2, 2, 2, 2), ("NHWC", "HWIO", "NHWC"), {"padding": ((-1, 0), (0, -1))}),
    "strided": ((2, 3, 7, 6), (4, 3, 3, 2), ("NCHW", "OIHW", "NCHW"), {"window_strides": (2, 3)}),
    "input dilated": ((3, 4, 2, 2), (3, 3, 2, 5), ("NHWC", "HWIO", "NCHW"), {"lhs_dilation": (2, 3)}),
    "kernel dilated": ((7, 8, 2, 3), (2, 3, 5, 3), ("HWNC", "HWOI", "NHWC"), {"rhs_dilation": (3, 2)}),
    "groups": ((2, 10, 4, 3), (6, 5, 2, 2), ("NCHW", "OIHW", "NHWC"), {"feature_group_count": 2}),
    "depthwise": ((2, 4, 4, 3), (2, 2, 1, 6), ("NHWC", "HWIO", "NHWC"), {"feature_group_count": 3}),
    "batch groups": ((4, 5, 3, 2), (2, 2, 2, 6), ("NHWC", "HWIO", "HWNC"), {"batch_group_count": 2}),
    "one axis": ((2, 7, 3), (3, 3, 4), ("NHC", "HIO", "NCH"), {"window_strides": (2,)}),
    "blocks": (
        (2, 7, 6, 2),
        (4, 3, 2, 5),
        ("NHWC", "HWIO", "NCHW"),
        {"window_strides": (2, 3), "padding": ((3, 2), (0, 1))},
    ),
    "cropped blocks": (
        (1, 3, 9, 7),
        (2, 3, 3, 2),
        ("NCHW", "OIHW", "NCHW"),
        {"window_strides": (2, 2), "padding": ((-1, 2), (1, -1))},
    ),
    "spread blocks": (
        (2, 3, 2, 9),
        (3, 2, 9, 1),
        ("NHWC", "HWIO", "NHWC"),
        {"lhs_dilation": (2, 2), "padding": ((2, 1), (0, 3))},
    ),
    "three axes": ((2, 3, 4, 4, 2), (2, 2, 2, 3, 2), ("NDHWC", "DHWOI", "NDHWC"), {}),
}


def convolved(name, images, kernel):
    *_, dimensions, settings = CONVOLUTIONS[name]
    num_axes = images.ndim - 2
    settings = {"window_strides": (1,) * num_axes, "padding": ((0, 0),) * num_axes, **settings}
    return jax.lax.conv_general_dilated(images, kernel, dimension_numbers=dimensions, **settings)


def derivatives(name, images, kernel):
    """A convolution with its gradients in both arguments, a forward derivative of them, and the second derivative."""

    def loss(images, kernel):
        return jnp.sum(jnp.sin(convolved(name, images, kernel)))

    gradients = jax.grad(loss, (0, 1))
    both = (images, kernel)
    second = jax.grad(lambda *both: sum(jnp.sum(jnp.cos(gradient)) for gradient in gradients(*both)), (0, 1))
    return convolved(name, *both), jax.jvp(gradients, both, both), second(*both)


def test_convolutions_in_order_have_the_same_values_and_derivatives():
    with jax.enable_x64():
        generator = np.random.default_rng(1)
        operands = {
            name: tuple(jnp.asarray(generator.normal(size=shape)) for shape in shapes)
            for name, (*shapes, _, _) in CONVOLUTIONS.items()
        }

        def every(operands):
            return {name: derivatives(name, *both) for name, both in operands.items()}

        found, expected = jax.jit(lambda operands: (loops.for_loops(every)(operands), every(operands)))(operands)
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-12), found, expected)


def looped(program, is_inside=False):
    """Dimension numbers of all convolutions in the loops of a program."""
    for equation in program.eqns:
        if is_inside and equation.primitive.name == "conv_general_dilated":
            yield equation.params["dimension_numbers"]
        for inner in jaxprs_in_params(equation.params):
            yield from looped(inner, is_inside or equation.primitive.name in ("scan", "while"))


def convolutions(f, x):
    return set(looped(jax.make_jaxpr(f)(x).jaxpr))


IN_ORDER = jax.lax.conv_dimension_numbers((1, 1, 1, 1), (1, 1, 1, 1), ("NHWC", "HWIO", "NHWC"))


@jax.custom_jvp
def doubled(x):
    """Twice x, with a derivative that is wrong on purpose."""
    return 2.0 * x


doubled.defjvp(lambda primals, tangents: (doubled(*primals), 5.0 * tangents[0]))


@jax.custom_vjp
def blurred(x):
    """A convolution whose gradient is a rule's, wrong on purpose."""
    kernel = jnp.full((3, 3, 3, 3), 0.1)
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "OIHW", "NHWC"))


blurred.defvjp(lambda x: (blurred(x), None), lambda _, g: (7.0 * blurred(g),))


class Linen(nn.Module):
    """Convolutions of flax with batch statistics, maxima, groups, `remat` and custom rules."""

    @nn.compact
    def __call__(self, images):
        maps = nn.relu(nn.BatchNorm(use_running_average=True)(nn.Conv(10, (3, 3))(images)))
        maps = nn.remat(nn.Conv)(10, (3, 3), strides=2, feature_group_count=2)(nn.max_pool(maps, (2, 2)))
        maps = jax.jit(doubled)(jax.nn.silu(nn.ConvTranspose(3, (2, 2), strides=(2, 2))(maps)))
        return nn.Dense(3)(blurred(maps).mean((1, 2)))


def linen():
    module = Linen()
    return functools.partial(module.apply, module.init(jax.random.key(0), IMAGE[None]))


def of_nnx():
    rngs = nnx.Rngs(0)
    layers = [nnx.Conv(2, 4, (3, 3), rngs=rngs), nnx.BatchNorm(4, use_running_average=True, rngs=rngs)]
    network = nnx.Sequential(*layers, jax.nn.relu, nnx.Conv(4, 3, (2, 2), strides=2, rngs=rngs))
    return lambda images: network(images).mean((1, 2))


def of_equinox():
    equinox = pytest.importorskip("equinox")
    first, second = (equinox.nn.Conv2d(2, 2, 3, key=jax.random.key(seed)) for seed in range(2))
    return jax.vmap(lambda image: second(jax.nn.relu(first(image.transpose(2, 0, 1)))).mean((1, 2)))


@pytest.mark.parametrize(("channels", "features", "are_blocks"), [(4, 32, True), (4, 33, False), (5, 32, False)])
def test_strided_convolutions_of_few_channels_and_their_gradients_are_products_of_matrices(
    channels, features, are_blocks
):
    kernel = jnp.ones((3, 3, channels, features))

    def layer(x):
        return jax.lax.conv_general_dilated(x, kernel, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))

    def steps(x):
        return loops.fori_loop(0, 2, lambda _, x: x + jax.grad(lambda x: jnp.sum(layer(x) ** 2))(x), x)

    assert (not convolutions(steps, jnp.ones((1, 6, 5, channels)))) == are_blocks


def test_stacked_kernels_in_a_loop_are_those_one_by_one(key):
    kernels, x = jax.random.normal(key, (2, 3, 3, 4, 5)), jax.random.normal(key, (1, 6, 5, 4))

    def steps(kernel):
        def loss(x):
            maps = jax.lax.conv_general_dilated(x, kernel, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
            return jnp.sum(jnp.sin(maps))

        return loops.fori_loop(0, 2, lambda _, x: x + jax.grad(loss)(x), x)

    np.testing.assert_allclose(jax.vmap(steps)(kernels), jnp.stack([steps(kernel) for kernel in kernels]), atol=1e-5)


@pytest.mark.parametrize("network", [linen, of_nnx, of_equinox])
def test_a_users_network_climbs_the_same_way_through_convolutions_in_order(network, monkeypatch):
    f = network()

    def climbed(x):
        attack = attacks.pgd(linf.ball(0.1), num_steps=2, num_restarts=2)
        return jax.vmap(lambda x: attack(jax.random.key(0), objective, x))(x[None])

    def objective(x):
        return cross_entropy(f(x[None])[0], 0)

    gradient = jax.grad(objective)

    assert convolutions(climbed, IMAGE) == {IN_ORDER}
    np.testing.assert_allclose(
        *jax.jit(lambda x: (loops.for_loops(gradient)(x), gradient(x)))(IMAGE), rtol=1e-5, atol=1e-7
    )
    monkeypatch.setenv("LIPJAX_XLA_CONVOLUTIONS", "1")
    assert convolutions(lambda x: climbed(x), IMAGE) != {IN_ORDER}


def test_every_loop_around_a_users_network_has_its_convolutions_in_order():
    f = linen()
    slope = estimators.ascent_slope(l2.ball(0.1), num_samples=4, num_steps=2)
    search = attacks.fab(l2.ball(1.0), num_steps=2)

    def single(x):
        return f(x[None])[0]

    def searched(x):
        margins = attacks.margins(single, 0)
        return slope(jax.random.key(0), single, x), search(jax.random.key(0), margins, x)

    assert convolutions(searched, IMAGE) == {IN_ORDER}


def test_programs_without_such_convolutions_are_jaxs_own(monkeypatch):
    network = networks.mlp(3, widths=(4,))
    model = Model(network, network.init(jax.random.key(0), IMAGE.shape))
    kernel = jnp.ones((3, 3, 2, 2))

    def objective(x):
        return model.single(x)[0] + _by_slices(x[None], kernel, 1, [(1, 1), (1, 1)]).sum()

    def climbed(x):
        return attacks.apgd(linf.ball(0.1), num_steps=3, num_restarts=2)(jax.random.key(0), objective, x)

    ours = str(jax.jit(climbed).lower(IMAGE).as_text())
    jax.clear_caches()
    monkeypatch.setenv("LIPJAX_XLA_CONVOLUTIONS", "1")
    assert str(jax.jit(lambda x: climbed(x)).lower(IMAGE).as_text()).split("\n")[1:] == ours.split("\n")[1:]


def test_loops_run_without_compilation_too():
    with jax.disable_jit():
        total, seen = loops.scan(lambda total, x: (total + x, x), jnp.zeros(()), jnp.arange(3.0))
    assert total == 3.0
    assert seen.tolist() == [0.0, 1.0, 2.0]
