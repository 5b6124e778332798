"""Input-gradient, Jacobian and local linearity regularisation against closed forms in 64 bit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from linear_models import linear, two_classes

from lipjax import networks, norms
from lipjax.methods import (
    input_gradient,
    jacobian,
    jacobian_penalty,
    linearity_violation,
    local_linearity,
)
from lipjax.types import Batch, Model

RNG = np.random.default_rng(0)
MATRIX = RNG.normal(size=(4, 3))
INPUTS = RNG.uniform(0.3, 0.7, size=(5, 4))
LABELS = np.array([0, 1, 2, 1, 0])


def term(method, name, matrix):
    """The penalty term of a linear classifier, with its gradient by the matrix."""

    def of(matrix):
        model, batch = linear(matrix), Batch(jnp.asarray(INPUTS, jnp.float32), jnp.asarray(LABELS))
        return method.penalize(jax.random.key(0), model, batch, model(batch.inputs)[0])[name]

    return jax.jit(jax.value_and_grad(of))(jnp.asarray(matrix, jnp.float32))


def differences(fn, matrix, step=1e-5):
    """The gradient by central differences."""
    units = step * np.eye(matrix.size).reshape(-1, *matrix.shape)
    return np.array([(fn(matrix + u) - fn(matrix - u)) / (2 * step) for u in units]).reshape(matrix.shape)


def squared_gradients(matrix):
    """The mean squared length of `W (softmax - onehot)`, which is the input gradient of the cross-entropy."""
    scores = np.exp(INPUTS @ matrix)
    gradients = (scores / scores.sum(1, keepdims=True) - np.eye(3)[LABELS]) @ matrix.T
    return np.mean(np.sum(gradients**2, axis=1))


def test_the_input_gradient_term_and_its_gradient_are_those_of_the_closed_form():
    value, gradient = term(input_gradient(0.7), "input_gradient", MATRIX)
    np.testing.assert_allclose(value, 0.7 * squared_gradients(MATRIX), rtol=1e-5)
    np.testing.assert_allclose(gradient, 0.7 * differences(squared_gradients, MATRIX), rtol=1e-3, atol=1e-5)


def test_the_full_basis_gives_half_the_squared_frobenius_norm_and_its_gradient():
    value, gradient = term(jacobian(0.3, num_projections=None), "jacobian", MATRIX)
    np.testing.assert_allclose(value, 0.15 * np.sum(MATRIX**2), rtol=1e-5)
    np.testing.assert_allclose(gradient, 0.3 * MATRIX, rtol=1e-5)


@pytest.fixture(scope="module")
def curved():
    """A network with curved logits, one batch of inputs, and the exact penalty from full Jacobians."""
    network = networks.mlp(3, widths=(5,))
    model = Model(network, network.init(jax.random.key(1), (2, 2, 1)))
    inputs = jax.random.uniform(jax.random.key(2), (3, 2, 2, 1))
    jacobians = jax.jit(jax.vmap(jax.jacobian(model.single)))(inputs)
    return model, inputs, float(jnp.sum(jacobians**2)) / (2 * len(inputs))


@pytest.mark.parametrize("num_projections", [1, 2])
def test_random_projections_estimate_it_without_bias(curved, num_projections):
    model, inputs, exact = curved
    f = lambda inputs: model(inputs)[0].logits  # noqa: E731
    estimate = jax.jit(
        jax.vmap(lambda key: jacobian_penalty(key, f, inputs, num_projections=num_projections)),
    )
    draws = np.asarray(estimate(jax.random.split(jax.random.key(3), 4000)), np.float64)
    assert abs(draws.mean() - exact) < 4 * draws.std() / np.sqrt(len(draws))
    assert draws.std() > 0.05 * exact


def test_the_full_basis_is_exact_for_curved_logits(curved):
    model, inputs, exact = curved
    f = lambda inputs: model(inputs)[0].logits  # noqa: E731
    value = jax.jit(lambda: jacobian_penalty(jax.random.key(0), f, inputs, num_projections=None))()
    np.testing.assert_allclose(value, exact, rtol=1e-5)


def test_a_quadratic_violates_linearity_by_its_second_order_term():
    x, point = jnp.array([0.2, -1.0]), jnp.array([1.2, 1.0])
    hessian = jnp.array([[2.0, 0.5], [0.5, -1.0]])
    violation = linearity_violation(lambda u: u @ hessian @ u / 2 + 3.0 * u[0], x)
    np.testing.assert_allclose(violation(point), abs((point - x) @ hessian @ (point - x)) / 2, rtol=1e-5)
    assert violation(x) == 0.0


@pytest.mark.parametrize("norm", [norms.linf, norms.l2], ids=lambda norm: norm.name)
def test_the_terms_of_local_linearity_are_those_at_an_extreme_point_of_the_ball(norm):
    weights, radius = np.array([2.0, -3.0, 1.0]), 0.1
    method = local_linearity(norm.ball(radius), weight=2.0, gradient_weight=0.5, step_size=0.1, num_steps=50)

    def of(x, key):
        model, batch = linear(two_classes(jnp.array(weights))), Batch(x[None], jnp.array([0]))
        return method.penalize(key, model, batch, model(batch.inputs)[0])

    inputs = INPUTS[:, :3]
    keys = jax.random.split(jax.random.key(0), len(inputs))
    found = jax.jit(jax.vmap(of))(jnp.asarray(inputs, jnp.float32), keys)
    # The loss is log(1 + e^-m) of the margin m, which the ball moves by the radius times the dual norm, up or down.
    margins = inputs @ weights
    moves = radius * float(norm.dual(jnp.array(weights))) * np.array([[-1], [1]])
    slopes = -1 / (1 + np.exp(margins))
    violations = np.log1p(np.exp(-margins - moves)) - np.log1p(np.exp(-margins)) - moves * slopes
    off = np.abs(found["local_linearity"] - 2.0 * np.abs(violations))
    assert np.all(off.min(axis=0) < 1e-5)
    np.testing.assert_allclose(found["local_gradient"], 0.5 * abs(moves[1] * slopes), rtol=1e-4)


@pytest.mark.parametrize(
    ("method", "name"),
    [(input_gradient(), "input_gradient"), (jacobian(), "jacobian"), (local_linearity(num_steps=1), "local_linearity")],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_constant_classifier_pays_nothing(method, name):
    value, gradient = term(method, name, np.zeros((4, 3)))
    assert value == 0.0
    np.testing.assert_allclose(gradient, 0.0, atol=1e-6)


def test_wrong_settings_are_refused():
    with pytest.raises(ValueError, match="weight must be 0 or greater"):
        input_gradient(-1.0)
    with pytest.raises(ValueError, match="num_projections must be a whole number of at least 1, got 0"):
        jacobian(num_projections=0)
    with pytest.raises(ValueError, match="gradient_weight must be 0 or greater"):
        local_linearity(gradient_weight=-1.0)
