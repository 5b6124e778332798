"""Evaluation agrees with counting by hand, with published figures, and with itself whatever the chunk size."""

from collections.abc import Callable
from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

from lipjax import attacks, corruptions, evaluation, measurements, norms
from lipjax.networks import from_functions
from lipjax.types import Batch, Dataset, Model, Output, Variables

# Mean errors of ResNet-50 on ImageNet-C as RobustBench lists them, with its own AlexNet figures; its mCE is 76.38.
RESNET50 = (68.5, 70.9, 74.0, 61.1, 73.2, 61.9, 63.7, 67.8, 62.7, 54.5, 32.2, 60.9, 55.0, 55.1, 46.2)
ALEXNET = (88.2, 88.8, 91.7, 82.2, 83.1, 78.7, 79.6, 86.8, 83.1, 82.4, 55.8, 85.4, 64.8, 71.9, 60.7)


def brightness_classifier(x: Array) -> Array:
    """Class 1 for images whose mean is above one half."""
    return jnp.stack([0.5 - x.mean(), x.mean() - 0.5])


@pytest.fixture(scope="module")
def grey() -> Batch:
    """Nine flat images of rising brightness, labelled by it."""
    levels = np.arange(9, dtype=np.float32) / 8 * 0.9 + 0.02
    inputs = np.broadcast_to(levels[:, None, None, None], (9, 8, 8, 1)).copy()
    return Batch(inputs, (levels > 0.5).astype(np.int32))


@pytest.fixture(scope="module")
def model() -> Model:
    def apply(variables: Variables, inputs: Array, *, train: bool) -> tuple[Output, dict]:
        del train
        mean = inputs.mean((1, 2, 3))[:, None]
        return Output((mean - 0.5) * jnp.array([-1.0, 1.0]) * variables.params, {}), {}

    network = from_functions(lambda key, shape: Variables(jnp.ones(()), {}), apply)
    return Model(network, Variables(jnp.array(3.0), {}))


def test_a_perfect_classifier_has_accuracy_one_and_its_opposite_zero(grey: Batch) -> None:
    assert evaluation.accuracy(brightness_classifier, grey) == 1.0
    assert evaluation.accuracy(lambda x: -brightness_classifier(x), grey) == 0.0


@pytest.mark.parametrize("chunk_size", [1, 4, 9, 100])
def test_no_answer_depends_on_the_chunk_size(grey: Batch, chunk_size: int) -> None:
    labels = np.array([0, 0, 1, 0, 0, 1, 1, 0, 1], np.int32)
    batch = Batch(grey.inputs, labels)
    expected = (np.asarray(grey.inputs).mean((1, 2, 3)) > 0.5) == labels
    np.testing.assert_array_equal(evaluation.correct(brightness_classifier, batch, chunk_size=chunk_size), expected)
    attack = attacks.pgd(norms.linf.ball(0.05), num_steps=2)
    moved = evaluation.attacked(jax.random.key(1), brightness_classifier, batch, attack, chunk_size=chunk_size)
    whole = evaluation.attacked(jax.random.key(1), brightness_classifier, batch, attack, chunk_size=9)
    np.testing.assert_array_equal(moved.inputs, whole.inputs)


def test_a_model_and_its_callable_agree(grey: Batch, model: Model) -> None:
    np.testing.assert_array_equal(evaluation.correct(model, grey), evaluation.correct(model.single, grey))


def test_levels_and_pixels_give_the_same_answers(grey: Batch) -> None:
    levels = np.rint(np.asarray(grey.inputs) * 255).astype(np.uint8)
    np.testing.assert_array_equal(
        evaluation.correct(brightness_classifier, Batch(levels, grey.labels)),
        evaluation.correct(brightness_classifier, Batch(levels.astype(np.float32) / 255, grey.labels)),
    )


