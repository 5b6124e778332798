"""A cascade: several attacks one after another, each on the examples that are still robust."""

import dataclasses
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np

from lipjax import records
from lipjax.evaluation.cascade.chunks import Chunks
from lipjax.evaluation.cascade.health import Health, is_random, look_like_probabilities, zero_gradient_share
from lipjax.evaluation.cascade.suites import Suite
from lipjax.evaluation.cascade.task import Flags, Images, Run, Task, split, task_of
from lipjax.evaluation.examples import Classifier
from lipjax.types import Batch, KeyArray

Progress: TypeAlias = Callable[[str, float], object]


@dataclasses.dataclass(frozen=True)
class CascadeResult:
    """What a cascade found.

    Attributes:
        withstood: By stage, which examples are classified rightly after it and all before it; the first is "clean".
        points: The adversarial inputs; the input itself where no attack was needed or none succeeded.
        health: Signs that the accuracies can't be trusted; look at `health.flags`.
        gradients: What it took by the costs of the stages: gradients that their runs may ask for, over all examples.

    Examples:
        >>> withstood = {"clean": np.array([True, True, False]), "fgsm": np.array([True, False, False])}
        >>> result = CascadeResult(withstood, np.zeros((3, 1)), Health(0.0, False, False, 0.0), gradients=2.0)
        >>> result.accuracies, result.fooled_by.tolist()
        ({'clean': 0.67, 'fgsm': 0.33}, ['', 'fgsm', 'clean'])
    """

    withstood: dict[str, Flags]
    points: Images
    health: Health
    gradients: float

    @property
    def accuracies(self) -> dict[str, float]:
        """Share of examples that are still classified rightly: "clean", then after each attack."""
        return {name: float(np.mean(flags)) for name, flags in self.withstood.items()}

    @property
    def robust(self) -> Flags:
        """Which examples withstood everything."""
        return [*self.withstood.values()][-1]

    @property
    def fooled_by(self) -> np.ndarray:
        """What fooled each example: the name of an attack, "clean" if it needed none, "" for a robust one."""
        return np.select([~flags for flags in self.withstood.values()], [*self.withstood], "")

    def save(self, folder: str | os.PathLike) -> None:
        """Writes `result.json` and the adversarial inputs, `adversarial.npy`, to a folder."""
        result = {
            "accuracies": self.accuracies,
            "health": self.health,
            "flags": self.health.flags,
            "fooled_by": self.fooled_by.tolist(),
        }
        with records.replacing(Path(folder) / "adversarial.npy") as partial_file:
            np.save(partial_file, self.points, allow_pickle=False)
        records.write_json(Path(folder) / "result.json", result)


def cascade(
    key: KeyArray,
    f: Classifier,
    batch: Batch,
    suite: Suite,
    *,
    chunk_size: int | None = None,
    journal: str | os.PathLike | None = None,
    progress: Progress = lambda attack, share: None,
) -> CascadeResult:
    """Attacks a batch with a suite of attacks, each on what the earlier ones have not fooled.

    An example is robust if no attack of the suite finds a misclassified point in its ball: robust accuracy never rises
    along the cascade. With `standard`, which is AutoAttack's suite, the accuracy at the end is what RobustBench calls
    robust accuracy; `fast` comes to the same for a small part of the gradients.

    Args:
        key: A typed key. Every example has its own for every attack, whatever the chunk size.
        f: A model, or any JAX function of one input to its logits. Of a `jax.tree_util.Partial` the arrays are
            arguments of the compiled programs, which then serve all calls with the same function.
        batch: Images as float pixels in [0, 1] or as uint8 levels, or any inputs, with labels.
        suite: A suite with its ball.
        chunk_size: Examples that are attacked at once; what remains is attacked in chunks of an eighth, or of 16 if
            that is more. None for 16 on CPU, 256 elsewhere.
        journal: Folder that receives every chunk as it is done, and the result. Called again with the same arguments, a
            killed evaluation goes on after its last chunk, with equal results. It knows stages by all their settings.
        progress: Called after each chunk as `(attack, share)`: the share of all work that is done if no further example
            falls, which never decreases and ends at 1.

    Returns:
        The result. Every adversarial input is in the ball and in the box, and was misclassified.

    Raises:
        ValueError: If chunk_size is not a whole number of at least 1, there are no examples or fewer than two classes,
            an input is out of the box, a label is missing or none of the classes, two stages have one name, or the
            journal belongs to another evaluation.

    References:
        Croce and Hein 2020, "Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free
        attacks" (arXiv 2003.01690).

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> from lipjax import evaluation, norms
        >>> f = lambda x: jnp.array([x.mean(), 0.5])
        >>> inputs = jnp.array([0.9, 0.53, 0.3]).reshape(3, 1, 1, 1) * jnp.ones((3, 4, 4, 1))
        >>> suite = evaluation.standard(norms.linf.ball(0.1))
        >>> result = cascade(jax.random.key(0), f, Batch(inputs, jnp.array([0, 0, 0])), suite)
        >>> result.fooled_by.tolist(), result.accuracies["clean"], result.accuracies["square"]
        (['', 'apgd_ce', 'clean'], 0.67, 0.33)
    """
    task = task_of(key, f, batch, suite, chunk_size)
    logits, correct, is_flat = task.examine()
    chunks = Chunks(journal, lambda: task.settings() | {"correct": records.digest_of_arrays(correct)})
    withstood, points, gradients = _attacked(task, task.runs(logits, correct), correct, chunks, progress)
    health = Health(
        zero_gradients=zero_gradient_share(is_flat, correct),
        probabilities=look_like_probabilities(logits),
        random=is_random(task.f, task.images[:8]),
        black_box=float(sum(_share_felled(withstood, stage.name) for stage in task.stages if stage.black_box)),
    )
    result = CascadeResult(withstood, points, health, gradients)
    if journal is not None:
        result.save(journal)
    return result


def _attacked(
    task: Task, runs: Sequence[Run], correct: Flags, chunks: Chunks, progress: Progress
) -> tuple[dict[str, Flags], Images, float]:
    """What withstands the stages, where the rest was moved to, and what it took."""
    withstood, robust, points = {"clean": correct}, correct.copy(), task.images.copy()
    spent = 0.0
    for index, run in enumerate(runs):
        stage = task.stages[run.number]
        left = np.flatnonzero(robust & run.is_due)
        for rows, size in split(left, task.chunk_size):
            name = f"{run.number:02d}_{stage.name}_{run.repeat:02d}_{rows[0]:08d}"
            chunk = chunks.recalled(name, rows, partial(task.attack, run, rows, size))
            points[rows[chunk.fooled]] = chunk.points
            robust[rows[chunk.fooled]] = False
            spent += stage.cost * len(rows)
            to_come = sum(task.stages[later.number].cost * np.sum(robust & later.is_due) for later in runs[index + 1 :])
            remaining = stage.cost * np.sum(left > rows[-1]) + to_come
            progress(f"{stage.name} {run.repeat + 1}/{stage.repeats}", float(spent / (spent + remaining)))
        withstood[stage.name] = robust.copy()
    return withstood, points, float(spent)


def _share_felled(withstood: dict[str, Flags], name: str) -> float:
    """Share of all examples that fell in a stage."""
    names = [*withstood]
    before = withstood[names[names.index(name) - 1]]
    return float(np.mean(before & ~withstood[name]))
