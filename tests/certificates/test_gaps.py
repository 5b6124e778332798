"""Certified radii against distances that are known, and the bound of gaps against its two formulas."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lipjax import attacks, certificates, datasets, evaluation, layers, measurements, networks
from lipjax.bounds import gap_bound, global_bound
from lipjax.norms import Norm, l1, l2, linf, masked
from lipjax.types import Batch, Model

LEFT = masked(l2, np.arange(6) < 3)


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
    one = Batch(np.ones((1, 2), np.float32), np.array([0]))
    with pytest.raises(ValueError, match="radii must be 0 or greater"):
        certificates.locally_certified_radii(lambda x: x, one, [-1.0])
    with pytest.raises(ValueError, match="labels must be from 0 to 1"):
        certificates.locally_certified_radii(lambda x: x, one._replace(labels=np.array([2])), [1.0])
    with pytest.raises(ValueError, match="method"):
        certificates.locally_certified_radii(lambda x: 2 * x * jnp.array([1.0, 0.5]), one, [1.0], method="exact")


def test_local_radii_of_a_linear_classifier_end_at_its_boundary() -> None:
    weights = np.array([[1.0, 0.5], [-1.0, 1.0], [0.0, -2.0]], np.float32)
    x = np.array([[0.3, -0.1]], np.float32)
    logits = weights @ x[0]
    label = int(np.argmax(logits))
    rivals = [i for i in range(3) if i != label]
    distance = float(min((logits[label] - logits[i]) / np.linalg.norm(weights[label] - weights[i]) for i in rivals))
    batch, radii = Batch(x, np.array([label])), [0.5 * distance, 0.999 * distance, 1.001 * distance]
    found = certificates.locally_certified_radii(lambda x: weights @ x, batch, radii, method="interval")
    assert found[0] == radii[1]


@pytest.mark.parametrize(
    ("norm", "method"), [(l2, "linear"), (l2, "sdp"), (linf, "linear"), (l1, "interval"), (LEFT, "interval")], ids=str
)
def test_no_attack_succeeds_within_a_local_radius_which_is_often_above_the_global_one(norm: Norm, method: str) -> None:
    network = networks.mlp(3, widths=(12, 12))
    model = Model(network, network.init(jax.random.key(0), (6,)))
    xs = np.asarray(jax.random.uniform(jax.random.key(1), (2 if method == "sdp" else 12, 6)))
    batch = Batch(xs, evaluation.logits(model, Batch(xs, np.zeros(len(xs), int))).argmax(1))
    radii = [0.01, 0.03, 0.1, 0.2] if method != "sdp" else [0.1]
    ball = norm.ball(math.inf, box=(0.0, 1.0))
    found = certificates.locally_certified_radii(model, batch, radii, ball=ball, method=method)
    for radius in radii:
        attack = attacks.pgd(ball.replace(radius=radius), num_steps=20, num_restarts=3)
        withstood = evaluation.withstood(jax.random.key(2), model, batch, attack)
        assert np.all(withstood[found >= radius])
    if norm == l2:
        everywhere = certificates.certified_radii(model, batch, gap_bound(model, (6,)))
        certified, before = (certificates.certified(each, radii).mean() for each in (found, everywhere))
        assert certified >= before
        assert certified > before or method == "sdp"


def test_local_radii_of_another_network_and_image_are_found_by_the_same_program() -> None:
    network, traced, counts = networks.mlp(3, widths=(4,)), [], []

    def logits(variables: dict, x: jax.Array) -> jax.Array:
        traced.append(x)
        return network.apply(variables, x[None], train=False)[0].logits[0]

    for seed in range(3):
        f = jax.tree_util.Partial(logits, network.init(jax.random.key(seed), (6,)))
        x = np.asarray(jax.random.uniform(jax.random.key(seed), (1, 6)))
        batch = Batch(x, evaluation.logits(f, Batch(x, np.zeros(1, int))).argmax(1))
        certificates.locally_certified_radii(f, batch, [0.01, 0.02], method="interval")
        counts.append(len(traced))
    assert len(set(counts)) == 1


def test_the_measurement_certifies_at_just_the_radii_asked_for_and_tells_how_far_it_is() -> None:
    images, labels = np.array([[0.0, 1.0]] * 2, np.float32), np.array([1, 0])
    dataset = datasets.from_arrays("mine", (images, labels), (images, labels))
    told: list[float] = []
    measured = measurements.certified(radii=(0.9, 3.0), method="interval")  # 0.9 in float32 is less
    answers = measured(jax.random.key(0), lambda x: jax.nn.relu(x - jnp.array([1.0, 0.0])), dataset, told.append)
    assert answers.certified_radius.values.tolist() == [0.9, -1.0]
    assert sum(told) == pytest.approx(measured.cost(dataset), rel=0.01)


def test_local_radii_are_0_for_unknown_layers_and_minus_1_for_wrong_predictions() -> None:
    batch = Batch(np.full((2, 3), 2.0, np.float32), np.array([2, 0]))
    np.testing.assert_array_equal(certificates.locally_certified_radii(jnp.cumprod, batch, [0.1]), [0.0, -1.0])


def test_a_constant_classifier_is_certified_everywhere_where_it_is_right():
    def f(x):
        return jnp.array([1.0, 0.0]) + 0.0 * x[0]

    bound = gap_bound(f, (3,))
    assert bound == 0.0
    radii = certificates.certified_radii(f, Batch(np.ones((2, 3), np.float32), np.array([0, 1])), bound)
    np.testing.assert_array_equal(radii, [np.inf, -1.0])
