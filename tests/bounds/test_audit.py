"""The audit names the layer that breaks a promise, in networks that were broken on purpose, and guesses nothing."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lipjax import layers, networks, norms
from lipjax.bounds import audit, global_bound
from lipjax.bounds.audit import Auditor
from lipjax.bounds.program import trace
from lipjax.bounds.rules import recognize
from lipjax.norms import l1, l2, linf
from lipjax.types import Model


def orthonormal(seed, *shape):
    matrix = np.random.default_rng(seed).normal(size=(math.prod(shape[:-1]), shape[-1]))
    return np.linalg.qr(matrix)[0].reshape(shape).astype(np.float32)


class Conv(nn.Module):
    """A convolution with orthonormal filters, times a scale; with 1/3 it expands nothing."""

    scale: float = 1 / 3

    @nn.compact
    def __call__(self, x):
        dimensions = ("NHWC", "HWIO", "NHWC")
        kernel = self.scale * orthonormal(1, 3, 3, x.shape[-1], x.shape[-1])
        return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=dimensions)


class NormPool(nn.Module):
    """L2 norms of 2x2 windows."""

    stride: int
    scale: float = 1.0

    @nn.compact
    def __call__(self, x):
        windows, strides = (1, 2, 2, 1), (1, self.stride, self.stride, 1)
        return self.scale * jnp.sqrt(jax.lax.reduce_window(x**2, 0.0, jax.lax.add, windows, strides, "VALID"))


class Net(nn.Module):
    """A network that keeps every distance from growing, but for the one layer that it is told to break."""

    broken: str = ""

    @nn.compact
    def __call__(self, x):
        x = (x - 0.5) / (0.25 if self.broken == "standardisation" else 1.0)
        x = Conv(1.0 if self.broken == "flattened convolution" else 1 / 3, name="conv")(x)
        x = nn.relu(nn.BatchNorm(use_running_average=True, epsilon=0.0, name="norm")(x))
        t, body = 0.6, Conv(name="body")(x)
        x = t * body + (0.8 if self.broken == "residual scaled once" else 0.4) * x
        x = NormPool(1 if self.broken == "overlapping pooling" else 2, name="pool")(x)
        x = x.reshape(x.shape[0], -1)
        return nn.Dense(3, kernel_init=lambda key, shape, dtype: jnp.asarray(orthonormal(3, *shape)), name="logits")(x)


SHAPE = (6, 6, 2)


def network(broken=""):
    variables = Net().init(jax.random.key(0), jnp.zeros((1, *SHAPE)))
    if broken == "small variance":
        variables["batch_stats"]["norm"]["var"] = jnp.array([1.0, 0.04])
    if broken == "overlapping pooling":
        variables["params"]["logits"]["kernel"] = orthonormal(3, 50, 3)
    return lambda x: Net(broken).apply(variables, x[None])[0]


def named(report):
    return {(layer.name, layer.operation): layer.constant for layer in report.exceeding}


def test_a_network_that_keeps_its_promise_has_no_exceeding_layer():
    report = audit(network(), SHAPE)
    assert report.exceeding == report.unknown == ()
    assert report.bound <= 1.0 + 1e-4


@pytest.mark.parametrize(
    ("broken", "layer", "constant"),
    [
        ("overlapping pooling", ("Net/pool", "norm pooling"), 2.0),
        ("residual scaled once", ("Net", "sum of branches"), 0.6 + 0.8),
        ("small variance", ("Net/norm", "scale"), 5.0),
        ("standardisation", ("Net", "scale"), 4.0),
    ],
)
def test_the_broken_layer_and_no_other_is_named_with_its_constant(broken, layer, constant):
    found = named(audit(network(broken), SHAPE))
    if broken == "residual scaled once":  # the body's convolution has norm below 1
        assert list(found) == [layer]
        assert 1.0 < found[layer] <= constant
    else:
        assert found == {layer: pytest.approx(constant, rel=1e-5)}


def test_a_convolution_normalised_by_flattening_is_named_with_its_norm_as_a_map():
    kernel = orthonormal(1, 3, 3, 2, 2)
    basis = jnp.eye(72).reshape(72, *SHAPE)
    dimensions = ("NHWC", "HWIO", "NHWC")
    matrix = jax.lax.conv_general_dilated(basis, kernel, (1, 1), "SAME", dimension_numbers=dimensions).reshape(72, 72)
    exact = np.linalg.norm(matrix, 2)
    assert exact > 1.3  # though the flattened kernel has norm 1
    assert named(audit(network("flattened convolution"), SHAPE)) == {
        ("Net/conv", "convolution"): pytest.approx(exact, rel=1e-5)
    }


def test_overlapping_pooling_is_fine_once_it_is_rescaled():
    def pool(x):
        return NormPool(1, scale=0.5).apply({}, x[None])[0]

    report = audit(pool, SHAPE)
    assert report.exceeding == ()
    assert report.bound == pytest.approx(1.0, rel=1e-5)


def test_max_pooling_counts_the_windows_that_share_an_entry():
    def overlapping(x):
        return nn.max_pool(x, (3, 3), (2, 2))

    def apart(x):
        return nn.max_pool(x, (2, 2), (2, 2))

    assert audit(overlapping, (9, 9, 1)).bound == pytest.approx(2.0)
    assert audit(apart, (8, 8, 1)).bound == 1.0
    assert audit(overlapping, (9, 9, 1), norm=norms.linf).bound == 1.0


def test_average_pooling_is_one_layer_and_its_norm_that_of_the_means():
    def pool(x):
        return nn.avg_pool(x, (3, 3), (2, 2), "SAME")

    report = audit(pool, (8, 8, 1))
    matrix = jax.jacobian(pool)(jnp.zeros((8, 8, 1))).reshape(-1, 64)
    assert report.bound >= np.linalg.norm(matrix, 2)
    mean = audit(lambda x: jnp.mean(x, axis=(0, 1)), (8, 8, 3))
    assert [layer.operation for layer in mean.layers] == ["sum, scale"]
    assert mean.bound == pytest.approx(1 / 8)


def test_an_unknown_layer_is_said_to_be_unknown_and_the_rest_is_still_listed():
    report = audit(lambda x: jnp.cumprod(2.0 * x) @ jnp.eye(4), (4,))
    assert [layer.operation for layer in report.unknown] == ["cumprod"]
    assert [layer.operation for layer in report.layers] == ["scale", "cumprod", "dense"]
    assert report.bound == math.inf


def test_a_function_without_a_finite_constant_exceeds():
    report = audit(lambda x: x**2, (4,))
    assert report.bound == math.inf
    assert [layer.side for layer in report.exceeding] == ["exact"]


def test_linf_constants_are_the_largest_absolute_row_sums():
    kernel = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    report = audit(lambda x: jax.nn.relu(x @ kernel), (5,), norm=norms.linf)
    assert report.bound == pytest.approx(abs(kernel).sum(0).max())


def test_the_table_prints_every_layer_the_bound_and_what_exceeds():
    text = str(audit(network("small variance"), SHAPE))
    assert "Net/conv" in text
    assert text.splitlines()[-2] == "above 1: Net/norm (scale)"
    assert text.splitlines()[-1] == "unknown: none"


def test_a_model_is_audited_by_its_modules_names():
    net = networks.mlp(3, widths=(4,))
    model = Model(net, net.init(jax.random.key(0), (2, 2, 1)))
    names = [layer.name.rsplit("/", 1)[-1] for layer in audit(model, (2, 2, 1)).layers]
    assert "dense0" in names
    assert "logits" in names


def test_the_projects_nonexpansive_layers_pass_their_audit():
    net = networks.cnn(3, channels=(4,), widths=(8,), layers=layers.nonexpansive)
    model = Model(net, net.init(jax.random.key(0), (8, 8, 1)))
    report = audit(model, (8, 8, 1))
    assert report.exceeding == report.unknown == ()


def test_a_scale_that_two_branches_share_is_part_of_both():
    kernel = orthonormal(0, 4, 4)

    def f(x):
        split = 0.5**0.5 * jax.nn.relu(x)
        return 0.5**0.5 * (split @ kernel) + 0.5**0.5 * split

    report = audit(f, (4,))
    assert report.exceeding == ()
    assert report.bound == pytest.approx(1.0, rel=1e-5)


def chains(key):
    kernels = [0.7 * jax.random.normal(k, (6, 6)) for k in jax.random.split(key, 3)]
    yield lambda x: jnp.tanh(x @ kernels[0]) @ kernels[1]
    yield lambda x: x + 0.5 * jax.nn.relu(x @ kernels[0]) @ kernels[1]
    yield lambda x: jnp.concatenate([x[:3], jnp.maximum(x[3:], x[:3])]) @ kernels[2]
    yield lambda x: jnp.where(jnp.arange(6) > 2, x @ kernels[0], -x)
    yield lambda x: jax.nn.leaky_relu(jnp.clip(x @ kernels[1], -1.0, 1.0))
    yield lambda x: jnp.sort(x @ kernels[0])[::-1] / 3.0
    yield lambda x: jnp.concatenate([jax.nn.relu(x), jax.nn.relu(-x)])
    yield lambda x: jnp.sqrt(jnp.sum((x @ kernels[0]).reshape(2, 3) ** 2, axis=1) + 0.1)


@pytest.mark.parametrize(("norm_in", "norm_out"), [(l2, l2), (linf, linf), (l1, l1), (linf, l2)])
def test_global_bounds_are_above_every_quotient_found(norm_in, norm_out):
    u, v = jax.random.normal(jax.random.key(1), (2, 500, 6))
    for f in chains(jax.random.key(0)):
        bound = global_bound(f, (6,), norm_in=norm_in, norm_out=norm_out)
        assert math.isfinite(bound)
        near = u + 0.1 * v
        differences, steps = jax.vmap(f)(u) - jax.vmap(f)(near), u - near
        quotients = jax.vmap(norm_out.value)(differences) / jax.vmap(norm_in.value)(steps)
        assert jnp.max(quotients) <= bound * (1 + 1e-3)


def test_two_sided_relu_and_norm_pooling_have_constant_one():
    assert global_bound(lambda x: jnp.concatenate([jax.nn.relu(x), jax.nn.relu(-x)]), (4,)) == 1.0
    assert global_bound(lambda x: jnp.linalg.norm(x.reshape(2, 2), axis=1), (4,)) == pytest.approx(1.0, rel=1e-5)


def test_wrong_arguments_are_refused():
    with pytest.raises(TypeError, match="norm"):
        audit(jnp.tanh, (2,), norm="l2")
    with pytest.raises(ValueError, match="norm_out must be l1, l2 or linf here, got l2 of 1 entries"):
        global_bound(jnp.tanh, (2,), norm_out=norms.masked(l2, np.array([True, False])))
    with pytest.raises(ValueError, match="norm_in must be l1, l2 or linf here, got largest l2"):
        global_bound(jnp.tanh, (2, 2), norm_in=norms.Largest(l2), norm_out=l2)
    with pytest.raises(ValueError, match="the function must return one array, got 2"):
        audit(lambda x: (x, x), (2,))


def test_the_rows_and_the_bound_do_not_depend_on_how_often_they_are_asked_for():
    auditor = Auditor(recognize(trace(lambda x: 0.5 * x, (2,))), l2)
    assert auditor.bound() == auditor.bound() == 0.5
    assert auditor.layers() == auditor.layers()
    assert [layer.operation for layer in auditor.layers()] == ["scale"]