@pytest.mark.parametrize("radius", [0.0, 0.05, 0.2, 0.6])
def test_robust_accuracy_is_the_share_of_images_farther_than_the_radius_from_the_boundary(
    grey: Batch, radius: float
) -> None:
    distance = np.abs(np.asarray(grey.inputs).mean((1, 2, 3)) - 0.5)
    found = evaluation.robust_accuracy(
        jax.random.key(0), brightness_classifier, grey, attacks.pgd(norms.linf.ball(radius), num_steps=4)
    )
    assert found == np.mean(distance > radius)


def brighter(key: Array, objective: Callable, center: Array) -> Array:
    """An attack of one's own: it raises the brightness if that raises the objective."""
    point = jnp.minimum(center + 0.2, 1.0)
    return jnp.where(objective(point) > objective(center), point, center)


def darker(key: Array, objective: Callable, center: Array) -> Array:
    point = jnp.maximum(center - 0.2, 0.0)
    return jnp.where(objective(point) > objective(center), point, center)


def test_with_several_attacks_an_example_has_to_withstand_all_of_them(grey: Batch) -> None:
    mean = np.asarray(grey.inputs).mean((1, 2, 3))
    robust = partial(evaluation.robust_accuracy, jax.random.key(0), brightness_classifier, grey)
    done: list[int] = []
    assert robust(brighter) == np.mean((mean > 0.5) | (mean < 0.3))
    assert robust(darker) == np.mean((mean < 0.5) | (mean > 0.7))
    assert robust([brighter, darker], progress=done.append) == np.mean(np.abs(mean - 0.5) > 0.2)
    assert robust([brighter, darker]) < min(robust(brighter), robust(darker))
    assert done == [9, 18]
    with pytest.raises(ValueError, match="the number of attacks"):
        robust([])


def test_an_attack_is_traced_once_for_all_chunks_and_all_weights(grey: Batch) -> None:
    def scaled(scale: Array, x: Array) -> Array:
        return scale * brightness_classifier(x)

    attack = chex.assert_max_traces(brighter, n=1)
    for scale in (1.0, -1.0):
        f = jax.tree_util.Partial(scaled, jnp.array(scale))
        evaluation.withstood(jax.random.key(0), f, grey, attack, chunk_size=3)


def test_corruption_accuracy_is_the_accuracy_on_the_corrupted_images(grey: Batch, model: Model) -> None:
    key = jax.random.key(2)
    table = evaluation.corruption_accuracy(key, model, grey, names=["brightness", "gaussian_noise"], severities=(1, 5))
    assert {name: len(values) for name, values in table.items()} == {"brightness": 2, "gaussian_noise": 2}
    brighter = np.clip(np.asarray(grey.inputs).mean((1, 2, 3)) + 0.3, 0, 1) > 0.5
    assert table["brightness"][1] == np.mean(brighter == grey.labels)


def test_one_key_gives_independent_noise_for_every_corruption_and_severity(grey: Batch) -> None:
    key = jax.random.key(3)
    noise = [
        np.asarray(evaluation.corrupted(key, grey, name, severity).inputs, float) - np.rint(grey.inputs * 255)
        for name, severity in (("gaussian_noise", 4), ("gaussian_noise", 5), ("speckle_noise", 5))
    ]
    middle = [values[4].ravel() for values in noise]
    correlations = np.corrcoef(middle)[np.triu_indices(3, 1)]
    assert np.all(np.abs(correlations) < 0.4)  # 64 pixels: 0.4 is more than three standard errors


def test_the_published_errors_of_resnet50_give_its_published_mce() -> None:
    errors = dict(zip(corruptions.BENCHMARK, RESNET50, strict=True))
    baseline = dict(zip(corruptions.BENCHMARK, ALEXNET, strict=True))
    assert evaluation.mean_corruption_error(errors, baseline=baseline) * 100 == pytest.approx(76.38, abs=0.05)


