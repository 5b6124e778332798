from itertools import combinations

import mbe_eval
import numpy as np
import planted
import pytest

from lipjax.statistics import (
    conditional_mutual_information,
    coupled_pairs,
    granulated_tau,
    kendall_tau,
    sign_error,
)


def scattered(num_networks: int = 150) -> planted.Zoo:
    """Part of a zoo: lines of unequal length, some of one network, and ties."""
    kept = np.random.default_rng(1).permutation(270)[:num_networks]
    zoo = planted.zoo(noise=5.0)
    design = {axis: values[kept] for axis, values in zoo.design.items()}
    return zoo._replace(design=design, target=zoo.target[kept].round(), proxy=zoo.proxy[kept].round())


@pytest.mark.parametrize("num_networks", [20, 150])
def test_granulated_tau_is_that_of_mbe_eval(num_networks: int) -> None:
    zoo = scattered(num_networks)
    value, axes = mbe_eval.granulated_kendall(
        planted.table(zoo.proxy, zoo.target, **zoo.design), "measure", "target", planted.AXES
    )
    result = granulated_tau(zoo.proxy, zoo.target, zoo.design)
    assert result.value == pytest.approx(value, abs=1e-9)
    assert list(result.by_axis.values()) == pytest.approx(axes["granulated_kendall"].tolist(), abs=1e-9, nan_ok=True)


def test_granulated_tau_of_a_line_is_kendalls_tau() -> None:
    zoo = planted.zoo(noise=5.0)
    result = granulated_tau(zoo.proxy, zoo.target, {"system": zoo.design["system"]})
    assert result.value == pytest.approx(kendall_tau(zoo.proxy, zoo.target).value, abs=1e-12)


def test_a_mere_proxy_of_the_design_has_a_high_tau_and_a_lower_granulated_one() -> None:
    zoo = planted.zoo()
    assert kendall_tau(zoo.proxy, zoo.target).value == pytest.approx(0.98, abs=0.01)
    assert granulated_tau(zoo.proxy, zoo.target, zoo.design).value == pytest.approx(0.77, abs=0.03)


def test_axes_and_lines_along_which_nothing_varies_do_not_count() -> None:
    design = {"width": [1, 1, 2, 2], "rate": [1, 2, 3, 4], "seed": [0, 0, 0, 0]}
    result = granulated_tau([1, 2, 3, 4], [1, 2, 4, 3], design)
    np.testing.assert_array_equal([*result.by_axis.values(), result.value], [np.nan, 0.0, np.nan, 0.0])
    lines = {"width": [1, 2, 1, 2], "rate": [1, 1, 2, 2]}
    result = granulated_tau([1, 2, 5, 5], [1, 2, 3, 4], lines)
    assert result.by_axis == {"width": 1.0, "rate": 1.0}
    assert np.isnan(granulated_tau([1, 1, 1, 1], [1, 2, 3, 4], lines).value)


@pytest.mark.parametrize("max_conditions", [0, 1, 2])
def test_conditional_mutual_information_is_that_of_mbe_eval(max_conditions: int) -> None:
    zoo = planted.zoo(noise=5.0, num_seeds=2)
    value, rows = mbe_eval.jiang_normalized_cmi(
        planted.table(zoo.proxy, zoo.target, **zoo.design),
        "measure",
        "target",
        planted.AXES,
        max_conditioning=max_conditions,
    )
    result = conditional_mutual_information(zoo.proxy, zoo.target, zoo.design, max_conditions)
    assert result.value == pytest.approx(value, abs=1e-9)
    assert list(result.by_condition.values()) == pytest.approx(rows["normalized_cmi"].tolist(), abs=1e-9)
    assert result.by_condition[result.condition] == result.value
    assert len(result.by_condition) == sum(len([*combinations(range(3), size)]) for size in range(max_conditions + 1))


def test_information_is_all_for_the_target_itself_and_none_for_a_constant() -> None:
    zoo = scattered()
    assert conditional_mutual_information(-zoo.target, zoo.target, zoo.design).value == pytest.approx(1)
    assert conditional_mutual_information(0 * zoo.target, zoo.target, zoo.design).value == pytest.approx(0)


