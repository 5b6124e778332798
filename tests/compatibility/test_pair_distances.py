import jax.numpy as jnp
import numpy as np
import pytest
from compatibility_oracle import (
    all_distances,
    assert_counts_are,
    assert_counts_between_are,
    pair_mask,
    some_images,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lipjax.compatibility import Counting, PairDistances, pair_distances
from lipjax.norms import Largest, Norm, l1, l2, linf
from lipjax.types import Batch

NORMS = pytest.mark.parametrize("norm", [linf, l1, l2], ids=lambda norm: norm.name)


def assert_equal(first: PairDistances, second: PairDistances) -> None:
    np.testing.assert_array_equal(first.edges, second.edges)
    np.testing.assert_array_equal(first.histogram, second.histogram)
    np.testing.assert_array_equal(first.same_class_histogram, second.same_class_histogram)
    np.testing.assert_array_equal(first.separation.distances, second.separation.distances)
    np.testing.assert_array_equal(first.separation.neighbors, second.separation.neighbors)
    np.testing.assert_array_equal(first.class_minima, second.class_minima)
    np.testing.assert_array_equal(first.conflicts, second.conflicts)


@NORMS
def test_the_histograms_are_those_of_brute_force(norm: Norm) -> None:
    images, labels = some_images()
    result = pair_distances(images, labels, norm, counting=Counting(block_size=200))
    distances = all_distances(norm.name, images)
    assert_counts_are(result, distances, pair_mask(labels, same=False), pair_mask(labels, same=True))
    assert result.different_class_pairs + result.same_class_pairs == 500 * 499 // 2


@NORMS
def test_counts_at_every_occurring_distance_are_those_of_brute_force_strict_or_not(norm: Norm) -> None:
    images, labels = some_images(60)
    result = pair_distances(images, labels, norm)
    mask = pair_mask(labels, same=False)
    occurring = np.unique(all_distances(norm.name, images)[mask])
    levels = np.rint((all_distances(norm.name, images)[mask] * 255) ** (2 if norm is l2 else 1))
    thresholds = np.rint((occurring * 255) ** (2 if norm is l2 else 1))
    np.testing.assert_array_equal(result.count_within(occurring), [np.sum(levels <= t) for t in thresholds])
    np.testing.assert_array_equal(result.count_within(occurring, strict=True), [np.sum(levels < t) for t in thresholds])


@NORMS
@pytest.mark.parametrize("block_size", [37, 64, 130, 500])
def test_no_result_depends_on_the_block_size(norm: Norm, block_size: int) -> None:
    images, labels = some_images()
    assert_equal(
        pair_distances(images, labels, norm),
        pair_distances(images, labels, norm, counting=Counting(block_size=block_size)),
    )


def test_blocks_of_one_image_count_the_same() -> None:
    images, labels = some_images(9)
    assert_equal(pair_distances(images, labels), pair_distances(images, labels, counting=Counting(block_size=1)))


@NORMS
def test_pixels_count_as_the_levels_they_stand_for(norm: Norm) -> None:
    images, labels = some_images(40)
    result = pair_distances(images, labels, norm)
    assert_equal(result, pair_distances((images / 255).astype(np.float32), labels, norm))
    assert_equal(result, pair_distances(images.astype(np.float32) * np.float32(1 / 255), labels, norm))
    assert_equal(result, pair_distances(jnp.asarray(images / 255), jnp.asarray(labels), norm))
    assert_equal(result, pair_distances(images, labels.astype(np.uint8), norm))


@NORMS
def test_the_separation_is_the_distance_to_the_nearest_example_of_another_class(norm: Norm) -> None:
    images, labels = some_images()
    result = pair_distances(images, labels, norm, counting=Counting(block_size=90))
    distances = np.where(labels[:, None] != labels, all_distances(norm.name, images), np.inf)
    np.testing.assert_allclose(result.separation.distances, distances.min(1), rtol=1e-12)
    np.testing.assert_array_equal(result.separation.neighbors, distances.argmin(1))  # the first one of ties
    assert result.separation.minimum == result.min_distance
    assert result.separation.mean == pytest.approx(distances.min(1).mean())


def test_a_quantile_of_the_separation_is_a_distance_that_occurs() -> None:
    images, labels = some_images(50)
    separation = pair_distances(images, labels).separation
    np.testing.assert_array_equal(separation.quantile([0.0, 0.5, 1.0]), np.sort(separation.distances)[[0, 24, 49]])


@NORMS
def test_class_minima_are_the_smallest_distances_between_classes(norm: Norm) -> None:
    images, labels = some_images(100)
    names = np.array([7, -2, 100, 3])  # labels need not be 0, 1, 2, ...
    result = pair_distances(images, names[labels], norm, counting=Counting(block_size=33))
    distances = all_distances(norm.name, images)
    np.testing.assert_array_equal(result.classes, np.sort(names))
    for i, first in enumerate(result.classes):
        for j, second in enumerate(result.classes):
            between = distances[names[labels] == first][:, names[labels] == second]
            expected = np.inf if i == j else between.min()
            assert result.class_minima[i, j] == pytest.approx(expected)


@NORMS
@pytest.mark.parametrize("block_size", [64, 500])
def test_between_two_sets_every_pair_counts_once(norm: Norm, block_size: int) -> None:
    (first, first_labels), (second, second_labels) = some_images(70), some_images(101, seed=1)
    result = pair_distances(
        first, first_labels, norm, other=Batch(second, second_labels), counting=Counting(block_size=block_size)
    )
    distances = all_distances(norm.name, first, second)
    different = pair_mask(first_labels, second_labels, same=False)
    assert_counts_are(result, distances, different, ~different)
    apart = np.where(different, distances, np.inf)
    np.testing.assert_array_equal(result.separation.neighbors, apart.argmin(1))
    closest, closest_distances = result.closest_pairs(20)
    np.testing.assert_allclose(distances[tuple(closest.T)], closest_distances)
    assert closest_distances[0] == result.min_distance


def test_the_pairs_of_a_union_are_those_of_its_parts_and_those_between_them() -> None:
    images, labels = some_images(200)
    first, second = Batch(images[:80], labels[:80]), Batch(images[80:], labels[80:])
    parts = [pair_distances(*first), pair_distances(*second), pair_distances(*first, other=second)]
    whole = pair_distances(images, labels)
    np.testing.assert_array_equal(whole.histogram, sum(part.histogram for part in parts))
    np.testing.assert_array_equal(whole.same_class_histogram, sum(part.same_class_histogram for part in parts))


@NORMS
@pytest.mark.parametrize("shape", [(), (1,), (3,), (63,), (65, 1), (28, 28, 1), (5000,)])
def test_any_number_of_features_is_counted(norm: Norm, shape: tuple[int, ...]) -> None:
    images, labels = some_images(21, shape)
    result = pair_distances(images, labels, norm)
    distances = all_distances(norm.name, images)
    assert_counts_are(result, distances, pair_mask(labels, same=False), pair_mask(labels, same=True))


@NORMS
def test_opposite_corners_of_a_large_image_do_not_overflow(norm: Norm) -> None:
    corners = np.array([[0], [255]], np.uint8).repeat(224 * 224 * 3, axis=1)
    result = pair_distances(corners, np.array([0, 1]), norm)
    size = corners.shape[1]
    assert result.min_distance == pytest.approx({"linf": 1.0, "l1": size, "l2": np.sqrt(size)}[norm.name], rel=1e-12)


@given(
    hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=3, min_side=1, max_side=9)),
    st.integers(1, 4),
    st.sampled_from([linf, l1, l2]),
)
@settings(deadline=None, max_examples=60)
def test_any_images_have_the_counts_of_brute_force(images: np.ndarray, block_size: int, norm: Norm) -> None:
    labels = np.arange(len(images)) % 3
    result = pair_distances(images, labels, norm, counting=Counting(block_size=block_size))
    distances = all_distances(norm.name, images)
    assert_counts_are(result, distances, pair_mask(labels, same=False), pair_mask(labels, same=True))


