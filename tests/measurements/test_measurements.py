"""Measurements on classifiers whose answers are known, and what every measurement promises."""

from pathlib import Path
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray

from lipjax import attacks, datasets, measurements, networks, norms, records, systems
from lipjax.measurements import Measurement, measure, summary
from lipjax.types import Batch, Dataset, Model
from lipjax.values import from_json, to_json

KEY = jax.random.key(0)
RADII = (0.1, 0.5)
ROWS: dict[str, Measurement] = {
    "alpha": measurements.alpha(RADII, num_points=3, num_witnesses=2),
    "attacked": measurements.attacked(attacks.pgd(norms.l2.ball(0.1), num_steps=2)),
    "audit": measurements.audit(norms.linf),
    "certified": measurements.certified(),
    "clean": measurements.clean(),
    "confidence": measurements.confidence(num_points=2),
    "corrupted": measurements.corrupted(("contrast", "fog"), severities=(1, 5)),
    "smoothed": measurements.smoothed(0.1, num_samples=20, num_examples=3),
}
NEEDS_ARRAYS = {"alpha", "audit", "certified"}
"""They bound what has a program; all do of a function of arrays."""


def bright(x: jax.Array) -> jax.Array:
    """Class 1 for images brighter than 1/2: logits of slope 1 in each direction, 4 pixels."""
    return jnp.stack([0.0, 1.0]) * (jnp.sum(x) / 2.0 - 1.0) * 2.0


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    """Six grey images of 2 x 2 pixels; two of them are labelled wrongly."""
    levels = np.array([0.1, 0.2, 0.48, 0.52, 0.8, 0.9], np.float32)
    images = np.broadcast_to(levels[:, None, None, None], (6, 2, 2, 1)).copy()
    labels = np.array([0, 0, 0, 1, 1, 0])
    return datasets.from_arrays("grey", (images, labels), (images, labels))


def measured(dataset: Dataset, *asked: Any, **options: Any) -> xarray.Dataset:
    return measure(KEY, {"bright": bright}, dataset, asked, **options).isel(system=0, seed=0)


def test_every_public_measurement_has_a_row() -> None:
    public = {
        name
        for name, thing in vars(measurements).items()
        if isinstance(thing, type) and issubclass(thing, Measurement) and thing is not Measurement
    }
    assert public == set(ROWS)


@pytest.mark.parametrize("name", ROWS)
def test_a_measurement_is_a_value(name: str) -> None:
    measurement = ROWS[name]
    assert from_json(to_json(measurement)) == measurement
    assert hash(from_json(to_json(measurement))) == hash(measurement)
    assert name in repr(measurement)
    assert measurement.name == name


