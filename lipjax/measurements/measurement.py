"""What a measurement is, and how progress is told."""

import inspect
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from lipjax.types import Dataset, KeyArray
from lipjax.values import Value, setting

if TYPE_CHECKING:
    import xarray

Advance: TypeAlias = Callable[[float], object]
"""Called with what was done since the last call, in gradients of one image."""


def ignore(done: float) -> None:
    """Tells nobody."""


class Measurement(Value):
    """What is said of a trained network: answers per example, as arrays with named axes.

    A new one is a subclass with `__call__`, or a plain function of the same three arguments; its name is what files,
    flags and results call it. Answers are not reduced: who shows them takes means, worst cases and intervals.

    Attributes:
        splits: Parts of the dataset that decide the answers.

    Examples:
        >>> import xarray
        >>> class lengths(Measurement):
        ...     splits = ("test",)
        ...     def __call__(self, key, model, dataset):
        ...         sizes = [abs(image).sum() for image in dataset.test.inputs]
        ...         return xarray.Dataset({"length": ("example", sizes)})
    """

    splits: ClassVar[tuple[str, ...]] = ("train", "test")

    @property
    def name(self) -> str:
        """What files, flags and results call it."""
        return type(self).__name__

    def __call__(self, key: KeyArray, model: Any, dataset: Dataset) -> "xarray.Dataset":
        """The answers. A measurement that takes long also has `advance: Advance` and `folder: Path | None`.

        Args:
            key: A typed key; the same for all models, so that they meet the same noise.
            model: A `Model`, or any callable of one input.
            dataset: Its examples.
        """
        raise NotImplementedError

    def cost(self, dataset: Dataset) -> float:
        """What it takes, about, in gradients of one image: the unit of progress."""
        return len(dataset.test.labels)

    def refuse(self, dataset: Dataset) -> None:
        """Raises ValueError where the dataset can't be measured so, before any compute."""

    def run(
        self, key: KeyArray, model: Any, dataset: Dataset, *, advance: Advance = ignore, folder: Path | None = None
    ) -> "xarray.Dataset":
        """The answers; parts of a long work are kept in the folder while it goes on, and progress is told."""
        offered = {"advance": advance, "folder": folder}
        known = inspect.signature(type(self).__call__).parameters
        return self(key, model, dataset, **{name: given for name, given in offered.items() if name in known})


class from_function(Measurement):
    """A plain function `(key, model, dataset) -> arrays with named axes` as a measurement."""

    function: Callable[[KeyArray, Any, Dataset], Any] = setting()

    @property
    def name(self) -> str:
        """The name of the function."""
        return getattr(self.function, "__name__", "function")

    def __call__(self, key: KeyArray, model: Any, dataset: Dataset) -> "xarray.Dataset":
        return self.function(key, model, dataset)


def as_measurement(given: Any) -> Measurement:
    """A measurement as it is, a plain function as one.

    Raises:
        TypeError: If it is neither.

    Examples:
        >>> def brightness(key, model, dataset):
        ...     return dataset.test.inputs.mean()
        >>> as_measurement(brightness).name
        'brightness'
        >>> as_measurement("brightness")
        Traceback (most recent call last):
            ...
        TypeError: 'brightness' is no measurement: call its constructor, or give a function (key, model, dataset)
    """
    if isinstance(given, Measurement):
        return given
    if callable(given) and not isinstance(given, type):
        return from_function(given)
    raise TypeError(f"{given!r} is no measurement: call its constructor, or give a function (key, model, dataset)")


def distinct(given: Iterable[Any]) -> list[Measurement]:
    """Measurements and plain functions as measurements, each of them once.

    Examples:
        >>> def brightness(key, model, dataset):
        ...     return dataset.test.inputs.mean()
        >>> [measurement.name for measurement in distinct([brightness, brightness])]
        ['brightness']
    """
    found = list[Measurement]()
    for measurement in map(as_measurement, given):
        if measurement not in found:
            found.append(measurement)
    return found
