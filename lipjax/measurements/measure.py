"""Measurements of many models on one dataset: what is missing is computed, what is there is read."""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import jax

from lipjax import records
from lipjax.measurements.measurement import Advance, Measurement, distinct
from lipjax.types import Dataset, KeyArray, Model, Variables, single
from lipjax.values import Json, to_json

if TYPE_CHECKING:
    import xarray

Classifier: TypeAlias = Model | Callable
Models: TypeAlias = Classifier | Mapping[str, Classifier | Sequence[Classifier]]
Progress: TypeAlias = Callable[[str, float], object]
"""Called as `(what is measured, share of all that is done)`; the share never falls and ends at 1."""


def measure(
    key: KeyArray,
    models: Models,
    dataset: Dataset,
    measurements: "Iterable[Measurement | Callable]",
    folder: Path | str | None = None,
    progress: Progress | None = None,
) -> "xarray.Dataset":
    """What the measurements say of the models, per example, as one labelled dataset.

    Args:
        key: A typed key; every model and every measurement gets it as it is, so that all meet the same noise.
        models: Trained models or classifiers of your own by name; a list of models of one name are its seeds.
        dataset: What they are measured on.
        measurements: Records of `lipjax.measurements`, subclasses of your own, or functions `(key, model, dataset)`.
        folder: Where answers are kept, each known by all that decides it: model, data, key and settings. What is there
            is not computed again, whoever computed it. None for nowhere.
        progress: Called as `(what, share)`.

    Returns:
        Variables with axes `system` and `seed` before those of the measurement. Seeds that a system lacks are NaN.

    Raises:
        ValueError: If a measurement does not suit the dataset, before any compute.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lipjax import datasets, measurements
        >>> images, labels = jnp.linspace(0, 1, 8).reshape(4, 2, 1, 1), jnp.array([0, 0, 1, 1])
        >>> dataset = datasets.from_arrays("mine", (images, labels), (images, labels))
        >>> models = {"bright": lambda x: jnp.stack([0.5 - x.mean(), x.mean() - 0.5])}
        >>> answers = measure(jax.random.key(0), models, dataset, [measurements.clean()])
        >>> answers.correct.dims, float(answers.correct.mean())
        (('system', 'seed', 'example'), 1.0)
    """
    by_name = dict(models) if isinstance(models, Mapping) else {"model": models}
    asked = distinct(measurements)
    for measurement in asked:
        measurement.refuse(dataset)
    total = sum(m.cost(dataset) for m in asked) * sum(len(_listed(given)) for given in by_name.values())
    told, parts = Told(progress, total), Parts(dataset)
    answers = {}
    for name, given in by_name.items():
        for seed, model in enumerate(_listed(given)):
            of = f"{name}, seed {seed}" if len(_listed(given)) > 1 else name
            where = None if folder is None else Path(folder)
            answers[name, seed] = measure_one(key, model, parts, asked, where, told.of(of))
    return records.combined(answers)


def _listed(given: Classifier | Sequence[Classifier]) -> Sequence[Classifier]:
    return given if isinstance(given, Sequence) else [given]


class Told:
    """Work that is done, told as a share of all work; every piece of work is called by a name.

    Examples:
        >>> told = Told(lambda what, share: print(f"{what}: {share:.0%}"), total=4.0)
        >>> told.of("vanilla")("clean", 1.0)
        clean vanilla: 25%
        >>> told.of("vanilla")("alpha", 3.0)
        alpha vanilla: 100%
    """

    def __init__(self, progress: Progress | None, total: float):
        self._progress, self._total, self._done = progress, max(total, 1.0), 0.0

    def of(self, whom: str) -> Callable[[str, float], None]:
        """`advance` for the work on one model."""
        return lambda what, done: self.advance(f"{what} {whom}", done)

    def advance(self, name: str, done: float) -> None:
        """Tells that so much more is done."""
        self._done += done
        if self._progress is not None:
            self._progress(name, min(self._done / self._total, 1.0))


class Parts:
    """A dataset whose parts are known by their content.

    Examples:
        >>> import numpy as np
        >>> from lipjax import datasets
        >>> examples = (np.zeros((2, 1, 1, 1), np.uint8), np.array([0, 1]))
        >>> digests = Parts(datasets.from_arrays("mine", examples, examples)).digests
        >>> digests["train"] == digests["test"]
        True
    """

    def __init__(self, dataset: Dataset):
        self.dataset = dataset

    @functools.cached_property
    def digests(self) -> dict[str, str]:
        """Digests of the splits."""
        return {split: records.digest_of_arrays(tuple(getattr(self.dataset, split))) for split in ("train", "test")}


