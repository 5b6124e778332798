import mbe_eval
import numpy as np
import planted
import pytest
import scipy.stats

from lipjax.statistics import kendall_tau, partial_rank, smallest_detectable_tau


def test_tau_counts_concordant_and_discordant_pairs_and_is_reduced_by_ties() -> None:
    first, second = np.random.default_rng(0).integers(0, 6, (2, 40))
    pairs = np.triu_indices(40, 1)
    s, t = (np.sign(values[:, None] - values)[pairs] for values in (first, second))
    expected = np.sum(s * t) / np.sqrt(np.sum(s != 0) * np.sum(t != 0))
    assert kendall_tau(first, second).value == pytest.approx(expected, abs=1e-12)
    assert kendall_tau(first, second).value == pytest.approx(
        mbe_eval.kendall_rank_correlation(first, second), abs=1e-12
    )


def test_the_p_value_of_a_perfect_order_of_five_is_that_of_two_of_all_orders() -> None:
    assert kendall_tau(range(5), range(5)).p_value == pytest.approx(2 / 120)


def test_a_constant_quantity_has_no_rank_correlation() -> None:
    assert np.isnan(kendall_tau([1, 1, 1], [1, 2, 3])).all()
    assert np.isnan(partial_rank([1, 1, 1], [1, 2, 3], {})).all()


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ([1], [2], "at least 2"),
        ([], [], "at least 2"),
        ([1, 2, 3], [1, 2], "each of 3 networks"),
        ([1, 2], [np.nan, 1], "second must be finite"),
        ([[1, 2], [3, 4]], [[1, 2], [3, 4]], "each of 4 networks"),
    ],
)
def test_what_can_not_be_ranked_is_refused(first: list, second: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kendall_tau(first, second)


def test_given_quantities_that_do_not_fit_the_networks_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="clean must be finite"):
        partial_rank([1, 2], [1, 2], {"clean": [0.5, np.nan]})
    with pytest.raises(ValueError, match="system must have one value for each of 2"):
        partial_rank([1, 2], [1, 2], {"system": ["v"]})


@pytest.mark.parametrize("given", [[], ["rate"], ["system"], ["system", "rate", "width"]])
def test_partial_spearman_is_that_of_mbe_eval(given: list[str]) -> None:
    zoo = planted.zoo(noise=5.0)
    expected = mbe_eval.partial_rank_corr(
        planted.table(zoo.proxy, zoo.target, **zoo.design), "measure", "target", given
    )
    result = partial_rank(zoo.proxy, zoo.target, {name: zoo.design[name] for name in given})
    np.testing.assert_allclose([result.spearman, result.p_value], expected[:2], rtol=1e-9, atol=1e-12)


def test_partial_correlations_given_nothing_are_the_raw_ones() -> None:
    zoo = planted.zoo(noise=5.0)
    result = partial_rank(zoo.proxy, zoo.target, {})
    assert result.tau == pytest.approx(kendall_tau(zoo.proxy, zoo.target).value, abs=1e-12)
    assert result.spearman == pytest.approx(scipy.stats.spearmanr(zoo.proxy, zoo.target).statistic, abs=1e-12)


def test_partial_tau_is_that_of_the_residuals_of_ranks() -> None:
    given, *both = np.random.default_rng(0).normal(size=(3, 80)) + np.linspace(0, 3, 80)
    rank = scipy.stats.rankdata
    residuals = [rank(y) - np.polyval(np.polyfit(rank(given), rank(y), 1), rank(given)) for y in both]
    expected = scipy.stats.kendalltau(*residuals).statistic
    assert partial_rank(*both, {"given": given}).tau == pytest.approx(expected, abs=1e-12)


def test_what_shares_only_the_given_quantity_has_no_partial_correlation_though_kendalls_is_not_0() -> None:
    given, *noise = np.random.default_rng(0).normal(size=(3, 2000))
    first, second = given + 0.3 * noise[0], given + 0.3 * noise[1]
    result = partial_rank(first, second, {"given": given})
    assert max(abs(result.tau), abs(result.spearman)) < 0.05
    xy, xz, yz = (kendall_tau(*pair).value for pair in ((first, second), (first, given), (second, given)))
    assert (xy - xz * yz) / np.sqrt((1 - xz**2) * (1 - yz**2)) > 0.2


def test_a_measure_that_the_given_ones_determine_has_no_partial_correlation() -> None:
    words = np.repeat(["a", "b", "c"], 4)
    assert np.isnan(partial_rank(np.repeat([3.0, 1.0, 2.0], 4), range(12), {"system": words})).all()


def test_no_degree_of_freedom_leaves_no_p_value() -> None:
    result = partial_rank([1, 3, 2], [2, 3, 1], {"given": [1, 2, 3]})
    assert np.isfinite(result.spearman)
    assert np.isnan(result.p_value)


@pytest.mark.parametrize("num_networks", [5, 12, 48])
def test_the_smallest_detectable_tau_is_detected_as_often_as_asked_for(num_networks: int) -> None:
    correlation = np.sin(np.pi / 2 * smallest_detectable_tau(num_networks))
    first, noise = np.random.default_rng(0).normal(size=(2, 500, num_networks))
    second = correlation * first + np.sqrt(1 - correlation**2) * noise
    found = [kendall_tau(x, y).p_value < 0.05 for x, y in zip(first, second, strict=True)]
    assert np.mean(found) == pytest.approx(0.8, abs=0.07)


def test_fewer_than_five_networks_detect_nothing() -> None:
    assert kendall_tau(range(4), range(4)).p_value > 0.05
    assert np.isnan([smallest_detectable_tau(number) for number in (1, 2, 3, 4)]).all()
    with pytest.raises(ValueError, match="power must be above 0 and below 1"):
        smallest_detectable_tau(12, power=1.0)
