"""Maximum-likelihood fit of the reverse Weibull distribution, the law of maxima that have an upper end."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from lipjax import loops
from lipjax.estimators.quotient import safe_ratio
from lipjax.types import Scalar

_REACH = (1e-4, 30.0)
"""How far beyond the largest observation the upper end is looked for, as multiples of the observations' range."""

_FURTHEST = 10.0
"""An end beyond this is no end: there the likelihood is flat, and the maxima look as if they had no upper limit."""

_SHAPES = (1.0, 1e3)
"""Shapes that are looked at. Below 1 the likelihood is unbounded as the end approaches the largest observation."""


class WeibullFit(NamedTuple):
    """Distribution function `exp(-((end - y) / scale)^shape)` for `y <= end`, and how well it fits.

    Attributes:
        end: Upper end of the distribution: no observation can be larger.
        shape: Shape.
        scale: Scale, in units of the observations.
        distance: Kolmogorov-Smirnov distance of the observations from the fit, in [0, 1].
        p_value: Probability of so large a distance, were the fitted distribution the true one (asymptotic, with
            Stephens' correction; since the parameters are fitted to the same observations it is too kind).
        is_fitted: False where there is no fit, and `end` is the largest observation: where observations are all equal
            up to rounding (`p_value` is 1), or look as if they had no upper end (`p_value` is 0).
    """

    end: Scalar
    shape: Scalar
    scale: Scalar
    distance: Scalar
    p_value: Scalar
    is_fitted: Bool[Array, ""]


def fit_weibull(observations: Float[Array, " observations"]) -> WeibullFit:
    """Fits the reverse Weibull distribution by maximum likelihood.

    For a given upper end the likelihood equation of the shape is monotone and is solved by bisection, and the scale
    follows; the end maximises this profile likelihood on a logarithmic grid, which is then refined.

    Args:
        observations: Maxima of independent batches.

    Returns:
        The fit.

    Examples:
        >>> uniform = (jnp.arange(400) + 0.5) / 400
        >>> fit_weibull(5.0 - (-jnp.log(uniform)) ** (1 / 3)).end.round(1)  # shape 3, end 5
        Array(5., dtype=float32)
    """
    top = jnp.max(observations)
    spread = top - jnp.min(observations)
    is_constant = spread <= 1e-4 * jnp.abs(top)
    gaps = (top - observations) / jnp.where(is_constant, 1.0, spread)
    low, high = jnp.log(jnp.array(_REACH, observations.dtype))
    for _ in range(3):
        reaches = jnp.exp(jnp.linspace(low, high, 65))
        best = jnp.argmax(jax.vmap(lambda reach: _profile(gaps + reach)[0])(reaches))
        low, high = jnp.log(reaches[jnp.maximum(best - 1, 0)]), jnp.log(reaches[jnp.minimum(best + 1, 64)])
    reach = reaches[best]
    _, shape, scale = _profile(gaps + reach)
    is_fitted = ~is_constant & (reach < _FURTHEST)
    distance = _distance(jnp.exp(-(((gaps + reach) / scale) ** shape)))
    p_value = jnp.where(is_fitted, _p_value(distance, observations.size), jnp.where(is_constant, 1.0, 0.0))
    return WeibullFit(
        end=jnp.where(is_fitted, top + reach * spread, top),
        shape=shape,
        scale=scale * spread,
        distance=jnp.where(is_constant, 0.0, distance),
        p_value=p_value,
        is_fitted=is_fitted,
    )


def _profile(gaps: Float[Array, " observations"]) -> tuple[Scalar, Scalar, Scalar]:
    """Mean log-likelihood, shape and scale that maximise it, of Weibull distributed gaps."""
    logs = jnp.log(gaps)
    mean_log, largest = jnp.mean(logs), jnp.max(logs)

    def slope(shape: Scalar) -> Scalar:
        weights = jax.nn.softmax(shape * logs)
        return jnp.sum(weights * logs) - 1.0 / shape - mean_log

    def halve(ends: tuple[Scalar, Scalar], _: None) -> tuple[tuple[Scalar, Scalar], None]:
        low, high = ends
        middle = jnp.sqrt(low * high)
        is_low = slope(middle) < 0.0
        return (jnp.where(is_low, middle, low), jnp.where(is_low, high, middle)), None

    ends = (jnp.array(_SHAPES[0], gaps.dtype), jnp.array(_SHAPES[1], gaps.dtype))
    (shape, _), _ = loops.scan(halve, ends, length=40)
    log_scale = largest + jnp.log(jnp.mean(jnp.exp(shape * (logs - largest)))) / shape
    likelihood = jnp.log(shape) - shape * log_scale + (shape - 1.0) * mean_log - 1.0
    return likelihood, shape, jnp.exp(log_scale)


def _distance(probabilities: Float[Array, " observations"]) -> Scalar:
    """Largest difference of the observed from the fitted distribution function, given the fitted at observations."""
    count = probabilities.size
    ascending = jnp.sort(probabilities)
    above = jnp.arange(1, count + 1) / count - ascending
    return jnp.maximum(jnp.max(above), jnp.max(1.0 / count - above))


def _p_value(distance: Scalar, count: int) -> Scalar:
    root = jnp.sqrt(float(count))
    scaled = (root + 0.12 + safe_ratio(jnp.array(0.11), root)) * distance
    k = jnp.arange(1, 101)
    series = 2.0 * jnp.sum((-1.0) ** (k - 1) * jnp.exp(-2.0 * (k * scaled) ** 2))
    return jnp.where(scaled < 0.2, 1.0, jnp.clip(series, 0.0, 1.0))