def measure_one(
    key: KeyArray,
    model: Classifier | records.Saved,
    parts: Parts,
    measurements: Sequence[Measurement],
    folder: Path | None = None,
    advance: Callable[[str, float], object] = lambda name, done: None,
) -> "xarray.Dataset":
    """What the measurements say of one model, without the axes `system` and `seed`; arguments as for `measure`.

    A model is measured as `network.freeze` makes it: the same function with plain kernels, so that all systems of one
    family share compiled programs. One on disk is read if something is missing only.

    Examples:
        >>> import xarray
        >>> from lipjax import datasets
        >>> def brightness(key, model, dataset):
        ...     return xarray.Dataset({"brightness": ("example", dataset.test.inputs.mean((1, 2, 3)))})
        >>> images, labels = jax.numpy.array([0.25, 0.75]).reshape(2, 1, 1, 1), jax.numpy.array([0, 1])
        >>> parts = Parts(datasets.from_arrays("mine", (images, labels), (images, labels)))
        >>> measure_one(jax.random.key(0), lambda x: x.ravel(), parts, distinct([brightness])).brightness.values
        array([0.25, 0.75], dtype=float32)
    """
    frozen = functools.cache(lambda: _frozen(model, parts.dataset))
    known = None if folder is None else _identity(model)
    found = []
    for measurement in measurements:
        decided_by = {} if known is None else _decided_by(key, known, parts, measurement)
        tell, told = _counting(functools.partial(advance, measurement.name))
        compute = functools.partial(_computed, measurement, key, frozen, parts.dataset, tell, folder, decided_by)
        found.append(records.recalled(folder, measurement.name, decided_by, compute))
        tell(measurement.cost(parts.dataset) - told())
    return records.joined(found)


def is_measured(
    key: KeyArray, model: records.Saved, parts: Parts, measurements: Sequence[Measurement], folder: Path
) -> bool:
    """Whether all answers of a model are in a folder: nothing is computed, nor is the model read.

    Args:
        key: The key of the measurements.
        model: A model on disk.
        parts: The dataset.
        measurements: What is asked.
        folder: Where answers are kept.

    Examples:
        >>> import tempfile
        >>> from lipjax import datasets, measurements, networks
        >>> images, labels = jax.numpy.zeros((2, 1, 1, 1)), jax.numpy.array([0, 1])
        >>> parts = Parts(datasets.from_arrays("mine", (images, labels), (images, labels)))
        >>> network, key = networks.mlp(2, widths=()), jax.random.key(0)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     records.save_model(folder, Model(network, network.init(key, (1, 1, 1))), (1, 1, 1))
        ...     model, answers = records.Saved(folder), Path(folder) / "measurements"
        ...     before = is_measured(key, model, parts, [measurements.clean()], answers)
        ...     _ = measure_one(key, model, parts, [measurements.clean()], answers)
        ...     before, is_measured(key, model, parts, [measurements.clean()], answers)
        (False, True)
    """
    return all(
        records.path_of(folder, m.name, _decided_by(key, model.identity, parts, m)).with_suffix(".json").exists()
        for m in measurements
    )


def _frozen(model: Classifier | records.Saved, dataset: Dataset) -> Classifier:
    model = model.model if isinstance(model, records.Saved) else model
    if not isinstance(model, Model):
        return model
    network, (params, state) = model.network, model.variables
    frozen = network.freeze(Variables(params, state), dataset.input_shape)
    if model.start is None:
        return frozen
    start = network.freeze(Variables(model.start, state), dataset.input_shape)
    return dataclasses.replace(frozen, start=start.variables.params)


def _counting(advance: Advance) -> tuple[Advance, Callable[[], float]]:
    total = 0.0

    def tell(done: float) -> None:
        nonlocal total
        total += done
        advance(done)

    return tell, lambda: total


def _computed(
    measurement: Measurement,
    key: KeyArray,
    model: Callable[[], Any],
    dataset: Dataset,
    advance: Advance,
    folder: Path | None,
    decided_by: Json,
) -> "xarray.Dataset":
    work = None if folder is None else records.path_of(folder, measurement.name, decided_by).with_suffix(".parts")
    answers = measurement.run(key, model(), dataset, advance=advance, folder=work)
    return answers.assign_attrs({measurement.name: repr(measurement)} | answers.attrs)


def _identity(model: Classifier | records.Saved) -> Json:
    """What a model is, by its content.

    Raises:
        TypeError: If it is a function without a name, which can't be told from another.
    """
    if isinstance(model, records.Saved):
        return model.identity
    if isinstance(model, Model):
        return model.network.identity(model.variables) | {"variables": records.digest_of_arrays(model.variables)}
    function: Any = single(model)
    return {"function": to_json(function.func), "arrays": records.digest_of_arrays(function.args)}


def _decided_by(key: KeyArray, known: Json, parts: Parts, measurement: Measurement) -> Json:
    return {
        "measurement": to_json(measurement),
        "model": known,
        "data": {split: parts.digests[split] for split in measurement.splits}
        | {"box": parts.dataset.box, "input_shape": parts.dataset.input_shape},
        "key": jax.random.key_data(key).tolist(),
    }