def test_linf_of_images_has_a_bin_per_level() -> None:
    images, labels = some_images(10)
    result = pair_distances(images, labels, linf)
    np.testing.assert_array_equal(result.edges, np.arange(256))
    np.testing.assert_allclose(result.bin_distances, np.arange(256) / 255)


def test_pairs_in_a_large_set_are_exact_at_the_thresholds_asked_for_and_refused_elsewhere() -> None:
    images, labels = some_images(1500, (7, 7))
    distances = all_distances("l2", images)[pair_mask(labels, same=False)]
    asked = np.append(np.quantile(distances, [0.1, 0.5], method="lower"), 0.123456)
    result = pair_distances(images, labels, l2, thresholds=asked)
    tolerance = 1 + 1e-12
    expected = np.searchsorted(np.sort(distances), asked * tolerance, side="right")
    np.testing.assert_array_equal(result.count_within(asked), expected)
    expected = np.searchsorted(np.sort(distances), asked / tolerance)
    np.testing.assert_array_equal(result.count_incompatible(1 / asked), expected)
    with pytest.raises(ValueError, match="pass such distances"):
        result.count_within(asked[1] + 1e-5)
    assert result.count_within(1e6) == len(distances)


@NORMS
def test_features_that_are_no_pixels_are_counted_in_their_own_unit(norm: Norm) -> None:
    random = np.random.default_rng(0)
    features = (10 * random.normal(size=(300, 7))).astype(np.float32)
    labels = random.integers(0, 3, 300)
    result = pair_distances(features, labels, norm, counting=Counting(block_size=100))
    distances = all_distances(norm.name, features)
    assert_counts_between_are(result, distances, pair_mask(labels, same=False))
    assert result.same_class_pairs == pair_mask(labels, same=True).sum()
    np.testing.assert_allclose(
        result.separation.distances, np.where(labels[:, None] != labels, distances, np.inf).min(1), rtol=1e-12
    )
    assert result.count_incompatible(result.smallest_compatible_alpha()) == 0


