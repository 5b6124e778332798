"""Answers per example: what a classifier says of clean, attacked and corrupted inputs, and whether it is right."""

import math
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Num, PyTree

from lipjax import checks, corruptions, parallel
from lipjax.attacks import aim
from lipjax.batching import num_at_once
from lipjax.corruptions import Corruption
from lipjax.losses import cross_entropy, is_correct
from lipjax.norms import Ball
from lipjax.types import AttackFn, Batch, KeyArray, Model, Scalar, pixels, single
from lipjax.values import settings, traceable

_AT_ONCE = 2**26
"""Numbers, of so many images at most, that are on the device at once to be corrupted."""

Classifier: TypeAlias = Model | Callable[[Array], Float[Array, " classes"]]


class _Chunks(NamedTuple):
    """A batch in equal parts, the last filled up with repetitions, so that one program serves all of them.

    The whole stays where it is: rows are read when their part is computed, by a process those of its own devices.
    """

    inputs: Any
    labels: np.ndarray
    places: Int[np.ndarray, " batch"]
    rows: Int[np.ndarray, "chunks size"]

    def computed(self, compute: Callable[..., Array], names: Sequence[str], *whole: PyTree) -> Iterator[np.ndarray]:
        """What is computed of each part, which devices share, from its arrays of these names."""
        mesh = parallel.current()
        whole = whole if mesh is None else parallel.replicate(whole, mesh)
        for rows in self.rows:
            part = [parallel.taken(getattr(self, name), rows, mesh) for name in names]
            yield parallel.fetched(compute(*whole, *part))


