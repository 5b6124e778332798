"""Answers on clean examples."""

from typing import TYPE_CHECKING, Any

from lipjax import evaluation
from lipjax.measurements.measurement import Advance, Measurement, ignore
from lipjax.types import Dataset, KeyArray

if TYPE_CHECKING:
    import xarray


class clean(Measurement):
    """Whether the model is right on clean examples.

    Returns:
        `correct [example]` on the test examples, `train_correct [train_example]` on those of training.

    Examples:
        >>> clean()
        clean()
    """

    def __call__(self, key: KeyArray, model: Any, dataset: Dataset, advance: Advance = ignore) -> "xarray.Dataset":
        import xarray

        correct = {}
        for name, axis, batch in (
            ("correct", "example", dataset.test),
            ("train_correct", "train_example", dataset.train),
        ):
            correct[name] = (axis, evaluation.correct(model, batch))
            advance(len(batch.labels))
        return xarray.Dataset(correct)

    def cost(self, dataset: Dataset) -> float:
        return len(dataset.test.labels) + len(dataset.train.labels)
