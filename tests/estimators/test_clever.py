"""CLEVER against linear classifiers, a quadratic one, and SciPy's fits."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from lipjax.estimators import Clever, clever
from lipjax.estimators.weibull import fit_weibull
from lipjax.norms import Norm, l1, l2, linf

WEIGHTS = np.random.default_rng(3).normal(size=(4, 6)).astype(np.float32)
X = np.random.default_rng(4).uniform(0.3, 0.7, size=6).astype(np.float32)
DUAL = {"linf": 1, "l2": 2, "l1": np.inf}


def linear(x: jax.Array) -> jax.Array:
    return WEIGHTS @ x


@pytest.mark.parametrize("norm", [linf, l2, l1], ids=lambda norm: norm.name)
def test_a_linear_classifier_gets_the_exact_distance_to_its_boundary_and_at_most_the_radius(
    norm: Norm, key: jax.Array
) -> None:
    logits = WEIGHTS @ X
    c = int(logits.argmax())
    steepness = np.linalg.norm(WEIGHTS[c] - WEIGHTS, DUAL[norm.name], axis=1)
    distances = np.where(np.arange(4) == c, np.inf, (logits[c] - logits) / np.where(steepness > 0, steepness, 1.0))

    @jax.jit
    def untargeted(radius: float) -> Clever:
        return clever(norm.ball(radius), num_samples=8, num_batches=10)(key, linear, jnp.asarray(X))

    found = untargeted(50.0)
    assert found.target == distances.argmin()
    np.testing.assert_allclose(found.score, distances.min(), rtol=1e-4)
    np.testing.assert_allclose(found.value, steepness[distances.argmin()], rtol=1e-4)
    assert not found.is_fitted
    assert found.p_value == 1.0
    assert untargeted(1e-3).score == jnp.float32(1e-3)


def test_every_target_has_its_own_distance(key: jax.Array) -> None:
    logits = WEIGHTS @ X
    c = int(logits.argmax())

    @jax.jit
    def targeted(target: int) -> Clever:
        return clever(l2.ball(50.0), target=target, num_samples=4, num_batches=5)(key, linear, jnp.asarray(X))

    for target in set(range(4)) - {c}:
        exact = (logits[c] - logits[target]) / np.linalg.norm(WEIGHTS[c] - WEIGHTS[target])
        np.testing.assert_allclose(targeted(target).score, exact, rtol=1e-4)


def test_a_constant_classifier_is_safe_in_the_whole_ball(key: jax.Array) -> None:
    constant = clever(l2.ball(0.25), num_samples=4, num_batches=5)(key, lambda x: jnp.array([1.0, 0.0]), jnp.asarray(X))
    assert constant.value == 0.0
    assert constant.score == 0.25


def test_the_extrapolated_maximum_of_a_quadratic_is_near_the_true_one(key: jax.Array) -> None:
    x = jnp.array([0.3, 0.1])

    def quadratic(x: jax.Array) -> jax.Array:  # the margin's gradient is 2 x, of length at most 2 (||x|| + r)
        return jnp.stack([x @ x + 1.0, 0.0])

    estimator = clever(l2.ball(0.5, box=None), num_samples=64, num_batches=200)
    found = estimator(key, quadratic, x)
    exact = 2 * (np.linalg.norm(x) + 0.5)
    assert found.largest <= exact
    assert found.is_fitted
    assert found.p_value > 0.01
    np.testing.assert_allclose(found.value, exact, rtol=0.02)
    np.testing.assert_allclose(2 * l2.value(found.witness), found.largest, rtol=1e-5)
    again = estimator(key, quadratic, x)
    assert all(bool(jnp.all(a == b)) for a, b in zip(found, again, strict=True))


@pytest.mark.parametrize("shape", [1.5, 3.0, 8.0])
def test_the_fit_is_the_most_likely_one(shape: float) -> None:
    observations = 5.0 - scipy.stats.weibull_min.rvs(shape, scale=2.0, size=300, random_state=int(shape))
    ours = fit_weibull(jnp.asarray(observations, jnp.float32))
    law = scipy.stats.weibull_max(float(ours.shape), float(ours.end), float(ours.scale))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = scipy.stats.weibull_max(*scipy.stats.weibull_max.fit(observations, shape, loc=5.0, scale=2.0))
    assert law.logpdf(observations).sum() >= theirs.logpdf(observations).sum() - 0.01
    distance, p_value = scipy.stats.kstest(observations, law.cdf)
    np.testing.assert_allclose(ours.distance, distance, rtol=1e-3)
    np.testing.assert_allclose(ours.p_value, p_value, atol=0.01)


def test_maxima_without_an_upper_end_are_not_extrapolated() -> None:
    observations = scipy.stats.gumbel_r.rvs(loc=3.0, size=400, random_state=2)
    fit = fit_weibull(jnp.asarray(observations, jnp.float32))
    assert not fit.is_fitted
    assert fit.p_value == 0.0
    np.testing.assert_allclose(fit.end, observations.max(), rtol=1e-6)


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="radius must be positive"):
        clever(l2.ball(0.0))
    with pytest.raises(ValueError, match="target must be 0 or greater, got -1"):
        clever(target=-1)
    with pytest.raises(ValueError, match="num_classes must be"):
        clever()(jax.random.key(0), lambda x: x.sum()[None], jnp.asarray(X))
