"""Certified radii against distances that are known, and the bound of gaps against its two formulas."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lipjax import certificates, layers, networks
from lipjax.bounds import gap_bound, global_bound
from lipjax.norms import l2, linf
from lipjax.types import Batch, Model


def test_the_radius_of_a_linear_classifier_of_opposite_weights_is_the_distance_to_its_boundary():
    weights = np.array([[1.0, 2.0], [-1.0, -2.0]], np.float32) / np.sqrt(10.0, dtype=np.float32)
    inputs = np.random.default_rng(0).normal(size=(20, 2)).astype(np.float32)
    batch = Batch(inputs, np.argmax(inputs @ weights.T, 1))
    bound = gap_bound(lambda x: weights @ x, (2,))
    assert bound == pytest.approx(math.sqrt(2.0), rel=1e-6)
    distances = np.abs(inputs @ np.array([1.0, 2.0])) / math.sqrt(5.0)
    np.testing.assert_allclose(certificates.certified_radii(lambda x: weights @ x, batch, bound), distances, rtol=1e-4)


def test_separate_logits_are_bounded_by_twice_the_steepest_and_joint_ones_by_the_root_of_two():
    def separate(x):
        return jnp.concatenate([x[:2].sum(keepdims=True), 3.0 * x[2:3], x[:1]])

    assert global_bound(separate, (3,), norm_in=l2, norm_out=linf) == pytest.approx(3.0, rel=1e-5)
    assert gap_bound(separate, (3,)) == pytest.approx(math.sqrt(2.0) * 3.0, rel=1e-4)

    def ten_alike(x):
        return jnp.concatenate([2.0 * x[:1]] * 5 + [2.0 * x[1:2]] * 5)

    assert gap_bound(ten_alike, (2,)) == pytest.approx(4.0, rel=1e-5)
    assert gap_bound(lambda x: 2.0 * x, (4,)) == pytest.approx(2.0 * math.sqrt(2.0), rel=1e-5)


def test_separate_networks_are_certified_by_half_the_gap_and_one_network_by_more():
    separate = networks.per_class(3, trunk_stages=(), trunk_widths=(), head_stages=((2,),), head_widths=())
    joint = networks.mlp(3, widths=(4,), layers=layers.nonexpansive)
    bounds = []
    for network in (separate, joint):
        model = Model(network, network.init(jax.random.key(0), (4, 4, 1)))
        bounds.append(gap_bound(model, (4, 4, 1)))
    assert bounds[0] <= 2.0 + 1e-5
    assert bounds[1] <= math.sqrt(2.0) + 1e-5


def test_a_wrong_prediction_has_radius_minus_one_and_is_certified_nowhere():
    batch = Batch(np.array([[2.0, 1.0], [1.0, 1.0]], np.float32), np.array([1, 0]))
    radii = certificates.certified_radii(lambda x: x, batch, 1.0)
    np.testing.assert_array_equal(radii, [-1.0, -1.0])
    assert not certificates.certified(radii, [0.0]).any()


def test_an_unknown_layer_certifies_nothing():
    def f(x):
        return jnp.cumprod(x)

    bound = gap_bound(f, (3,))
    assert bound == math.inf
    radii = certificates.certified_radii(f, Batch(np.full((1, 3), 2.0, np.float32), np.array([2])), bound)
    assert certificates.certified(radii, [0.0, 1e-9]).tolist() == [[True, False]]


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="bound must be 0 or greater, got -1"):
        certificates.certified_radii(lambda x: x, Batch(np.ones((1, 2), np.float32), np.array([0])), -1.0)
    with pytest.raises(ValueError, match="radius must be 0 or greater"):
        certificates.certified(np.ones(2, np.float32), [-0.5])


def test_a_constant_classifier_is_certified_everywhere_where_it_is_right():
    def f(x):
        return jnp.array([1.0, 0.0]) + 0.0 * x[0]

    bound = gap_bound(f, (3,))
    assert bound == 0.0
    radii = certificates.certified_radii(f, Batch(np.ones((2, 3), np.float32), np.array([0, 1])), bound)
    np.testing.assert_array_equal(radii, [np.inf, -1.0])