def _chunks(f: Classifier, batch: Batch, chunk_size: int | None) -> _Chunks:
    checks.examples(batch.inputs, batch.labels)
    first = np.asarray(batch.inputs[:1])
    checks.numbers(inputs=first)
    try:
        num_classes = jax.eval_shape(_logits, single(f), first).shape[-1]
    except TypeError as error:
        raise ValueError(f"f can't be applied to an input of shape {first.shape[1:]}: {error}") from error
    checks.classes(num_classes, batch.labels)
    count = len(batch.labels)
    size = parallel.filled(min(num_at_once(chunk_size), count))
    rows = np.minimum(np.arange(-(-count // size) * size), count - 1).reshape(-1, size)
    return _Chunks(parallel.on_host(batch.inputs), np.asarray(batch.labels), np.arange(count), rows)


@jax.jit
def _logits(f: Callable, inputs: Num[Array, "batch ..."]) -> Float[Array, "batch classes"]:
    return jax.vmap(f)(pixels(inputs))


def logits(f: Classifier, batch: Batch, *, chunk_size: int | None = None) -> Float[np.ndarray, "batch classes"]:
    """Logits of every example; arguments as for `correct`.

    Examples:
        >>> import jax.numpy as jnp
        >>> f = lambda x: jnp.stack([x[0], x[1]])
        >>> batch = Batch(jnp.array([[0.50, 0.40], [0.90, 0.10], [0.20, 0.60]]), jnp.array([0, 0, 0]))
        >>> logits(f, batch).shape
        (3, 2)
    """
    parts = _chunks(f, batch, chunk_size)
    return np.concatenate([*parts.computed(_logits, ["inputs"], single(f))])[: len(parts.labels)]


@jax.jit
def _correct(f: Callable, inputs: Num[Array, "batch ..."], labels: Num[Array, " batch"]) -> Bool[Array, " batch"]:
    return jax.vmap(is_correct)(jax.vmap(f)(pixels(inputs)), labels)


def correct(f: Classifier, batch: Batch, *, chunk_size: int | None = None) -> Bool[np.ndarray, " batch"]:
    """Which examples are classified correctly.

    Args:
        f: A model, or a callable from one input to its logits.
        batch: Examples with labels.
        chunk_size: Examples that are computed at once; None for `batching.num_at_once`.

    Returns:
        One boolean per example; False where a logit is NaN.

    Raises:
        ValueError: If there are no examples, not as many labels as inputs, or a label that is no class.

    Examples:
        >>> import jax.numpy as jnp
        >>> f = lambda x: jnp.stack([x[0], x[1]])
        >>> batch = Batch(jnp.array([[0.50, 0.40], [0.90, 0.10], [0.20, 0.60]]), jnp.array([0, 0, 0]))
        >>> correct(f, batch)
        array([ True,  True, False])
    """
    parts = _chunks(f, batch, chunk_size)
    return np.concatenate([*parts.computed(_correct, ["inputs", "labels"], single(f))])[: len(parts.labels)]


@partial(jax.jit, static_argnames="loss")
def _attack(
    f: Callable,
    attack: AttackFn,
    key: KeyArray,
    inputs: Num[Array, "batch ..."],
    labels: Num[Array, " batch"],
    places: Int[Array, " batch"],
    *,
    loss: Callable[..., Scalar],
) -> Float[Array, "batch ..."]:
    keys = jax.vmap(lambda place: jax.random.fold_in(key, place))(places)
    return jax.vmap(lambda key, x, label: attack(key, aim(attack, f, label, loss), x))(keys, pixels(inputs), labels)


def attacked(
    key: KeyArray,
    f: Classifier,
    batch: Batch,
    attack: AttackFn,
    *,
    loss: Callable[..., Scalar] = cross_entropy,
    chunk_size: int | None = None,
    progress: Callable[[int], object] = lambda done: None,
) -> Batch:
    """The batch with every input moved to where the attack found it misclassified, or else the loss largest.

    Args:
        key: A typed key; every example gets its own, whatever the chunk size.
        f: A model, or a callable from one input to its logits.
        batch: Examples with labels.
        attack: Any attack, for example `attacks.pgd(norms.linf.ball(8 / 255))`, or a function of your own
            `(key, objective, center) -> point`.
        loss: Loss `(logits, label) -> scalar` of one example, which the attack climbs.
        chunk_size: Examples that are attacked at once; None for `batching.num_at_once`.
        progress: Called with the number of examples that are done, after each chunk.

    Returns:
        A batch of float pixels with the labels of the given one.

    Raises:
        ValueError: Where `correct` does, or if float inputs are outside the box of the attack's ball.

    Examples:
        >>> import jax.numpy as jnp
        >>> f = lambda x: jnp.stack([x[0], x[1]])
        >>> batch = Batch(jnp.array([[0.50, 0.40], [0.90, 0.10], [0.20, 0.60]]), jnp.array([0, 0, 0]))
        >>> from lipjax import attacks, norms
        >>> moved = attacked(jax.random.key(0), f, batch, attacks.fgsm(norms.linf.ball(0.1)))
        >>> correct(f, moved)
        array([False,  True, False])
    """
    parts = _chunks(f, batch, chunk_size)
    moved = _moved(key, f, parts, attack, loss, progress)
    return Batch(np.concatenate([*moved])[: len(parts.labels)], batch.labels)


def _moved(
    key: KeyArray,
    f: Classifier,
    parts: _Chunks,
    attack: AttackFn,
    loss: Callable[..., Scalar],
    progress: Callable[[int], object],
) -> Iterator[np.ndarray]:
    """The points of each part, one part after another."""
    if isinstance(ball := getattr(attack, "ball", None), Ball) and np.issubdtype(parts.inputs.dtype, np.floating):
        for rows in parts.rows:
            checks.inside(ball.box, inputs=parts.inputs[rows])
    whole = single(f), traceable(attack), key
    done = 0
    for moved in parts.computed(partial(_attack, loss=loss), ["inputs", "labels", "places"], *whole):
        yield moved
        done += len(moved)
        progress(min(done, len(parts.labels)))


def withstood(
    key: KeyArray,
    f: Classifier,
    batch: Batch,
    attack: AttackFn,
    *,
    loss: Callable[..., Scalar] = cross_entropy,
    chunk_size: int | None = None,
    progress: Callable[[int], object] = lambda done: None,
) -> Bool[np.ndarray, " batch"]:
    """Which examples are classified correctly before and after the attack; arguments as for `attacked`.

    Examples:
        >>> import jax.numpy as jnp
        >>> f = lambda x: jnp.stack([x[0], x[1]])
        >>> batch = Batch(jnp.array([[0.50, 0.40], [0.90, 0.10], [0.20, 0.60]]), jnp.array([0, 0, 0]))
        >>> from lipjax import attacks, norms
        >>> withstood(jax.random.key(0), f, batch, attacks.fgsm(norms.linf.ball(0.1)))
        array([False,  True, False])
    """
    parts, after = _chunks(f, batch, chunk_size), []
    for rows, moved in zip(parts.rows, _moved(key, f, parts, attack, loss, progress), strict=True):
        # Points of one part only are kept.
        after.append(correct(f, Batch(moved, parts.labels[rows]), chunk_size=len(rows)))
    return correct(f, batch, chunk_size=chunk_size) & np.concatenate(after)[: len(batch.labels)]


def corrupted(
    key: KeyArray, batch: Batch, corruption: str | Corruption, severity: int, *, table: str | None = None
) -> Batch:
    """The batch with one corruption applied to every image, as uint8 levels.

    Args:
        key: A typed key, the same for all corruptions of a set: the name and the severity are folded in here.
        batch: Images as uint8 levels, or as float pixels in [0, 1] (rounded to levels).
        corruption: One of `corruptions.NAMES`, or a corruption of your own; one with a field `severity` is given it.
        severity: 1 to 5.
        table: Severity table; None chooses by the image size.

    Examples:
        >>> grey = Batch(np.full((1, 8, 8, 1), 100, np.uint8), np.array([7]))
        >>> corrupted(jax.random.key(0), grey, "brightness", 5, table="cifar").inputs[0, 0, 0]  # 255 * 0.3 more
        array([176], dtype=uint8)
    """
    name_key = jax.random.fold_in(key, zlib.crc32(str(corruption).encode()))
    if isinstance(corruption, Corruption) and "severity" in settings(corruption):
        corruption = corruption.replace(severity=severity)
    key, inputs = jax.random.fold_in(name_key, severity), parallel.on_host(batch.inputs)
    count, size = len(inputs), max(1, _AT_ONCE // math.prod(inputs.shape[1:]))
    images = []
    for start in range(0, count, size):  # the last part is filled up, so that one program serves all of them
        rows = np.minimum(np.arange(start, start + min(size, count)), count - 1)
        images.append(corruptions.corrupt(key, inputs[rows], corruption, severity, table, start=start))
    return Batch(np.concatenate(images)[:count], batch.labels)
