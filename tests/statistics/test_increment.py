import numpy as np
import planted
import pytest
import scipy.stats

from lipjax.statistics import bootstrap, granulated_tau, increment, kendall_tau


def spread(values: np.ndarray) -> np.ndarray:
    return np.interp(scipy.stats.rankdata(values), [1, len(values)], [-1, 1])


def out_of_fold(features: np.ndarray, y: np.ndarray, folds: np.ndarray, ridge: float) -> np.ndarray:
    """Ridge predictions by least squares on data with rows that stand for the penalty."""
    predictions = np.empty(len(y))
    for fold in set(folds):
        train, penalty = folds != fold, np.sqrt(ridge) * np.eye(features.shape[1])[1:]
        rows = np.concatenate([features[train], penalty]), np.concatenate([y[train], np.zeros(len(penalty))])
        predictions[folds == fold] = features[folds == fold] @ np.linalg.lstsq(*rows)[0]
    return predictions


def test_an_increment_is_that_of_regressions_written_out() -> None:
    zoo = planted.zoo(noise=5.0, num_seeds=2)
    baseline = {"system": np.where(zoo.design["system"] < "c", "old", "new"), "width": zoo.design["width"]}
    result = increment(zoo.quality, zoo.target, baseline, zoo.configurations, num_repeats=1, ridges=[0.3], seed=7)

    folds = np.empty(54, int)
    folds[np.random.default_rng(7).permutation(54)] = np.arange(54) % 5
    folds = folds[zoo.configurations]
    old, width, measure, y, one = (
        baseline["system"] == "old",
        *map(spread, (baseline["width"], zoo.quality, zoo.target)),
        np.ones(108),
    )
    known = [one, old, width, old * old, old * width, width**2]
    mean, without, both = (
        out_of_fold(np.column_stack(columns), y, folds, 0.3)
        for columns in ([one], known, [*known, measure, measure * old, measure * width])
    )
    by_mean, by_baseline, by_both = (np.mean((y - each) ** 2) for each in (mean, without, both))
    assert result.baseline_r_squared == pytest.approx(1 - by_baseline / by_mean, abs=1e-9)
    assert result.r_squared == pytest.approx(1 - by_both / by_mean, abs=1e-9)
    assert result.share == pytest.approx(1 - by_both / by_baseline, abs=1e-9)
    assert result.gain == pytest.approx(result.per_network.mean(), abs=1e-12)


@pytest.mark.parametrize("noise", [0.35, 2.0, 8.0])
def test_a_proxy_of_the_design_adds_nothing_and_what_the_design_leaves_does(noise: float) -> None:
    zoo = planted.zoo(noise=noise)
    of_proxy, of_quality = (
        increment(measure, zoo.target, zoo.design, zoo.configurations) for measure in (zoo.proxy, zoo.quality)
    )
    assert of_proxy.gain < 0.001
    assert of_proxy.share < 0.05
    assert of_quality.share > 0.3
    assert of_quality.gain > 0
    assert kendall_tau(zoo.proxy, zoo.target).value > kendall_tau(zoo.quality, zoo.target).value


def test_the_increment_exposes_a_proxy_that_both_taus_praise() -> None:
    zoo = planted.zoo()
    assert kendall_tau(zoo.proxy, zoo.target).value > 0.97
    assert granulated_tau(zoo.proxy, zoo.target, zoo.design).value > 0.7
    result = increment(zoo.proxy, zoo.target, zoo.design, zoo.configurations)
    interval = bootstrap(np.mean, result.per_network, clusters=zoo.configurations)
    assert interval.low - 1e-12 <= result.gain <= interval.high < 0.001


def test_a_measure_whose_sign_depends_on_the_system_is_found_by_its_interaction() -> None:
    measure, noise = np.random.default_rng(0).normal(size=(2, 200))
    system = np.arange(200) % 2
    target = np.where(system == 1, measure, -measure) + 0.1 * noise
    assert abs(kendall_tau(measure, target).value) < 0.15
    assert increment(measure, target, {"system": np.array(["v", "pgd"])[system]}, np.arange(200)).gain > 0.7


def test_a_configuration_that_gives_its_seeds_away_predicts_no_other() -> None:
    """Each configuration has its own random level: a measure that names the configuration predicts within it only."""
    configurations = np.repeat(np.arange(40), 5)
    measure, target = np.random.default_rng(0).normal(size=(2, 40))[:, configurations]
    assert increment(measure, target, {"name": measure}, configurations).baseline_r_squared < 0.1


def test_a_baseline_of_nothing_is_the_mean() -> None:
    zoo = planted.zoo()
    result = increment(zoo.proxy, zoo.target, {}, zoo.configurations)
    assert result.baseline_r_squared == 0
    assert result.gain == result.r_squared > 0.9


def test_repeats_are_averaged_and_seeds_repeat() -> None:
    zoo = planted.zoo(noise=5.0)
    of = lambda **settings: increment(zoo.quality, zoo.target, zoo.design, zoo.configurations, **settings)  # noqa: E731
    generator = np.random.default_rng(3)
    assert of(seed=3).gain == of(seed=3).gain != of(seed=4).gain
    expected = np.mean([of(num_repeats=1, seed=generator).per_network for _ in range(2)], axis=0)
    np.testing.assert_allclose(of(num_repeats=2, seed=3).per_network, expected, atol=1e-2)


def test_a_constant_target_has_no_increment() -> None:
    assert np.isnan(increment([1, 2, 3, 4], [1, 1, 1, 1], {}, range(4)).gain)


def test_a_constant_measure_adds_next_to_nothing() -> None:
    zoo = planted.zoo(noise=5.0)
    assert abs(increment(np.ones(270), zoo.target, zoo.design, zoo.configurations).gain) < 0.01


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"groups": [1, 1, 1]}, "number_of_groups must be a whole number of at least 2"),
        ({"groups": [1, 2]}, "groups must have one value for each of 3"),
        ({"num_folds": 1}, "num_folds"),
        ({"num_repeats": 0}, "num_repeats"),
        ({"ridges": [0.0]}, "ridges must be positive"),
        ({"baseline": {"clean": [1, 2, np.inf]}}, "clean must be finite"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict, message: str) -> None:
    arguments = {"measure": [1, 2, 3], "target": [1, 2, 3], "baseline": {}, "groups": [1, 2, 3]} | settings
    with pytest.raises(ValueError, match=message):
        increment(**arguments)
