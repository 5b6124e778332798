"""Answers on corrupted test images."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from lipjax import checks, corruptions, evaluation
from lipjax.corruptions import Corruption
from lipjax.measurements.measurement import Advance, Measurement, ignore
from lipjax.types import Batch, Dataset, KeyArray
from lipjax.values import setting

if TYPE_CHECKING:
    import xarray

Images = Callable[[KeyArray, Batch, str | Corruption, int], Batch]
"""`(key, test examples, corruption, severity) -> corrupted examples`."""


class corrupted(Measurement):
    """Whether the model is right on corrupted test images; the images are the same for every model.

    Attributes:
        names: Names of corruptions, of `corruptions.NAMES`, or corruptions of your own.
        severities: 1 to 5.
        images: Where corrupted images come from; `evaluation.corrupted` computes them. As many of them are used as
            there are labels, so published sets may be larger or smaller than the test set.

    Returns:
        `corrupted_correct [corruption, severity, example]`.

    Examples:
        >>> corrupted(("fog", "contrast"), severities=(3,))
        corrupted(names=(fog, contrast), severities=(3,))
    """

    names: tuple[str | Corruption, ...] = setting(corruptions.BENCHMARK)
    severities: tuple[int, ...] = setting((1, 2, 3, 4, 5))
    images: Images = setting(evaluation.corrupted)

    splits = ("test",)

    def check(self) -> None:
        if not self.names or not self.severities or not set(self.severities) <= {1, 2, 3, 4, 5}:
            raise ValueError(f"need corruptions and severities of 1 to 5, got {self.names} and {self.severities}")
        if self.images is evaluation.corrupted:
            for name in (name for name in self.names if isinstance(name, str)):
                checks.one_of("each of names", name, corruptions.NAMES)

    def refuse(self, dataset: Dataset) -> None:
        import jax

        if self.images is evaluation.corrupted:
            for name in (name for name in self.names if isinstance(name, str)):
                corruptions.draw(jax.random.key(0), tuple(dataset.test.inputs.shape[1:]), name, 1)

    def __call__(self, key: KeyArray, model: Any, dataset: Dataset, advance: Advance = ignore) -> "xarray.Dataset":
        import xarray

        def answers(name: str | Corruption, severity: int) -> np.ndarray:
            found = evaluation.correct(model, self.images(key, dataset.test, name, severity))
            advance(len(found))
            return found

        correct = np.array([[answers(name, severity) for severity in self.severities] for name in self.names])
        coordinates = {"corruption": list(map(str, self.names)), "severity": list(self.severities)}
        return xarray.Dataset({"corrupted_correct": (("corruption", "severity", "example"), correct)}, coordinates)

    def cost(self, dataset: Dataset) -> float:
        return len(self.names) * len(self.severities) * len(dataset.test.labels)
