"""Is it robust? Accuracy on clean, corrupted and attacked examples, and the field's summary figures.

Every function takes a classifier: a `Model`, or any JAX callable from one input to its logits.

    >>> import jax.numpy as jnp
    >>> from lipjax import attacks, norms
    >>> f = lambda x: jnp.stack([x.mean(), 0.5])              # your own callable: one image to its logits
    >>> batch = Batch(jnp.array([0.2, 0.9]).reshape(2, 1, 1, 1) * jnp.ones((2, 8, 8, 1)), jnp.array([1, 0]))
    >>> accuracy(f, batch)
    1.0
    >>> robust_accuracy(jax.random.key(0), f, batch, attacks.pgd(norms.linf.ball(0.35)))
    0.5
"""

import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import NamedTuple, TypeAlias

import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Num

from lipjax import checks, corruptions
from lipjax.attacks import aim
from lipjax.batching import example_keys
from lipjax.losses import cross_entropy, is_correct
from lipjax.types import AttackFn, Batch, KeyArray, Model, Scalar, pixels, single
from lipjax.values import traceable

Classifier: TypeAlias = Model | Callable[[Array], Float[Array, " classes"]]
Errors: TypeAlias = Mapping[str, float | Sequence[float]]
"""Error rates by corruption name: one number, or one for each severity."""

ALEXNET_ERRORS: dict[str, float] = {
    "gaussian_noise": 0.886428,
    "shot_noise": 0.894468,
    "impulse_noise": 0.922640,
    "defocus_blur": 0.819880,
    "glass_blur": 0.826268,
    "motion_blur": 0.785948,
    "zoom_blur": 0.798360,
    "snow": 0.866816,
    "frost": 0.826572,
    "fog": 0.819324,
    "brightness": 0.564592,
    "contrast": 0.853204,
    "elastic_transform": 0.646056,
    "pixelate": 0.717840,
    "jpeg_compression": 0.606500,
}
"""Mean error of AlexNet over the five severities on ImageNet-C: the published baseline of mCE (Hendrycks 2019)."""


class _Chunks(NamedTuple):
    """A batch in equal parts, the last filled up with repetitions, so that one program serves all of them."""

    inputs: Num[Array | np.ndarray, "chunks size ..."]
    labels: Num[Array | np.ndarray, "chunks size"]
    keys: Array
    total: int


