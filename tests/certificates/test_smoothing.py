"""Randomised smoothing: SciPy's statistics, and classifiers whose smoothed version is known exactly."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
import scipy.stats

from lipjax.certificates import ABSTAIN, Certificate, certified, smoothed, smoothing
from lipjax.certificates.smoothing import certified_radius, class_counts, lower_confidence_bound
from lipjax.values import from_json, to_json

SIGMA = 0.5
WEIGHTS = jnp.array([3.0, -4.0])


def half_planes(x):
    """Logits of a linear classifier whose boundary is `|<x, w>| / 5` away."""
    return jnp.stack([x @ WEIGHTS, jnp.zeros(())])


def interval(x):
    """Class 1 inside [-1, 1], class 0 outside."""
    return jnp.stack([jnp.abs(x[0]) - 1.0, jnp.zeros(())])


def inside(x):
    """The probability of class 1 at `x + sigma N(0, 1)`."""
    return scipy.stats.norm.cdf((1 - x) / SIGMA) - scipy.stats.norm.cdf((-1 - x) / SIGMA)


@pytest.mark.parametrize("num_samples", [1, 20, 1000, 100_000])
def test_the_lower_bound_is_clopper_and_pearsons(num_samples):
    counts = np.unique(np.linspace(0, num_samples, 9).astype(int))
    bounds = lower_confidence_bound(counts, num_samples, 0.01)
    exact = [scipy.stats.binomtest(int(k), num_samples).proportion_ci(0.98, "exact").low for k in counts]
    np.testing.assert_allclose(bounds, exact, rtol=1e-9)
    np.testing.assert_allclose(bounds[1:], scipy.stats.beta.ppf(0.01, counts[1:], num_samples - counts[1:] + 1))
    # By its definition: at the bound, as many events or more have probability `failure`.
    np.testing.assert_allclose(scipy.stats.binom.sf(counts[1:] - 1, num_samples, bounds[1:]), 0.01, rtol=1e-6)


@pytest.mark.parametrize("probability", [0.05, 0.5, 0.9, 0.999])
def test_the_bound_is_too_high_at_most_as_often_as_allowed(probability):
    counts = np.arange(201)
    too_high = lower_confidence_bound(counts, 200, 0.05) > probability
    assert np.sum(scipy.stats.binom.pmf(counts, 200, probability)[too_high]) <= 0.05


def test_the_radius_is_the_normal_quantile_and_zero_below_one_half():
    probabilities = np.array([0.0, 0.3, 0.5, 0.7, 0.99])
    expected = SIGMA * scipy.stats.norm.ppf(np.maximum(probabilities, 0.5))
    np.testing.assert_allclose(certified_radius(probabilities, SIGMA), expected, rtol=1e-12)


def test_counts_do_not_depend_on_the_chunk_size_and_have_the_right_law(key):
    x = jnp.array([0.3, 0.1])
    counts = [
        class_counts(key, half_planes, x, sigma=SIGMA, num_samples=5000, chunk_size=size) for size in (64, 999, 5000)
    ]
    np.testing.assert_array_equal(counts[0], counts[1])
    np.testing.assert_array_equal(counts[0], counts[2])
    assert counts[0].sum() == 5000
    probability = scipy.stats.norm.cdf(float(x @ WEIGHTS) / (5 * SIGMA))
    assert scipy.stats.binomtest(int(counts[0][0]), 5000, probability).pvalue > 1e-3


@pytest.fixture(scope="module")
def on_a_line():
    """Certificates of the interval's classifier at points of a line."""
    points = np.linspace(-2.5, 2.5, 31, dtype=np.float32)
    return points, smoothed(SIGMA, num_samples=2000).certify(jax.random.key(1), interval, points[:, None])


def test_no_certificate_reaches_beyond_the_exact_boundary_of_the_smoothed_classifier(on_a_line):
    points, certificate = on_a_line
    boundary = scipy.optimize.brentq(lambda x: inside(x) - 0.5, 0.5, 1.5)
    certain = certificate.labels != ABSTAIN
    assert 0.8 < np.mean(certain) < 1.0
    np.testing.assert_array_equal(certificate.labels[certain], (np.abs(points) < boundary)[certain])
    assert np.all(certificate.radii <= np.abs(np.abs(points) - boundary))
    np.testing.assert_array_equal(certificate.radii[~certain], 0.0)


