"""Losses of one example against SciPy, NumPy on sorted logits, optax, and their own identities."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.special

from lipjax import losses

LOGITS = jax.random.normal(jax.random.key(0), (8, 5)) * 3
LABELS = jnp.array([0, 1, 2, 3, 4, 0, 1, 2])
LOSSES = [
    losses.cross_entropy,
    losses.dlr,
    lambda z, y: -losses.margin(z, y),
    lambda z, y: losses.targeted_dlr(z, y, (y + 1) % z.size),
]
every_class_count = pytest.mark.parametrize("num_classes", [2, 3, 4, 10])


def test_cross_entropy_equals_optax_and_scipy():
    values = jax.vmap(losses.cross_entropy)(LOGITS, LABELS)
    by_optax = optax.losses.softmax_cross_entropy_with_integer_labels(LOGITS, LABELS)
    by_scipy = -scipy.special.log_softmax(np.asarray(LOGITS, np.float64), axis=1)[np.arange(8), LABELS]
    np.testing.assert_allclose(values, by_optax, atol=1e-6)
    np.testing.assert_allclose(values, by_scipy, rtol=1e-5)


def test_cross_entropy_of_huge_logits_is_finite_with_the_softmax_as_derivative():
    logits = jnp.array([1e4, 0.0, -1e4])
    assert losses.cross_entropy(logits, 2) == 2e4
    np.testing.assert_allclose(jax.grad(losses.cross_entropy)(logits, 2), [1.0, 0.0, -1.0])


def test_cross_entropy_and_its_derivative_are_exact_for_a_sure_classifier():
    value, gradient = jax.value_and_grad(losses.cross_entropy)(jnp.array([40.0, 0.0, 1.0]), 0)
    small, larger = np.exp(-40.0), np.exp(-39.0)
    np.testing.assert_allclose(value, small + larger, rtol=1e-5)
    np.testing.assert_allclose(gradient, [-small - larger, small, larger], rtol=1e-5)


def test_kl_divergence_equals_scipy_and_is_zero_only_for_equal_distributions():
    other = LOGITS[::-1]
    p, q = scipy.special.softmax(np.asarray([LOGITS, other], np.float64), axis=2)
    np.testing.assert_allclose(
        jax.vmap(losses.kl_divergence)(LOGITS, other), scipy.special.rel_entr(p, q).sum(1), rtol=1e-4
    )
    np.testing.assert_allclose(jax.vmap(losses.kl_divergence)(LOGITS, LOGITS + 7.0), 0.0, atol=1e-5)


def test_margin_is_positive_exactly_where_the_label_has_the_largest_logit():
    margins = jax.vmap(losses.margin)(LOGITS, LABELS)
    np.testing.assert_array_equal(margins > 0, jnp.argmax(LOGITS, axis=1) == LABELS)
    assert 0 < np.sum(margins > 0) < 8


def test_a_tie_has_margin_zero():
    assert losses.margin(jnp.array([1.0, 1.0, 0.0]), 0) == 0.0


@every_class_count
def test_dlr_equals_its_formula_on_sorted_logits(num_classes):
    logits = np.asarray(jax.random.normal(jax.random.key(num_classes), (20, num_classes)), np.float64)
    for z, label in zip(logits, np.arange(20) % num_classes, strict=True):
        top = np.sort(z)[::-1]
        numerator = -(z[label] - np.delete(z, label).max())
        expected = numerator / (top[0] - top[2]) if num_classes > 2 else numerator
        np.testing.assert_allclose(losses.dlr(jnp.asarray(z, jnp.float32), label), expected, rtol=1e-4)


@every_class_count
def test_targeted_dlr_equals_its_formula_on_sorted_logits(num_classes):
    logits = np.asarray(jax.random.normal(jax.random.key(num_classes), (20, num_classes)), np.float64)
    for z, label in zip(logits, np.arange(20) % num_classes, strict=True):
        top, target = np.sort(z)[::-1], (label + 1) % num_classes
        denominators = {2: lambda t: 1.0, 3: lambda t: t[0] - t[2]}
        denominator = denominators.get(num_classes, lambda t: t[0] - (t[2] + t[3]) / 2)(top)
        expected = (z[target] - z[label]) / denominator
        value = losses.targeted_dlr(jnp.asarray(z, jnp.float32), label, target)
        np.testing.assert_allclose(value, expected, rtol=1e-4)


@pytest.mark.parametrize("loss", LOSSES, ids=["cross_entropy", "dlr", "negative_margin", "targeted_dlr"])
def test_no_loss_changes_when_all_logits_are_shifted(loss):
    np.testing.assert_allclose(jax.vmap(loss)(LOGITS + 5.0, LABELS), jax.vmap(loss)(LOGITS, LABELS), rtol=1e-4)


@pytest.mark.parametrize("loss", [LOSSES[1], LOSSES[3]], ids=["dlr", "targeted_dlr"])
def test_logit_ratios_do_not_change_when_all_logits_are_scaled(loss):
    np.testing.assert_allclose(jax.vmap(loss)(LOGITS * 1e4, LABELS), jax.vmap(loss)(LOGITS, LABELS), rtol=1e-4)


def test_untargeted_losses_are_positive_exactly_where_the_classifier_is_wrong():
    wrong = jnp.argmax(LOGITS, axis=1) != LABELS
    np.testing.assert_array_equal(jax.vmap(losses.dlr)(LOGITS, LABELS) > 0, wrong)


@every_class_count
@pytest.mark.parametrize("loss", LOSSES, ids=["cross_entropy", "dlr", "negative_margin", "targeted_dlr"])
def test_equal_logits_have_finite_losses_and_derivatives(loss, num_classes):
    value, gradient = jax.value_and_grad(loss)(jnp.zeros(num_classes), 0)
    assert jnp.isfinite(value)
    assert jnp.all(jnp.isfinite(gradient))


@pytest.mark.parametrize("loss", LOSSES, ids=["cross_entropy", "dlr", "negative_margin", "targeted_dlr"])
def test_labels_may_be_traced(loss):
    jitted = jax.jit(loss)
    for z, label in zip(LOGITS[:3], LABELS[:3], strict=True):
        np.testing.assert_allclose(jitted(z, label), loss(z, int(label)), rtol=1e-6)


@pytest.mark.parametrize("label", [0, 1])
def test_no_label_is_correct_where_a_logit_is_nan(label):
    assert not losses.is_correct(jnp.array([jnp.nan, 1.0]), label)
    assert not losses.is_correct(jnp.array([1.0, jnp.nan]), label)


def test_the_first_of_equal_logits_is_correct():
    assert losses.is_correct(jnp.zeros(3), 0)
    assert not losses.is_correct(jnp.zeros(3), 1)