def test_many_features_that_are_no_pixels_are_exact_at_the_thresholds_asked_for() -> None:
    random = np.random.default_rng(0)
    features, labels = random.normal(size=(1500, 2)), random.integers(0, 3, 1500)
    alphas = np.array([0.5, 3.0, 40.0])
    result = pair_distances(features, labels, l2, thresholds=1 / alphas)
    distances = all_distances("l2", features)[pair_mask(labels, same=False)]
    np.testing.assert_array_equal(result.count_incompatible(alphas), [np.sum(distances < 1 / a) for a in alphas])
    with pytest.raises(ValueError, match=r"distance 0\.5"):
        result.count_within(0.5)


def test_levels_and_other_floats_are_compared_as_floats() -> None:
    images, labels = some_images(20)
    shifted = images / 255 + 0.25
    result = pair_distances(images, labels, other=(shifted, labels))
    different = pair_mask(labels, labels, same=False)
    assert_counts_between_are(result, all_distances("linf", images / 255, shifted), different)


def test_half_precision_is_counted_too() -> None:
    features = np.array([[0.3], [0.7]], np.float16)
    result = pair_distances(features, np.array([0, 1]))
    assert result.min_distance == float(features[1, 0]) - float(features[0, 0])


@pytest.mark.parametrize(
    ("alpha", "radius", "expected"),
    [
        (5.0, None, 0),  # alpha d = 1 is compatible: incompatible is strict
        (4.999, None, 1),
        (2.5, None, 1),
        (2.499, None, 2),
        (1.0, None, 3),
        (0.0, None, 4),  # a constant function is incompatible with every pair
        (0.0, 0.1, 1),  # 2 r = d counts: closed balls meet
        (0.0, 0.0999, 0),
        (1.0, 0.2, 2),
        (np.inf, None, 0),
    ],
)
def test_a_pair_is_incompatible_if_strictly_too_close_and_its_closed_balls_meet(
    alpha: float, radius: float | None, expected: int
) -> None:
    levels = np.array([[0], [51], [0], [102], [0], [204], [0], [255]], np.uint8)  # distances .2 .4 .8 1 within pairs
    features = np.concatenate([levels, np.zeros_like(levels)], axis=1)
    pairs = [pair_distances(features[i : i + 2], np.array([0, 1])) for i in range(0, 8, 2)]
    assert sum(int(pair.count_incompatible(alpha, radius)) for pair in pairs) == expected


@NORMS
def test_the_smallest_compatible_alpha_is_the_smallest(norm: Norm) -> None:
    images, labels = some_images(80)
    images, labels = images[:-3], labels[:-3]  # without duplicates
    result = pair_distances(images, labels, norm)
    alpha = result.smallest_compatible_alpha()
    assert result.count_incompatible(alpha) == 0
    assert result.count_incompatible(alpha * (1 - 1e-9)) > 0
    assert result.smallest_compatible_alpha(radius=result.min_distance / 2) == alpha
    assert result.smallest_compatible_alpha(radius=result.min_distance / 2 - 1e-9) == 0.0
    assert result.smallest_compatible_alpha(target_distance=2.0) == 2 * alpha


def test_targets_twice_as_far_apart_need_twice_the_slope() -> None:
    images, labels = some_images(80)
    result = pair_distances(images, labels)
    alphas = np.array([1.0, 2.0, 3.0])
    np.testing.assert_array_equal(
        result.count_incompatible(2 * alphas, target_distance=2.0), result.count_incompatible(alphas)
    )