def test_the_radius_is_that_of_the_bound_of_the_probability(on_a_line):
    points, certificate = on_a_line
    # With 2000 draws, a bound that is wrong once in 1000 lies about 3.1 standard errors below, and rarely 7.
    p = np.maximum(inside(points), 1 - inside(points))
    deviation = np.sqrt(p * (1 - p) / 2000) + 1e-3
    assert np.all(certificate.radii >= certified_radius(p - 7 * deviation, SIGMA))
    assert np.mean(certificate.radii <= certified_radius(p, SIGMA)) == 1.0


def test_for_a_linear_classifier_the_certified_radius_approaches_the_distance_to_its_boundary(key):
    inputs = jnp.array([[0.5, 0.2], [0.1, 0.4], [0.9, 0.1]])
    distances = np.abs(inputs @ WEIGHTS) / 5
    certificate = smoothed(0.2, num_samples=20_000).certify(key, half_planes, inputs)
    np.testing.assert_array_equal(certificate.labels, inputs @ WEIGHTS < 0)
    assert np.all(certificate.radii <= distances)
    assert np.all(certificate.radii >= 0.9 * np.minimum(distances, 0.2 * 3.2))


def test_an_examples_certificate_does_not_depend_on_the_others_and_levels_are_pixels(key):
    levels = np.array([[10, 40], [200, 30], [130, 100]], np.uint8)
    quick = smoothed(SIGMA, num_samples=200)
    whole = quick.certify(key, half_planes, levels)
    done = []
    part = quick.certify(key, half_planes, (levels / 255).astype(np.float32)[:2], progress=done.append)
    np.testing.assert_array_equal(whole.radii[:2], part.radii)
    assert done == [1, 2]


def test_predictions_are_decided_by_the_two_sided_binomial_test(key):
    inputs = jnp.stack([jnp.linspace(0.0, 0.3, 12), jnp.zeros(12)], axis=1)
    settings = smoothed(SIGMA, num_samples=300, failure=0.01)
    labels = settings.predict(key, half_planes, inputs)
    counts = settings._counts(key, half_planes, inputs, (300,), lambda done: None)[:, 0]
    p_values = np.array([scipy.stats.binomtest(int(row.max()), 300).pvalue for row in counts])
    np.testing.assert_array_equal(labels == ABSTAIN, p_values > 0.01)
    np.testing.assert_array_equal(labels[p_values <= 0.01], counts.argmax(1)[p_values <= 0.01])
    assert 0 < np.sum(labels == ABSTAIN) < len(labels)


def test_memory_hardly_grows_with_the_number_of_draws():
    def needed(num_samples):
        arguments = (
            jax.tree_util.Partial(lambda x: jnp.stack([x.sum(), 0.0])),
            jax.random.key(0),
            jnp.zeros((32, 32, 3)),
            0.5,
        )
        compiled = smoothing._counts.lower(*arguments, nums=(num_samples,), chunk_size=100).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    assert needed(10_000) < 1.5 * needed(1_000)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"sigma": 0.0}, "sigma must be positive"),
        ({"failure": 1.0}, "failure must be above 0 and below 1, got 1"),
        ({"num_samples": 0}, "num_samples must be a whole number of at least 1"),
    ],
    ids=["sigma", "failure", "num_samples"],
)
def test_wrong_settings_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        smoothed(**{"sigma": SIGMA, **wrong})


def test_settings_are_a_value_that_is_written_and_read_back():
    settings = smoothed(SIGMA, num_samples=300, failure=0.01)
    assert from_json(to_json(settings)) == settings != smoothed(SIGMA, num_samples=300)
    assert repr(settings) == "smoothed(sigma=0.5, num_samples=300, failure=0.01)"


def test_a_wrong_class_and_an_abstention_have_no_right_radius():
    certificate = Certificate(np.array([0, 1, ABSTAIN]), np.array([0.5, 0.2, 0.0]))
    radii = certificate.right_radii(np.array([0, 1, 1]))
    np.testing.assert_array_equal(radii, [0.5, 0.2, -1.0])
    np.testing.assert_array_equal(certified(radii, [0.0, 0.3]).mean(axis=0), [2 / 3, 1 / 3])
    assert not certified(certificate.right_radii(np.array([1, 0, 0])), [0.0]).any()
