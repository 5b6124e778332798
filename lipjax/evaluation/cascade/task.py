"""What decides the result of a cascade, and its compiled programs."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from lipjax import checks, losses, parallel, records, values
from lipjax.attacks import aim
from lipjax.evaluation.cascade.chunks import Chunk
from lipjax.evaluation.cascade.suites import Stage, Suite
from lipjax.evaluation.examples import Classifier
from lipjax.norms import Ball
from lipjax.types import Batch, BoundaryAttack, KeyArray, Point, VectorFn, pixels, single

Rows: TypeAlias = Int[np.ndarray, " chunk"]
Images: TypeAlias = Float[np.ndarray, "batch ..."]
Flags: TypeAlias = Bool[np.ndarray, " batch"]
Logits: TypeAlias = Float[np.ndarray, "batch classes"]

_LEAST_SIZE = 16
"""A chunk has the given size or an eighth of it, but at least this, so that little is computed for nothing; for every
size each stage is compiled once. More at once is no faster on CPU."""


class Run(NamedTuple):
    """One run of a stage.

    Attributes:
        number: Which stage.
        repeat: Which of its runs.
        targets: The class that it aims at, where the stage is targeted.
        is_due: Whether it is worthwhile for an example.
    """

    number: int
    repeat: int
    targets: Int[np.ndarray, " batch"]
    is_due: Flags


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

    def examine(self) -> tuple[Logits, Flags, Flags]:
        """Logits of all examples, whether they are right, and whether the loss has no gradient there."""
        parts = [
            tuple(parallel.fetched(part)[: len(rows)] for part in _examine(self.f, *self._examples(rows, size)))
            for rows, size in split(np.arange(len(self.labels)), self.chunk_size)
        ]
        logits, correct, is_flat = (np.concatenate(part) for part in zip(*parts, strict=True))
        return logits, correct, is_flat

    def runs(self, logits: Logits, correct: Flags) -> list[Run]:
        """All runs of all stages in order, with what each aims at.

        Args:
            logits: What the classifier says of the examples.
            correct: Which of them there is something to attack in.
        """
        has_reach = any(stage.reach is not None for stage in self.stages)
        distances = self._distances(logits, correct) if has_reach else logits
        runs = []
        for number, stage in enumerate(self.stages):
            order = others_in_order(-logits if stage.reach is None else distances, self.labels)
            for repeat in range(stage.repeats):
                targets, is_due = order[:, repeat if stage.targeted else 0], np.ones(len(order), bool)
                if stage.reach is not None and repeat > 0:
                    distance = np.take_along_axis(distances, targets[:, None], axis=1)[:, 0]
                    is_due = distance <= stage.reach * self.ball.radius
                runs.append(Run(number, repeat, targets, is_due))
        return runs

    def attack(self, run: Run, rows: Rows, size: int) -> Chunk:
        """Attacks some examples with one run of a stage, filled up to a size."""
        filled, stage = _filled(rows, size), self.stages[run.number]
        alike = tuple(other for other in self.stages if other == stage or _share_a_program(other, stage))
        which = (np.int32(run.number), np.int32(run.repeat), parallel.spread(filled))
        examples = (*self._examples(rows, size), parallel.spread(run.targets[filled]))
        points, fooled = _attack(self.f, alike, alike.index(stage), self.ball, self.key, which, *examples)
        fooled = parallel.fetched(fooled)[: len(rows)]
        return Chunk(rows, fooled, parallel.fetched(points)[: len(rows)][fooled])

    def _distances(self, logits: Logits, correct: Flags) -> Logits:
        """How far the boundary to every class is by the linear model at each example; infinity for those not asked."""
        distances = np.full_like(logits, np.inf)
        for rows, size in split(np.flatnonzero(correct), self.chunk_size):
            found = _distances(self.f, self.ball, *self._examples(rows, size))
            distances[rows] = parallel.fetched(found)[: len(rows)]
        return distances

    def _examples(self, rows: Rows, size: int) -> tuple[Any, Any]:
        filled = _filled(rows, size)
        return parallel.spread((self.images[filled], self.labels[filled]))


def _filled(rows: Rows, size: int) -> Int[np.ndarray, " size"]:
    """The rows, repeated up to a size that divides among the devices."""
    return np.resize(rows, parallel.filled(size))


def task_of(key: KeyArray, f: Classifier, batch: Batch, suite: Suite, chunk_size: int | None) -> Task:
    """The task of a cascade, if it can be done; arguments and errors as for `cascade`."""
    if chunk_size is None:
        chunk_size = _LEAST_SIZE if jax.default_backend() == "cpu" else 256
    checks.at_least(1, chunk_size=chunk_size)
    checks.examples(batch.inputs, batch.labels)
    mesh, images = parallel.current(), _as_pixels(batch.inputs)
    classifier = parallel.replicate(single(f), mesh) if mesh else single(f)
    num_classes = jax.eval_shape(classifier, images[0]).shape[-1]
    checks.at_least(2, num_classes=num_classes)
    checks.inside(suite.ball.box, inputs=images)
    checks.classes(num_classes, batch.labels)
    stages = suite.stages(num_classes)
    names = ["clean", *(stage.name for stage in stages)]
    if len(set(names)) < len(names):
        raise ValueError(f"stages need different names, and none is called clean; got {', '.join(names[1:])}")
    return Task(key, classifier, images, np.asarray(batch.labels), suite.ball, stages, chunk_size)


def _as_pixels(inputs: Any) -> Float[np.ndarray, "batch ..."]:
    """The inputs as floats in the memory of the host."""
    parts = parallel.on_host(inputs)
    return np.concatenate([np.asarray(pixels(parts[row : row + 1024])) for row in range(0, len(parts), 1024)])


def split(rows: Rows, chunk_size: int) -> Iterator[tuple[Rows, int]]:
    """Rows in chunks, each with the size to fill it up to: as large as may be, and of one or two different sizes."""
    least = min(max(-(-chunk_size // 8), _LEAST_SIZE), chunk_size)
    while len(rows):
        size = chunk_size if len(rows) >= chunk_size else least
        yield rows[:size], size
        rows = rows[size:]


def others_in_order(scores: Logits, labels: Int[np.ndarray, " batch"]) -> Int[np.ndarray, "batch others"]:
    """The wrong classes of every example in order of their scores, the smallest first.

    Examples:
        >>> others_in_order(np.array([[1.0, 4.0, 2.0, 3.0]]), np.array([1]))
        array([[0, 2, 3]])
    """
    scores = np.where(np.arange(scores.shape[1]) == labels[:, None], np.inf, scores)
    order = np.argsort(scores, axis=1, kind="stable")
    return order[order != labels[:, None]].reshape(len(scores), -1)


@jax.jit
def _examine(
    f: VectorFn, inputs: Float[Array, "batch ..."], labels: Int[Array, " batch"]
) -> tuple[Float[Array, "batch classes"], Bool[Array, " batch"], Bool[Array, " batch"]]:
    def one(x: Point, label: Array) -> tuple[Array, Array, Array]:
        def loss(point: Point) -> tuple[Array, Array]:
            logits = f(point)
            return losses.cross_entropy(logits, label), logits

        gradient, logits = jax.grad(loss, has_aux=True)(x)
        return logits, losses.is_correct(logits, label), jax.numpy.all(gradient == 0.0)

    return jax.vmap(one)(inputs, labels)


@jax.jit
def _distances(
    f: VectorFn, ball: Ball, inputs: Float[Array, "batch ..."], labels: Int[Array, " batch"]
) -> Float[Array, "batch classes"]:
    def one(x: Point, label: Array) -> Array:
        def gaps(point: Point) -> tuple[Array, Array]:
            logits = f(point)
            return logits[label] - logits, logits[label] - logits

        slopes, gap = jax.jacrev(gaps, has_aux=True)(x)
        slope = jax.vmap(ball.norm.dual)(slopes)
        return jax.numpy.where(slope == 0.0, jax.numpy.inf, gap / slope)

    return jax.vmap(one)(inputs, labels)


def _share_a_program(one: Stage, other: Stage) -> bool:
    """Whether two stages are one attack that climbs different losses."""
    return one.attack == other.attack and not isinstance(one.attack, BoundaryAttack)


def _run_of(stages: Sequence[Stage], index: Int[Array, ""]) -> Callable[..., Point]:
    """`run` of the stage of this index, of stages that share a program: compiled once, it chooses the loss."""
    first = stages[0]
    if len(stages) == 1:
        return first.run

    def loss(logits: Array, label: Array, target: Array) -> Array:
        exact = jax.numpy.promote_types(logits.dtype, np.float32)  # the losses may be of different types
        each = [lambda *given, stage=stage: jax.numpy.asarray(stage.climbed(*given), exact) for stage in stages]
        return jax.lax.switch(index, each, logits, label, target)

    def run(key: KeyArray, f: VectorFn, x: Point, label: Array, target: Array) -> Point:
        return first.attack(key, aim(first.attack, f, label, loss, target), x)

    return run


@jax.jit
def _attack(
    f: VectorFn,
    stages: tuple[Stage, ...],
    index: Int[Array, ""],
    ball: Ball,
    key: KeyArray,
    which: tuple[Int[Array, ""], Int[Array, ""], Int[Array, " batch"]],
    inputs: Float[Array, "batch ..."],
    labels: Int[Array, " batch"],
    targets: Int[Array, " batch"],
) -> tuple[Float[Array, "batch ..."], Bool[Array, " batch"]]:
    """The points and whether they are wrong, by one of some stages that share a program.

    `which` are the numbers of the stage in the suite, of its run and of the examples.
    """
    number, repeat, rows = which
    run = _run_of(stages, index)
    run_key = jax.random.fold_in(jax.random.fold_in(key, number), repeat)

    def one(row: Array, x: Point, label: Array, target: Array) -> tuple[Point, Array]:
        point = ball.project(run(jax.random.fold_in(run_key, row), f, x, label, target), x)
        return point, ~losses.is_correct(f(point), label)

    return jax.vmap(one)(rows, inputs, labels, targets)
