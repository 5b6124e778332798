"""Parseval's penalty, retraction and projection."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lipjax import layers, networks, training
from lipjax.methods import parseval, parseval_penalty, parseval_retraction
from lipjax.methods.parseval import sampled_retraction
from lipjax.types import Batch

SHAPES = [(4, 4), (3, 6), (6, 3)]


def matrix_with(singular_values, shape, seed=0):
    rng = np.random.default_rng(seed)
    left, right = (np.linalg.qr(rng.normal(size=(n, n)))[0] for n in shape)
    diagonal = np.zeros(shape)
    np.fill_diagonal(diagonal, singular_values)
    return jnp.asarray(left @ diagonal @ right, jnp.float32)


def singular_values(matrix):
    return np.linalg.svd(np.asarray(matrix, np.float64), compute_uv=False)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("beta", [0.01, 0.1])
def test_the_retraction_moves_every_singular_value_towards_one_by_the_cubic_law(shape, beta):
    before = np.array([2.2, 1.0, 0.4, 0.05][: min(shape)])
    after = singular_values(parseval_retraction(matrix_with(before, shape), beta))
    np.testing.assert_allclose(after, np.sort(before - beta * before * (before**2 - 1))[::-1], rtol=1e-4)
    off = before != 1.0
    assert np.all(np.abs(np.sort(after) - 1)[::-1][off] < np.abs(before - 1)[off])


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_retraction_is_a_gradient_step_on_the_penalty(shape):
    # beta W W^T W - beta W is half of the gradient of beta / 2 ||W W^T - I||^2, as in the paper, which drops the 2.
    matrix = matrix_with([1.7, 0.8, 0.3], shape)
    step = jax.grad(parseval_penalty)(matrix, 0.2)
    np.testing.assert_allclose(parseval_retraction(matrix, 0.2), matrix - step / 2, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_penalty_is_the_sum_over_singular_values_whatever_the_orientation(shape):
    values = np.array([1.7, 0.8, 0.3, 1.1][: min(shape)])
    expected = 0.3 / 2 * np.sum((values**2 - 1) ** 2)
    matrix = matrix_with(values, shape)
    np.testing.assert_allclose(parseval_penalty(matrix, 0.3), expected, rtol=1e-4)
    np.testing.assert_allclose(parseval_penalty(matrix.T, 0.3), expected, rtol=1e-4)


def test_the_penalty_unfolds_kernels_adds_them_up_and_leaves_vectors_out():
    kernel = jax.random.normal(jax.random.key(0), (3, 3, 2, 4))
    dense = jax.random.normal(jax.random.key(1), (5, 3))
    unfolded = np.asarray(kernel, np.float64).reshape(18, 4)
    expected = sum(np.sum((w.T @ w - np.eye(w.shape[1])) ** 2) for w in (unfolded, np.asarray(dense, np.float64)))
    params = {"conv": {"kernel": kernel, "bias": jnp.ones(4)}, "dense": {"kernel": dense}}
    np.testing.assert_allclose(parseval_penalty(params, 2.0), expected, rtol=1e-5)


def test_the_projection_brings_a_network_to_orthonormal_kernels_and_leaves_the_rest():
    network = networks.cnn(3, channels=(2, 3), widths=(4,), layers=layers.vanilla)
    params = network.init(jax.random.key(0), (8, 8, 1)).params
    project = jax.jit(parseval(beta=0.1).project)
    projected = params
    for _ in range(200):
        projected = project(projected)
    assert parseval_penalty(params) > 0.01
    assert parseval_penalty(projected) < 1e-6
    for before, after in zip(jax.tree.leaves(params), jax.tree.leaves(projected), strict=True):
        assert before.ndim > 1 or jnp.all(before == after)


@pytest.mark.parametrize("coefficients", [[0.3, 0.7], [1.4, 0.2], [-0.5, 0.4], [3.0, -2.0]])
def test_aggregations_are_projected_on_the_simplex(coefficients):
    params = {"block": {"aggregation": jnp.array(coefficients), "bias": jnp.array([3.0, -2.0])}}
    projected = parseval().project(params)["block"]
    # Of two coefficients, the nearest point of the simplex is the clipped shift along (1, 1).
    first = np.clip((coefficients[0] - coefficients[1] + 1) / 2, 0, 1)
    np.testing.assert_allclose(projected["aggregation"], [first, 1 - first], atol=1e-6)
    np.testing.assert_array_equal(projected["bias"], [3.0, -2.0])


def test_with_beta_zero_the_matrices_stay():
    params = {"kernel": jax.random.normal(jax.random.key(0), (3, 3, 2, 4))}
    np.testing.assert_array_equal(parseval(0.0).project(params)["kernel"], params["kernel"])


ROWS = jax.random.normal(jax.random.key(4), (10, 12))


@pytest.fixture(scope="module")
def sampled():
    """Retractions of `ROWS` with three tenths of the rows, by many keys."""
    keys = jax.random.split(jax.random.key(5), 2000)
    return np.asarray(jax.jit(jax.vmap(lambda key: sampled_retraction(key, ROWS, 0.1, 0.3)))(keys))


def test_a_sampled_retraction_is_that_of_the_chosen_rows_alone(sampled):
    for retracted in sampled[:5]:
        chosen = np.flatnonzero(np.any(retracted != ROWS, axis=1))
        assert len(chosen) == 3
        rows = np.asarray(ROWS, np.float64)[chosen]
        np.testing.assert_allclose(retracted[chosen], 1.1 * rows - 0.1 * rows @ rows.T @ rows, rtol=1e-4, atol=1e-5)


def test_every_row_is_chosen_equally_often(sampled):
    share = np.mean(np.any(sampled != np.asarray(ROWS), axis=2), axis=0)
    np.testing.assert_allclose(share, 0.3, atol=5 * np.sqrt(0.3 * 0.7 / len(sampled)))


def test_sampled_retractions_end_at_orthonormal_rows():
    def step(matrix, key):
        return sampled_retraction(key, matrix, 0.2, 0.5), None

    matrix, _ = jax.jit(lambda keys: jax.lax.scan(step, 0.3 * ROWS[:4], keys))(jax.random.split(jax.random.key(6), 600))
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(4), atol=1e-3)


def test_all_rows_at_once_are_the_plain_retraction():
    whole = sampled_retraction(jax.random.key(0), ROWS, 0.1, 1.0)
    np.testing.assert_allclose(whole, parseval_retraction(ROWS, 0.1), rtol=1e-4, atol=1e-5)


def test_hidden_only_leaves_the_classifier_of_every_family_alone():
    for family in (networks.mlp(3), networks.cnn(3), networks.wide_resnet(3, 10, 1)):
        params = jax.eval_shape(lambda f=family: f.init(jax.random.key(0), (8, 8, 1))).params
        assert "logits" in params
    network = networks.mlp(3, widths=(6,), layers=layers.parseval)
    params = jax.tree.map(lambda leaf: 2.0 * leaf, network.init(jax.random.key(0), (4,)).params)
    for row_fraction, hook in ((1.0, "project"), (0.5, "retract")):
        method = parseval(0.1, row_fraction=row_fraction, hidden_only=True)
        moved = method.project(method.retract(jax.random.key(1), params))
        np.testing.assert_array_equal(moved["logits"]["kernel"], params["logits"]["kernel"])
        assert np.any(moved["dense0"]["kernel"] != params["dense0"]["kernel"]), hook


def test_the_training_step_retracts_new_rows_every_time_and_repeats_with_its_key():
    network, optimizer = networks.mlp(2, widths=(10,), layers=layers.parseval), optax.sgd(0.0)
    method = parseval(0.1, row_fraction=0.3, hidden_only=True)
    step = jax.jit(training.make_step(network, method, optimizer))
    state = training.init(jax.random.key(0), network, (12,), optimizer)
    kernels = state.variables.params["dense0"]
    kernels["kernel"] = 2.0 * kernels["kernel"]
    batch = Batch(jnp.ones((4, 12)), jnp.array([0, 1, 0, 1]))
    changed = []
    for _ in range(3):
        after, _ = step(jax.random.key(1), state, batch)
        again, _ = step(jax.random.key(1), state, batch)
        old, new, same = (each.variables.params["dense0"]["kernel"] for each in (state, after, again))
        np.testing.assert_array_equal(new, same)
        changed.append(tuple(np.flatnonzero(np.any(old != new, axis=0))))
        state = after
    assert all(len(rows) == 3 for rows in changed)
    assert len(set(changed)) > 1


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"beta": -1.0}, "beta must be 0 or greater, got -1"),
        ({"row_fraction": 1.5}, "row_fraction must be between 0 and 1, got 1.5"),
    ],
    ids=["beta", "row_fraction"],
)
def test_wrong_settings_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        parseval(**wrong)
