"""A cascade: several attacks one after another, each on the examples that are still robust."""

import dataclasses
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Float, Int, Num

from lipjax import checks, losses, records
from lipjax.attacks.climb import into_ball
from lipjax.attacks.health import Health, is_random, look_like_probabilities, zero_gradient_share
from lipjax.attacks.journal import Chunk, Journal, digest
from lipjax.attacks.suites import Stage, Suite, checked, standard
from lipjax.norms import Norm, linf
from lipjax.types import Box, KeyArray, Model, Point, VectorFn, pixels, single

Rows: TypeAlias = Int[np.ndarray, " chunk"]
Images: TypeAlias = Float[np.ndarray, "batch ..."]
Flags: TypeAlias = Bool[np.ndarray, " batch"]
Progress: TypeAlias = Callable[[str, float], object]

_SHRINKS = (1, 4, 16)
"""A chunk has the given size or that size divided by one of these, so that little is computed for nothing."""


@dataclasses.dataclass(frozen=True)
class CascadeResult:
    """What a cascade found.

    Attributes:
        accuracies: Share of examples that are still classified rightly: "clean", then after each attack.
        robust: Which examples withstood everything.
        fooled_by: What fooled each example: the name of an attack, "clean" if it needed none, "" for a robust one.
        points: The adversarial inputs; the input itself where no attack was needed or none succeeded.
        health: Signs that the accuracies can't be trusted; look at `health.flags`.
    """

    accuracies: dict[str, float]
    robust: Flags
    fooled_by: np.ndarray
    points: Images
    health: Health

    def save(self, folder: str | os.PathLike) -> None:
        """Writes `result.json` and the adversarial inputs, `adversarial.npy`, to a folder."""
        result = {
            "accuracies": self.accuracies,
            "health": self.health,
            "flags": self.health.flags,
            "fooled_by": self.fooled_by.tolist(),
        }
        np.save(Path(folder) / "adversarial.npy", self.points, allow_pickle=False)
        records.write_json(Path(folder) / "result.json", result)


def cascade(
    key: KeyArray,
    f: Model | Callable[[Point], Float[Array, " classes"]],
    inputs: Num[Array | np.ndarray, "batch ..."],
    labels: Int[Array | np.ndarray, " batch"],
    *,
    norm: Norm = linf,
    radius: ArrayLike = 8 / 255,
    suite: Suite = standard,
    bounds: Box = (0.0, 1.0),
    chunk_size: int = 256,
    journal: str | os.PathLike | None = None,
    progress: Progress = lambda attack, share: None,
) -> CascadeResult:
    """Attacks a batch with a suite of attacks, each on what the earlier ones have not fooled.

    An example is robust if no attack of the suite finds a misclassified point in its ball: robust accuracy never rises
    along the cascade. The default suite is AutoAttack's standard one, so that the accuracy at the end is what
    RobustBench calls robust accuracy.

    Args:
        key: A typed key. Every example has its own for every attack, whatever the chunk size.
        f: A model, or any JAX function of one input to its logits. Of a `jax.tree_util.Partial` the arrays are
            arguments of the compiled programs, which then serve all calls with the same function.
        inputs: Images `[batch, height, width, channel]` as float pixels in [0, 1] or as uint8 levels, or any inputs.
        labels: Class indices `[batch]`.
        norm: Norm of the ball.
        radius: Radius of the ball in input units (pixels in [0, 1]).
        suite: `(norm, num_classes, bounds) -> stages`; see `suites`.
        bounds: Lowest and highest legal input value; None for no limits.
        chunk_size: Examples that are attacked at once; what remains is attacked in chunks of a quarter and a sixteenth.
        journal: Folder that receives every chunk as it is done, and the result. Called again with the same arguments, a
            killed evaluation goes on after its last chunk, with equal results. It knows stages by name and repeats.
        progress: Called after each chunk as `(attack, share)`: the share of all work that is done if no further example
            falls, which never decreases and ends at 1.

    Returns:
        The result. Every adversarial input is in the ball and in the box, and was misclassified.

    Raises:
        ValueError: If radius is negative, chunk_size is not a whole number of at least 1, there are no examples or
            fewer than two classes, an input is out of bounds, a label is missing or none of the classes, or the journal
            belongs to another evaluation.

    References:
        Croce and Hein 2020, "Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free
        attacks" (arXiv 2003.01690).

    Example:
        >>> f = lambda x: jnp.array([x.mean(), 0.5])
        >>> inputs = jnp.array([0.9, 0.53, 0.3]).reshape(3, 1, 1, 1) * jnp.ones((3, 4, 4, 1))
        >>> result = cascade(jax.random.key(0), f, inputs, jnp.array([0, 0, 0]), radius=0.1)
        >>> result.fooled_by.tolist(), result.accuracies["clean"], result.accuracies["square"]
        (['', 'apgd_ce', 'clean'], 0.67, 0.33)
    """
    checks.not_negative(radius=radius)
    checks.at_least(1, chunk_size=chunk_size)
    checks.examples(inputs, labels)
    classifier, images = single(f), np.array(pixels(inputs))
    num_classes = jax.eval_shape(classifier, images[0]).shape[-1]
    checks.at_least(2, num_classes=num_classes)
    checks.inside(bounds, inputs=images)
    checks.classes(num_classes, labels)
    stages = checked(suite(norm, num_classes, bounds))
    task = _Task(key, classifier, images, np.asarray(labels), norm, radius, bounds, stages, chunk_size)

    logits, is_flat = task.examine()
    correct = np.asarray(jax.vmap(losses.is_correct)(jnp.asarray(logits), jnp.asarray(task.labels)))
    chunks = Journal(journal, task.settings() | {"correct": digest(correct)})
    points, fooled_by = images.copy(), np.where(correct, "", "clean").astype(object)
    accuracies = {"clean": float(np.mean(correct))}
    spent, to_come = 0.0, sum(stage.cost * stage.repeats for stage in stages)
    for number, stage in enumerate(stages):
        for repeat in range(stage.repeats):
            robust = np.flatnonzero(fooled_by == "")
            to_come -= stage.cost
            for rows, size in _split(robust, chunk_size):
                name = f"{number:02d}_{stage.name}_{repeat:02d}_{rows[0]:08d}"
                chunk = chunks.recalled(name, rows, partial(task.attack, number, repeat, rows, size))
                points[rows[chunk.fooled]] = chunk.points
                fooled_by[rows[chunk.fooled]] = stage.name
                spent += stage.cost * len(rows)
                left = stage.cost * np.sum(robust > rows[-1]) + to_come * np.sum(fooled_by == "")
                progress(f"{stage.name} {repeat + 1}/{stage.repeats}", float(spent / (spent + left)))
        accuracies[stage.name] = float(np.mean(fooled_by == ""))

    health = Health(
        zero_gradients=zero_gradient_share(is_flat, correct),
        probabilities=look_like_probabilities(logits),
        random=is_random(classifier, images[:8]),
        black_box=float(np.mean(np.isin(fooled_by, [stage.name for stage in stages if stage.black_box]))),
    )
    result = CascadeResult(accuracies, fooled_by == "", fooled_by.astype(str), points, health)
    if journal is not None:
        result.save(journal)
    return result


