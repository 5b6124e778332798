"""Randomised smoothing: the class that a classifier gives most often to a noisy input, with a certified l2 radius.

    g(x) = argmax_c P(f(x + sigma N(0, I)) = c)

The certificate holds for g and not for f, and each of them with a probability of at least `1 - failure`. The noise is
drawn on the device; the statistics are SciPy's, in double precision.

    >>> f = lambda x: jnp.stack([x[0], -x[0]])                # the sign of the first entry
    >>> inputs, labels = jnp.array([[0.5, 0.0], [0.001, 0.0]]), np.array([0, 0])
    >>> certificate = smoothed(sigma=0.25, num_samples=10_000).certify(jax.random.key(0), f, inputs)
    >>> certificate.labels, certificate.radii.round(2)        # the boundary is 0.5 and 0.001 away
    (array([ 0, -1]), array([0.48, 0.  ]))
    >>> certificate.right_radii(labels).round(2)
    array([ 0.48, -1.  ])
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, ArrayLike, Float, Int, Num

from lipjax import checks, parallel
from lipjax.batching import example_keys, in_chunks
from lipjax.chance import drawn
from lipjax.evaluation import Classifier
from lipjax.types import KeyArray, Point, VectorFn, pixels, single
from lipjax.values import REQUIRED, Number, Value, count, number

Progress: TypeAlias = Callable[[int], object]

ABSTAIN = -1
"""The label of an example for which the draws leave the class open."""


class Certificate(NamedTuple):
    """What is certified of the smoothed classifier at several inputs.

    Attributes:
        labels: Its classes there, or ABSTAIN.
        radii: It has the same class in the open l2 balls of these radii, in input units; 0 where it abstains.
    """

    labels: Int[np.ndarray, " examples"]
    radii: Float[np.ndarray, " examples"]

    def right_radii(self, labels: Int[Array | np.ndarray, " examples"]) -> Float[np.ndarray, " examples"]:
        """The radii where the class is the right one; -1 where it is not or the smoothed classifier abstains.

        Examples:
            >>> Certificate(np.array([0, 1, ABSTAIN]), np.array([0.5, 0.2, 0.0])).right_radii(np.array([0, 0, 1]))
            array([ 0.5, -1. , -1. ])
        """
        return np.where(self.labels == np.asarray(labels), self.radii, -1.0)


def class_counts(
    key: KeyArray,
    f: VectorFn,
    x: Point,
    *,
    sigma: ArrayLike,
    num_samples: int,
    chunk_size: int = 250,
    mesh: Mesh | None = None,
) -> Int[Array, " classes"]:
    """How often `f(x + sigma N(0, I))` is largest in each class.

    Args:
        key: A typed key; each draw gets its own, whatever the chunk size.
        f: The classifier, one input to its logits.
        x: The input.
        sigma: Standard deviation of the noise, in input units (pixels in [0, 1]).
        num_samples: Number of draws.
        chunk_size: Draws that a device computes at once: memory grows with it and not with their number.
        mesh: Devices that share the draws, from `parallel.mesh`; None for one.

    Returns:
        Counts that add up to `num_samples`.

    Examples:
        >>> f = lambda x: jnp.stack([x, -x])
        >>> class_counts(jax.random.key(0), f, jnp.array(1.0), sigma=0.1, num_samples=50)
        Array([50,  0], dtype=int32)
    """

    def vote(draw: KeyArray) -> Int[Array, ""]:
        return jnp.argmax(f(x + sigma * drawn(jax.random.normal, draw, x.shape, x.dtype)))

    num_classes = jax.eval_shape(f, x).size
    votes = parallel.shared_out(in_chunks(vote, chunk_size), mesh)(example_keys(key, num_samples))
    return jnp.bincount(votes, length=num_classes).astype(jnp.int32)


def lower_confidence_bound(
    counts: Int[np.ndarray, "..."] | int, num_samples: int, failure: Number
) -> Float[np.ndarray, "..."]:
    """Clopper and Pearson's lower bound of a probability: too high with probability at most `failure`.

    Args:
        counts: How often the event was seen.
        num_samples: In so many independent draws.
        failure: Probability with which the bound may be wrong.

    Returns:
        The quantile `failure` of the Beta(count, num_samples - count + 1) law, and 0 for no event.

    Examples:
        >>> float(lower_confidence_bound(100, 100, 0.001))  # 0.001^(1 / 100)
        0.933254
    """
    import scipy.special  # as scipy.stats in `evaluation`, imported where it is needed: that takes a while

    seen = np.asarray(counts)
    some = np.maximum(seen, 1)
    return np.where(seen == 0, 0.0, scipy.special.betaincinv(some, num_samples - some + 1, failure))


def certified_radius(probability: Float[np.ndarray, "..."] | float, sigma: Number) -> Float[np.ndarray, "..."]:
    """The radius `sigma Phi^-1(p)` in which a class of probability at least p stays the most probable; 0 for p <= 1/2.

    References:
        Cohen, Rosenfeld and Kolter 2019 (arXiv 1902.02918), theorem 1 with `p_B = 1 - p_A`.

    Examples:
        >>> certified_radius(np.array([0.3, 0.5, 0.8413447]), 0.25)
        array([0.  , 0.  , 0.25])
    """
    import scipy.special

    return sigma * scipy.special.ndtri(np.maximum(probability, 0.5))


@partial(jax.jit, static_argnames=("nums", "chunk_size", "mesh"))
def _counts(
    f: Callable,
    key: KeyArray,
    x: Num[Array, "..."],
    sigma: ArrayLike,
    *,
    nums: tuple[int, ...],
    chunk_size: int,
    mesh: Mesh | None = None,
) -> Int[Array, "sets classes"]:
    """Counts of independent sets of `nums` draws for one example."""
    draw = partial(class_counts, f=f, x=pixels(x), sigma=sigma, chunk_size=chunk_size, mesh=mesh)
    keys = jax.random.split(key, len(nums))
    return jnp.stack([draw(key, num_samples=num) for key, num in zip(keys, nums, strict=True)])


class smoothed(Value):
    """A smoothed classifier: how much noise, how many draws, and how often a statement may be wrong.

    Attributes:
        sigma: Standard deviation of the noise, in pixels in [0, 1].
        num_samples: Draws for the bound: the largest radius that so many can certify is
            `sigma Phi^-1(failure^(1 / num_samples))`, 3.8 sigma for 100 000 and 2.5 sigma for 1000.
        num_selection: Draws for the guess of the class.
        failure: Probability, for each example, with which what is said of it may be wrong.
        chunk_size: Draws that a device computes at once: memory grows with it, not with the draws nor the examples.

    Raises:
        ValueError: If sigma is not positive, failure not above 0 and below 1, or a number not a whole one from 1.

    References:
        Cohen, Rosenfeld and Kolter 2019, "Certified Adversarial Robustness via Randomized Smoothing" (arXiv
        1902.02918), section 3.2; the defaults are theirs.

    Examples:
        >>> f = lambda x: jnp.stack([x[0], -x[0]])  # the sign of the first entry: a boundary 0.1 away
        >>> smoothed(0.25, num_samples=10_000).certify(jax.random.key(0), f, jnp.array([[0.1, 0.0]])).radii.round(2)
        array([0.09])
    """

    sigma: Number = number(REQUIRED, checks.positive, unit="pixels in [0, 1]")
    _: dataclasses.KW_ONLY
    num_samples: int = count(default=100_000)
    num_selection: int = count(default=100)
    failure: Number = number(0.001, checks.probability)
    chunk_size: int = count(default=250)

    def certify(
        self,
        key: KeyArray,
        f: Classifier,
        inputs: Num[Array | np.ndarray, "examples ..."],
        progress: Progress = lambda done: None,
    ) -> Certificate:
        """Certifies the smoothed classifier at several inputs, each on its own.

        The class is guessed from `num_selection` draws; from `num_samples` further draws comes a lower bound p of its
        probability, and with it the radius `sigma Phi^-1(p)`. Where p is at most 1/2, it abstains.

        Args:
            key: A typed key; every example gets its own.
            f: A model, or a callable from one input to its logits.
            inputs: Examples `[examples, ...]`: pixels in [0, 1], or uint8 levels.
            progress: Called with the number of examples that are done.

        Returns:
            Labels and radii. With probability at least `1 - failure` a label is that of the smoothed classifier there,
            or ABSTAIN, and the smoothed classifier has it in the whole open l2 ball of the radius.
        """
        counts = self._counts(key, f, inputs, (self.num_selection, self.num_samples), progress)
        guesses = np.argmax(counts[:, 0], axis=1)
        seen = counts[np.arange(len(counts)), 1, guesses]
        bounds = lower_confidence_bound(seen, self.num_samples, self.failure)
        return Certificate(np.where(bounds > 0.5, guesses, ABSTAIN), certified_radius(bounds, self.sigma))

    def predict(
        self,
        key: KeyArray,
        f: Classifier,
        inputs: Num[Array | np.ndarray, "examples ..."],
        progress: Progress = lambda done: None,
    ) -> Int[np.ndarray, " examples"]:
        """The classes of the smoothed classifier, or ABSTAIN where the two most frequent ones are too close to tell.

        Args:
            key: A typed key; every example gets its own.
            f: A model, or a callable from one input to its logits.
            inputs: Examples `[examples, ...]`: pixels in [0, 1], or uint8 levels.
            progress: Called with the number of examples that are done.

        Returns:
            One label per example: a class only where a fair coin would prefer one of the top two as clearly as was seen
            in `num_samples` draws with probability at most `failure` (two-sided binomial test).

        Examples:
            >>> f, inputs = lambda x: jnp.stack([x[0], -x[0]]), jnp.array([[0.1, 0.0], [0.0, 0.0]])
            >>> smoothed(0.25, num_samples=1000).predict(jax.random.key(0), f, inputs).tolist()
            [0, -1]
        """
        import scipy.special

        counts = self._counts(key, f, inputs, (self.num_samples,), progress)[:, 0]
        second, first = np.sort(counts, axis=1)[:, -2:].T
        # Twice the chance of at most `second` heads in so many throws of a fair coin.
        p_values = 2 * scipy.special.bdtr(second.astype(float), first + second, 0.5)
        return np.where(p_values <= self.failure, np.argmax(counts, axis=1), ABSTAIN)

    def _counts(
        self, key: KeyArray, f: Classifier, inputs: Any, nums: tuple[int, ...], progress: Progress
    ) -> Int[np.ndarray, "examples sets classes"]:
        classify, counts = single(f), []
        options: Any = {"nums": nums, "chunk_size": self.chunk_size, "mesh": parallel.current()}
        for example_key, x in zip(example_keys(key, len(inputs)), inputs, strict=True):
            counted = _counts(classify, example_key, jnp.asarray(x), self.sigma, **options)
            counts.append(np.asarray(counted))
            progress(len(counts))
        return np.stack(counts)
