"""Answers per example reduced to accuracies, and how well two measures order the same things."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool

from lipjax import checks, corruptions
from lipjax.corruptions import Corruption
from lipjax.evaluation.examples import Classifier, correct, corrupted, withstood
from lipjax.losses import cross_entropy
from lipjax.types import AttackFn, Batch, KeyArray, Scalar

Accuracies: TypeAlias = Mapping[str, float | Sequence[float]]
"""Accuracies by corruption name: one number, or one for each severity."""


def accuracy(f: Classifier, batch: Batch, *, chunk_size: int | None = None) -> float:
    """Share of examples that are classified correctly; see `correct`.

    Examples:
        >>> import jax.numpy as jnp
        >>> batch = Batch(jnp.array([[0.5, 0.4], [0.2, 0.6]]), jnp.array([0, 0]))
        >>> accuracy(lambda x: x, batch)
        0.5
    """
    return float(np.mean(correct(f, batch, chunk_size=chunk_size)))


def robust_accuracy(
    key: KeyArray,
    f: Classifier,
    batch: Batch,
    attack: AttackFn | Sequence[AttackFn],
    *,
    loss: Callable[..., Scalar] = cross_entropy,
    chunk_size: int | None = None,
    progress: Callable[[int], object] = lambda done: None,
) -> float:
    """Share of examples that are classified correctly before and after the attack, or after each of several.

    Args:
        key: A typed key; every attack gets the same, so that none changes what another finds.
        f: A model, or a callable from one input to its logits.
        batch: Examples with labels.
        attack: An attack as for `attacked`, or several, of which an example has to withstand all.
        loss: Loss `(logits, label) -> scalar` of one example, for attacks that climb.
        chunk_size: Examples that are attacked at once; None for `batching.num_at_once`.
        progress: Called with the number of examples that are done, after each chunk of each attack.

    Raises:
        ValueError: If there are no attacks, no examples, or not as many labels as inputs.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> from lipjax import attacks, norms
        >>> batch = Batch(jnp.array([[0.5, 0.4], [0.9, 0.1]]), jnp.array([0, 0]))
        >>> robust_accuracy(jax.random.key(0), lambda x: x, batch, attacks.fgsm(norms.linf.ball(0.1)))
        0.5
    """
    several = [attack] if callable(attack) else attack
    checks.at_least(1, **{"the number of attacks": len(several)})

    def answers(number: int, one: AttackFn) -> Bool[np.ndarray, " batch"]:
        def advance(done: int) -> None:
            progress(number * len(batch.labels) + done)

        return withstood(key, f, batch, one, loss=loss, chunk_size=chunk_size, progress=advance)

    return float(np.mean(np.all([answers(number, one) for number, one in enumerate(several)], axis=0)))


def corruption_accuracy(
    key: KeyArray,
    f: Classifier,
    batch: Batch,
    *,
    names: Iterable[str | Corruption] = corruptions.BENCHMARK,
    severities: Sequence[int] = (1, 2, 3, 4, 5),
    table: str | None = None,
) -> dict[str, list[float]]:
    """Accuracy by corruption and severity: `{name: [one number per severity]}`; arguments as for `corrupted`.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> images, labels = jnp.full((2, 8, 8, 1), 0.7).at[1].set(0.3), jnp.array([1, 0])
        >>> f = lambda x: jnp.stack([0.5 - x.mean(), x.mean() - 0.5])
        >>> corruption_accuracy(jax.random.key(0), f, Batch(images, labels), names=["contrast"], severities=(1, 5))
        {'contrast': [1.0, 1.0]}
    """
    return {
        str(name): [accuracy(f, corrupted(key, batch, name, severity, table=table)) for severity in severities]
        for name in names
    }


def mean_corruption_accuracy(accuracies: Accuracies) -> float:
    """Mean over corruptions of the mean over severities: the summary that CIFAR-10-C papers report.

    Examples:
        >>> mean_corruption_accuracy({"fog": [0.9, 0.7], "snow": [0.5, 0.3]})
        0.6
    """
    return float(np.mean([np.mean(values) for values in accuracies.values()]))


def by_family(accuracies: Accuracies) -> dict[str, float]:
    """Mean over each family of corruptions, `noise`, `blur`, `weather`, `digital`, `extra`, where there are any.

    Examples:
        >>> by_family({"fog": [0.9, 0.7], "snow": [0.5, 0.3], "contrast": 0.4})
        {'weather': 0.6, 'digital': 0.4}
    """
    members = {
        family: [np.mean(accuracies[name]) for name in names if name in accuracies]
        for family, names in corruptions.FAMILIES.items()
    }
    return {family: float(np.mean(values)) for family, values in members.items() if values}


def relative_performance(clean_accuracy: float, accuracies: Accuracies) -> float:
    """What corruption costs: clean accuracy minus mean corruption accuracy; smaller is more robust.

    Args:
        clean_accuracy: In [0, 1].
        accuracies: By corruption, see `mean_corruption_accuracy`.

    References:
        Lassance et al. 2019, "Structural robustness for deep learning architectures", slide 16.

    Examples:
        >>> relative_performance(0.9, {"fog": [0.9, 0.7], "snow": [0.5, 0.3]})
        0.3
    """
    return clean_accuracy - mean_corruption_accuracy(accuracies)