def test_fractions_are_of_all_pairs_of_different_classes() -> None:
    images, labels = some_images(80)
    result = pair_distances(images, labels)
    np.testing.assert_array_equal(
        result.fraction_incompatible([1.5, 3.0], 0.2),
        result.count_incompatible([1.5, 3.0], 0.2) / pair_mask(labels, same=False).sum(),
    )
    assert result.fraction_incompatible(0.0) == 1.0


def test_identical_images_with_different_labels_need_an_infinite_slope_and_are_listed() -> None:
    image = np.arange(12, dtype=np.uint8)
    images = np.stack([image, image, image + 1, image, image + 1, image])
    result = pair_distances(images, np.array([0, 1, 1, 2, 1, 0]))
    np.testing.assert_array_equal(result.conflicts, [[0, 1], [0, 3], [1, 3], [1, 5], [3, 5]])
    assert result.histogram[0] == len(result.conflicts)
    assert result.smallest_compatible_alpha() == np.inf
    assert result.count_incompatible(1e300) == len(result.conflicts)


def test_conflicts_between_two_sets_name_an_example_of_each() -> None:
    first = np.array([[0.0, 0.5], [0.3, 0.1]])
    second = np.array([[0.3, 0.1], [-0.0, 0.5], [0.3, 0.1]])
    result = pair_distances(first, np.array([0, 1]), other=(second, np.array([1, 1, 0])))
    np.testing.assert_array_equal(result.conflicts, [[0, 1], [1, 2]])


def test_the_closest_pairs_come_in_order_and_once() -> None:
    images = np.array([[0], [3], [10], [200]], np.uint8)
    result = pair_distances(images, np.array([0, 1, 0, 1]))
    pairs, distances = result.closest_pairs(10)
    np.testing.assert_array_equal(pairs, [[0, 1], [1, 2], [2, 3]])
    np.testing.assert_allclose(distances, np.array([3, 7, 190]) / 255)
    np.testing.assert_array_equal(result.closest_pairs(1)[0], [[0, 1]])


@pytest.mark.parametrize("count", [1, 5])
def test_a_single_class_forbids_nothing(count: int) -> None:
    images, _ = some_images(count)
    result = pair_distances(images, np.zeros(count, int))
    assert result.different_class_pairs == 0
    assert result.same_class_pairs == count * (count - 1) // 2
    assert result.fraction_incompatible(0.5) == 0.0
    assert result.smallest_compatible_alpha() == 0.0
    assert result.min_distance == np.inf
    assert np.all(result.separation.neighbors == -1)
    assert result.closest_pairs(3)[0].shape == (0, 2)


@pytest.mark.parametrize(
    ("inputs", "labels", "options", "message"),
    [
        (np.zeros((0, 3), np.uint8), np.zeros(0, int), {}, "at least one example"),
        (np.zeros((2, 3), np.uint8), np.zeros(3, int), {}, "got 2 and 3"),
        (np.zeros((2, 3), int), np.zeros(2, int), {}, "uint8 levels or floats, got int64"),
        (np.array([[0.1], [np.nan]]), np.zeros(2, int), {}, "must be finite"),
        (np.array([[-np.inf], [0.1]]), np.zeros(2, int), {}, "must be finite"),
        (np.zeros((2049, 1), np.uint8), np.arange(2049), {}, "2049 classes"),
        (np.zeros((2, 3), np.uint8), np.zeros(2, int), {"counting": Counting(block_size=0)}, "block_size"),
        (np.zeros((2, 3), np.uint8), np.zeros(2, int), {"norm": Largest(linf)}, "l1, l2 or linf"),
        (
            np.zeros((2, 3), np.uint8),
            np.zeros(2, int),
            {"other": (np.zeros((1, 4), np.uint8), np.zeros(1, int))},
            "different numbers of features",
        ),
    ],
)
def test_what_can_not_be_counted_is_refused(
    inputs: np.ndarray, labels: np.ndarray, options: dict, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        pair_distances(inputs, labels, **options)


@pytest.mark.parametrize(("alpha", "options"), [(-1.0, {}), (1.0, {"radius": -0.1}), (1.0, {"target_distance": 0.0})])
def test_constants_and_radii_may_not_be_negative(alpha: float, options: dict) -> None:
    images, labels = some_images(5)
    with pytest.raises(ValueError, match="must be"):
        pair_distances(images, labels).count_incompatible(alpha, **options)