@dataclasses.dataclass(frozen=True)
class _Task:
    """What decides the result of a cascade."""

    key: KeyArray
    f: VectorFn
    images: Images
    labels: Int[np.ndarray, " batch"]
    norm: Norm
    radius: ArrayLike
    bounds: Box
    stages: Sequence[Stage]
    chunk_size: int

    def settings(self) -> dict[str, Any]:
        return {
            "key": jax.random.key_data(self.key),
            "classifier": digest(self.f),
            "examples": digest((self.images, self.labels)),
            "norm": self.norm.name,
            "radius": np.asarray(self.radius).item(),
            "bounds": self.bounds,
            "stages": [[stage.name, stage.repeats] for stage in self.stages],
            "chunk_size": self.chunk_size,
        }

    def examine(self) -> tuple[Float[np.ndarray, "batch classes"], Flags]:
        """Logits of all examples, and whether the loss has no gradient there."""
        parts = [
            tuple(np.asarray(part)[: len(rows)] for part in _examine(self.f, *self._examples(rows, size)))
            for rows, size in _split(np.arange(len(self.labels)), self.chunk_size)
        ]
        logits, is_flat = zip(*parts, strict=True)
        return np.concatenate(logits), np.concatenate(is_flat)

    def attack(self, number: int, repeat: int, rows: Rows, size: int) -> Chunk:
        """Attacks some examples with one run of a stage, filled up to a size."""
        key = jax.random.fold_in(jax.random.fold_in(self.key, number), repeat)
        keys = jax.vmap(partial(jax.random.fold_in, key))(np.resize(rows, size))
        settings = {"stage": self.stages[number], "norm": self.norm, "bounds": self.bounds}
        radius = jnp.asarray(self.radius, self.images.dtype)
        points, fooled = _attack(self.f, radius, jnp.array(repeat), keys, *self._examples(rows, size), **settings)
        fooled = np.asarray(fooled)[: len(rows)]
        return Chunk(rows, fooled, np.asarray(points)[: len(rows)][fooled])

    def _examples(self, rows: Rows, size: int) -> tuple[Images, Int[np.ndarray, " batch"]]:
        filled = np.resize(rows, size)
        return self.images[filled], self.labels[filled]


def _split(rows: Rows, chunk_size: int) -> Iterator[tuple[Rows, int]]:
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
        return logits, jnp.all(gradient == 0.0)

    return jax.vmap(one)(inputs, labels)


@partial(jax.jit, static_argnames=("stage", "norm", "bounds"))
def _attack(
    f: VectorFn,
    radius: Float[Array, ""],
    repeat: Int[Array, ""],
    keys: Array,
    inputs: Float[Array, "batch ..."],
    labels: Int[Array, " batch"],
    *,
    stage: Stage,
    norm: Norm,
    bounds: Box,
) -> tuple[Float[Array, "batch ..."], Bool[Array, " batch"]]:
    def one(key: KeyArray, x: Point, label: Array) -> tuple[Point, Array]:
        found = stage.attack(radius)(key, stage.objective(f, x, label, repeat), x)
        point = into_ball(found, x, norm=norm, radius=radius, bounds=bounds)
        return point, ~losses.is_correct(f(point), label)

    return jax.vmap(one)(keys, inputs, labels)