@pytest.mark.parametrize("name", ROWS)
def test_answers_are_kept_and_found_again_unless_what_decides_them_changes(
    name: str, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "corrupted":
        images = np.zeros((2, 16, 16, 1), np.uint8)
        dataset = datasets.from_arrays("black", (images, np.arange(2)), (images, np.arange(2)))
    first = measured(dataset, ROWS[name], folder=tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(type(ROWS[name]), "run", lambda *arguments, **keywords: 1 / 0)
        assert measured(dataset, ROWS[name], folder=tmp_path).identical(first)
        if ROWS[name].splits:
            brighter = dataset._replace(
                **{split: Batch(dataset.test.inputs[:1], dataset.test.labels[:1]) for split in ROWS[name].splits}
            )
            with pytest.raises(ZeroDivisionError):
                measured(brighter, ROWS[name], folder=tmp_path)
        with pytest.raises(ZeroDivisionError):
            measure(jax.random.key(1), {"bright": bright}, dataset, [ROWS[name]], folder=tmp_path)
    again = measured(dataset, ROWS[name])
    xarray.testing.assert_allclose(again, first)


def test_clean_answers_are_those_of_the_labels(dataset: Dataset) -> None:
    answers = measured(dataset, measurements.clean())
    assert answers.correct.values.tolist() == [True] * 5 + [False]
    assert float(summary(answers).clean_accuracy) == pytest.approx(5 / 6)


@pytest.mark.parametrize("attack", [attacks.pgd(num_steps=5), attacks.fab(num_steps=5), attacks.deepfool()])
def test_what_withstands_an_attack_is_what_is_farther_from_the_boundary(attack: Any, dataset: Dataset) -> None:
    ball = norms.linf.ball(0.05)
    answers = measured(dataset, measurements.attacked(attack.replace(ball=ball)))
    assert answers.withstood.values.tolist() == [[True, True, False, False, True, False]]


def test_attacked_accuracy_is_the_share_that_withstands_all_attacks() -> None:
    withstood = np.array([[True, True, False, False], [False, True, True, False]])
    answers = xarray.Dataset({"withstood": (("attack", "example"), withstood)}, {"attack": ["a", "b"]})
    figures = summary(answers)
    assert figures.attack_accuracy.values.tolist() == [0.5, 0.5]
    assert float(figures.attacked_accuracy) == 0.25


def test_alpha_of_a_linear_function_is_its_slope_from_below_and_above(dataset: Dataset) -> None:
    answers = measured(dataset, measurements.alpha(RADII, of="logits", num_points=2, num_witnesses=1))
    assert answers.constant.item() == "slope of logits, l2 to l2"
    np.testing.assert_allclose(answers.alpha.values, np.full((1, 2, 2), 2.0), rtol=1e-3)
    assert np.all(answers.alpha <= answers.alpha_upper)
    np.testing.assert_allclose(answers.alpha_upper.values, 2.0, rtol=1e-3)
    witness, start = answers.witness.values[0, 0], dataset.train.inputs[int(answers.steepest[0, 0])]
    rise = np.linalg.norm(bright(witness) - bright(start)) / np.linalg.norm(witness - start)
    np.testing.assert_allclose(rise, 2.0, rtol=1e-3)


def test_escalating_bounds_of_alpha_come_close_to_the_lower_values(dataset: Dataset) -> None:
    network = networks.mlp(3, widths=(4,))
    model = Model(network, network.init(jax.random.key(0), dataset.input_shape))
    asked = measurements.alpha(RADII, of="logits", num_points=2, num_bounded=1, bound="escalating")
    answers = asked(jax.random.key(1), model, dataset)
    lower, upper = answers["alpha"].values[0], answers["alpha_upper"].values[0]
    assert (lower <= upper).all()
    assert (upper[0] <= 1.5 * lower[0]).all()
    np.testing.assert_allclose(upper[1], answers["bound_of_logits"].values[0])


def test_certified_radii_are_those_of_the_boundary(dataset: Dataset) -> None:
    answers = measured(dataset, measurements.certified())
    distance = np.abs(dataset.test.inputs[:, 0, 0, 0] - 0.5) * 2.0
    bound = float(answers.gap_bound)
    expected = np.where(answers.certified_radius.values < 0, -1.0, distance * 2.0 / bound)
    np.testing.assert_allclose(answers.certified_radius.values, expected, rtol=1e-4)


def test_confidence_is_that_of_the_logits(dataset: Dataset) -> None:
    answers = measured(dataset, measurements.confidence(num_points=2))
    logits = np.asarray(jax.vmap(bright)(jnp.asarray(dataset.test.inputs)), np.float64)
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    right = probabilities[np.arange(6), np.asarray(dataset.test.labels)]
    np.testing.assert_allclose(answers.negative_log_likelihood, -np.log(right), rtol=1e-5)
    np.testing.assert_allclose(answers.probability, probabilities.max(1), rtol=1e-5)
    np.testing.assert_allclose(answers.entropy, -(probabilities * np.log(probabilities)).sum(1), rtol=1e-5)
    np.testing.assert_allclose(answers.jacobian_norm, 2.0, rtol=1e-5)
    brightness, labels = dataset.train.inputs[:2].sum((1, 2, 3)), np.asarray(dataset.train.labels[:2])
    np.testing.assert_allclose(answers.boundary_distance, (brightness - 2) / 2 * (2 * labels - 1), rtol=1e-5)
    assert np.isnan(answers.distance_from_start)


def test_calibration_error_is_the_distance_of_confidence_and_accuracy_in_bins() -> None:
    rng = np.random.default_rng(0)
    probability, correct = rng.uniform(0.1, 1.0, 500), rng.uniform(size=500) < 0.6
    expected = 0.0
    for low in np.arange(15) / 15:
        inside = (probability > low) & (probability <= low + 1 / 15)
        if inside.any():
            expected += inside.mean() * abs(correct[inside].mean() - probability[inside].mean())
    answers = xarray.Dataset({"correct": ("example", correct), "probability": ("example", probability)})
    assert float(summary(answers).calibration_error) == pytest.approx(expected)


def test_sizes_of_weights_are_those_of_the_model(dataset: Dataset) -> None:
    network = networks.mlp(2, widths=(3,))
    start, end = (network.init(jax.random.key(seed), dataset.input_shape) for seed in (0, 1))
    answers = measure(KEY, Model(network, end, start.params), dataset, [measurements.confidence(num_points=1)])
    changes = jax.tree.map(lambda new, old: np.asarray(new - old, np.float64).ravel(), end.params, start.params)
    np.testing.assert_allclose(
        answers.distance_from_start.item(), np.linalg.norm(np.concatenate(jax.tree.leaves(changes))), rtol=1e-5
    )
    kernels = [leaf for leaf in jax.tree.leaves(end.params) if leaf.ndim == 2]
    norms_of = [np.linalg.svd(kernel, compute_uv=False)[0] for kernel in kernels]
    np.testing.assert_allclose(answers.log_product_of_norms.item(), np.sum(np.log(norms_of)), rtol=1e-5)


def test_figures_of_seeds_are_taken_seed_by_seed_and_then_averaged() -> None:
    values = np.array([[1.0, 2.0, 9.0], [5.0, 1.0, 3.0]])  # the steepest point differs from seed to seed
    axes = ("system", "seed", "constant", "point", "radius")
    arrays = {name: (axes, values.reshape(1, 2, 1, 3, 1)) for name in ("alpha", "alpha_upper")}
    figures = summary(xarray.Dataset(arrays, {"system": ["V"], "seed": [0, 1]}))
    assert figures.alpha_max.values.ravel().tolist() == [9.0, 5.0]
    np.testing.assert_allclose(figures.alpha_mean.values.ravel(), [4.0, 3.0])
    medians = figures.alpha_quantile.sel(quantile=0.5).values.ravel()
    assert medians.tolist() == [2.0, 3.0]


class lengths(Measurement):
    """Somebody's own measurement."""

    splits = ("test",)

    def __call__(self, key, model, dataset):
        return xarray.Dataset({"length": ("example", np.sqrt((np.asarray(dataset.test.inputs) ** 2).sum((1, 2, 3))))})


def highest(key, model, dataset):
    """Somebody's own measurement, as a function."""
    return xarray.Dataset({"highest": float(np.max(dataset.test.inputs))})


def test_measurements_of_ones_own_are_measured_and_kept(dataset: Dataset, tmp_path: Path) -> None:
    for _ in range(2):
        answers = measured(dataset, lengths(), highest, measurements.clean(), folder=tmp_path)
        np.testing.assert_allclose(answers.length, 2.0 * dataset.test.inputs[:, 0, 0, 0], rtol=1e-6)
        assert answers.highest.item() == pytest.approx(0.9)
    assert len(list(tmp_path.glob("*.nc"))) == 3
    with pytest.raises(TypeError, match="is no measurement: call its constructor"):
        measured(dataset, lengths)


def test_a_function_without_a_name_can_not_be_kept(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="only what has a name"):
        measure(KEY, {"mine": lambda x: bright(x)}, dataset, [measurements.clean()], folder=tmp_path)


def test_progress_never_falls_and_ends_at_one(dataset: Dataset) -> None:
    told: list[tuple[str, float]] = []
    asked = [ROWS[name] for name in ("clean", "attacked", "smoothed")]
    measured(dataset, *asked, progress=lambda what, share: told.append((what, share)))
    shares = [share for _, share in told]
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1.0)


def test_what_does_not_suit_the_dataset_is_refused_before_any_compute(monkeypatch: pytest.MonkeyPatch) -> None:
    toy = datasets.load("toy")
    monkeypatch.setattr(measurements.clean, "run", lambda *arguments, **keywords: 1 / 0)
    with pytest.raises(ValueError, match="image"):
        measure(KEY, {"any": lambda x: x}, toy, [measurements.clean(), measurements.corrupted()])


@pytest.mark.parametrize("name", [name for name in systems.ROWS if name not in ("V", "P", "L", "L2NN", "PGD")])
def test_every_system_is_measured_as_the_function_that_was_trained(name: str, dataset: Dataset) -> None:
    network = systems.ROWS[name](networks.mlp(2, widths=(3,))).network
    model = Model(network, network.init(KEY, dataset.input_shape))
    asked = [measurements.clean(), measurements.certified(), measurements.confidence(num_points=1)]
    answers = measure(KEY, model, dataset, asked).isel(system=0, seed=0)
    logits = jnp.stack([model.single(jnp.asarray(x)) for x in dataset.test.inputs])
    right = np.asarray(jnp.argmax(logits, axis=1)) == np.asarray(dataset.test.labels)
    assert answers.correct.values.tolist() == right.tolist()
    gaps = np.sort(np.asarray(logits), axis=1)
    np.testing.assert_allclose(
        np.abs(answers.margin), gaps[:, -1] - gaps[:, -2], atol=1e-5 * max(1.0, float(np.abs(gaps).max()))
    )
    assert np.all(answers.certified_radius <= np.abs(answers.margin) / (float(answers.gap_bound) * 0.999) + 1e-6)


def test_two_systems_of_one_family_share_their_programs(dataset: Dataset) -> None:
    shared = [systems.ROWS[name](networks.mlp(2, widths=(5,))).network for name in ("vanilla", "parseval")]
    frozen = [network.freeze(network.init(KEY, dataset.input_shape), dataset.input_shape) for network in shared]
    assert frozen[0].network == frozen[1].network
    chex.assert_trees_all_equal_shapes(*[model.variables for model in frozen])


def test_models_that_are_saved_are_measured_alike(dataset: Dataset, tmp_path: Path) -> None:
    network = networks.mlp(2, widths=(3,))
    model = Model(network, network.init(KEY, dataset.input_shape))
    records.save_model(tmp_path, model, dataset.input_shape)
    one, other = (
        measure(KEY, given, dataset, [measurements.clean()], folder=tmp_path / "answers")
        for given in (model, records.load(tmp_path))
    )
    assert one.identical(other)
    assert len(list((tmp_path / "answers").glob("*.nc"))) == 1