def _chunks(key: KeyArray, batch: Batch, chunk_size: int) -> _Chunks:
    checks.examples(batch.inputs, batch.labels)
    count = len(batch.labels)
    size = min(chunk_size, count)
    rows = np.minimum(np.arange(-(-count // size) * size), count - 1).reshape(-1, size)
    keys = example_keys(key, count)
    return _Chunks(np.asarray(batch.inputs)[rows], np.asarray(batch.labels)[rows], keys[rows], count)


@jax.jit
def _logits(f: Callable, inputs: Num[Array, "batch ..."]) -> Float[Array, "batch classes"]:
    return jax.vmap(f)(pixels(inputs))


def logits(f: Classifier, batch: Batch, *, chunk_size: int = 500) -> Float[np.ndarray, "batch classes"]:
    """Logits of every example; arguments as for `correct`."""
    parts = _chunks(jax.random.key(0), batch, chunk_size)
    return np.concatenate([_logits(single(f), inputs) for inputs in parts.inputs])[: parts.total]


@jax.jit
def _correct(f: Callable, inputs: Num[Array, "batch ..."], labels: Num[Array, " batch"]) -> Bool[Array, " batch"]:
    return jax.vmap(is_correct)(jax.vmap(f)(pixels(inputs)), labels)


def correct(f: Classifier, batch: Batch, *, chunk_size: int = 500) -> Bool[np.ndarray, " batch"]:
    """Which examples are classified correctly.

    Args:
        f: A model, or a callable from one input to its logits.
        batch: Examples with labels.
        chunk_size: Examples that are computed at once.

    Returns:
        One boolean per example; False where a logit is NaN.

    Raises:
        ValueError: If there are no examples, or not as many labels as inputs.
    """
    parts = _chunks(jax.random.key(0), batch, chunk_size)
    answers = [_correct(single(f), *part) for part in zip(parts.inputs, parts.labels, strict=True)]
    return np.concatenate(answers)[: parts.total]


def accuracy(f: Classifier, batch: Batch, *, chunk_size: int = 500) -> float:
    """Share of examples that are classified correctly; see `correct`."""
    return float(np.mean(correct(f, batch, chunk_size=chunk_size)))


@partial(jax.jit, static_argnames="loss")
def _attack(
    f: Callable,
    attack: AttackFn,
    inputs: Num[Array, "batch ..."],
    labels: Num[Array, " batch"],
    keys: Array,
    *,
    loss: Callable[..., Scalar],
) -> Float[Array, "batch ..."]:
    return jax.vmap(lambda key, x, label: attack(key, aim(attack, f, label, loss), x))(keys, pixels(inputs), labels)


def attacked(
    key: KeyArray,
    f: Classifier,
    batch: Batch,
    attack: AttackFn,
    *,
    loss: Callable[..., Scalar] = cross_entropy,
    chunk_size: int = 250,
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
        chunk_size: Examples that are attacked at once.
        progress: Called with the number of examples that are done, after each chunk.

    Returns:
        A batch of float pixels with the labels of the given one.
    """
    parts = _chunks(key, batch, chunk_size)
    points = []
    for part in zip(parts.inputs, parts.labels, parts.keys, strict=True):
        points.append(np.asarray(_attack(single(f), traceable(attack), *part, loss=loss)))
        progress(min(len(points) * len(part[1]), parts.total))
    return Batch(np.concatenate(points)[: parts.total], batch.labels)


def robust_accuracy(
    key: KeyArray,
    f: Classifier,
    batch: Batch,
    attack: AttackFn,
    *,
    loss: Callable[..., Scalar] = cross_entropy,
    chunk_size: int = 250,
    progress: Callable[[int], object] = lambda done: None,
) -> float:
    """Share of examples that are classified correctly before and after the attack; arguments as for `attacked`."""
    after = attacked(key, f, batch, attack, loss=loss, chunk_size=chunk_size, progress=progress)
    return float(np.mean(correct(f, batch) & correct(f, after)))


def corrupted(key: KeyArray, batch: Batch, name: str, severity: int, *, table: str | None = None) -> Batch:
    """The batch with one corruption applied to every image, as uint8 levels.

    Args:
        key: A typed key, the same for all corruptions of a set: the name and the severity are folded in here.
        batch: Images as uint8 levels, or as float pixels in [0, 1] (rounded to levels).
        name: One of `corruptions.NAMES`.
        severity: 1 to 5.
        table: Severity table; None chooses by the image size.
    """
    name_key = jax.random.fold_in(key, zlib.crc32(name.encode()))
    images = corruptions.corrupt(jax.random.fold_in(name_key, severity), batch.inputs, name, severity, table)
    return Batch(np.asarray(images), batch.labels)


def corruption_accuracy(
    key: KeyArray,
    f: Classifier,
    batch: Batch,
    *,
    names: Iterable[str] = corruptions.BENCHMARK,
    severities: Sequence[int] = (1, 2, 3, 4, 5),
    table: str | None = None,
) -> dict[str, list[float]]:
    """Accuracy by corruption and severity: `{name: [one number per severity]}`; arguments as for `corrupted`."""
    return {
        name: [accuracy(f, corrupted(key, batch, name, severity, table=table)) for severity in severities]
        for name in names
    }


def mean_corruption_accuracy(accuracies: Errors) -> float:
    """Mean over corruptions of the mean over severities: the summary that CIFAR-10-C papers report.

    Example:
        >>> mean_corruption_accuracy({"fog": [0.9, 0.7], "snow": [0.5, 0.3]})
        0.6
    """
    return float(np.mean([np.mean(values) for values in accuracies.values()]))


def by_family(accuracies: Errors) -> dict[str, float]:
    """Mean over each family of corruptions, `noise`, `blur`, `weather`, `digital`, `extra`, where there are any.

    Example:
        >>> by_family({"fog": [0.9, 0.7], "snow": [0.5, 0.3], "contrast": 0.4})
        {'weather': 0.6, 'digital': 0.4}
    """
    members = {
        family: [np.mean(accuracies[name]) for name in names if name in accuracies]
        for family, names in corruptions.FAMILIES.items()
    }
    return {family: float(np.mean(values)) for family, values in members.items() if values}


def relative_performance(clean_accuracy: float, accuracies: Errors) -> float:
    """What corruption costs: clean accuracy minus mean corruption accuracy; smaller is more robust.

    References:
        Lassance et al. 2019, "Structural robustness for deep learning architectures", slide 16.

    Example:
        >>> relative_performance(0.9, {"fog": [0.9, 0.7], "snow": [0.5, 0.3]})
        0.3
    """
    return clean_accuracy - mean_corruption_accuracy(accuracies)


def _baseline(errors: Errors, baseline: Errors) -> dict[str, float]:
    missing = sorted(set(errors) - set(baseline))
    if missing:
        raise ValueError(
            f"the baseline has no error for {', '.join(missing)}: give a baseline measured on the same corruptions, "
            "or None for unnormalised errors"
        )
    return {name: float(np.mean(baseline[name])) for name in errors}


def _mean_ratio(values: Mapping[str, float], scale: Mapping[str, float]) -> float:
    if not values:
        raise ValueError("errors must name at least one corruption, got none")
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.mean([np.divide(value, scale[name]) for name, value in values.items()]))


def mean_corruption_error(errors: Errors, *, baseline: Errors | None = None) -> float:
    """Mean corruption error (mCE).

    `CE_c = sum_s E_{s,c} / sum_s E_{s,c}(baseline)` and mCE is the mean of `CE_c` over the corruptions.

    Args:
        errors: Error rates by corruption, one number or one per severity.
        baseline: Errors of the baseline classifier in the same unit, such as `ALEXNET_ERRORS` for ImageNet-C. None
            leaves the errors as they are, which is the custom on CIFAR-10-C.

    Returns:
        The mean, 1.0 for the baseline itself; in the unit of `errors` without baseline. Infinite where the baseline
        makes no error on a corruption and the classifier does, NaN where neither does.

    Raises:
        ValueError: If there are no errors, or the baseline lacks one of the corruptions.

    References:
        Hendrycks and Dietterich 2019, "Benchmarking neural network robustness" (arXiv 1903.12261), section 4.

    Example:
        >>> mean_corruption_error({"fog": [0.2, 0.4]}, baseline={"fog": [0.5, 0.7]})
        0.5
    """
    scale = _baseline(errors, baseline) if baseline is not None else dict.fromkeys(errors, 1.0)
    return _mean_ratio({name: float(np.mean(values)) for name, values in errors.items()}, scale)


def relative_mean_corruption_error(
    errors: Errors,
    clean_error: float,
    *,
    baseline: Errors | None = None,
    baseline_clean_error: float | None = None,
) -> float:
    """Relative mCE: the mean over corruptions of `sum_s (E_{s,c} - E_clean) / sum_s (E_{s,c} - E_clean)(baseline)`.

    Args:
        errors: Error rates by corruption, one number or one per severity.
        clean_error: Error rate on clean examples, in the same unit.
        baseline: Errors of the baseline; None leaves the differences as they are.
        baseline_clean_error: Clean error of the baseline, needed with one.

    Returns:
        The mean, 1.0 for the baseline itself; in the unit of `errors` without baseline. Infinite where a corruption
        does the baseline no harm, NaN where it does the classifier none either.

    Raises:
        ValueError: If there are no errors, or the baseline lacks a corruption or comes without its clean error.

    References:
        Hendrycks and Dietterich 2019 (arXiv 1903.12261), section 4.

    Example:
        >>> relative_mean_corruption_error({"fog": 0.3}, 0.1, baseline={"fog": 0.6}, baseline_clean_error=0.2)
        0.5
    """
    if (baseline is None) != (baseline_clean_error is None):
        raise ValueError("baseline and baseline_clean_error must be given together")
    drops = {name: float(np.mean(values)) - clean_error for name, values in errors.items()}
    if baseline is None or baseline_clean_error is None:
        return _mean_ratio(drops, dict.fromkeys(errors, 1.0))
    scale = {name: error - baseline_clean_error for name, error in _baseline(errors, baseline).items()}
    return _mean_ratio(drops, scale)


class RankAgreement(NamedTuple):
    """How well two quantities order the same things.

    Attributes:
        kendall_tau: Kendall's tau-b, 1 for the same order, -1 for the reverse; NaN if one quantity is constant.
        kendall_p_value: Probability of a tau at least this far from 0 if the orders were unrelated.
        spearman_rho: Spearman's rank correlation.
    """

    kendall_tau: float
    kendall_p_value: float
    spearman_rho: float


def rank_agreement(first: Sequence[float], second: Sequence[float]) -> RankAgreement:
    """Agreement of the orders that two quantities give to the same things, ties handled.

    Args:
        first: One number per thing.
        second: One number per thing, in the same order of things.

    Returns:
        Kendall's tau-b with its p-value, and Spearman's rho.

    Raises:
        ValueError: If there are fewer than two things or the lengths differ.

    Example:
        >>> rank_agreement([1.0, 2.0, 3.0], [10.0, 20.0, 15.0]).kendall_tau
        0.3333333333333333
    """
    if len(first) != len(second) or len(first) < 2:
        raise ValueError(f"need two equally long sequences of at least 2, got {len(first)} and {len(second)}")
    if len(set(first)) == 1 or len(set(second)) == 1:
        return RankAgreement(np.nan, np.nan, np.nan)
    # Imported here, because its import takes longer than the rest of most programs' start.
    import scipy.stats

    tau, rho = scipy.stats.kendalltau(first, second), scipy.stats.spearmanr(first, second)
    return RankAgreement(float(tau.statistic), float(tau.pvalue), float(rho.statistic))
