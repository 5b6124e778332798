import numpy as np
import planted
import pytest
import scipy.stats

from lipjax.statistics import (
    bootstrap,
    bootstrap_partial_tau,
    bootstrap_tau,
    granulated_tau,
    kendall_tau,
    partial_rank,
    q_values,
)


def tau(first: np.ndarray, second: np.ndarray) -> float:
    return kendall_tau(first, second).value


def test_without_clusters_the_interval_is_scipys() -> None:
    first, second = np.random.default_rng(0).normal(size=(2, 30)) + np.linspace(0, 2, 30)
    result = bootstrap(tau, first, second, clusters=range(30), num_resamples=300, seed=5, level=0.9)
    expected = scipy.stats.bootstrap(
        (first, second),
        tau,
        paired=True,
        vectorized=False,
        method="percentile",
        n_resamples=300,
        confidence_level=0.9,
        rng=np.random.default_rng(5),
    ).confidence_interval
    assert (result.low, result.high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert (result.value, result.defined) == (tau(first, second), 1)


def test_the_fast_interval_of_tau_is_that_of_the_bootstrap_also_with_ties() -> None:
    first, second = np.random.default_rng(0).integers(0, 5, (2, 30)) + np.arange(30) // 10
    for clusters in (range(30), np.arange(30) // 3, np.minimum(np.arange(30), 1)):
        options = {"clusters": clusters, "num_resamples": 50, "seed": 3}
        np.testing.assert_allclose(bootstrap_tau(first, second, **options), bootstrap(tau, first, second, **options))
    assert np.isnan(bootstrap_tau(np.ones(4), range(4), clusters=range(4)).value)


def test_the_fast_interval_of_a_partial_tau_is_that_of_the_bootstrap_also_with_ties_and_words() -> None:
    generator = np.random.default_rng(0)
    first, second, clean = generator.integers(0, 5, (3, 30)) + np.arange(30) // 10
    given = {"clean": clean, "family": np.array(list("abc"))[generator.integers(0, 3, 30)]}

    def partial(first: np.ndarray, second: np.ndarray, given: dict) -> float:
        return partial_rank(first, second, given).tau

    for known in (given, {"clean": clean}, {"family": given["family"]}, {}):
        options = {"clusters": np.arange(30) // 2, "num_resamples": 50, "seed": 3}
        fast, slow = (
            bootstrap_partial_tau(first, second, known, **options),
            bootstrap(partial, first, second, known, **options),
        )
        np.testing.assert_allclose(fast, slow, atol=1e-12)
    assert np.isnan(bootstrap_partial_tau(first, second, {"itself": first}, clusters=range(30)).value)


def test_copies_of_a_network_make_no_surer_if_they_are_one_cluster() -> None:
    values = np.random.default_rng(0).normal(size=20)
    once = bootstrap(np.mean, values, clusters=range(20))
    copied = bootstrap(np.mean, np.repeat(values, 5), clusters=np.repeat(np.arange(20), 5))
    apart = bootstrap(np.mean, np.repeat(values, 5), clusters=range(100))
    assert (once.low, once.high) == pytest.approx((copied.low, copied.high), abs=1e-12)
    assert apart.high - apart.low < 0.6 * (once.high - once.low)


def test_the_interval_has_the_truth_in_it_as_often_as_asked_for() -> None:
    """Seeds that share their configuration's value: 40 configurations, four seeds, level 0.9."""
    generator = np.random.default_rng(0)
    clusters = np.repeat(np.arange(40), 4)
    values = generator.normal(size=(100, 40))[:, clusters] + 0.3 * generator.normal(size=(100, 160))
    intervals = [bootstrap(np.mean, row, clusters=clusters, num_resamples=100, level=0.9) for row in values]
    assert np.mean([each.low <= 0 <= each.high for each in intervals]) == pytest.approx(0.9, abs=0.07)


def test_designs_are_resampled_with_their_networks_and_several_numbers_together() -> None:
    zoo = planted.zoo(noise=5.0, num_seeds=2)

    def both(measure: np.ndarray, target: np.ndarray, design: dict) -> list[float]:
        return [tau(measure, target), granulated_tau(measure, target, design).value]

    arrays = zoo.proxy, zoo.target, zoo.design
    result = bootstrap(both, *arrays, clusters=zoo.configurations, num_resamples=100)
    np.testing.assert_allclose(result.value, both(*arrays))
    assert np.all((result.low < result.value) & (result.value < result.high))
    alone = bootstrap(tau, *arrays[:2], clusters=zoo.configurations, num_resamples=100)
    assert (alone.low, alone.high) == (result.low[0], result.high[0])


def test_resamples_in_which_the_statistic_is_undefined_are_counted_and_left_out() -> None:
    result = bootstrap(tau, [1.0, 2.0], [1.0, 2.0], clusters=["a", "b"], num_resamples=400)
    assert result.defined == pytest.approx(0.5, abs=0.1)
    assert (result.low, result.high) == (1, 1)
    undefined = bootstrap(lambda x: np.nan, [1.0, 2.0], clusters=[0, 1], num_resamples=4)
    assert np.isnan([undefined.low, undefined.high]).all()
    assert undefined.defined == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"clusters": [0, 0, 0]}, "number_of_clusters"),
        ({"clusters": [0, 1]}, "one row for each of 2 networks, got 3"),
        ({"clusters": []}, "number_of_clusters"),
        ({"clusters": [0, 1, 2], "level": 95}, "level must be above 0 and below 1"),
        ({"clusters": [0, 1, 2], "num_resamples": 0}, "num_resamples"),
    ],
)
def test_what_can_not_be_resampled_is_refused(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        bootstrap(np.mean, [1.0, 2.0, 3.0], **settings)


def test_q_values_reject_what_benjamini_and_hochbergs_steps_reject() -> None:
    p_values = np.random.default_rng(0).uniform(size=(6, 10)) ** 3
    q, ordered = q_values(p_values), np.sort(p_values.ravel())
    for rate in (0.01, 0.05, 0.2, 0.5):
        below = np.flatnonzero(ordered <= rate * np.arange(1, 61) / 60)
        threshold = ordered[below[-1]] if below.size else -1.0
        np.testing.assert_array_equal(q <= rate, p_values <= threshold)


def test_tests_that_were_not_made_do_not_count_among_all() -> None:
    np.testing.assert_array_equal(q_values([0.01, np.nan, 0.04, 0.03])[[0, 2, 3]], q_values([0.01, 0.04, 0.03]))
    assert np.isnan(q_values([np.nan])).all()
    assert q_values([]).shape == (0,)
    with pytest.raises(ValueError, match="p_values must be between 0 and 1"):
        q_values([0.5, 1.5])
