"""CLEVER: the largest gradient of a margin on a ball, extrapolated from samples by extreme-value theory."""

import dataclasses
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from lipjax import checks, loops
from lipjax.batching import in_chunks
from lipjax.estimators.estimator import LocalEstimator
from lipjax.estimators.quotient import safe_ratio
from lipjax.estimators.weibull import fit_weibull
from lipjax.norms import Norm, l2
from lipjax.types import KeyArray, Point, Scalar, VectorFn
from lipjax.values import Number, count, number

_AT_ONCE = 64
"""Random points whose gradients are computed at once: what caches hold. Memory does not grow with their number."""


class Clever(NamedTuple):
    """What CLEVER says of one point.

    Attributes:
        value: The local Lipschitz constant of the margin, as extrapolated: an estimate, not a bound of either side.
        witness: The sampled point with the largest gradient, whose dual norm is `largest`.
        largest: The largest dual norm of a gradient among samples: a lower bound of the constant.
        score: `min(margin / value, radius)`: the estimate of the distance to the nearest adversarial point.
        target: The class whose margin this is: the given one, or the one of the smallest score.
        p_value: Goodness of fit of the Weibull distribution (Kolmogorov-Smirnov); see `weibull.WeibullFit`.
        is_fitted: False where there was no fit, and `value` is `largest`.

    Examples:
        >>> score = lambda x: clever(l2.ball(0.5))(jax.random.key(0), lambda x: x[:3], x)
        >>> found = jax.eval_shape(score, jnp.zeros(5))  # nothing is computed
        >>> found.witness.shape, found.score.shape, found.target.dtype
        ((5,), (), dtype('int32'))
    """

    value: Scalar
    witness: Point
    largest: Scalar
    score: Scalar
    target: Int[Array, ""]
    p_value: Scalar
    is_fitted: Bool[Array, ""]


class clever(LocalEstimator):
    """Local Lipschitz constant of the margin `z_c - z_j` and the CLEVER score `min(margin / constant, radius)`.

    The constant is the largest dual norm of the margin's gradient on the ball. Each batch of `num_samples` uniform
    points of the ball gives a maximum; a reverse Weibull distribution is fitted to the maxima of all batches, and its
    upper end is the estimate. c is the class that f predicts at x. For a linear f the constant is exact and the score
    is the exact distance to the decision boundary.

    Gradients of 64 points are computed at once; on a CPU that is enough, so `over_examples(..., 1)` is fastest there.
    Without a target, an f of one class only is refused.

    Attributes:
        ball: The ball; gradients are measured in the dual of its norm.
        target: The class j. None is untargeted: the smallest score over all classes but c.
        num_samples: Points per batch.
        num_batches: Batches, that is maxima for the fit.

    References:
        Weng et al. 2018, "Evaluating the robustness of neural networks: an extreme value theory approach" (arXiv
        1801.10578), algorithms 1 and 2; 500 batches of 1024 are theirs. Ours samples uniformly in the ball (the
        authors' code multiplies lengths by another uniform number), finds the fit of largest likelihood with shape at
        least 1 (theirs takes the best p-value of several local fits), and takes the largest sample where there is none.

    Examples:
        >>> matrix = jnp.array([[3.0, 0.0], [0.0, 4.0]])
        >>> found = clever(l2.ball(5.0, box=None), num_samples=4, num_batches=10)(
        ...     jax.random.key(0), lambda x: matrix @ x, jnp.array([2.0, 0.5])
        ... )
        >>> found.value, found.score  # |(3, -4)| and (6 - 2) / 5
        (Array(5., dtype=float32), Array(0.8, dtype=float32))
    """

    constant = "clever"
    norm_out = l2  # a margin is one number: every norm is its absolute value

    _: dataclasses.KW_ONLY
    target: Number | None = number(None, checks.not_negative)
    num_samples: int = count(1024)
    num_batches: int = count(500)

    def __call__(self, key: KeyArray, f: VectorFn, x: Point) -> Clever:  # type: ignore[override]
        f, x = self.prepared(f, x)
        logits = f(x)
        if isinstance(self.target, float):
            checks.at_least(0, target=self.target)
            checks.classes(logits.size, self.target)
        predicted = jnp.argmax(logits)
        targets = _others(predicted, logits.size) if self.target is None else jnp.asarray(self.target, int).reshape(1)
        margins = logits[predicted] - logits[targets]
        keys = jax.random.split(key, (self.num_batches, self.num_samples))
        steepness = partial(_margin_gradients, f, predicted, targets, self.ball.norm)
        sampled = in_chunks(lambda sample_key: steepness(self.ball.sample(sample_key, x)), _AT_ONCE)

        def batch_maximum(keys: Key[Array, " samples"]) -> tuple[Float[Array, " targets"], Int[Array, " targets"]]:
            norms = sampled(keys)
            return jnp.max(norms, axis=0), jnp.argmax(norms, axis=0)

        maxima, where = loops.map(batch_maximum, keys)
        fits = jax.vmap(fit_weibull)(maxima.T)
        scores = jnp.where(fits.end > 0.0, jax.vmap(safe_ratio)(margins, fits.end), self.ball.radius)
        chosen = jnp.argmin(scores)
        batch = jnp.argmax(maxima[:, chosen])
        return Clever(
            value=fits.end[chosen],
            witness=self.ball.sample(keys[batch, where[batch, chosen]], x),
            largest=maxima[batch, chosen],
            score=jnp.minimum(scores[chosen], self.ball.radius),
            target=targets[chosen],
            p_value=fits.p_value[chosen],
            is_fitted=fits.is_fitted[chosen],
        )


def _others(predicted: Int[Array, ""], num_classes: int) -> Int[Array, " targets"]:
    """Every class but the predicted one."""
    checks.at_least(2, num_classes=num_classes)
    others = jnp.arange(num_classes - 1)
    return others + (others >= predicted)


def _margin_gradients(
    f: VectorFn, predicted: Int[Array, ""], targets: Int[Array, " targets"], norm: Norm, point: Point
) -> Float[Array, " targets"]:
    """Dual norms of the gradients of the margins, one product with the Jacobian's transpose each."""
    logits, pull = jax.vjp(f, point)

    def of_target(target: Int[Array, ""]) -> Scalar:
        rows = jax.nn.one_hot(jnp.stack([predicted, target]), logits.size, dtype=logits.dtype)
        return norm.dual(pull(rows[0] - rows[1])[0])

    return loops.map(of_target, targets)
