"""Programs compute what the function computes, and idioms are one step."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lipjax import layers as kinds
from lipjax import networks
from lipjax.bounds import audit, global_bound, local_bound
from lipjax.bounds.carried import Gain
from lipjax.bounds.program import Wire, trace
from lipjax.bounds.rules import recognize, rule
from lipjax.bounds.rules.affine import gain
from lipjax.bounds.rules.rule import Rule
from lipjax.norms import l2
from lipjax.types import Model

KERNEL = np.random.default_rng(0).normal(size=(6, 6)).astype(np.float32)

FUNCTIONS = [
    lambda x: (2.0 - x) / 3.0 + x @ KERNEL,
    lambda x: jnp.concatenate([jax.nn.relu(x), jax.nn.relu(-x)]) ** 2,
    lambda x: jnp.clip(x, -0.5, 0.5) * jnp.sum(x) + jnp.max(x),
    lambda x: jax.nn.leaky_relu(x, 0.1) - jnp.abs(x) ** 3,
    lambda x: jax.checkpoint(lambda y: jnp.tanh(y @ KERNEL))(jax.jit(jnp.sin)(x)),
    lambda x: jnp.sum(KERNEL) * jnp.where(jnp.arange(6) > 2, x, jnp.sqrt(jnp.sum(x**2))),
    lambda x: jnp.split(x, 3)[1] / jnp.split(x, 3)[2],
    lambda x: jax.lax.scan(lambda carry, y: (carry + y, carry * y), 0.0, x)[1],
    lambda x: x.astype(jnp.bfloat16).astype(jnp.float32) * 0.0 + x,
    lambda x: windows(x.reshape(1, 6, 1), slice(0, 4), slice(1, 5), slice(2, 6)) @ KERNEL[:3],
    lambda x: (
        windows(windows(x.reshape(1, 6, 1), slice(0, 5), slice(1, 6)), slice(0, 4, 3), slice(1, 5, 3)) @ KERNEL[:4]
    ),
    lambda x: jnp.concatenate([x.reshape(1, 2, 3)[..., :2]] * 2, -1) @ KERNEL[:4],  # not whole
]


def windows(x, *places):
    return jnp.concatenate([x[:, place] for place in places], axis=-1)


@pytest.mark.parametrize("index", range(len(FUNCTIONS)))
def test_a_program_computes_its_function_before_and_after_recognition(index):
    f, x = FUNCTIONS[index], jax.random.normal(jax.random.key(index), (6,))
    program = trace(f, (6,))
    np.testing.assert_allclose(program.run(x), f(x), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(recognize(program).run(x), f(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("layers", [kinds.vanilla, kinds.nonexpansive])
def test_the_projects_networks_become_programs_of_known_steps(layers):
    net = networks.cnn(3, channels=(4,), widths=(5,), layers=layers)
    model = Model(net, net.init(jax.random.key(0), (8, 8, 2)))
    program = recognize(trace(model, (8, 8, 2)))
    x = jax.random.uniform(jax.random.key(1), (8, 8, 2))
    np.testing.assert_allclose(program.run(x), model.single(x), rtol=1e-4, atol=1e-5)
    operations = [step.op for step in program.steps]
    assert operations.count("conv_general_dilated") == 1
    assert not {"slice", "pad", "concatenate", "max", "select_n"} & set(operations)
    assert any(step.scope.endswith("conv0") for step in program.steps)


def operations(f, shape=(6,)):
    return [step.op for step in recognize(trace(f, shape)).steps]


def test_windows_are_a_convolution_however_they_are_gathered():
    *_, flat, nested, narrow = FUNCTIONS
    assert operations(flat) == operations(nested) == ["reshape", "conv_general_dilated"]
    assert operations(narrow) == ["reshape", "slice", "conv_general_dilated"]


def test_idioms_are_one_step_however_they_are_written():
    def guarded_norm(x):
        sums = jnp.sum(x.reshape(3, 2) ** 2, axis=1)
        is_zero = sums == 0.0
        return jnp.where(is_zero, 0.0, jnp.sqrt(jnp.where(is_zero, 1.0, sums)))

    def guarded_above(x):
        sums = jnp.sum(x.reshape(3, 2) * x.reshape(3, 2), axis=1)
        return jnp.where(sums > 0.0, jnp.sqrt(jnp.where(sums > 0.0, sums, 1.0)), 0.0)

    assert operations(guarded_norm) == operations(guarded_above) == ["reshape", "norm_pool"]
    assert operations(lambda x: jnp.linalg.norm(x.reshape(3, 2), axis=1)) == ["reshape", "norm_pool"]
    assert operations(lambda x: jnp.concatenate([jax.nn.relu(x), nn.relu(-x)])) == ["two_sided_relu"]
    assert operations(lambda x: jnp.concatenate([jax.nn.relu(x + 1.0), jax.nn.relu(-(x + 1.0))])) == [
        "add",
        "two_sided_relu",
    ]
    assert operations(jax.nn.leaky_relu) == ["leaky_relu"]
    assert operations(lambda x: jnp.where(x < 0.0, 0.2 * x, x)) == ["leaky_relu"]


def test_what_only_looks_like_an_idiom_is_left_alone():
    assert "two_sided_relu" not in operations(lambda x: jnp.concatenate([jax.nn.relu(x), jax.nn.relu(-2.0 * x)]))
    assert "two_sided_relu" not in operations(lambda x: jnp.concatenate([jax.nn.relu(x), jax.nn.relu(-x[::-1])]))
    assert "norm_pool" not in operations(lambda x: jnp.sqrt(jnp.sum(x.reshape(3, 2) ** 2, axis=1) - 1.0))
    assert "leaky_relu" not in operations(lambda x: jnp.where(x > 0.0, x, 2.0 * x))
    assert "leaky_relu" not in operations(lambda x: jnp.where(x != 0.0, x, 0.5 * x))


def test_what_does_not_depend_on_the_input_is_evaluated():
    program = trace(lambda x: x @ (jnp.linalg.inv(jnp.eye(6) + 0.1 * KERNEL) / jnp.max(KERNEL)), (6,))
    assert [step.op for step in program.steps] == ["dot_general"]
    assert not isinstance(trace(lambda x: jnp.ones(3), (6,)).output, Wire)


def test_what_is_computed_again_for_gradients_is_seen_and_random_numbers_are_evaluated():
    def f(x):
        noise = jax.random.normal(jax.random.fold_in(jax.random.key(0), 1), (6,))
        return jax.checkpoint(lambda y: jnp.tanh(y @ KERNEL))(x) + noise

    assert [step.op for step in trace(f, (6,)).steps] == ["dot_general", "tanh", "add"]


def test_a_scalar_that_is_spread_over_a_vector_counts_once_per_entry():
    def f(x):
        return jnp.sum(x) * jnp.arange(1.0, 4.0) + jnp.tanh(x[0])

    exact = np.linalg.norm(jax.jacobian(f)(jnp.zeros(4)), 2)
    assert exact <= global_bound(f, (4,)) < 2 * exact
    for method in ("interval", "linear"):
        assert exact <= local_bound(f, jnp.zeros(4), l2.ball(0.0, box=None), method=method) <= exact * (1 + 1e-4)


def test_weights_may_be_traced():
    def bound(kernel):
        return local_bound(lambda x: jnp.tanh(x @ kernel), jnp.zeros(6), l2.ball(0.01, box=None))

    np.testing.assert_allclose(jax.jit(bound)(KERNEL), bound(KERNEL), rtol=1e-3)


def test_what_is_known_of_a_step_ends_with_its_program_and_no_tracer_stays():
    @jax.jit
    def bound(kernel):
        return local_bound(lambda x: jnp.tanh(x @ kernel) @ kernel, jnp.zeros(6), l2.ball(0.01, box=None))

    with jax.checking_leaks():
        traced = bound(jnp.asarray(KERNEL))
    again = local_bound(lambda x: jnp.tanh(x @ KERNEL) @ KERNEL, jnp.zeros(6), l2.ball(0.01, box=None))
    np.testing.assert_allclose(traced, again, rtol=1e-3)
    program = trace(lambda x: x @ KERNEL, (6,))
    gain(program.steps[0], l2)
    assert trace(lambda x: x @ KERNEL, (6,)).steps[0].known == {}


def test_a_kind_of_layer_from_outside_is_one_class_and_one_registration(monkeypatch):
    class RunningMaximum(Rule):
        name = "running maximum"
        ops = ("cummax",)

        def constant(self, step, norm):
            return Gain(float(step.result.size) ** (1 / norm.exponent), "upper", "one entry wins everywhere")

    assert np.isinf(global_bound(jax.lax.cummax, (4,)))
    monkeypatch.setattr(rule, "KINDS", [*rule.KINDS, RunningMaximum()])
    report = audit(jax.lax.cummax, (4,))
    assert [(layer.operation, layer.constant) for layer in report.layers] == [("running maximum", 2.0)]
    assert global_bound(jax.lax.cummax, (4,)) == 2.0
