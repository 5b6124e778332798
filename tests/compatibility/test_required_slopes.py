import jax.numpy as jnp
import numpy as np
import pytest
from compatibility_oracle import all_distances, some_images

from lipjax.compatibility import Counting, pair_distances, required_slopes
from lipjax.norms import Largest, Norm, l1, l2, linf

NORMS = pytest.mark.parametrize("norm", [linf, l1, l2], ids=lambda norm: norm.name)
NORMS_OUT = pytest.mark.parametrize("norm_out", [linf, l1, l2], ids=lambda norm: norm.name)


def some_targets(count: int, seed: int = 0) -> np.ndarray:
    """Soft labels of three classes, a third of them equal."""
    targets = np.random.default_rng(seed).dirichlet([1.0, 1.0, 1.0], count)
    targets[::3] = [0.2, 0.3, 0.5]
    return targets


def slopes_of(distances: np.ndarray, target_distances: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(target_distances > 0, target_distances / distances, 0.0)


@NORMS
@NORMS_OUT
def test_the_counts_are_those_of_brute_force_anywhere_and_within_a_radius(norm: Norm, norm_out: Norm) -> None:
    images, _ = some_images(150)
    targets = some_targets(150)
    distances, target_distances = all_distances(norm.name, images), all_distances(norm_out.name, targets)
    upper = np.triu_indices(150, 1)
    slopes = slopes_of(distances, target_distances)[upper]
    finite = slopes[np.isfinite(slopes)]
    alphas = np.quantile(finite[finite > 0], [0.9, 0.1, 0.5]) * (1 + 1e-9)
    radius = np.median(distances) / 2
    result = required_slopes(
        images, targets, norm, norm_out, alphas=alphas, radius=radius, counting=Counting(block_size=70)
    )

    close = distances[upper] <= 2 * radius
    np.testing.assert_array_equal(result.alphas, alphas)
    np.testing.assert_array_equal(result.anywhere.incompatible, [np.sum(slopes > alpha) for alpha in alphas])
    np.testing.assert_array_equal(
        result.within_radius.incompatible, [np.sum(slopes[close] > alpha) for alpha in alphas]
    )
    assert result.different_target_pairs == np.sum(target_distances[upper] > 0)


@NORMS
def test_one_hot_targets_give_the_counts_of_pair_distances(norm: Norm) -> None:
    images, labels = some_images(120)
    distances = pair_distances(images, labels, norm)
    alphas = 1 / np.array([distances.min_distance or 0.1, *np.quantile(distances.separation.distances, [0.3, 0.9])])
    radius = float(np.median(distances.separation.distances)) / 2
    slopes = required_slopes(images, np.eye(4)[labels], norm, alphas=alphas, radius=radius)
    np.testing.assert_array_equal(slopes.anywhere.incompatible, distances.count_incompatible(alphas))
    np.testing.assert_array_equal(slopes.within_radius.incompatible, distances.count_incompatible(alphas, radius))
    assert slopes.different_target_pairs == distances.different_class_pairs
    assert slopes.anywhere.largest == pytest.approx(distances.smallest_compatible_alpha())
    np.testing.assert_array_equal(slopes.conflicts, distances.conflicts)


def test_the_largest_slope_is_that_of_its_pair_and_no_pair_forbids_it() -> None:
    images, _ = some_images(97)
    images, targets = images[:-3], some_targets(94)
    result = required_slopes(images, targets, l2, l1, alphas=[0.0])
    slopes = np.triu(slopes_of(all_distances("l2", images), all_distances("l1", targets)), 1)
    assert result.anywhere.largest == pytest.approx(slopes.max())
    np.testing.assert_array_equal(result.anywhere.pair, np.unravel_index(slopes.argmax(), slopes.shape))
    largest = result.anywhere.largest
    again = required_slopes(images, targets, l2, l1, alphas=[largest, largest * (1 - 1e-9)])
    np.testing.assert_array_equal(again.anywhere.incompatible, [0, 1])


def test_the_first_of_several_steepest_pairs_is_named_whatever_the_block_size() -> None:
    inputs = np.tile([[0.0], [0.5]], (100, 1))
    inputs[:5] = [[0.0], [0.0], [0.0], [0.0], [0.0]]
    targets = inputs * 3
    for block_size in (7, 64, 200):
        result = required_slopes(inputs, targets, alphas=[1.0], counting=Counting(block_size=block_size))
        np.testing.assert_array_equal(result.anywhere.pair, [0, 5])
        assert result.anywhere.largest == 3.0


def test_identical_inputs_with_different_targets_need_an_infinite_slope_and_are_listed() -> None:
    inputs = np.array([[10, 20], [10, 20], [10, 20], [30, 20]], np.uint8)
    targets = np.array([0.1, 0.1, 0.4, 0.9])
    result = required_slopes(inputs, targets, alphas=[1e300, 0.0], radius=0.0)
    np.testing.assert_array_equal(result.conflicts, [[0, 2], [1, 2]])
    np.testing.assert_array_equal(result.anywhere.incompatible, [2, 5])
    np.testing.assert_array_equal(result.within_radius.incompatible, [2, 2])
    assert result.anywhere.largest == np.inf
    np.testing.assert_array_equal(result.anywhere.pair, [0, 2])


def test_equal_targets_require_nothing() -> None:
    inputs = np.array([[1], [1], [5]], np.uint8)
    result = required_slopes(inputs, np.ones((3, 2)), alphas=[0.0])
    assert result.different_target_pairs == 0
    assert result.anywhere.largest == 0.0
    np.testing.assert_array_equal(result.anywhere.incompatible, [0])
    np.testing.assert_array_equal(result.anywhere.pair, [-1, -1])
    assert result.conflicts.shape == (0, 2)


def test_between_two_sets_every_pair_counts_once() -> None:
    first, second = some_images(40)[0], some_images(55, seed=1)[0]
    targets, other_targets = some_targets(40), some_targets(55, seed=1)
    result = required_slopes(
        first, targets, l1, l2, alphas=[0.004], other=(second, other_targets), counting=Counting(block_size=30)
    )
    slopes = slopes_of(all_distances("l1", first, second), all_distances("l2", targets, other_targets))
    np.testing.assert_array_equal(result.anywhere.incompatible, [np.sum(slopes > 0.004)])


def test_a_linear_map_requires_its_own_slope() -> None:
    inputs = np.random.default_rng(0).normal(size=(50, 1))
    result = required_slopes(inputs, -2.5 * inputs, alphas=[2.5 * (1 + 1e-9), 2.5 * (1 - 1e-9)])
    assert result.anywhere.largest == pytest.approx(2.5)
    np.testing.assert_array_equal(result.anywhere.incompatible, [0, 50 * 49 // 2])


def test_jax_arrays_and_scalar_targets_are_accepted() -> None:
    result = required_slopes(jnp.array([[0.0], [0.5]]), jnp.array([1.0, 2.0]), alphas=1.0)
    np.testing.assert_array_equal(result.anywhere.incompatible, 1)


@pytest.mark.parametrize(
    ("targets", "options", "message"),
    [
        (np.zeros(3), {}, "as many"),
        (np.array([0.0, np.nan]), {}, "targets must be finite"),
        (np.zeros(2), {"alphas": [-1.0]}, "alphas must be 0 or greater"),
        (np.zeros(2), {"radius": -1.0}, "radius must be 0 or greater"),
        (np.zeros(2), {"norm_out": Largest(linf)}, "norm_out must be l1, l2 or linf"),
        (np.zeros(2), {"counting": Counting(block_size=0)}, "block_size"),
    ],
)
def test_what_can_not_be_counted_is_refused(targets: np.ndarray, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        required_slopes(np.zeros((2, 3), np.uint8), targets, **{"alphas": [1.0], **options})