def test_a_target_that_the_settings_determine_has_no_information_left() -> None:
    design = {"width": [1, 1, 2, 2], "rate": [1, 2, 1, 2]}
    result = conditional_mutual_information([4, 3, 2, 1], [1, 2, 3, 4], design)
    assert np.isnan(result.by_condition["width", "rate"])
    assert np.isnan(conditional_mutual_information([1, 2], [3, 3], {"width": [1, 2]}).value)


@pytest.mark.parametrize("num_test", [50, 500])
def test_weighted_sign_errors_are_those_of_mbe_eval(num_test: int) -> None:
    zoo = planted.zoo(noise=5.0)
    accuracy = (zoo.target - zoo.target.min()) / np.ptp(zoo.target)
    frame = planted.table(zoo.proxy, accuracy, configuration=zoo.configurations.astype(str), **zoo.design)
    rows = mbe_eval.robust_sign_error_environments(
        frame, ["measure"], planted.AXES, target="target", config_column="configuration", test_size=num_test
    )
    summary = mbe_eval.robust_sign_error_summary(rows, ["measure"]).iloc[0]
    result = sign_error(zoo.proxy, accuracy, coupled_pairs(zoo.design), num_test=num_test, min_effective=12)
    # mbe-eval has each environment in both directions.
    assert 2 * len(result.by_environment) == len(rows) > 0
    np.testing.assert_allclose(sorted([*result.by_environment.values()] * 2), rows["measure"].sort_values(), atol=1e-9)
    assert (result.mean, result.maximum) == pytest.approx((summary.mean_sign_error, summary.max_sign_error), abs=1e-9)


def test_sign_errors_of_pairs_are_counted_with_ties_as_halves() -> None:
    environments = {"right": [[0, 1]], "wrong": [[0, 2]], "tied": np.array([[1, 2]]), "mixed": [[0, 1], [2, 0]]}
    result = sign_error([1, 2, 2], [2, 3, 1], environments)
    assert result.by_environment == {"right": 0.0, "wrong": 1.0, "tied": 0.5, "mixed": 0.5}
    assert (result.mean, result.maximum) == (0.5, 1.0)
    assert result.percentile_90 == pytest.approx(np.percentile([0, 0.5, 0.5, 1], 90))


def test_environments_without_sure_pairs_are_left_out() -> None:
    result = sign_error([1, 2, 3], [0.5, 0.500001, 0.9], {"noise": [[0, 1]], "sure": [[2, 0]]}, num_test=1000)
    assert result.by_environment == {"sure": 0.0}
    assert np.isnan(sign_error([1, 2], [1, 2], {})[:3]).all()


def test_coupled_pairs_are_all_pairs_of_seeds_of_configurations_that_differ_in_one_setting() -> None:
    design = {"system": np.array(["v", "v", "pgd", "pgd", "pgd"]), "width": np.array([1, 1, 1, 1, 2])}
    environments = coupled_pairs(design)
    assert {name: sorted(map(tuple, pairs.tolist())) for name, pairs in environments.items()} == {
        ("system", 2, 0): [(2, 0), (2, 1), (3, 0), (3, 1)],
        ("width", 2, 4): [(2, 4), (3, 4)],
    }


@pytest.mark.parametrize("pairs", [[[0, 3]], [[-1, 0]], [[0.0, 1.0]], [0, 1], [[0, 1, 2]]])
def test_what_are_no_pairs_of_networks_is_refused(pairs: list) -> None:
    with pytest.raises(ValueError, match="environment e must be pairs"):
        sign_error([1, 2, 3], [1, 2, 3], {"e": pairs})


def test_a_design_without_axes_or_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one axis"):
        granulated_tau([1, 2], [1, 2], {})
    with pytest.raises(ValueError, match="at least one axis"):
        coupled_pairs({})
    with pytest.raises(ValueError, match="width must have one value for each of 2"):
        conditional_mutual_information([1, 2], [1, 2], {"width": [1, 2, 3]})
