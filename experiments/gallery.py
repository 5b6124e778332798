"""Images with what a network says of them."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from lipjax import evaluation, measurements, report
from lipjax.evaluation import Suite
from lipjax.measurements import Measurement
from lipjax.types import Batch, KeyArray, pixels

from .measuring import Trained

NUM_IMAGES = 8
MOST_ROWS = 8
SEVERITY = 3


def captions(trained: Trained, batch: Batch) -> list[str]:
    """The class that the network predicts for each image, and whether it is right."""
    names = trained.dataset.class_names
    predicted = evaluation.logits(trained.model, batch, chunk_size=len(batch.labels)).argmax(axis=1)
    return [
        f"{'✓' if said == label else '✗'} {names[said] if names else said}"
        for said, label in zip(predicted.tolist(), np.asarray(batch.labels).tolist(), strict=True)
    ]


def sheet(key: KeyArray, trained: Trained, asked: Sequence[Measurement]) -> Any:
    """The first test images: clean, corrupted and attacked, with predictions; the true class is above."""
    names, test = trained.dataset.class_names, trained.dataset.test
    batch = Batch(test.inputs[:NUM_IMAGES], test.labels[:NUM_IMAGES])
    shown = dict([("clean", batch), *_changed(key, trained, batch, asked)][:MOST_ROWS])
    return report.image_grid(
        [list(np.asarray(pixels(changed.inputs))) for changed in shown.values()],
        rows=list(shown),
        columns=[str(names[label] if names else label) for label in np.asarray(batch.labels).tolist()],
        captions=[captions(trained, changed) for changed in shown.values()],
        size=80,
    )


def _changed(
    key: KeyArray, trained: Trained, batch: Batch, asked: Sequence[Measurement]
) -> Iterator[tuple[str, Batch]]:
    for measurement in asked:
        if isinstance(measurement, measurements.attacked) and not isinstance(measurement.attack, Suite):
            name = str(getattr(measurement.attack, "name", None) or type(measurement.attack).__name__)
            yield f"{name} attack", evaluation.attacked(key, trained.model, batch, measurement.attack)
    for measurement in asked:
        if isinstance(measurement, measurements.corrupted):
            for corruption in measurement.names:
                words = f"{str(corruption).replace('_', ' ')}\nseverity {SEVERITY}"
                yield words, evaluation.corrupted(key, batch, corruption, SEVERITY)
