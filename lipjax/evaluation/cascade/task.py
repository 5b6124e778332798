"""What decides the result of a cascade, and its compiled programs."""

import dataclasses
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, TypeAlias

import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from lipjax import checks, losses, records, values
from lipjax.evaluation.cascade.chunks import Chunk
from lipjax.evaluation.cascade.suites import Stage, Suite
from lipjax.evaluation.examples import Classifier
from lipjax.norms import Ball
from lipjax.types import Batch, KeyArray, Point, VectorFn, pixels, single

Rows: TypeAlias = Int[np.ndarray, " chunk"]
Images: TypeAlias = Float[np.ndarray, "batch ..."]
Flags: TypeAlias = Bool[np.ndarray, " batch"]

_SHRINKS = (1, 4, 16)
"""A chunk has the given size or that size divided by one of these, so that little is computed for nothing."""


@dataclasses.dataclass(frozen=True)
class Task:
    """What decides the result of a cascade."""

    key: KeyArray
    f: VectorFn
    images: Images
    labels: Int[np.ndarray, " batch"]
    ball: Ball
    stages: Sequence[Stage]
    chunk_size: int

    def settings(self) -> dict[str, Any]:
        return {
            "key": jax.random.key_data(self.key),
            "classifier": records.digest_of_arrays(self.f),
            "examples": records.digest_of_arrays((self.images, self.labels)),
            "ball": values.to_json(self.ball),
            "stages": values.to_json(tuple(self.stages)),
            "chunk_size": self.chunk_size,
        }

    def examine(self) -> tuple[Float[np.ndarray, "batch classes"], Flags]:
        """Logits of all examples, and whether the loss has no gradient there."""
        parts = [
            tuple(np.asarray(part)[: len(rows)] for part in _examine(self.f, *self._examples(rows, size)))
            for rows, size in split(np.arange(len(self.labels)), self.chunk_size)
        ]
        logits, is_flat = zip(*parts, strict=True)
        return np.concatenate(logits), np.concatenate(is_flat)

    def attack(self, number: int, repeat: int, rows: Rows, size: int) -> Chunk:
        """Attacks some examples with one run of a stage, filled up to a size."""
        key = jax.random.fold_in(jax.random.fold_in(self.key, number), repeat)
        keys = jax.vmap(partial(jax.random.fold_in, key))(np.resize(rows, size))
        stage, examples = self.stages[number], self._examples(rows, size)
        points, fooled = _attack(self.f, stage, self.ball, np.int32(repeat), keys, *examples)
        fooled = np.asarray(fooled)[: len(rows)]
        return Chunk(rows, fooled, np.asarray(points)[: len(rows)][fooled])

    def _examples(self, rows: Rows, size: int) -> tuple[Images, Int[np.ndarray, " batch"]]:
        filled = np.resize(rows, size)
        return self.images[filled], self.labels[filled]


def task_of(key: KeyArray, f: Classifier, batch: Batch, suite: Suite, chunk_size: int) -> Task:
    """The task of a cascade, if it can be done; arguments and errors as for `cascade`."""
    checks.at_least(1, chunk_size=chunk_size)
    checks.examples(batch.inputs, batch.labels)
    classifier, images = single(f), np.array(pixels(batch.inputs))
    num_classes = jax.eval_shape(classifier, images[0]).shape[-1]
    checks.at_least(2, num_classes=num_classes)
    checks.inside(suite.ball.box, inputs=images)
    checks.classes(num_classes, batch.labels)
    stages = suite.stages(num_classes)
    names = ["clean", *(stage.name for stage in stages)]
    if len(set(names)) < len(names):
        raise ValueError(f"stages need different names, and none is called clean; got {', '.join(names[1:])}")
    return Task(key, classifier, images, np.asarray(batch.labels), suite.ball, stages, chunk_size)


def split(rows: Rows, chunk_size: int) -> Iterator[tuple[Rows, int]]:
    """Rows in chunks, each with the size to fill it up to: as large as may be, and of few different sizes."""
    sizes = [-(-chunk_size // shrink) for shrink in _SHRINKS]
    while len(rows):
        size = next((size for size in sizes if size <= len(rows)), sizes[-1])
        yield rows[:size], size
        rows = rows[size:]


@jax.jit
def _examine(
    f: VectorFn, inputs: Float[Array, "batch ..."], labels: Int[Array, " batch"]
) -> tuple[Float[Array, "batch classes"], Bool[Array, " batch"]]:
    def one(x: Point, label: Array) -> tuple[Array, Array]:
        def loss(point: Point) -> tuple[Array, Array]:
            logits = f(point)
            return losses.cross_entropy(logits, label), logits

        gradient, logits = jax.grad(loss, has_aux=True)(x)
        return logits, jax.numpy.all(gradient == 0.0)

    return jax.vmap(one)(inputs, labels)


@jax.jit
def _attack(
    f: VectorFn,
    stage: Stage,
    ball: Ball,
    repeat: Int[Array, ""],
    keys: Array,
    inputs: Float[Array, "batch ..."],
    labels: Int[Array, " batch"],
) -> tuple[Float[Array, "batch ..."], Bool[Array, " batch"]]:
    def one(key: KeyArray, x: Point, label: Array) -> tuple[Point, Array]:
        point = ball.project(stage.run(key, f, x, label, repeat), x)
        return point, ~losses.is_correct(f(point), label)

    return jax.vmap(one)(keys, inputs, labels)