def test_the_baseline_itself_has_an_mce_of_one() -> None:
    errors = evaluation.ALEXNET_ERRORS
    assert tuple(errors) == tuple(corruptions.BENCHMARK)
    assert evaluation.mean_corruption_error(errors, baseline=errors) == pytest.approx(1.0)
    relative = evaluation.relative_mean_corruption_error(errors, 0.435, baseline=errors, baseline_clean_error=0.435)
    assert relative == pytest.approx(1.0)


def test_without_a_baseline_the_errors_stay_in_their_unit() -> None:
    errors = {"fog": [10.0, 20.0], "snow": [30.0, 40.0]}
    assert evaluation.mean_corruption_error(errors) == 25.0
    assert evaluation.relative_mean_corruption_error(errors, 5.0) == 20.0


def test_a_baseline_that_lacks_a_corruption_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="no error for snow"):
        evaluation.mean_corruption_error({"fog": 0.1, "snow": 0.2}, baseline={"fog": 0.5})


def test_a_baseline_without_its_clean_error_is_refused() -> None:
    with pytest.raises(ValueError, match="given together"):
        evaluation.relative_mean_corruption_error({"fog": 0.1}, 0.1, baseline={"fog": 0.5})


def test_a_corruption_that_does_the_baseline_no_harm_gives_an_infinite_relative_error() -> None:
    errors, baseline = {"fog": [0.3], "snow": [0.3]}, {"fog": [0.1], "snow": [0.5]}
    relative = partial(evaluation.relative_mean_corruption_error, errors, baseline=baseline, baseline_clean_error=0.1)
    assert relative(0.2) == np.inf
    assert np.isnan(relative(0.3))
    assert evaluation.mean_corruption_error({"fog": 0.1}, baseline={"fog": 0.0}) == np.inf


def test_summaries_of_no_errors_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one corruption"):
        evaluation.mean_corruption_error({})
    with pytest.raises(ValueError, match="at least one corruption"):
        evaluation.relative_mean_corruption_error({}, 0.1)


def test_a_batch_that_is_empty_or_lacks_labels_is_refused() -> None:
    for num_labels in (0, 3):
        batch = Batch(np.zeros((2 if num_labels else 0, 4, 4, 1), np.float32), np.zeros(num_labels, int))
        with pytest.raises(ValueError, match=f"and {num_labels} labels"):
            evaluation.accuracy(jnp.ravel, batch)


def test_a_classifier_that_returns_nan_is_never_right(key) -> None:
    batch = Batch(np.zeros((2, 4, 4, 1), np.float32), np.array([0, 1]))
    assert evaluation.accuracy(lambda x: jnp.ravel(x) * jnp.nan, batch) == 0.0


def test_a_label_that_is_no_class_is_refused() -> None:
    batch = Batch(np.zeros((2, 3), np.float32), np.array([0, 3]))
    for refused in (evaluation.accuracy, evaluation.correct):
        with pytest.raises(ValueError, match="labels must be from 0 to 2, got 0 to 3"):
            refused(lambda x: x, batch)


def test_levels_given_as_floats_are_refused_before_an_attack() -> None:
    batch = Batch(np.array([[0.0, 128.0, 255.0]], np.float32), np.array([2]))
    with pytest.raises(ValueError, match="inputs must be within box"):
        evaluation.robust_accuracy(jax.random.key(0), lambda x: x, batch, attacks.fgsm())


def test_an_attack_of_a_measurement_stays_in_the_box_of_the_dataset() -> None:
    inputs, labels = np.array([[-3.0, -1.0]], np.float32), np.array([0])
    dataset = Dataset("mine", Batch(inputs, labels), Batch(inputs, labels), 2, box=(-4.0, 4.0))
    reached = []

    def f(x):
        jax.debug.callback(lambda point: reached.append(np.asarray(point)), x)
        return x

    measurements.attacked(attacks.fgsm(norms.linf.ball(0.5)))(jax.random.key(0), f, dataset)
    jax.effects_barrier()
    assert min(point.min() for point in reached) >= -4.0
    assert max(np.abs(point - inputs).max() for point in reached) <= 0.5 + 1e-6
